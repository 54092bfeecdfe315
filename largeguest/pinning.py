# SPDX-License-Identifier: GPL-2.0-or-later
"""The pins of a running VM: as its cputune wants them on this host, and as they are."""

from __future__ import annotations

from collections.abc import Iterator

from . import checks, domxml, placement, properties
from .cpuset import CpuSet
from .errors import Problem, Refused
from .guest import Pins
from .host import Host
from .records import record


@record
class Running:
    """A VM that runs here."""

    name: str
    wanted: Pins | None
    """By the cputune in its metadata; None: it has none, or one that cannot be carried out here."""
    real: Pins
    """As libvirt has them."""
    owned: CpuSet
    """The CPUs of the host that this VM has for itself alone, by a CPU pinning policy of the engine."""
    problems: tuple[Problem, ...] = ()
    """Why the property cannot be carried out."""

    @property
    def moved(self) -> Pins:
        """What stands elsewhere than wanted, and where it should be."""
        if self.wanted is None:
            return Pins()
        wanted, real = self.wanted, self.real
        return Pins(
            {vcpu: cpus for vcpu, cpus in wanted.vcpus.items() if real.vcpus.get(vcpu) != cpus},
            {number: cpus for number, cpus in wanted.iothreads.items() if real.iothreads.get(number) != cpus},
            wanted.emulator if wanted.emulator != real.emulator else None,
        )

    def rows(self) -> Iterator[tuple[str, CpuSet, CpuSet | None]]:
        """Who is pinned, by libvirt's names, to what by the property and to what in fact (None: not pinned)."""
        if self.wanted is None:
            return
        for vcpu, cpus in sorted(self.wanted.vcpus.items()):
            yield f"vcpu{vcpu}", cpus, self.real.vcpus.get(vcpu)
        if self.wanted.emulator is not None:
            yield "emulator", self.wanted.emulator, self.real.emulator
        for number, cpus in sorted(self.wanted.iothreads.items()):
            yield f"iothread{number}", cpus, self.real.iothreads.get(number)


def read(document: bytes, host: Host) -> Running:
    """Read a running VM out of its domain XML; raises Refused for what is no such XML."""
    tree = domxml.parse(document)
    guest = domxml.read_guest(tree)
    name, custom = domxml.read_name(tree), domxml.read_custom_properties(tree)
    what = checks.engines_layout(guest)
    if what is not None:
        owned = checks.union(guest.pins.vcpus.values())
        if guest.cpu_policy == "isolate-threads":
            owned |= checks.union(host.cpus[cpu].siblings for cpu in owned if cpu in host.cpus)
        problem = Problem("cputune", what, "choose the policy none or manual, or take the property away")
        return Running(name, None, guest.pins, owned, (problem,) if custom.get("cputune", "").strip(" ") else ())
    wanted, problems = properties.parse({"cputune": custom.get("cputune", "")})
    pins = None
    if wanted.cputune is not None:
        try:
            resolved = placement.resolve_pins(wanted.cputune, host)
            pins = Pins(
                {vcpu: cpus for vcpu, cpus in resolved.vcpus.items() if vcpu in guest.all_vcpus},
                {number: cpus for number, cpus in resolved.iothreads.items() if number in guest.iothreads},
                resolved.emulator,
            )
        except Refused as refused:
            problems = refused.problems
    return Running(name, pins, guest.pins, CpuSet(), problems)

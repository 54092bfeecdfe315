# SPDX-License-Identifier: GPL-2.0-or-later
"""The pins of a running VM: by its cputune on this host, as they are, and how they are put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from .. import properties
from ..cpuset import CpuSet
from ..domxml import NAMESPACE, PREFIX
from ..domxml import parse as parse_xml
from ..domxml import read as read_xml
from ..domxml import write as write_xml
from ..host.topology import Host
from ..placement import check_guest, neighbours, pinning
from ..placement.place import resolve_pins
from ..problem import Problem, Refused
from ..record import Record, replace
from ..values import Guest, Layout, Neighbour, Pins
from ..wording import name_ids, quote, quote_name, shorten, verb
from . import connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lxml import etree


_POLICIES_WITH_SIBLINGS = ("siblings", "isolate-threads")
"""VDSM also removes the thread siblings of these VMs' CPUs from its shared pool (vdsm.virt.cpumanagement)."""


_NOT_CHOSEN = Problem(
    "cputune",
    "auto: not all of its CPUs have been chosen on this host",
    "look at the keeper: systemctl status vdsm-largeguest-keeper",
)


class Running(Record):
    """A VM that runs here."""

    name: str
    target: Pins | None
    """By the cputune in its metadata; None: it has none, or one that cannot be applied here."""
    real: Pins
    """As libvirt has them."""
    holds: Neighbour
    """What other VMs should leave to it."""
    problems: tuple[Problem, ...] = ()
    """Why the property cannot be applied or, if it has a target, warnings."""
    unrecorded: Layout | None = None
    """The target, if its metadata does not have it yet."""

    @property
    def owned(self) -> CpuSet:
        """The CPUs of the host that this VM has exclusively, by a CPU pinning policy of the engine."""
        return self.holds.cpus if self.holds.is_exclusive else CpuSet()

    def cpus(self) -> CpuSet:
        """The CPUs that it holds, and those of its other pinned threads."""
        return self.holds.cpus if self.target is None else self.holds.cpus | self.target.cpus()

    @property
    def moved(self) -> Pins:
        """The threads whose CPUs differ from the target, and the CPUs they should have."""
        if self.target is None:
            return Pins()
        return self.target.without({thread for thread, target, real in self.rows() if target == real})

    def rows(self) -> Iterator[tuple[str, CpuSet, CpuSet | None]]:
        """Each pinned thread, by libvirt's name, its CPUs by the property and its actual CPUs (None: not pinned)."""
        if self.target is None:
            return
        real = dict(self.real.by_name())
        for thread, cpus in self.target.by_name():
            yield thread, cpus, real.get(thread)


def read(document: bytes, host: Host, choose: Callable[[], Host] | None = None, is_new: bool = False) -> Running:
    """Read a running VM from its domain XML; raises Refused for invalid XML.

    If CPUs have to be chosen for it, `choose` gives the host with what other VMs hold, while nothing else chooses.
    None: this is left to the keeper. `is_new`: it has just started, resumed or arrived, perhaps with CPUs from before.
    """
    tree = parse_xml.domain(document)
    return of(tree, read_xml.guest(tree), host, choose, is_new)


def of(
    tree: etree._ElementTree,
    guest: Guest,
    host: Host,
    choose: Callable[[], Host] | None = None,
    is_new: bool = False,
) -> Running:
    """A running VM by its domain XML, and by what was read from that."""
    name, cputune = read_xml.name(tree), read_xml.custom_properties(tree).get("cputune", "")
    request, problems = properties.parse({"cputune": cputune})
    if check_guest.engines_layout(guest) is not None:
        owned = CpuSet.union(guest.pins.vcpus.values())
        if guest.cpu_policy in _POLICIES_WITH_SIBLINGS:
            owned |= CpuSet.union(host.cpus[cpu].siblings for cpu in owned if cpu in host.cpus)
        holds = neighbours.of(name, guest, owned, True, host)
        return Running(name, None, guest.pins, holds, (*problems, *check_guest.check_cpu_policy(request, guest)))
    # VDSM pins to its pool of shared CPUs what has no CPU pinning policy
    shared = guest.cpu_policy == "none" or request.cputune is not None
    others = neighbours.of(name, guest, CpuSet() if shared else neighbours.held(guest.pins, host), False, host)
    if request.cputune is None:
        return Running(name, None, guest.pins, others, problems)
    layout = read_xml.layout(tree)
    before = (layout and pinning.of_numbers(layout.cputune)) or Pins()
    # of another machine only its topology is known: what its VM has is its record
    holds_here = layout is not None and host.boot in (None, layout.boot)
    held = before if holds_here else Pins()
    try:
        if not request.cputune.is_auto:
            pins, warnings = resolve_pins(request.cputune, guest, host, held, before)
        elif choose is None:
            pins, warnings = _chosen(guest, held)
        else:
            pins, warnings = _choose(guest, host, held, before, choose, is_new)
    except Refused as refused:
        return Running(name, None, guest.pins, others, refused.problems)
    new = None if host.boot is None else Layout(host.boot, pins.numbers())
    target, warnings = pins.on(host.online), (*warnings, *_check_offline(pins, host))
    holds = replace(others, cpus=neighbours.held(target, host))
    return Running(name, target, guest.pins, holds, warnings, None if new == layout else new)


def _chosen(guest: Guest, held: Pins) -> tuple[Pins, tuple[Problem, ...]]:
    """What has been chosen for auto, and a warning if that is not all; raises Refused if it is nothing."""
    if not held:
        raise Refused([_NOT_CHOSEN])
    is_whole = not guest.plugged_vcpus - CpuSet(held.vcpus)
    return held, () if is_whole else (replace(_NOT_CHOSEN, warning=True),)


def _choose(
    guest: Guest, host: Host, held: Pins, before: Pins, choose: Callable[[], Host], is_new: bool
) -> tuple[Pins, tuple[Problem, ...]]:
    """The pins for auto, and warnings; raises Refused if there are too few CPUs.

    What it holds stays, unless it has just come and finds another VM there.
    """
    if held and not is_new and not guest.plugged_vcpus - CpuSet(held.vcpus):
        return held, ()
    from ..planner.free import pin_again

    beside = choose()
    held = pinning.still_free(held, guest, beside) if is_new else held
    return resolve_pins(pin_again(guest, beside, held, before), guest, host, held, before)


def _check_offline(pins: Pins, host: Host) -> Iterator[Problem]:
    """Threads of which all CPUs have been switched off; others use those that are left."""
    for thread, cpus in pins.by_name():
        if not cpus & host.online:
            what = f"{thread} is pinned to {name_ids('CPU', cpus)}, which {verb(cpus, 'is', 'are')} not online"
            yield Problem("cputune", what, "switch them on, or start the VM again", warning=True)


def check_shared(held: Running, exclusive: Running) -> Problem | None:
    """A warning if cputune pins `held` to CPUs that `exclusive` has exclusively; None if it does not.

    VDSM does not know what cputune pins, and may give these CPUs to a VM with an exclusive CPU pinning policy.
    """
    if held.target is None or not exclusive.owned:
        return None
    shared = exclusive.owned & held.target.cpus()
    if not shared:
        return None
    name = quote_name(held.name)
    what = f"VM {name} is pinned to {name_ids('CPU', shared)}, which VM {quote_name(exclusive.name)} has exclusively"
    fix = f"migrate one of them, or name other CPUs in the cputune of {name} and start it again"
    return Problem("cputune", what, fix, warning=True)


def is_half_there(domain: Any) -> bool:
    """Whether libvirt is still starting it, it waits for its migration to finish, or has not run since its restore.

    Not all of its threads are there and pinned yet; an event reports when they are.
    """
    import libvirt

    state, reason = domain.state()
    waits = (libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
    return state == libvirt.VIR_DOMAIN_PAUSED and reason in waits


def put_back(domain: Any, moved: Pins, cpus: int) -> dict[str, str]:
    """Pin what has moved, on a host that numbers its CPUs up to `cpus`; a refused pin does not block the others.

    Returns the threads refused, by libvirt's names, and why. Raises libvirtError if none can be pinned now.
    """
    import libvirt

    # the VM does not answer, or is gone
    hopeless = (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)
    refused = {}
    for thread, where in moved.by_name():
        try:
            _pin(domain, thread, _cpumap(where, cpus))
        except libvirt.libvirtError as error:
            if error.get_error_code() in hopeless:
                raise
            refused[thread] = str(error)
    return refused


def record(domain: Any, layout: Layout) -> None:
    """Record in the metadata of a running VM what its cputune was resolved to; raises libvirtError."""
    import libvirt

    kind, live = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
    domain.setMetadata(kind, write_xml.layout_text(layout), PREFIX, NAMESPACE, live)


def _cpumap(where: CpuSet, cpus: int) -> tuple[bool, ...]:
    """Whether each CPU of the host is in the set, as libvirt's binding needs it."""
    allowed = [False] * max(cpus, where.last + 1)
    for cpu in where:
        allowed[cpu] = True
    return tuple(allowed)


def _pin(domain: Any, thread: str, cpus: tuple[bool, ...]) -> None:
    import libvirt

    live = libvirt.VIR_DOMAIN_AFFECT_LIVE
    if thread == "emulator":
        domain.pinEmulator(cpus, live)
    elif thread.startswith("vcpu"):
        domain.pinVcpuFlags(int(thread.removeprefix("vcpu")), cpus, live)
    else:
        domain.pinIOThread(int(thread.removeprefix("iothread")), cpus, live)


def refused_text(refused: Mapping[str, str]) -> str:
    """The threads whose pins libvirt has refused, and why it refused the first one."""
    return f"{shorten(', '.join(refused), 100)} cannot be pinned: {quote(next(iter(refused.values())), 200)}"


def put_back_once(uuid: str, host: Host, choose: Callable[[], Host]) -> tuple[Pins, dict[str, str]]:
    """Put back the moved pins of a VM on this `host`; returns what was pinned, and the threads refused and why.

    `choose` is as for `read`. Raises Refused if cputune cannot be applied here, and libvirtError.
    """
    with contextlib.closing(connection.open_to_change(connection.SYSTEM)) as opened:
        domain = opened.lookupByUUIDString(uuid)
        running = read(domain.XMLDesc().encode(), host, choose)
        if running.target is None and running.problems:
            raise Refused(running.problems)
        refused = put_back(domain, running.moved, opened.getCPUMap()[0])
        if running.unrecorded is not None:
            record(domain, running.unrecorded)
        return running.moved.without(refused), refused

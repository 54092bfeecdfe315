# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a placement on the host, which libvirt finds out late, or the OOM killer."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import DOMAIN_XML, Problem
from ..properties.cputune import All, Cputune, Vcpus
from ..values import Guest, Pins, Placement, Policy
from ..wording import ids_are, name_ids, shorten, verb
from . import capacity


def check(placement: Placement, guest: Guest, host: Host) -> Iterator[Problem]:
    """What is wrong with the placement on this host."""
    if placement.pins is not None:
        yield from check_cpus(placement.pins, host)
    if placement.policy is not None:
        yield from check_policy(placement.policy, host)
    cells = placement.cells or ()
    yield from _check_nodes_exist(
        "guestnuma", CpuSet.union(cell.nodes for cell in cells if cell.nodes is not None), host
    )
    yield from capacity.check(placement, guest, host)


def check_cpus(pins: Pins, host: Host) -> Iterator[Problem]:
    """libvirt fails late if a CPU is not online."""
    absent = pins.cpus() - host.online
    if absent:
        yield Problem("cputune", _not_online(absent, host), "pin to CPUs that are online")


def check_pins_that_travel(travel: Pins, cputune: Cputune | None, held: Pins, host: Host) -> Iterator[Problem]:
    """A VM arrives with the pins of its XML, and libvirt does not start one that is pinned to a missing CPU.

    What `cputune` does not pin, the engine has pinned. Of the rest, what is `held` on this host is checked separately.
    """
    named = set() if cputune is None else set(_names(cputune, travel))
    engines = dict(travel.without(named).by_name())
    resolved = dict(held.by_name())
    ours = {thread: cpus for thread, cpus in travel.by_name() if thread in named and resolved.get(thread) != cpus}
    for subject, pins, until, fix in (
        ("cputune", ours, "until the VM runs here", "choose another host, or shut the VM down and start it here"),
        (DOMAIN_XML, engines, "by the engine", "choose another host, or change the VM's CPU pinning in the engine"),
    ):
        absent = CpuSet.union(pins.values()) - host.online
        if absent:
            names = [name for name, cpus in pins.items() if cpus & absent]
            pinned = f"{shorten(', '.join(names))} {verb(names, 'is', 'are')} pinned there {until}"
            yield Problem(subject, f"{_not_online(absent, host)}, but {pinned}", fix)


def _not_online(cpus: CpuSet, host: Host) -> str:
    return f"{ids_are('CPU', cpus)} not online on this host, which has {shorten(str(host.online))}"


def _names(cputune: Cputune, travel: Pins) -> Iterator[str]:
    """The threads that it pins, by libvirt's names; `all` are those that travel."""
    for pin in cputune.pins:
        if isinstance(pin.threads, All):
            yield from (f"vcpu{vcpu}" for vcpu in travel.vcpus)
        elif isinstance(pin.threads, Vcpus):
            yield from (f"vcpu{vcpu}" for vcpu in range(pin.threads.first, pin.threads.last + 1))
        else:
            yield str(pin.threads)


def check_policy(policy: Policy, host: Host) -> Iterator[Problem]:
    """Its nodes must be there, with memory."""
    if policy.nodeset is not None:
        yield from _check_nodes_exist("numatune", policy.nodeset, host)
    elif host.numad is False:
        yield Problem("numatune", "auto needs numad, which this host does not have", "install numad, or name nodes")


def _check_nodes_exist(name: str, nodeset: CpuSet, host: Host) -> Iterator[Problem]:
    absent = nodeset - CpuSet(host.nodes)
    if absent:
        what = f"{ids_are('node', absent)} not on this host, which has {name_ids('node', CpuSet(host.nodes))}"
        yield Problem(name, what, "name nodes of this host")
    empty = CpuSet(number for number in nodeset - absent if host.nodes[number].memory == 0)
    if empty:
        what = f"{name_ids('node', empty)} {verb(empty, 'has', 'have')} no memory on this host"
        yield Problem(name, what, "name nodes with memory")

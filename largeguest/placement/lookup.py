# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve a list of CPUs on a host."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..host.topology import Host
from ..properties.cpulist import CpuList, Item, NodePlace, SocketPlace, Span
from ..record import Record


class NotThereError(LookupError):
    """A place that a host does not have; the text says which, and what the host has."""


class Step(Record):
    """An item of a list, and the CPUs of the list before and after it."""

    item: Item
    before: CpuSet
    after: CpuSet


def walk(cpus: CpuList, host: Host | None) -> list[Step]:
    """Read the list from left to right, starting with all online CPUs if it has nothing but `^`.

    Raises NotThereError for a place that the host does not have, and if a host is needed but none is given.
    """
    found = _require(host, cpus).online if cpus.all_but else CpuSet()
    steps = []
    for item in cpus.items:
        place = _cpus_of(item.what, host)
        before, found = found, found - place if item.out else found | place
        steps.append(Step(item, before, found))
    return steps


def cpuset(cpus: CpuList, host: Host | None) -> CpuSet:
    """The CPUs of the list; raises NotThereError."""
    return walk(cpus, host)[-1].after


def in_order(cpus: CpuList, host: Host | None) -> Iterator[int]:
    """The CPUs of the list in the order typed; within a place core by core, the threads of a core next to each other.

    The siblings of a CPU are read only as the iteration gets there. Raises NotThereError.
    """
    steps = walk(cpus, host)
    left = steps[-1].after
    parts = []
    for step in reversed(steps):  # an id that was removed and named again is where it was named last
        own = (step.after - step.before) & left
        parts.append((step.item, own))
        left -= own
    if left:
        yield from (cpu for cpu in _require(host, cpus).by_core(steps[0].before) if cpu in left)
    for item, own in reversed(parts):
        if isinstance(item.what, Span):
            yield from own
        elif own:
            yield from (cpu for cpu in _require(host, item.what).by_core(_cpus_of(item.what, host)) if cpu in own)


def idle(cpus: CpuList, host: Host | None) -> list[Item]:
    """The items with `^` that remove nothing; raises NotThereError."""
    return [step.item for step in walk(cpus, host) if step.item.out and step.before == step.after]


def _cpus_of(what: Span | NodePlace | SocketPlace, host: Host | None) -> CpuSet:
    if isinstance(what, Span):
        return CpuSet.span(what.first, what.last)
    if isinstance(what, NodePlace):
        return _cpus_of_node(what, _require(host, what))
    return _cpus_of_socket(what, _require(host, what))


def _cpus_of_node(place: NodePlace, host: Host) -> CpuSet:
    if place.node not in host.nodes:
        raise NotThereError(f"{place} is not on this host, which has nodes {CpuSet(host.nodes)}")
    if not host.nodes[place.node].cpus:
        raise NotThereError(f"{place} has no online CPUs")
    return host.nodes[place.node].cpus


def _cpus_of_socket(place: SocketPlace, host: Host) -> CpuSet:
    """Also raises NotThereError for a core number that several dies of the socket have."""
    sockets = CpuSet(cpu.socket for cpu in host.cpus.values())
    if place.socket not in sockets:
        raise NotThereError(f"{place} is not on this host, which has sockets {sockets}")
    cores = {number: cpu.core for number, cpu in host.cpus.items() if cpu.socket == place.socket}
    found = CpuSet(number for number, core in cores.items() if place.core in (None, core))
    if not found:
        raise NotThereError(f"{place} is not on this host, whose socket has cores {CpuSet(cores.values())}")
    if place.core is not None and len({host.cpus[cpu].die for cpu in found}) > 1:
        raise NotThereError(f"{place} is in several dies, CPUs {found}")
    return found


def _require(host: Host | None, what: object) -> Host:
    if host is None:
        raise NotThereError(f"{what} must be looked up on a host, but none is given")
    return host

# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve a list of CPUs on a host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from ..cpuset import CpuSet
from ..host.topology import Host
from ..properties.cpulist import CpuList, Item, Place, Span
from ..record import Record
from ..wording import name_ids, plural, verb

NO_NODES = CpuSet()


class NotThereError(LookupError):
    """A place that a host does not have; the text says which, and what the host has."""

    def __init__(self, what: str, fix: str = "name CPUs that exist") -> None:
        self.fix = fix
        super().__init__(what)


class Area(Record):
    """A node or a socket of the host, by the name that it has in a list, and its online CPUs."""

    name: str
    cpus: CpuSet


class Step(Record):
    """An item of a list, and the CPUs of the list before and after it."""

    item: Item
    order: Callable[[], Iterable[int]] | None
    """Gives the CPUs of the item in the order in which they are dealt; None: ascending."""
    before: CpuSet
    after: CpuSet


class Found(Record):
    """The CPUs of a list on a host."""

    steps: tuple[Step, ...]
    host: Host | None

    @property
    def cpus(self) -> CpuSet:
        return self.steps[-1].after

    @property
    def idle(self) -> list[Item]:
        """The items with `^` that remove nothing."""
        return [step.item for step in self.steps if step.item.out and step.before == step.after]

    def in_order(self) -> Iterator[int]:
        """In the order typed; within a place core by core, the threads of a core next to each other.

        The siblings of a CPU are read only as the iteration gets there.
        """
        left = self.cpus
        parts = []
        for step in reversed(self.steps):  # an id that was removed and named again is where it was named last
            own = (step.after - step.before) & left
            if own:
                parts.append((own, step.order))
            left -= own
        if left:  # of a list that starts from all online CPUs
            yield from (cpu for cpu in _require(self.host, "^").by_core(self.steps[0].before) if cpu in left)
        for own, order in reversed(parts):
            yield from own if order is None else (cpu for cpu in order() if cpu in own)


def look_up(cpus: CpuList, host: Host | None, cell: CpuSet = NO_NODES) -> Found:
    """Read the list from left to right, starting with all online CPUs if it has nothing but `^`.

    `cell` are the host nodes that the place `cell` stands for. Raises NotThereError for a place that the host does not
    have, and if a host is needed but none is given.
    """
    found = _require(host, cpus).online if cpus.all_but else CpuSet()
    there = {what: _look_up(what, host, cell) for what in dict.fromkeys(item.what for item in cpus.items)}
    steps = []
    for item in cpus.items:
        these, order = there[item.what]
        before, found = found, found - these if item.out else found | these
        steps.append(Step(item, order, before, found))
    return Found(tuple(steps), host)


def _look_up(what: Span | Place, host: Host | None, cell: CpuSet) -> tuple[CpuSet, Callable[[], Iterable[int]] | None]:
    """The CPUs of an item, and what gives them in order."""
    if isinstance(what, Span):
        return CpuSet.span(what.first, what.last), None
    host = _require(host, what)
    areas = list(_areas(what, host, cell))
    if what.cores is None:
        whole = CpuSet.union(area.cpus for area in areas)
        return whole, lambda: (cpu for area in areas for cpu in host.by_core(area.cpus))
    chosen = [cpu for area in areas for cpu in _cores(what.cores, what.thread, area, host)]
    return CpuSet(chosen), lambda: chosen


def _areas(place: Place, host: Host, cell: CpuSet) -> Iterator[Area]:
    if place.of == "socket":
        yield _socket(place, host)
    elif place.number is not None:
        node = _node(place.number, host)
        if not node.cpus:
            raise NotThereError(f"{node.name} has no online CPUs")
        yield node
    else:
        absent = cell - CpuSet(host.nodes)
        if absent:
            what = f"cell is on {name_ids('node', absent)}, which {verb(absent, 'is', 'are')} not on this host"
            raise NotThereError(what, "name nodes of this host")
        for node in (_node(number, host) for number in host.nodes_near(cell)):
            if not node.cpus:
                raise NotThereError(f"{node.name} has no online CPUs, nor has any other node")
            yield node


def _node(number: int, host: Host) -> Area:
    if number not in host.nodes:
        raise NotThereError(f"node{number} is not on this host, which has {name_ids('node', CpuSet(host.nodes))}")
    return Area(f"node{number}", host.nodes[number].cpus)


def _socket(place: Place, host: Host) -> Area:
    cpus = CpuSet(number for number, cpu in host.cpus.items() if cpu.socket == place.number)
    if not cpus:
        sockets = CpuSet(cpu.socket for cpu in host.cpus.values())
        raise NotThereError(f"socket{place.number} is not on this host, which has {name_ids('socket', sockets)}")
    return Area(f"socket{place.number}", cpus)


def _cores(span: tuple[int, int], thread: int | None, area: Area, host: Host) -> Iterator[int]:
    """The CPUs of some cores of an area, or one thread of each."""
    first, last = span
    cores = list(itertools.islice(host.cores(area.cpus), last + 1))
    if last >= len(cores):
        there = f"it has {plural(len(cores), 'core')}, counted from 0"
        raise NotThereError(f"{area.name} has no core {max(first, len(cores))}, {there}")
    for number, core in enumerate(cores[first:], first):
        if thread is None:
            yield from core
        elif thread < len(core):
            yield core[thread]
        else:
            there = f"it has {plural(len(core), 'online thread')}, counted from 0"
            raise NotThereError(f"{area.name}.core{number} has no thread {thread}, {there}")


def _require(host: Host | None, what: object) -> Host:
    if host is None:
        raise NotThereError(f"{what} must be looked up on a host, but none is given", "name a host, or write numbers")
    return host

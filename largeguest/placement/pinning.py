# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve cputune to the CPUs of each vCPU, iothread and the emulator."""

from __future__ import annotations

from collections.abc import Iterable

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import Problem
from ..properties.cputune import All, Cputune, Iothread, Pin, Vcpus
from ..record import Record
from ..values import Guest, Pins
from ..wording import name_ids, plural, shorten, verb
from . import lookup
from .backing import Backing
from .lookup import Found, NotThereError

_ONE = CpuSet([0])
"""The threads of a pin for the emulator or an iothread."""


def resolve(cputune: Cputune, guest: Guest, backing: Backing, host: Host | None) -> tuple[Pins, list[Problem]]:
    """The pins, and the problems with what could not be resolved."""
    pinning = _Pinning(guest, backing, host)
    for pin in cputune.pins:
        pinning.add(pin)
    return pinning.pins, pinning.problems


class _Group(Record):
    """Threads of a pin that have the same CPUs to choose from, and the host nodes that `cell` stands for there."""

    threads: CpuSet
    nodes: CpuSet
    found: Found


class _Pinning:
    """The pins of a cputune while they are resolved one after the other."""

    def __init__(self, guest: Guest, backing: Backing, host: Host | None) -> None:
        self.problems: list[Problem] = []
        self._guest, self._backing, self._host = guest, backing, host
        self._vcpus: dict[int, CpuSet] = {}
        self._iothreads: dict[int, CpuSet] = {}
        self._emulator: CpuSet | None = None
        self._taken: set[int] = set()
        """The CPUs that a `#=` has taken."""
        self._pinned = CpuSet()
        """The vCPUs that have a pin."""

    @property
    def pins(self) -> Pins:
        return Pins(self._vcpus, self._iothreads, self._emulator)

    def add(self, pin: Pin) -> None:
        if isinstance(pin.threads, (All, Vcpus)):
            self._add_vcpus(pin, _vcpus_of(pin.threads, self._guest))
            return
        cpus = self._sets(pin, [(_ONE, self._backing.nodes)]).get(0)
        if isinstance(pin.threads, Iothread):
            self._iothreads.update({} if cpus is None else {pin.threads.number: cpus})
        else:
            self._emulator = cpus

    def _add_vcpus(self, pin: Pin, vcpus: CpuSet) -> None:
        again = vcpus & self._pinned
        one = CpuSet.span(again.first, again.first) if again else again  # refused, but its CPUs are checked as well
        once = vcpus - again | one
        groups = self._backing.groups(once) if pin.cpus.of_cell else [(once, lookup.NO_NODES)]
        for vcpu, cpus in self._sets(pin, groups).items():
            self._vcpus[vcpu] = self._vcpus[vcpu] | cpus if vcpu in self._vcpus else cpus
        self._pinned |= vcpus

    def _sets(self, pin: Pin, threads: Iterable[tuple[CpuSet, CpuSet]]) -> dict[int, CpuSet]:
        """The CPUs of each thread; the threads are given by the nodes that `cell` stands for."""
        groups = [group for own, nodes in threads for group in self._look_up(pin, own, nodes)]
        self._warn_of_idle(pin, groups)
        if pin.each:
            return self._one_each(pin, groups)
        return {thread: cpus for group in groups for cpus in [group.found.cpus] for thread in group.threads}

    def _look_up(self, pin: Pin, threads: CpuSet, nodes: CpuSet) -> list[_Group]:
        """One group, or none if the CPUs are not there."""
        if pin.cpus.of_cell and not nodes:
            whose = name_ids("vCPU", threads) if isinstance(pin.threads, (All, Vcpus)) else pin.threads
            self.problems.append(Problem("cputune", f"cell has no nodes for {whose}", "write @ or numatune"))
            return []
        try:
            found = lookup.look_up(pin.cpus, self._host, nodes)
        except NotThereError as error:
            self.problems.append(Problem("cputune", shorten(str(error), 100), error.fix))
            return []
        if not found.cpus:
            what = f"{shorten(str(pin))} leaves no CPU on this host"
            self.problems.append(Problem("cputune", what, "name one that no later ^ removes"))
            return []
        return [_Group(threads, nodes, found)]

    def _one_each(self, pin: Pin, groups: list[_Group]) -> dict[int, CpuSet]:
        """One CPU for each thread, in the order of the threads, that no other pin has taken."""
        free = {}
        for group in groups:
            free.update(dict.fromkeys(group.threads, filter(self._is_free, group.found.in_order())))
        dealt = {}
        for thread in sorted(free):
            cpu = next(free[thread], None)
            if cpu is not None:
                self._taken.add(cpu)
                dealt[thread] = CpuSet.span(cpu, cpu)
        if len(dealt) < len(free):
            for group in groups:
                self._check_enough(pin, group, sum(thread in dealt for thread in group.threads))
        return dealt

    def _is_free(self, cpu: int) -> bool:
        return cpu not in self._taken

    def _check_enough(self, pin: Pin, group: _Group, dealt: int) -> None:
        need = len(group.threads)
        if dealt < need:
            where = f" on {name_ids('node', group.nodes)}" if pin.cpus.of_cell else ""
            others = " (another #= has taken the others)" if dealt < len(group.found.cpus) else ""
            available = f"{dealt} {'is' if dealt == 1 else 'are'} available"
            what = f"{shorten(str(pin))} needs {plural(need, 'CPU')}{where}, only {available}{others}"
            self.problems.append(Problem("cputune", what, "name more CPUs, or write # without ="))

    def _warn_of_idle(self, pin: Pin, groups: list[_Group]) -> None:
        """An item that removes nothing is often copied from a host whose CPUs have other numbers."""
        if not groups or not any(item.out for item in pin.cpus.items):
            return
        all_idle = [group.found.idle for group in groups]
        idle = [item for item in all_idle[0] if all(item in others for others in all_idle)]
        if idle:
            removes = f"{shorten(','.join(map(str, idle)))} {verb(idle, 'removes', 'remove')}"
            what, fix = f"{removes} nothing in {shorten(str(pin))}", "name CPUs that come earlier in the list"
            self.problems.append(Problem("cputune", what, fix, warning=True))


def _vcpus_of(threads: All | Vcpus, guest: Guest) -> CpuSet:
    return guest.plugged_vcpus if isinstance(threads, All) else CpuSet.span(threads.first, threads.last)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve cputune to the CPUs of each vCPU, iothread and the emulator."""

from __future__ import annotations

from collections.abc import Iterable

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import ParseError, Problem
from ..properties.cputune import All, Cputune, Emulator, Iothread, Pin, Vcpus, parse
from ..record import Record
from ..values import Guest, Pins
from ..wording import name_ids, plural, shorten, verb
from . import lookup
from .backing import NO_BACKING, Backing
from .lookup import Found, NotThereError

_ONE = CpuSet([0])
"""The threads of a pin for the emulator or an iothread."""

_NAME_NODES = "write the nodes after @ in guestnuma, or name them in numatune"

MAX_NUMBERS = 2**16
"""Characters of a record: 1,024 vCPUs have 10,000. What is longer is not ours."""

NO_PINS = Pins()
_NO_GUEST = Guest(max_vcpus=1, memory=0)


def resolve(
    cputune: Cputune,
    guest: Guest,
    backing: Backing,
    host: Host | None,
    held: Pins = NO_PINS,
    before: Pins = NO_PINS,
) -> tuple[Pins, list[Problem]]:
    """The pins, and the problems with what could not be resolved.

    Threads that are `held` keep their CPUs. A vCPU that is plugged in beside them takes the next free CPU or, if there
    is none, floats over its place, with a warning. So does one that already floated on the host it comes from, where
    the pins were as in `before`.
    """
    late = {vcpu for vcpu in guest.plugged_vcpus if held and vcpu not in held.vcpus}
    pinning = _Pinning(guest, backing, host, held, CpuSet(late) | before.floating)
    for pin in cputune.pins:
        pinning.take_held(pin)
    for pin in cputune.pins:
        pinning.add(pin)
    return pinning.pins, pinning.problems


def of_numbers(text: str) -> Pins | None:
    """The pins of a value that has numbers only, as Pins.numbers writes it; None for any other text."""
    if len(text) > MAX_NUMBERS:
        return None
    try:
        pins, problems = resolve(parse(text), _NO_GUEST, NO_BACKING, None)
    except ParseError:
        return None
    return None if problems else pins


def still_free(before: Pins, guest: Guest, host: Host) -> Pins:
    """The pins that a VM had on this host when it last ran; none if another VM has any of these CPUs by now."""
    own = CpuSet.union(cpus for vcpu, cpus in before.vcpus.items() if vcpu in guest.plugged_vcpus)
    return NO_PINS if own & host.held or own - host.online else before


class _Group(Record):
    """Threads of a pin that have the same CPUs to choose from, and the host nodes that `cell` stands for there."""

    threads: CpuSet
    nodes: CpuSet
    found: Found


class _Pinning:
    """The pins of a cputune while they are resolved one after the other."""

    def __init__(self, guest: Guest, backing: Backing, host: Host | None, held: Pins, late: CpuSet) -> None:
        self.problems: list[Problem] = []
        self._guest, self._backing, self._host = guest, backing, host
        self._held, self._late = held, late
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

    def take_held(self, pin: Pin) -> None:
        """What its threads hold is not free for others."""
        if pin.each:
            self._taken.update(cpus.first for cpus in self._held_by(pin).values() if len(cpus) == 1)

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
        held = self._held_by(pin)
        new = [(own - CpuSet(held), nodes) for own, nodes in threads]
        groups = [group for own, nodes in new if own for group in self._look_up(pin, own, nodes)]
        self._warn_of_idle(pin, groups)
        if pin.each:
            return {**held, **self._one_each(pin, groups)}
        return {**held, **{thread: group.found.cpus for group in groups for thread in group.threads}}

    def _held_by(self, pin: Pin) -> dict[int, CpuSet]:
        """The threads of a pin that are held already."""
        if isinstance(pin.threads, (All, Vcpus)):
            named = _vcpus_of(pin.threads, self._guest)
            return {vcpu: cpus for vcpu, cpus in self._held.vcpus.items() if vcpu in named}
        own = self._held.emulator if isinstance(pin.threads, Emulator) else None
        if isinstance(pin.threads, Iothread):
            own = self._held.iothreads.get(pin.threads.number)
        return {} if own is None else {0: own}

    def _look_up(self, pin: Pin, threads: CpuSet, nodes: CpuSet) -> list[_Group]:
        """One group, or none if the CPUs are not there."""
        if pin.cpus.of_cell and not nodes:
            whose = name_ids("vCPU", threads) if isinstance(pin.threads, (All, Vcpus)) else pin.threads
            self.problems.append(Problem("cputune", f"cell has no nodes for {whose}", _NAME_NODES))
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
                if isinstance(pin.threads, (All, Vcpus)):
                    dealt.update(self._float(pin, group, group.threads & self._late - CpuSet(dealt)))
                self._check_enough(pin, group, sum(thread in dealt for thread in group.threads))
        return dealt

    def _float(self, pin: Pin, group: _Group, late: CpuSet) -> dict[int, CpuSet]:
        if late:
            floats = f"{verb(late, 'it floats', 'they float')} over {name_ids('CPU', group.found.cpus)}"
            what = f"{shorten(str(pin))} has no CPU left for {name_ids('vCPU', late)}, plugged in later: {floats}"
            fix = f"{_more_cpus(pin)}, or the next start is refused"
            self.problems.append(Problem("cputune", what, fix, warning=True))
        return dict.fromkeys(late, group.found.cpus)

    def _is_free(self, cpu: int) -> bool:
        return cpu not in self._taken

    def _check_enough(self, pin: Pin, group: _Group, dealt: int) -> None:
        need = len(group.threads)
        if dealt < need:
            where = f" on {name_ids('node', group.nodes)}" if pin.cpus.of_cell else ""
            others = " (another #= has taken the others)" if dealt < len(group.found.cpus) else ""
            available = f"{dealt or 'none'} {'are' if dealt > 1 else 'is'} available"
            what = f"{shorten(str(pin))} needs {plural(need, 'CPU')}{where}, only {available}{others}"
            self.problems.append(Problem("cputune", what, f"{_more_cpus(pin)}, or write # without ="))

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


def _more_cpus(pin: Pin) -> str:
    """A cell has no other CPUs than those of its nodes."""
    return "plan again" if pin.cpus.of_cell else "name more CPUs"


def _vcpus_of(threads: All | Vcpus, guest: Guest) -> CpuSet:
    return guest.plugged_vcpus if isinstance(threads, All) else CpuSet.span(threads.first, threads.last)

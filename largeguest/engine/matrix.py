# SPDX-License-Identifier: GPL-2.0-or-later
"""Each virtual machine with our properties on each host that it may run on: what the hook would do there.

What follows from the properties, the VM and the numbers of CPUs and nodes is worked out once for all VMs of one shape
and hosts of one model; what memory and other VMs add is checked for each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping

from .. import properties
from ..host.topology import Host, Pages
from ..placement import capacity, neighbours
from ..problem import Problem, Refused
from ..properties import Properties
from ..record import Record, replace
from ..rewrite import place_on
from ..values import Guest, Placement
from ..wording import plural
from . import rest
from .definitions import Definitions
from .estate import Estate
from .inventory import Machine, Vm

OK, WARN, REFUSED, BARE = "ok", "warn", "no", "bare"
"""Of a VM on a host. BARE: it would start there, but without its layout, because the host does not have the hook."""

_NO_HOOK = Problem(
    "host",
    "the hook is not installed there: the VM would start without its layout",
    "install vdsm-hook-largeguest, or keep the VM to other hosts",
)


class Verdict(Record):
    """What would happen to a VM on a host."""

    machine: str
    """Its id."""
    word: str
    """OK, WARN, REFUSED or BARE."""
    problems: tuple[Problem, ...]

    @property
    def refusals(self) -> tuple[Problem, ...]:
        """Why the hook would refuse the start, if it were there."""
        return tuple(problem for problem in self.problems if not problem.warning and problem is not _NO_HOOK)


class Row(Record):
    """A VM as its next start will be."""

    vm: Vm
    level: str
    refusals: tuple[Problem, ...]
    """Why the engine itself would not start it: the definitions of its level."""
    verdicts: tuple[Verdict, ...]

    @property
    def is_fine(self) -> bool:
        """Whether it could start with its layout on each host that it may run on."""
        startable = all(verdict.word in (OK, WARN) for verdict in self.verdicts)
        return not self.refusals and bool(self.verdicts) and startable

    def count(self, word: str) -> int:
        return sum(verdict.word == word for verdict in self.verdicts)

    @property
    def next_start(self) -> str:
        """What its next start, or the next reboot of its guest, would do."""
        if self.refusals:
            return "refused by the engine"
        hosts = plural(len(self.verdicts), "host")
        if not self.verdicts:
            return "no host that it may run on"
        bad = [(self.count(REFUSED), "refused"), (self.count(BARE), "without its layout")]
        parts = [f"{what} on {count} of {hosts}" for count, what in bad if count]
        warned = self.count(WARN)
        return ", ".join(parts) or (f"ok, with warnings on {warned} of {hosts}" if warned else f"ok on {hosts}")


class _Wanted(Record):
    """What a VM asks for."""

    vm: Vm
    properties: Properties
    guest: Guest
    shape: Hashable
    """The same for all VMs that ask for the same."""


class _Placer:
    """Works out each placement once for all VMs of one shape and all hosts of one model."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._skeletons = {machine.id: skeleton(machine.host) for machine in machines}
        numbers: dict[Hashable, int] = {}
        self._models = {
            machine: numbers.setdefault(model_of(host), len(numbers)) for machine, host in self._skeletons.items()
        }
        self._found: dict[Hashable, Placement | Refused] = {}

    def place(self, wanted: _Wanted, machine: Machine) -> Placement | Refused:
        """Where the hook would place the guest, or why it would refuse.

        What auto chooses depends on memory and on the other VMs, and so on the very host; for the rest its memory is
        not known.
        """
        is_auto, vm = wanted.properties.is_auto, wanted.vm
        where = (machine.id, vm.host == machine.id and vm.id) if is_auto else self._models[machine.id]
        key = (wanted.shape, where)
        if key not in self._found:
            self._found[key] = _placed(wanted, machine.host if is_auto else self._skeletons[machine.id])
        return self._found[key]


def rows(estate: Estate, vms: Iterable[Vm], known: Mapping[str, Definitions]) -> Iterator[Row]:
    """The row of each VM; `known` has the definitions of each level that the engine has."""
    placer = _Placer(estate.machines.values())
    for vm in vms:
        level = estate.level(vm)
        defined = known.get(level, Definitions(level, ()))
        request, problems = properties.parse(vm.ours)
        guest = estate.guest(vm)
        wanted = _Wanted(vm, request, guest, (str(vm.ours), repr(guest)))
        near = [estate.beside(machine, vm) for machine in estate.machines_for(vm)]
        verdicts = [_verdict(machine, wanted, problems, placer) for machine in near]
        yield Row(vm, level, tuple(defined.refusals(vm.ours)), tuple(verdicts))


def skeleton(host: Host) -> Host:
    """The host without the amounts of its memory: which nodes have some stays known."""
    return replace(
        host,
        nodes={
            number: replace(
                node,
                memory=None if node.memory else node.memory,
                free=None,
                pages={size: Pages(None, None) for size in node.pages},
            )
            for number, node in host.nodes.items()
        },
        neighbours=(),
    )


def model_of(host: Host) -> Hashable:
    """The same for all hosts with the same skeleton."""
    nodes = tuple(
        (number, str(node.cpus), node.memory, (*node.pages,), (*node.distances.items(),))
        for number, node in host.nodes.items()
    )
    cpus = tuple((number, cpu.socket, cpu.core, str(cpu.siblings)) for number, cpu in host.cpus.items())
    return nodes, cpus, host.arch


def _placed(wanted: _Wanted, host: Host) -> Placement | Refused:
    try:
        return place_on(wanted.properties, wanted.guest, host)
    except Refused as refused:
        return refused


def _verdict(machine: Machine, wanted: _Wanted, syntax: tuple[Problem, ...], placer: _Placer) -> Verdict:
    if not wanted.vm.ours:
        return Verdict(machine.id, OK, ())
    try:
        rest.require_known(machine)
    except Refused as refused:
        return Verdict(machine.id, REFUSED, refused.problems)
    problems = (*syntax, *_problems(machine, wanted.guest, placer.place(wanted, machine)))
    if not machine.has_hook:
        return Verdict(machine.id, BARE, (_NO_HOOK, *problems))
    if any(not problem.warning for problem in problems):
        return Verdict(machine.id, REFUSED, problems)
    return Verdict(machine.id, WARN if problems else OK, problems)


def _problems(machine: Machine, guest: Guest, placed: Placement | Refused) -> tuple[Problem, ...]:
    """What the hook would report on this very host, as far as that is certain; the rest are warnings."""
    if isinstance(placed, Refused):
        return placed.problems
    host, memory = machine.host, tuple(_memory(machine, placed, guest))
    refused = tuple(problem for problem in memory if not problem.warning)
    return refused or tuple(dict.fromkeys((*memory, *neighbours.check(placed, guest, host), *placed.warnings)))


def _memory(machine: Machine, placed: Placement, guest: Guest) -> Iterator[Problem]:
    """Whether the memory fits; what would not fit only if the huge pages are spread evenly is a warning."""
    problems = list(capacity.check(placed, guest, machine.host))
    if any(not problem.warning for problem in problems):
        page = guest.pages[0].size if guest.pages else None
        certain = [one for one in capacity.check(placed, guest, machine.roomiest(page)) if not one.warning]
        if not certain:
            problems = [one if one.warning else _if_spread_evenly(one) for one in problems]
    yield from problems


def _if_spread_evenly(problem: Problem) -> Problem:
    return replace(problem, what=f"if huge pages are spread evenly over the nodes: {problem.what}", warning=True)

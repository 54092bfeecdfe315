# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was asked for, what the VM is and what the host is to a placement in which every number is concrete."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from . import checks, dealing
from .cpulist import NotThereError
from .cpuset import CpuSet
from .errors import DOMAIN_XML, Problem, Refused, name_ids, plural, shorten
from .guest import Guest, Pins
from .host import Host
from .properties import DEFAULT_MODE, Cputune, Guestnuma, Iothread, Numatune, Pin, Properties, Vcpus
from .records import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Looked = TypeVar("Looked", list[int], CpuSet)


@record
class Policy:
    """The memory policy of the whole guest; nodeset None: numad chooses."""

    mode: str
    nodeset: CpuSet | None

    def __str__(self) -> str:
        return f"memory {self.mode} on " + (
            "the nodes that numad advises" if self.nodeset is None else f"host {name_ids('node', self.nodeset)}"
        )


@record
class PlacedCell:
    """A cell of the guest."""

    vcpus: CpuSet
    """Those that can be plugged in, too."""
    memory: int
    """KiB"""
    nodes: CpuSet | None = None
    """The host nodes that back it; None: it follows the policy of the whole guest."""
    mode: str = DEFAULT_MODE
    """The memory mode on these nodes."""
    distances: Mapping[int, int] = MappingProxyType({})
    """Cell to the distance from here; empty: the guest is told none."""
    mem_access: str | None = None
    discard: str | None = None
    """libvirt's memAccess and discard, where the cells before did not contradict each other."""


@record
class Placement:
    """What is written into the domain XML; None for what was not asked for."""

    pins: Pins | None = None
    memory: Policy | None = None
    cells: tuple[PlacedCell, ...] | None = None
    """Every vCPU that the VM can have is in one of them."""
    warnings: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        """What the placement does, in counts and nodesets: `cputune: 2 vCPUs pinned; numatune: ...`."""
        done = []
        if self.pins is not None:
            done.append(f"cputune: {self.pins}")
        if self.memory is not None:
            done.append(f"numatune: {self.memory}")
        if self.cells is not None:
            vcpus = sum(len(cell.vcpus) for cell in self.cells)
            memory = sum(cell.memory for cell in self.cells)
            nodes = CpuSet.union(cell.nodes for cell in self.cells if cell.nodes is not None)
            where = f" on host {name_ids('node', nodes)}" if nodes else ""
            done.append(f"guestnuma: {plural(len(self.cells), 'cell')}{where}, {plural(vcpus, 'vCPU')}, {memory} KiB")
        return "; ".join(done) or "nothing asked for"


def place(wanted: Properties, guest: Guest, host: Host | None) -> Placement:
    """Carry `wanted` out for `guest`, on `host` if one is given; raises Refused with everything that is wrong."""
    problems = list(checks.check_guest(wanted, guest))
    placed = _resolve_on_host(wanted, host, problems)
    if wanted.guestnuma is not None:
        placed = replace(placed, cells=_resolve_cells(wanted.guestnuma, wanted.numatune, guest, host))
        policy = placed.memory or guest.policy
        if policy is not None and policy.nodeset:
            problems += checks.check_cells_in_policy(placed.cells or (), policy.mode, policy.nodeset)
    if host is not None:
        problems += checks.check_host(placed, guest, host)
    return replace(placed, warnings=_refuse_or_warn(problems))


def place_again(wanted: Properties, guest: Guest, host: Host) -> Placement:
    """The placement of a VM that runs or sleeps elsewhere, on `host`; raises Refused.

    What travels is what its XML says: the memory policy, the cells, the pins of emulator and iothreads, and those of
    vCPUs under the CPU pinning policy manual, which is also what VDSM infers where there is none; under others VDSM
    removes these. On arrival the keeper carries cputune out again, under each policy that leaves the layout to the
    properties: so what it would refuse is refused here. Nothing else about the guest is checked: that was settled at
    its start, and memory may have been plugged in since.
    """
    cputune = wanted.cputune if checks.tell_engines_layout(guest) is None else None
    found: list[Problem] = []
    pins = Pins() if cputune is None else _resolve_to_hold(cputune, guest, host, found)
    problems = [problem for problem in found if not problem.warning]  # which its start has reported
    travel = guest.pins if guest.cpu_policy in ("manual", None) else replace(guest.pins, vcpus={})
    problems += checks.check_pins_that_travel(travel, cputune, pins, host)
    policy = guest.policy
    placed = Placement(
        memory=None if policy is None else Policy(policy.mode, None if policy.auto else policy.nodeset),
        cells=cells_of(guest) or None,
    )
    problems += (_blame(problem, wanted) for problem in checks.check_host(placed, guest, host))
    return replace(placed, warnings=_refuse_or_warn(problems))


def _blame(problem: Problem, wanted: Properties) -> Problem:
    """Where the property is not set, its part of the XML is the engine's (vNUMA)."""
    if getattr(wanted, problem.subject) is not None:
        return problem
    fix = problem.mend if problem.warning else "choose another host, or change it in the engine"
    return replace(problem, subject=DOMAIN_XML, what=f"the engine's NUMA pinning: {problem.what}", mend=fix)


def cells_of(guest: Guest) -> tuple[PlacedCell, ...]:
    """Those that its domain XML has already."""
    return tuple(PlacedCell(cell.vcpus, cell.memory, cell.nodes, cell.mode) for cell in guest.cells)


def resolve_pins(cputune: Cputune, guest: Guest, host: Host) -> Pins:
    """The pins of a VM that runs, with the numbers of `host`; raises Refused for what VM or host do not have."""
    problems: list[Problem] = []
    pins = _resolve_to_hold(cputune, guest, host, problems)
    _refuse_or_warn(problems)
    return pins


def _resolve_to_hold(cputune: Cputune, guest: Guest, host: Host, problems: list[Problem]) -> Pins:
    """The pins of a VM that has started, wherever that was; adds what is wrong with them to `problems`."""
    problems += checks.check_pins(cputune, guest)
    pins = _resolve_pins(cputune, host, problems)
    problems += checks.check_cpus(pins, host)
    return pins


def _refuse_or_warn(problems: list[Problem]) -> tuple[Problem, ...]:
    """The warnings; raises Refused with the others if there are any."""
    fatal = [problem for problem in problems if not problem.warning]
    if fatal:
        raise Refused(fatal)
    return tuple(problems)


def _resolve_on_host(wanted: Properties, host: Host | None, problems: list[Problem]) -> Placement:
    """Pins and policy with the host's numbers; what the host does not have is added to `problems`."""
    return Placement(
        pins=None if wanted.cputune is None else _resolve_pins(wanted.cputune, host, problems),
        memory=None if wanted.numatune is None else _resolve_policy(wanted.numatune, host, problems),
    )


def _resolve_pins(cputune: Cputune, host: Host | None, problems: list[Problem]) -> Pins:
    vcpus: dict[int, CpuSet] = {}
    iothreads: dict[int, CpuSet] = {}
    emulator = None
    sets: Iterable[CpuSet]
    taken: dict[int, None] = {}
    named = CpuSet()
    for pin in cputune.pins:
        if any(item.out for item in pin.cpus.items):
            problems += _warn_of_idle(pin, host)
        if pin.each:
            sets = _take_one_each(pin, host, taken, problems)
        else:
            sets = itertools.repeat(_look_up(pin, pin.cpus.cpuset, CpuSet(), host, problems))
        if isinstance(pin.who, Vcpus):
            span = CpuSet.span(pin.who.first, pin.who.last)
            again = span & named
            for vcpu, cpus in zip([*again][:1], sets):  # refused, but its CPUs are checked all the same
                vcpus[vcpu] = vcpus.get(vcpu, CpuSet()) | cpus
            vcpus.update(zip(span - again, sets))
            named |= span
        elif isinstance(pin.who, Iothread):
            iothreads.update(zip([pin.who.number], sets))
        else:
            emulator = next(iter(sets), None)
    return Pins(vcpus, iothreads, emulator)


def _look_up(
    pin: Pin, look: Callable[[Host | None], Looked], nothing: Looked, host: Host | None, problems: list[Problem]
) -> Looked:
    try:
        found = look(host)
    except NotThereError as error:
        problems.append(Problem("cputune", shorten(str(error), 100), "name CPUs that are there"))
        return nothing
    if not found:
        what = f"{shorten(str(pin))} leaves no CPU on this host"
        problems.append(Problem("cputune", what, "name one that no later ^ takes out"))
    return found


def _warn_of_idle(pin: Pin, host: Host | None) -> Iterator[Problem]:
    """What takes nothing out is often copied from a host whose CPUs have other numbers."""
    try:
        idle = pin.cpus.idle(host)
    except NotThereError:
        return  # which is told already
    if idle:
        what = f"{shorten(','.join(map(str, idle)))} takes nothing out in {shorten(str(pin))}"
        yield Problem("cputune", what, "name CPUs that stand before it", warning=True)


def _take_one_each(pin: Pin, host: Host | None, taken: dict[int, None], problems: list[Problem]) -> list[CpuSet]:
    """One CPU for each, in order, that no other has taken."""
    count = _how_many(pin)

    def look(there: Host | None) -> list[int]:
        return list(itertools.islice((cpu for cpu in pin.cpus.cpus(there) if cpu not in taken), count))

    free = _look_up(pin, look, [], host, [])
    if len(free) < count:
        cpus = _look_up(pin, lambda there: list(pin.cpus.cpus(there)), [], host, problems)
        if cpus:
            others = " that no other #= has taken" if len(free) < len(cpus) else ""
            what = f"{shorten(str(pin))} wants {plural(count, 'CPU')}, but {len(free)} can be had{others}"
            problems.append(Problem("cputune", what, "name more CPUs, or write # without ="))
    taken.update(dict.fromkeys(free))
    return [CpuSet.span(cpu, cpu) for cpu in free]


def _how_many(pin: Pin) -> int:
    return pin.who.last - pin.who.first + 1 if isinstance(pin.who, Vcpus) else 1


def _resolve_policy(numatune: Numatune, host: Host | None, problems: list[Problem]) -> Policy:
    nodeset = numatune.nodeset
    if nodeset is None:
        return Policy(numatune.mode, None)
    if not nodeset.all_but:
        problems += checks.check_preferred(numatune.mode, nodeset.nodes)
        return Policy(numatune.mode, nodeset.nodes)
    if host is None:
        what = f"{nodeset} is to be looked up on a host, but none is given"
        problems.append(Problem("numatune", what, "name nodes that are there"))
        return Policy(numatune.mode, CpuSet())
    nodes = host.local_nodes - nodeset.nodes
    if not nodes:
        problems.append(Problem("numatune", f"{nodeset} leaves no node on this host", "take out fewer"))
    problems += checks.check_preferred(numatune.mode, nodes)
    return Policy(numatune.mode, nodes)


def _resolve_cells(
    guestnuma: Guestnuma, numatune: Numatune | None, guest: Guest, host: Host | None
) -> tuple[PlacedCell, ...]:
    vcpus = dealing.deal_vcpus(guestnuma.cells, guest)
    memory = dealing.deal_memory(guestnuma, guest)
    nodes = [cell.nodes for cell in guestnuma.cells]
    mode = _cell_mode(numatune)
    distances = _distances(nodes, host)
    mem_access = _agreed(cell.mem_access for cell in guest.cells)
    discard = _agreed(cell.discard for cell in guest.cells)
    return tuple(
        PlacedCell(named, amount, own, mode, between, mem_access, discard)
        for named, amount, own, between in zip(vcpus, memory, nodes, distances)
    )


def _agreed(values: Iterable[str | None]) -> str | None:
    """The value that all have that have one; None where there are several."""
    stated = {value for value in values if value is not None}
    return stated.pop() if len(stated) == 1 else None


def _cell_mode(numatune: Numatune | None) -> str:
    return DEFAULT_MODE if numatune is None else numatune.mode


def _distances(nodes: list[CpuSet | None], host: Host | None) -> list[dict[int, int]]:
    """The host's distances between the cells, where each sits on one node of its own: else they would be invented."""
    single = [own.last for own in nodes if own is not None and len(own) == 1]
    own_node_each = len(nodes) > 1 and len(set(single)) == len(nodes)
    if host is None or not own_node_each or not all(node in host.nodes for node in single):
        return [{} for _ in nodes]
    rows = [[*map(host.nodes[node].distances.get, single, itertools.repeat(0))] for node in single]
    if not all(_libvirt_takes(cell, row) for cell, row in enumerate(rows)):
        return [{} for _ in nodes]
    return [dict(enumerate(row)) for row in rows]


def _libvirt_takes(cell: int, distances: list[int]) -> bool:
    """libvirt refuses other values, such as the all local ones of a host with fake nodes."""
    return distances[cell] == min(distances) == 10 and distances.count(10) == 1 and max(distances) < 256

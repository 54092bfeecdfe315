# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve properties for a guest on a host to a placement in which every number is concrete, and check it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import DOMAIN_XML, Problem, Refused
from ..properties import Properties
from ..properties.cputune import Cputune, Iothread, Pin, Vcpus
from ..properties.guestnuma import Guestnuma
from ..properties.numatune import Numatune
from ..record import replace
from ..values import DEFAULT_MODE, Cell, Guest, Pins, Placement, Policy
from ..wording import plural, shorten, verb
from . import check_guest, check_host, deal, locality, lookup
from .lookup import NotThereError


def place(properties: Properties, guest: Guest, host: Host | None) -> Placement:
    """Place `guest` by the properties, on `host` if one is given; raises Refused with everything that is wrong."""
    placement, unresolved = _resolve(properties, guest, host)
    problems = [*check_guest.check(properties, guest, placement), *unresolved]
    problems += check_guest.check_policy(placement, guest)
    if host is None:
        return replace(placement, warnings=_refuse_or_warn(problems))
    warnings = _refuse_or_warn([*problems, *check_host.check(placement, guest, host)])
    if properties == Properties():
        return placement
    whole = placement.completed(guest)
    where = locality.measure(whole, guest, host)
    slow = locality.check(where, whole, guest, host, properties)
    return replace(placement, warnings=(*warnings, *slow), locality=where)


def place_again(properties: Properties, guest: Guest, host: Host) -> Placement:
    """The placement on `host` of a VM that is running or suspended elsewhere; raises Refused.

    What travels is what its XML says: the memory policy, the cells, the pins of emulator and iothreads, and those of
    vCPUs under the CPU pinning policy manual, which is also what VDSM infers if there is none; under others VDSM
    removes these. On arrival the keeper applies cputune again: what it would refuse is refused here. Nothing else about
    the guest is checked: its start has done that, and memory may have been plugged in since. Under an exclusive policy
    nothing is checked: the layout is the engine's, and VDSM rewrites it for this host.
    """
    if check_guest.engines_layout(guest) is not None:
        return Placement()
    cputune = properties.cputune
    held, problems = (Pins(), []) if cputune is None else _resolve_to_hold(cputune, guest, host)
    problems = [problem for problem in problems if not problem.warning]  # the warnings were reported at its start
    travel = guest.pins if guest.cpu_policy in ("manual", None) else replace(guest.pins, vcpus={})
    problems += check_host.check_pins_that_travel(travel, cputune, held, host)
    placement = Placement(policy=guest.policy, cells=guest.cells or None)
    problems += (_blame(problem, properties) for problem in check_host.check(placement, guest, host))
    return replace(placement, warnings=_refuse_or_warn(problems))


def _blame(problem: Problem, properties: Properties) -> Problem:
    """If the property is not set, its part of the XML comes from the engine (vNUMA)."""
    if getattr(properties, problem.subject) is not None:
        return problem
    fix = problem.fix if problem.warning else "choose another host, or change it in the engine"
    return replace(problem, subject=DOMAIN_XML, what=f"the engine's NUMA pinning: {problem.what}", fix=fix)


def resolve_pins(cputune: Cputune, guest: Guest, host: Host) -> Pins:
    """The pins of a running VM, with the numbers of `host`; raises Refused for what VM or host do not have."""
    pins, problems = _resolve_to_hold(cputune, guest, host)
    _refuse_or_warn(problems)
    return pins


def _resolve_to_hold(cputune: Cputune, guest: Guest, host: Host) -> tuple[Pins, list[Problem]]:
    """The pins of a VM that has started, here or elsewhere, and what is wrong with them here."""
    here = _Pinning.of(cputune, host)
    pins = here.pins
    return pins, [*check_guest.check_pins(cputune, guest), *here.problems, *check_host.check_cpus(pins, host)]


def _refuse_or_warn(problems: list[Problem]) -> tuple[Problem, ...]:
    """The problems, if all are warnings; else raises Refused with those that are not."""
    fatal = [problem for problem in problems if not problem.warning]
    if fatal:
        raise Refused(fatal)
    return tuple(problems)


def _resolve(properties: Properties, guest: Guest, host: Host | None) -> tuple[Placement, list[Problem]]:
    """The placement, and the problems with what could not be resolved."""
    problems: list[Problem] = []
    pins, policy, cells = None, None, None
    if properties.cputune is not None:
        here = _Pinning.of(properties.cputune, host)
        pins = here.pins
        problems += here.problems
    if properties.numatune is not None:
        policy, more = _resolve_policy(properties.numatune, host)
        problems += more
    if properties.guestnuma is not None:
        cells = _resolve_cells(properties.guestnuma, properties.numatune, guest, host)
    return Placement(pins, policy, cells), problems


class _Pinning:
    """The pins of a cputune while they are resolved one after the other."""

    def __init__(self, host: Host | None) -> None:
        self.problems: list[Problem] = []
        self._host = host
        self._vcpus: dict[int, CpuSet] = {}
        self._iothreads: dict[int, CpuSet] = {}
        self._emulator: CpuSet | None = None
        self._taken: dict[int, None] = {}
        """The CPUs that a `#=` has taken."""
        self._pinned = CpuSet()
        """The vCPUs that have a pin."""

    @classmethod
    def of(cls, cputune: Cputune, host: Host | None) -> _Pinning:
        pinning = cls(host)
        for pin in cputune.pins:
            pinning._add(pin)
        return pinning

    @property
    def pins(self) -> Pins:
        return Pins(self._vcpus, self._iothreads, self._emulator)

    def _add(self, pin: Pin) -> None:
        if any(item.out for item in pin.cpus.items):
            self._warn_of_idle(pin)
        sets: Iterable[CpuSet] = self._one_each(pin) if pin.each else itertools.repeat(self._floating(pin))
        if isinstance(pin.threads, Vcpus):
            self._add_vcpus(CpuSet.span(pin.threads.first, pin.threads.last), sets)
        elif isinstance(pin.threads, Iothread):
            self._iothreads.update(zip([pin.threads.number], sets))
        else:
            self._emulator = next(iter(sets), None)

    def _add_vcpus(self, vcpus: CpuSet, sets: Iterable[CpuSet]) -> None:
        again = vcpus & self._pinned
        for vcpu, cpus in zip([*again][:1], sets):  # refused, but its CPUs are checked as well
            self._vcpus[vcpu] = self._vcpus.get(vcpu, CpuSet()) | cpus
        self._vcpus.update(zip(vcpus - again, sets))
        self._pinned |= vcpus

    def _floating(self, pin: Pin) -> CpuSet:
        try:
            cpus = lookup.cpuset(pin.cpus, self._host)
        except NotThereError as error:
            self._is_not_there(error)
            return CpuSet()
        if not cpus:
            self._leaves_nothing(pin)
        return cpus

    def _one_each(self, pin: Pin) -> list[CpuSet]:
        """One CPU for each thread, in order, that no other pin has taken."""
        try:
            cpus = lookup.in_order(pin.cpus, self._host)
            free = list(itertools.islice((cpu for cpu in cpus if cpu not in self._taken), pin.count))
        except NotThereError as error:
            self._is_not_there(error)
            return []
        if len(free) < pin.count:
            self._too_few(pin, len(free))
        self._taken.update(dict.fromkeys(free))
        return [CpuSet.span(cpu, cpu) for cpu in free]

    def _too_few(self, pin: Pin, free: int) -> None:
        cpus = lookup.cpuset(pin.cpus, self._host)
        if not cpus:
            self._leaves_nothing(pin)
            return
        others = " (another #= has taken the others)" if free < len(cpus) else ""
        available = f"{free} {'is' if free == 1 else 'are'} available"
        what = f"{shorten(str(pin))} needs {plural(pin.count, 'CPU')}, only {available}{others}"
        self.problems.append(Problem("cputune", what, "name more CPUs, or write # without ="))

    def _is_not_there(self, error: NotThereError) -> None:
        self.problems.append(Problem("cputune", shorten(str(error), 100), "name CPUs that exist"))

    def _leaves_nothing(self, pin: Pin) -> None:
        what = f"{shorten(str(pin))} leaves no CPU on this host"
        self.problems.append(Problem("cputune", what, "name one that no later ^ removes"))

    def _warn_of_idle(self, pin: Pin) -> None:
        """An item that removes nothing is often copied from a host whose CPUs have other numbers."""
        try:
            idle = lookup.idle(pin.cpus, self._host)
        except NotThereError:
            return  # reported when the pin is resolved
        if idle:
            removes = f"{shorten(','.join(map(str, idle)))} {verb(idle, 'removes', 'remove')}"
            what, fix = f"{removes} nothing in {shorten(str(pin))}", "name CPUs that come earlier in the list"
            self.problems.append(Problem("cputune", what, fix, warning=True))


def _resolve_policy(numatune: Numatune, host: Host | None) -> tuple[Policy, list[Problem]]:
    nodeset = numatune.nodeset
    if nodeset is None:
        return Policy(numatune.mode, None), []
    if not nodeset.all_but:
        return Policy(numatune.mode, nodeset.nodes), []
    if host is None:
        what = f"{nodeset} must be looked up on a host, but none is given"
        return Policy(numatune.mode, CpuSet()), [Problem("numatune", what, "name nodes that exist")]
    nodes = host.local_nodes - nodeset.nodes
    empty = Problem("numatune", f"{nodeset} leaves no node on this host", "remove fewer")
    return Policy(numatune.mode, nodes), [] if nodes else [empty]


def _resolve_cells(
    guestnuma: Guestnuma, numatune: Numatune | None, guest: Guest, host: Host | None
) -> tuple[Cell, ...]:
    vcpus = deal.vcpus_of_cells(guestnuma.cells, guest)
    memory = deal.memory_of_cells(guestnuma, guest)
    nodes = [cell.nodes for cell in guestnuma.cells]
    mode = DEFAULT_MODE if numatune is None else numatune.mode
    distances = _distances(nodes, host)
    accesses = {cell.mem_access for cell in guest.cells}
    # devices of other processes need all memory to be shared
    mem_access = "shared" if "shared" in accesses else _common(accesses)
    discard = _common({cell.discard for cell in guest.cells})
    return tuple(
        Cell(own, amount, backing, mode, between, mem_access, discard)
        for own, amount, backing, between in zip(vcpus, memory, nodes, distances)
    )


def _common(values: set[str | None]) -> str | None:
    """The only value; None if there is none or more than one."""
    return next(iter(values)) if len(values) == 1 else None


def _distances(nodes: list[CpuSet | None], host: Host | None) -> list[dict[int, int]]:
    """The host's distances between the cells, if each is on a node of its own: otherwise they would be invented."""
    single = [own.last for own in nodes if own is not None and len(own) == 1]
    own_node_each = len(nodes) > 1 and len(set(single)) == len(nodes)
    if host is None or not own_node_each or not all(node in host.nodes for node in single):
        return [{} for _ in nodes]
    rows = [[*map(host.nodes[node].distances.get, single, itertools.repeat(0))] for node in single]
    if not all(_libvirt_takes(cell, row) for cell, row in enumerate(rows)):
        return [{} for _ in nodes]
    return [dict(enumerate(row)) for row in rows]


def _libvirt_takes(cell: int, distances: list[int]) -> bool:
    """libvirt refuses other values, such as those of a host with fake nodes, which are all local."""
    return distances[cell] == min(distances) == 10 and distances.count(10) == 1 and max(distances) < 256

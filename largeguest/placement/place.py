# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve properties for a guest on a host to a placement in which every number is concrete, and check it."""

from __future__ import annotations

import itertools

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import DOMAIN_XML, Problem, Refused
from ..properties import Properties
from ..properties.cputune import Cputune
from ..properties.guestnuma import Guestnuma
from ..properties.numatune import Numatune
from ..record import replace
from ..values import DEFAULT_MODE, Cell, Guest, Pins, Placement, Policy
from . import backing, check_guest, check_host, deal, locality, neighbours, pinning


def place(properties: Properties, guest: Guest, host: Host | None) -> Placement:
    """Place `guest` by the properties, on `host` if one is given; raises Refused with everything that is wrong."""
    placement, unresolved = _resolve(properties, guest, host)
    problems = [*check_guest.check(properties, guest, placement), *unresolved]
    problems += check_guest.check_policy(placement, guest)
    if host is None:
        return replace(placement, warnings=_refuse_or_warn(problems))
    problems += check_host.check(placement, guest, host)
    if properties != Properties():
        problems += neighbours.check(placement, guest, host)
    warnings = _refuse_or_warn(problems)
    if properties == Properties():
        return placement
    whole = placement.completed(guest)
    where = locality.measure(whole, guest, host)
    slow = locality.check(where, whole, guest, host, properties)
    return replace(placement, warnings=(*warnings, *slow), locality=where)


def place_again(properties: Properties, guest: Guest, host: Host, before: Pins) -> Placement:
    """The placement on `host` of a VM that is running or suspended elsewhere; raises Refused.

    `before` are its pins there, as recorded.

    What travels is what its XML says: the memory policy, the cells, the pins of emulator and iothreads, and those of
    vCPUs under the CPU pinning policy manual, which is also what VDSM infers if there is none; under others VDSM
    removes these. On arrival the keeper applies cputune again: what it would refuse is refused here. Nothing else about
    the guest is checked: its start has done that, and memory may have been plugged in since. Under an exclusive policy
    nothing is checked: the layout is the engine's, and VDSM rewrites it for this host.
    """
    if check_guest.engines_layout(guest) is not None:
        return Placement()
    cputune = properties.cputune
    held, problems = Pins(), list[Problem]()
    if cputune is not None:
        held, problems = _resolve_arrived(cputune, guest, host, before)
    problems = [problem for problem in problems if not problem.warning]  # the warnings were reported at its start
    travel = guest.pins if guest.cpu_policy in ("manual", None) else replace(guest.pins, vcpus={})
    problems += check_host.check_pins_that_travel(travel, cputune, held, host)
    placement = Placement(policy=guest.policy, cells=guest.cells or None)
    problems += (_blame(problem, properties) for problem in check_host.check(placement, guest, host))
    return replace(placement, pins=None if cputune is None else held, warnings=_refuse_or_warn(problems))


def _blame(problem: Problem, properties: Properties) -> Problem:
    """If the property is not set, its part of the XML comes from the engine (vNUMA)."""
    if getattr(properties, problem.subject) is not None:
        return problem
    fix = problem.fix if problem.warning else "choose another host, or change it in the engine"
    return replace(problem, subject=DOMAIN_XML, what=f"the engine's NUMA pinning: {problem.what}", fix=fix)


def resolve_pins(
    cputune: Cputune, guest: Guest, host: Host, held: Pins, before: Pins
) -> tuple[Pins, tuple[Problem, ...]]:
    """The pins of a running VM, with the numbers of `host`, and warnings about what was plugged in since its start.

    What is `held` already keeps its CPUs, whatever has become of the places that cputune names; nothing else can take
    that away. If nothing is held, the VM has just arrived with the pins `before`: raises Refused for what is not there.
    """
    if not held:
        pins, problems = _resolve_arrived(cputune, guest, host, before)
        _refuse_or_warn(problems)
        return pins, ()
    pins, problems = pinning.resolve(cputune, guest, _backing(guest), host, held)
    return pins, tuple(replace(problem, warning=True) for problem in problems)


def _resolve_arrived(cputune: Cputune, guest: Guest, host: Host, before: Pins) -> tuple[Pins, list[Problem]]:
    """The pins of a VM that has started elsewhere, and what is wrong with them here."""
    pins, unresolved = pinning.resolve(cputune, guest, _backing(guest), host, before=before)
    return pins, [*check_guest.check_pins(cputune, guest), *unresolved, *check_host.check_cpus(pins, host)]


def _backing(guest: Guest) -> backing.Backing:
    """What backs the cells of a VM that has started: its XML says it all."""
    return backing.of(Placement().completed(guest))


def _refuse_or_warn(problems: list[Problem]) -> tuple[Problem, ...]:
    """The problems, if all are warnings; else raises Refused with those that are not."""
    fatal = [problem for problem in problems if not problem.warning]
    if fatal:
        raise Refused(fatal)
    return tuple(problems)


def _resolve(properties: Properties, guest: Guest, host: Host | None) -> tuple[Placement, list[Problem]]:
    """The placement, and the problems with what could not be resolved.

    The pins come last: the place `cell` needs the nodes of the cells, and these the policy.
    """
    placement, problems = _resolve_memory(properties, guest, host)
    if properties.cputune is not None:
        pins, more = pinning.resolve(properties.cputune, guest, backing.of(placement.completed(guest)), host)
        placement, problems = replace(placement, pins=pins), [*more, *problems]
    return placement, problems


def behind(properties: Properties, guest: Guest, host: Host) -> backing.Backing:
    """What backs the cells of the guest, whatever cputune is."""
    return backing.of(_resolve_memory(properties, guest, host)[0].completed(guest))


def _resolve_memory(properties: Properties, guest: Guest, host: Host | None) -> tuple[Placement, list[Problem]]:
    problems: list[Problem] = []
    policy, cells = None, None
    if properties.numatune is not None:
        policy, problems = resolve_policy(properties.numatune, host)
    if properties.guestnuma is not None:
        cells = _resolve_cells(properties.guestnuma, properties.numatune, guest, host)
    return Placement(None, policy, cells), problems


def resolve_policy(numatune: Numatune, host: Host | None) -> tuple[Policy, list[Problem]]:
    """The nodes that numatune names on this host, and what is wrong with them."""
    nodeset = numatune.nodeset
    if nodeset is None:
        return Policy(numatune.mode, None), []
    if not nodeset.all_but:
        return Policy(numatune.mode, nodeset.nodes), []
    if host is None:
        what = f"{nodeset} must be looked up on a host, but none is given"
        return Policy(numatune.mode, CpuSet()), [Problem("numatune", what, "name a host, or write numbers")]
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
        Cell(own, amount, nodeset, mode, between, mem_access, discard)
        for own, amount, nodeset, between in zip(vcpus, memory, nodes, distances)
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

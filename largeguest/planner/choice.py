# SPDX-License-Identifier: GPL-2.0-or-later
"""The choice of shape and nodes for a guest, and what follows from it: pins, memory policy, cells and topology."""

from __future__ import annotations

import functools
import itertools
import math

from .. import PROPERTIES
from ..cpuset import CpuSet
from ..placement.place import place
from ..problem import Problem
from ..properties import MAX_LENGTH, Properties
from ..properties.guestnuma import Guestnuma
from ..properties.numatune import Nodeset, Numatune
from ..record import Record, replace
from ..values import Placement, Topology
from . import dealing, sockets
from .candidates import Candidate, attempts
from .need import Need, Shape
from .pins import Pinned


class Choice(Record):
    """A shape, and the nodes that the guest's cores of this shape run on."""

    candidate: Candidate
    nodes: tuple[int, ...]
    """In the order of the cells."""
    cells_of_sockets: tuple[int, ...] = ()
    """How many whole cells each guest socket has, as with sub-NUMA clusters; none: each cell has whole sockets."""

    @property
    def need(self) -> Need:
        return self.candidate.need

    @functools.cached_property
    def vcpus(self) -> tuple[CpuSet, ...]:
        """The vCPUs on each of the nodes: whole units, evenly as far as there is room."""
        size, count, nodes = self.candidate.shape.vcpus, self.need.vcpus, iter(self.nodes)
        groups = [list(itertools.islice(nodes, cells)) for cells in self.cells_of_sockets or (len(self.nodes),)]
        limits = [[self.candidate.capacities[node].units for node in group] for group in groups]
        units = [self.candidate.layout.deal(self.candidate.units // len(groups), own) for own in limits]
        ends = [min(end * size, count) for end in itertools.accumulate(itertools.chain.from_iterable(units))]
        return tuple(CpuSet.span(first, end - 1) for first, end in zip([0, *ends], ends))

    @functools.cached_property
    def cpus(self) -> dict[int, list[int]]:
        """By node the CPUs that its vCPUs have, and then those that they could have, in the order of the vCPUs."""
        return dealing.deal(self.candidate, dict(zip(self.nodes, map(len, self.vcpus))))

    @functools.cached_property
    def topology(self) -> Topology:
        """The guest's own if the cells have whole sockets of it, else that with the largest sockets that fit so."""
        need, threads = self.need, self.candidate.shape.threads
        own, socket = need.guest.topology, need.socket
        if own is not None and socket is not None and self.candidate.keeps_topology:
            return replace(own, sockets=socket.units(need.vcpus))
        cores = math.gcd(*(-(-len(vcpus) // threads) for vcpus in self.vcpus))
        if self.cells_of_sockets:
            cores = self.candidate.units // len(self.cells_of_sockets)
        elif -(-need.vcpus // (cores * threads)) > sockets.MAX_SOCKETS and not self.candidate.layout.cells_are_sockets:
            # sockets would only show which vCPUs share a cache
            cores = -(-need.vcpus // threads)
        cores = next(size for size in range(min(cores, sockets.MAX_CORES), 0, -1) if cores % size == 0)
        return Topology(-(-need.vcpus // (cores * threads)), 1, cores, threads)

    @property
    def is_allowed(self) -> bool:
        """Whether the engine takes the topology."""
        return self.topology.sockets <= sockets.MAX_SOCKETS

    @property
    def devices(self) -> int:
        """How many PCI devices are near its nodes."""
        return sum(self.candidate.capacities[node].devices for node in self.nodes)

    @property
    def distance(self) -> int:
        """The sum of the distances between its nodes, both ways."""
        return sum(itertools.starmap(self.need.distance, itertools.permutations(self.nodes, 2)))

    @functools.cached_property
    def properties(self) -> Properties:
        """With places, which fit other hosts of the same model; if that is too long for the engine, with numbers."""
        mode = self.need.request.mode
        # preferred takes one node; the cells still have their own
        numatune = Numatune(mode, Nodeset(CpuSet(self.nodes[:1] if mode == "preferred" else self.nodes)))
        guestnuma = Guestnuma(self.candidate.layout.cells(self.nodes, self.vcpus, self.candidate.capacities))
        pinned = Pinned(self.candidate, self.nodes, self.vcpus, self.cpus)
        ways = [Properties(cputune, numatune, guestnuma) for cputune in pinned.ways()]
        return next((way for way in ways if stored_length(way) <= MAX_LENGTH), min(ways, key=stored_length))

    @property
    def is_storable(self) -> bool:
        """Whether the engine can store the text of its properties."""
        return stored_length(self.properties) <= MAX_LENGTH

    def carry_out(self) -> tuple[Placement, tuple[Problem, ...]]:
        """The placement as the hook would resolve it, and its warnings once the guest has the topology of the plan.

        Raises Refused for what the hook refuses.
        """
        guest, host = self.need.guest, self.need.host
        placement = fitted = place(self.properties, replace(guest, topology=self.topology), host)
        if guest.topology not in (None, self.topology):
            placement = place(self.properties, guest, host)
        return placement, fitted.warnings

    @property
    def idle(self) -> CpuSet:
        """The CPUs of the host that no vCPU is pinned to, of this guest or another."""
        return self.need.host.online - self.taken - self.need.host.held

    @property
    def taken(self) -> CpuSet:
        """The CPUs that vCPUs are pinned to."""
        return CpuSet.union(CpuSet(self.cpus[node][: len(own)]) for node, own in zip(self.nodes, self.vcpus))

    @property
    def is_shared(self) -> bool:
        """Whether a core of the host runs vCPUs of several guest cores."""
        cores = itertools.chain.from_iterable(self.need.all_cores[node] for node in self.nodes)
        return any(len(CpuSet(core) & self.taken) > self.candidate.shape.threads for core in cores)


def best_choice(need: Need) -> Choice | None:
    """The best shape and nodes for the need; None if there are none. Raises Refused for a contradictory request."""
    choices = (choose(size, candidate) for size, candidate in attempts(need))
    return next((choice for choice in choices if choice is not None), None)


def too_many_sockets(need: Need) -> Choice | None:
    """The best choice if the engine took any number of sockets; None if there is still none."""
    found = ((candidate, candidate.nearest(size)) for size, candidate in attempts(need))
    return next((Choice(candidate, nodes) for candidate, nodes in found if nodes is not None), None)


def texts(properties: Properties) -> dict[str, str]:
    """The text to enter for each property that is set."""
    values = ((name, getattr(properties, name)) for name in PROPERTIES)
    return {name: str(value) for name, value in values if value is not None}


def stored_length(properties: Properties) -> int:
    """How many characters the engine stores for them."""
    return len(";".join(f"{name}={text}" for name, text in texts(properties).items()))


def choose(size: int, candidate: Candidate) -> Choice | None:
    """The best for so many nodes, with as many sockets as the engine takes; None if there is none."""
    threads = candidate.shape.threads
    if not candidate.can_have(size):
        return None
    if not candidate.keeps_topology and not sockets.counts(Shape(threads, 1).units(candidate.need.vcpus), 1):
        return None
    if candidate.keeps_topology or not candidate.layout.cells_are_sockets:
        nodes = candidate.nearest(size)
        choice = None if nodes is None else Choice(candidate, nodes)
        return choice if choice is not None and choice.is_allowed else None
    if size > sockets.MAX_SOCKETS:
        return _with_cells_in_sockets(size, candidate)
    cores = candidate.units
    shapes = [Shape(threads, cores // count) for count in reversed(sockets.counts(cores, size))]
    in_sockets = [other for other in (replace(candidate, shape=shape) for shape in shapes) if other.least_size <= size]
    nodes = candidate.nearest(size) if in_sockets else None
    if nodes is None:
        return None
    # the nearest nodes, as evenly as possible; else those that are the nearest with room for whole sockets
    alike = (Choice(other, nodes) for other in (candidate, *in_sockets) if other.hold(nodes))
    others = (Choice(other, found) for other in in_sockets for found in [other.nearest(size)] if found is not None)
    best = next((choice for choice in alike if choice.is_allowed), None)
    return best or min(others, key=lambda choice: (-choice.devices, choice.distance), default=None)


def _with_cells_in_sockets(size: int, candidate: Candidate) -> Choice | None:
    """The best for so many nodes with several whole cells in each guest socket; None if there is none."""
    rooms = sorted(room.units for room in candidate.capacities.values())[-size:]
    spare = {count: sockets.spare_room(rooms, count) for count in sockets.counts(candidate.units, size)}
    if not spare or sum(rooms) < candidate.units + min(spare.values()):
        return None
    # the most sockets that have equally many cells, else the cells that are the most equal
    counts = sorted(spare, key=lambda count: (size % count > 0, count if size % count else -count))
    roomy = candidate.nearest(size, min(spare.values()))
    nodes = candidate.nearest(size) if roomy is not None else None
    found = (_group(candidate, own, counts) for own in (nodes, roomy) if own is not None)
    return next((choice for choice in found if choice is not None), None)


def _group(candidate: Candidate, nodes: tuple[int, ...], counts: list[int]) -> Choice | None:
    """These nodes in groups that hold a guest socket each, in the first of these numbers that can be; or None."""
    rooms = {node: candidate.capacities[node].units for node in nodes}
    orders = [sockets.in_order(rooms, count) for count in counts]
    if not candidate.need.device_memory:  # which is in cells by their numbers
        orders += [sockets.balanced(rooms, count) for count in counts]
    for groups in orders:
        if sockets.hold(groups, rooms, candidate.units // len(groups)):
            return Choice(candidate, tuple(itertools.chain(*groups)), tuple(map(len, groups)))
    return None

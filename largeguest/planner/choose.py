# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose host nodes: of all sets of a size that hold a guest, the one whose nodes are nearest to each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ..record import Record

EXACT_UP_TO = 16
"""Up to this many nodes the result is the optimum; beyond, the number of steps is limited."""

_MAX_STEPS = 2**13
_MAX_STARTS = 24
_MAX_POLISHED = 4

Cost = tuple[float, int, int, int]
"""What a set lacks (0: it holds the guest), the devices near it (negative), the sum of the distances, and memory
(negative): of two sets the one with the lower cost, in this order, is better."""

_NO_SET: Cost = (math.inf, 0, 0, 0)


class Capacity(Record):
    """What a node can provide: units of vCPUs, KiB of memory, and devices of the guest that are attached to it."""

    units: int
    memory: int
    devices: int = 0


def nearest(
    nodes: Mapping[int, Capacity],
    size: int,
    units: int,
    memory: int,
    distance: Callable[[int, int], int],
    fits: Callable[[tuple[int, ...]], bool] | None = None,
) -> tuple[int, ...] | None:
    """The `size` of these `nodes` that together hold `units` and `memory`, in ascending order; None if none do.

    Of these sets it is the one with the most of the guest's devices, then with the smallest total of `distance` between
    its nodes, both ways, then with the most memory; if `fits` is given, only sets for which it is true. Among more
    than EXACT_UP_TO nodes the search is limited.
    """
    if not 0 < size <= len(nodes):
        return None
    if not _may_hold(nodes.values(), size, units, memory):
        return None
    sets = _Sets(nodes, size, units, memory, distance, fits)
    best = _best(sets, _improve(sets, _guesses(sets)))
    return None if best is None else tuple(sets.nodes[place] for place in sorted(best))


def _may_hold(nodes: Collection[Capacity], size: int, units: int, memory: int) -> bool:
    """Whether at least the largest nodes hold the guest."""
    max_units = sorted(room.units for room in nodes)[-size:]
    max_memory = sorted(room.memory for room in nodes)[-size:]
    return sum(max_units) >= units and sum(max_memory) >= memory


class _Sets:
    """The sets of nodes to choose from, and what each costs; a node is represented by its place in `nodes`."""

    def __init__(
        self,
        nodes: Mapping[int, Capacity],
        size: int,
        units: int,
        memory: int,
        distance: Callable[[int, int], int],
        fits: Callable[[tuple[int, ...]], bool] | None,
    ) -> None:
        self.nodes = sorted(nodes)
        self.places = range(len(self.nodes))
        self.rooms = [nodes[node] for node in self.nodes]
        self.size, self.units, self.memory, self._fits = size, units, memory, fits
        self.distances = [
            [distance(one, two) + distance(two, one) if one != two else 0 for two in self.nodes] for one in self.nodes
        ]
        """From place to place, both ways."""

    def totals(self, places: Iterable[int]) -> tuple[int, int, int]:
        """Units, memory and devices of these nodes together."""
        rooms = [self.rooms[place] for place in places]
        return (
            sum(room.units for room in rooms),
            sum(room.memory for room in rooms),
            sum(room.devices for room in rooms),
        )

    def cost(self, places: Collection[int]) -> Cost:
        distance = sum(self.distances[one][two] for one, two in itertools.combinations(places, 2))
        return self.cost_of(*self.totals(places), distance)

    def cost_of(self, units: int, memory: int, devices: int, distance: int) -> Cost:
        lack = max(0.0, 1 - units / self.units) + max(0.0, 1 - memory / self.memory)
        return lack, -devices, distance, -memory

    def distances_to(self, places: Collection[int]) -> list[int]:
        """The distance of each node from all of these together."""
        return [sum(row[place] for place in places) for row in self.distances]

    def fits(self, places: Iterable[int]) -> bool:
        """Whether the caller accepts this set."""
        return self._fits is None or self._fits(tuple(self.nodes[place] for place in sorted(places)))


def _guesses(sets: _Sets) -> Iterator[list[int]]:
    """Sets that may be good: grown from single nodes by adding the nearest, and those with the most room."""
    for start in sets.places[:: -(-len(sets.places) // _MAX_STARTS)]:
        yield _grow(sets, [start])
    yield _grow(sets, [place for place in sets.places if sets.rooms[place].devices])
    for share in range(9):
        yield _largest(sets, share / 8)


def _largest(sets: _Sets, share: float) -> list[int]:
    """The nodes with the most room, in which units have this share and memory the rest."""

    def largest_first(place: int) -> tuple[float, int]:
        room = sets.rooms[place]
        return -(share * room.units / sets.units + (1 - share) * room.memory / sets.memory), place

    return sorted(sets.places, key=largest_first)[: sets.size]


def _grow(sets: _Sets, start: list[int]) -> list[int]:
    """Those of `start` with the most devices, then repeatedly the nearest to all so far."""
    members = sorted(start, key=lambda place: -sets.rooms[place].devices)[: sets.size]
    distances = sets.distances_to(members)
    while len(members) < sets.size:
        rest = [place for place in sets.places if place not in members]
        near = min(rest, key=lambda place: (distances[place], -sets.rooms[place].memory, place))
        members.append(near)
        distances = [before + more for before, more in zip(distances, sets.distances[near])]
    return members


def _improve(sets: _Sets, guesses: Iterable[list[int]]) -> set[int]:
    """The best set that swapping one node for another leads to, from the best of the guesses."""
    distinct = {frozenset(guess) for guess in guesses}
    promising = sorted(distinct, key=lambda guess: (sets.cost(guess), sorted(guess)))[:_MAX_POLISHED]
    return min((_polish(sets, guess) for guess in promising), key=sets.cost)


def _polish(sets: _Sets, guess: frozenset[int]) -> set[int]:
    members = set(guess)
    cost = sets.cost(members)
    while True:
        better = _best_swap(sets, members, cost)
        if better is None:
            return members
        cost, outgoing, incoming = better
        members = (members - {outgoing}) | {incoming}


def _best_swap(sets: _Sets, members: set[int], cost: Cost) -> tuple[Cost, int, int] | None:
    """The cost after the best swap, the node to remove and the one to add; None if no swap costs less."""
    units, memory, devices = sets.totals(members)
    distances = sets.distances_to(members)
    others = [place for place in sets.places if place not in members]
    best, swap = cost, None
    for outgoing, incoming in itertools.product(sorted(members), others):
        old, new = sets.rooms[outgoing], sets.rooms[incoming]
        after = sets.cost_of(
            units - old.units + new.units,
            memory - old.memory + new.memory,
            devices - old.devices + new.devices,
            cost[2] - distances[outgoing] + (distances[incoming] - sets.distances[incoming][outgoing]),
        )
        if after < best:
            best, swap = after, (outgoing, incoming)
    return None if swap is None else (best, *swap)


class _Branch(NamedTuple):
    """A partial set, and the totals of its nodes."""

    places: tuple[int, ...]
    units: int
    memory: int
    devices: int
    distance: int
    distances: list[int]
    """Of each node from those in `places`, except the last of them."""

    @property
    def first(self) -> int:
        """The lowest place that may be added."""
        return self.places[-1] + 1 if self.places else 0


class _Bounds:
    """Lower bounds of what a branch can cost."""

    def __init__(self, sets: _Sets) -> None:
        self._sets = sets
        self._units = self._max([room.units for room in sets.rooms])
        self._memory = self._max([room.memory for room in sets.rooms])
        self._devices = self._max([room.devices for room in sets.rooms])
        pairs = itertools.combinations(sets.places, 2)
        self._closest = min((sets.distances[one][two] for one, two in pairs), default=0)

    def cost(self, branch: _Branch) -> Cost:
        """With the largest nodes that may be added; for a complete set it is the set's own cost."""
        first, missing = branch.first, self._sets.size - len(branch.places)
        return self._sets.cost_of(
            branch.units + self._units[first][missing],
            branch.memory + self._memory[first][missing],
            branch.devices + self._devices[first][missing],
            branch.distance + self._closest * (missing * (missing - 1) // 2),
        )

    @staticmethod
    def _max(values: list[int]) -> list[list[int]]:
        """By place and number of nodes: the most that so many nodes from that place on can have."""
        return [[0, *itertools.accumulate(sorted(values[place:], reverse=True))] for place in range(len(values) + 1)]


def _best(sets: _Sets, start: set[int]) -> set[int] | None:
    """The best set that holds the guest, by branch and bound from the one to `start` with; None if there is none."""
    bounds = _Bounds(sets)
    best, best_cost = start, sets.cost(start)
    if best_cost[0] or not sets.fits(start):
        best_cost = _NO_SET
    steps = 2**EXACT_UP_TO if len(sets.nodes) <= EXACT_UP_TO else _MAX_STEPS
    branches = [_Branch((), 0, 0, 0, 0, [0] * len(sets.nodes))]
    while branches and steps:
        steps -= 1
        branch = branches.pop()
        bound = bounds.cost(branch)
        if bound[0] or bound >= best_cost:
            continue
        if len(branch.places) < sets.size:
            branches += _branches(sets, branch, bound, best_cost)
        elif sets.fits(branch.places):
            best, best_cost = set(branch.places), bound
    return None if best_cost == _NO_SET else best


def _branches(sets: _Sets, branch: _Branch, bound: Cost, best_cost: Cost) -> Iterator[_Branch]:
    """The branch with each node that may be added, the last one first; none if all must cost more than the best."""
    first, missing = branch.first, sets.size - len(branch.places)
    distances = branch.distances
    if branch.places:
        distances = [before + more for before, more in zip(distances, sets.distances[branch.places[-1]])]
    nearest_ones = sorted(distances[first:])[:missing]
    if (0.0, bound[1], bound[2] + sum(nearest_ones), bound[3]) >= best_cost:
        return
    for place in reversed(range(first, len(sets.nodes) - missing + 1)):
        room = sets.rooms[place]
        yield _Branch(
            (*branch.places, place),
            branch.units + room.units,
            branch.memory + room.memory,
            branch.devices + room.devices,
            branch.distance + distances[place],
            distances,
        )

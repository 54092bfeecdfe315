# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose host nodes: of all sets of a size that hold a guest, the one whose nodes are nearest to each other."""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Value = TypeVar("Value", int, float)

EXACT_UP_TO = 16
"""Up to this many nodes the result is the optimum; beyond, the number of steps is limited."""

_MAX_STEPS, _FEW_STEPS = 2**13, 2**9
"""Beyond: for small sets, of which steps reach a good part, or if nothing is found yet; and for others."""

_SMALL_SET = 4
_MAX_STARTS = 24
_MAX_POLISHED = 5
_MAX_WEIGHTS = 20
_SHARES = 8
_WEIGHTS = tuple(share / _SHARES for share in range(_SHARES + 1))
"""Of units in the mixtures of units and memory that are looked at; the rest is that of memory."""

_ROUNDING = 1e-9
_FAR = 2**40
"""More than any sum of distances."""

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
    weight = _scarcest(nodes.values(), size, units, memory)
    if weight is None:
        return None
    sets = _Sets(nodes, size, units, memory, weight, distance, fits)
    best = _best(sets, _improve(sets, _guesses(sets)))
    return None if best is None else tuple(sets.nodes[place] for place in sorted(best))


def some(
    nodes: Mapping[int, Capacity],
    size: int,
    units: int,
    memory: int,
    distance: Callable[[int, int], int],
    fits: Callable[[tuple[int, ...]], bool] | None = None,
) -> tuple[int, ...] | None:
    """Like `nearest`, but any set that holds the guest: for the question whether there is one.

    Among more than EXACT_UP_TO nodes it may miss one that hardly holds it.
    """
    if len(nodes) > EXACT_UP_TO and size <= len(nodes):
        weight = _scarcest(nodes.values(), size, units, memory)
        if weight is None:
            return None
        sets = _Sets(nodes, size, units, memory, weight, distance, fits)
        richest = [_largest(sets, share) for share in (*_WEIGHTS, weight)]
        enough = (guess for guess in richest if not sets.lack(*sets.totals(guess)[:2]) and sets.fits(guess))
        found = next(enough, None) or _polish(sets, frozenset(richest[-1]))
        holds = not sets.lack(*sets.totals(found)[:2]) and sets.fits(found)
        return tuple(sets.nodes[place] for place in sorted(found)) if holds else None
    return nearest(nodes, size, units, memory, distance, fits)


def least_size(nodes: Collection[Capacity], units: int, memory: int) -> int:
    """At least so many of these nodes are needed, perhaps more; one more than there are if even all are too few."""
    least = 1
    for share in range(_SHARES + 1):
        mixed = (share * room.units * memory + (_SHARES - share) * room.memory * units for room in nodes)
        sums = itertools.accumulate(sorted(mixed, reverse=True))
        enough = (size for size, total in enumerate(sums, 1) if total >= _SHARES * units * memory)
        least = max(least, next(enough, len(nodes) + 1))
    return least


def _scarcest(nodes: Collection[Capacity], size: int, units: int, memory: int) -> float | None:
    """The weight of units in the mixture of units and memory that is the scarcest; None if there is too little of it.

    With both as fractions of what the guest needs, a set that holds it has 1 of every mixture. What the `size` nodes
    have that are richest in a mixture is convex in the weight, as the dual of a linear program, so the least is found
    by bisection: a bound on units and memory together.
    """
    rooms = [(room.units / units, room.memory / memory) for room in nodes]
    low, high, weight = 0.0, 1.0, 0.0
    for step in range(_MAX_WEIGHTS):
        weight = (low + high) / 2 if step > 1 else float(step)  # each alone first
        richest = sorted((weight * own + (1 - weight) * kib, own, kib) for own, kib in rooms)[-size:]
        of_units, of_memory = sum(own for _, own, _ in richest), sum(kib for _, _, kib in richest)
        if weight * of_units + (1 - weight) * of_memory < 1 - _ROUNDING:
            return None
        if of_units < of_memory:
            low = max(low, weight)
        else:
            high = min(high, weight)
    return weight


class _Sets:
    """The sets of nodes to choose from, and what each costs; a node is represented by its place in `nodes`."""

    def __init__(
        self,
        nodes: Mapping[int, Capacity],
        size: int,
        units: int,
        memory: int,
        weight: float,
        distance: Callable[[int, int], int],
        fits: Callable[[tuple[int, ...]], bool] | None,
    ) -> None:
        self.nodes = sorted(nodes)
        self.places = range(len(self.nodes))
        self.rooms = [nodes[node] for node in self.nodes]
        self.size, self.units, self.memory, self._fits = size, units, memory, fits
        self.weight = weight
        """Of units in the mixture that is the scarcest."""
        self._distance = distance

    @functools.cached_property
    def distances(self) -> list[list[int]]:
        """From place to place, both ways."""
        there = [[self._distance(one, two) if one != two else 0 for two in self.nodes] for one in self.nodes]
        return [[go + back for go, back in zip(row, column)] for row, column in zip(there, zip(*there))]

    def totals(self, places: Iterable[int]) -> tuple[int, int, int]:
        """Units, memory and devices of these nodes together."""
        rooms = [self.rooms[place] for place in places]
        return (
            sum(room.units for room in rooms),
            sum(room.memory for room in rooms),
            sum(room.devices for room in rooms),
        )

    def cost(self, places: Collection[int]) -> Cost:
        members = list(places)
        distance = sum(sum(map(self.distances[one].__getitem__, members)) for one in members) // 2
        return self.cost_of(*self.totals(members), distance)

    def cost_of(self, units: int, memory: int, devices: int, distance: int) -> Cost:
        return self.lack(units, memory), -devices, distance, -memory

    def lack(self, units: int, memory: int) -> int:
        """What is missing of both, as fractions of what the guest needs, in a common denominator."""
        if units >= self.units and memory >= self.memory:
            return 0
        return max(0, self.units - units) * self.memory + max(0, self.memory - memory) * self.units

    def mixture(self, weight: float, units: int, memory: int) -> float:
        """How much of what the guest needs this is, with units of this weight and memory of the rest."""
        return weight * units / self.units + (1 - weight) * memory / self.memory

    def distances_to(self, places: Collection[int]) -> list[int]:
        """The distance of each node from all of these together."""
        return [sum(map(row.__getitem__, places)) for row in self.distances]

    def fits(self, places: Iterable[int]) -> bool:
        """Whether the caller accepts this set."""
        return self._fits is None or self._fits(tuple(self.nodes[place] for place in sorted(places)))


def _guesses(sets: _Sets) -> Iterator[list[int]]:
    """Sets that may be good: grown from single nodes by adding the nearest, and those with the most room."""
    for start in sets.places[:: -(-len(sets.places) // _MAX_STARTS)]:
        yield _grow(sets, [start])
    yield _grow(sets, [place for place in sets.places if sets.rooms[place].devices])
    for weight in (*_WEIGHTS, sets.weight):
        yield _largest(sets, weight)


def _largest(sets: _Sets, weight: float) -> list[int]:
    """The nodes with the most room, in which units have this weight and memory the rest."""

    def largest_first(place: int) -> tuple[float, int]:
        room = sets.rooms[place]
        return -sets.mixture(weight, room.units, room.memory), place

    return sorted(sets.places, key=largest_first)[: sets.size]


def _grow(sets: _Sets, start: list[int]) -> list[int]:
    """Those of `start` with the most devices, then repeatedly the nearest to all so far."""
    members = sorted(start, key=lambda place: -sets.rooms[place].devices)[: sets.size]
    distances = sets.distances_to(members)
    while len(members) < sets.size:
        for member in members:
            distances[member] = _FAR
        least = min(distances)
        alike = [place for place in sets.places if distances[place] == least]
        members.append(max(alike, key=lambda place: sets.rooms[place].memory))
        distances = [before + more for before, more in zip(distances, sets.distances[members[-1]])]
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
    others = sorted(
        (distances[place], place, room.units, room.memory, room.devices)
        for place, room in enumerate(sets.rooms)
        if place not in members
    )
    distances_of_others = [other[0] for other in others]
    with_devices = [other for other in others if other[-1]]
    best, swap = cost, None
    for outgoing in sorted(members):
        old, row = sets.rooms[outgoing], sets.distances[outgoing]
        near, distance, kept = devices - old.devices, cost[2] - distances[outgoing], memory - old.memory
        some = others
        if not best[0]:  # with no more devices the far ones cannot be better
            some = others[: bisect_right(distances_of_others, best[2] - distance + max(row))]
            some += [other for other in with_devices if near + other[-1] > -best[1]]
        lacks = _lacks(sets, sets.units - units + old.units, sets.memory - kept, some)
        least = min(lacks, default=math.inf)
        if least <= best[0]:
            after, incoming = min(
                ((least, -near - own_devices, distance + far - row[place], -kept - kib), place)
                for (far, place, _, kib, own_devices), lack in zip(some, lacks)
                if lack == least
            )
            if after < best:
                best, swap = after, (outgoing, incoming)
    return None if swap is None else (best, *swap)


def _lacks(
    sets: _Sets, need_units: int, need_memory: int, others: Iterable[tuple[int, int, int, int, int]]
) -> list[int]:
    """What each of the others, with its units and memory, leaves of these needs; see _Sets.lack."""
    # written out, because this is the innermost of all steps
    return [
        (need_units - own if own < need_units else 0) * sets.memory
        + (need_memory - kib if kib < need_memory else 0) * sets.units
        for _, _, own, kib, _ in others
    ]


class _Branch:
    """A partial set, and the totals of its nodes; `distances` are those of each node from all but the last of them."""

    __slots__ = ("devices", "distance", "distances", "memory", "places", "units")

    def __init__(
        self, places: tuple[int, ...], units: int, memory: int, devices: int, distance: int, distances: list[int]
    ) -> None:
        self.places, self.units, self.memory, self.devices = places, units, memory, devices
        self.distance, self.distances = distance, distances

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
        self._mixed = self._max([sets.mixture(sets.weight, room.units, room.memory) for room in sets.rooms])
        pairs = itertools.combinations(sets.places, 2)
        self._closest = min((sets.distances[one][two] for one, two in pairs), default=0)

    def cost(self, branch: _Branch) -> Cost:
        """With the largest nodes that may be added; for a complete set it is the set's own cost."""
        sets, first, missing = self._sets, branch.first, self._sets.size - len(branch.places)
        # those with most units need not be those with most memory
        if sets.mixture(sets.weight, branch.units, branch.memory) + self._mixed[first][missing] < 1 - _ROUNDING:
            return _NO_SET
        return sets.cost_of(
            branch.units + self._units[first][missing],
            branch.memory + self._memory[first][missing],
            branch.devices + self._devices[first][missing],
            branch.distance + self._closest * (missing * (missing - 1) // 2),
        )

    @staticmethod
    def _max(values: Sequence[Value]) -> list[list[Value]]:
        """By place and number of nodes: the most that so many nodes from that place on can have."""
        places = range(len(values) + 1)
        return [list(itertools.accumulate(sorted(values[place:], reverse=True), initial=0)) for place in places]


def _best(sets: _Sets, start: set[int]) -> set[int] | None:
    """The best set that holds the guest, by branch and bound from the one to `start` with; None if there is none."""
    bounds = _Bounds(sets)
    best, best_cost = start, sets.cost(start)
    if best_cost[0] or not sets.fits(start):
        best_cost = _NO_SET
    few = _FEW_STEPS if sets.size > _SMALL_SET and best_cost != _NO_SET else _MAX_STEPS
    steps = 2**EXACT_UP_TO if len(sets.nodes) <= EXACT_UP_TO else few
    root = _Branch((), 0, 0, 0, 0, [0] * len(sets.nodes))
    # a branch is made when its turn comes: of most sets of many nodes it never does
    open_branches = [iter([root])]
    while open_branches and steps:
        branch = next(open_branches[-1], None)
        if branch is None:
            open_branches.pop()
            continue
        steps -= 1
        bound = bounds.cost(branch)
        if bound[0] or bound >= best_cost:
            continue
        if len(branch.places) < sets.size:
            open_branches.append(_branches(sets, branch, bound, best_cost))
        elif sets.fits(branch.places):
            best, best_cost = set(branch.places), bound
    return None if best_cost == _NO_SET else best


def _branches(sets: _Sets, branch: _Branch, bound: Cost, best_cost: Cost) -> Iterator[_Branch]:
    """The branch with each node that may be added; none if all must cost more than the best."""
    first, missing = branch.first, sets.size - len(branch.places)
    distances = branch.distances
    if branch.places:
        distances = [before + more for before, more in zip(distances, sets.distances[branch.places[-1]])]
    nearest_ones = sorted(distances[first:])[:missing]
    if (0.0, bound[1], bound[2] + sum(nearest_ones), bound[3]) >= best_cost:
        return
    for place in range(first, len(sets.nodes) - missing + 1):
        room = sets.rooms[place]
        yield _Branch(
            (*branch.places, place),
            branch.units + room.units,
            branch.memory + room.memory,
            branch.devices + room.devices,
            branch.distance + distances[place],
            distances,
        )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose host nodes: of all sets of a size that hold a guest, the one whose nodes are nearest to each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from .records import record

EXACT_UP_TO = 16
"""Nodes of a host up to which the result is the best there is; beyond, the search ends after so many steps."""

_STEPS = 2**13
_STARTS = 24
_POLISHED = 4

Cost = tuple[float, int, int, int]
"""What a set lacks (0: it holds the guest), devices that are near to it (negative), the sum of the distances, memory
(negative): of two sets the one that is less, in this order, is better."""

_NONE: Cost = (math.inf, 0, 0, 0)


@record
class Capacity:
    """What a node can give: units of vCPUs, KiB of memory, and devices of the guest that are attached to it."""

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

    Of these sets it is the one with most of the guest's devices, then with the smallest total of `distance` between
    its nodes, both ways, then with the most memory; where `fits` is given, only sets of which it says so. Among more
    than EXACT_UP_TO nodes that is searched for with bounded effort.
    """
    if not 0 < size <= len(nodes):
        return None
    if not _may_hold(nodes.values(), size, units, memory):
        return None
    search = _Search(nodes, size, units, memory, distance, fits)
    found = search.best(search.improve(search.guesses()))
    return None if found is None else tuple(search.nodes[place] for place in sorted(found))


def _may_hold(nodes: Collection[Capacity], size: int, units: int, memory: int) -> bool:
    """Whether at least the largest nodes hold the guest."""
    most_units = sorted(room.units for room in nodes)[-size:]
    most_memory = sorted(room.memory for room in nodes)[-size:]
    return sum(most_units) >= units and sum(most_memory) >= memory


class _Search:
    """The nodes are known here by their place in `nodes`."""

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
        self._rooms = [nodes[node] for node in self.nodes]
        self._size, self._units, self._memory, self._fits = size, units, memory, fits
        self._apart = [
            [distance(one, two) + distance(two, one) if one != two else 0 for two in self.nodes] for one in self.nodes
        ]
        self._all = range(len(self.nodes))

    def cost(self, chosen: Iterable[int]) -> Cost:
        places = list(chosen)
        rooms = [self._rooms[place] for place in places]
        apart = sum(self._apart[one][two] for one, two in itertools.combinations(places, 2))
        return self._cost(
            sum(room.units for room in rooms),
            sum(room.memory for room in rooms),
            sum(room.devices for room in rooms),
            apart,
        )

    def _cost(self, units: int, memory: int, devices: int, apart: int) -> Cost:
        lacks = max(0.0, 1 - units / self._units) + max(0.0, 1 - memory / self._memory)
        return lacks, -devices, apart, -memory

    def guesses(self) -> Iterator[list[int]]:
        """Sets that may be good: grown from single nodes by what is nearest, and those with the most room."""
        for start in self._all[:: -(-len(self._all) // _STARTS)]:
            yield self._grown([start])
        yield self._grown([place for place in self._all if self._rooms[place].devices])
        for share in range(9):
            yield self._largest(share / 8)

    def _largest(self, share: float) -> list[int]:
        def largest_first(place: int) -> tuple[float, int]:
            room = self._rooms[place]
            return -(share * room.units / self._units + (1 - share) * room.memory / self._memory), place

        return sorted(self._all, key=largest_first)[: self._size]

    def _grown(self, chosen: list[int]) -> list[int]:
        chosen = sorted(chosen, key=lambda place: -self._rooms[place].devices)[: self._size]
        away = [sum(self._apart[place][other] for other in chosen) for place in self._all]
        while len(chosen) < self._size:
            rest = [place for place in self._all if place not in chosen]
            near = min(rest, key=lambda place: (away[place], -self._rooms[place].memory, place))
            chosen.append(near)
            away = [before + more for before, more in zip(away, self._apart[near])]
        return chosen

    def improve(self, guesses: Iterable[list[int]]) -> set[int]:
        """The best set that swapping one node for another leads to, from the best of the guesses."""
        distinct = {frozenset(guess) for guess in guesses}
        promising = sorted(distinct, key=lambda guess: (self.cost(guess), sorted(guess)))[:_POLISHED]
        return min(map(self._polished, promising), key=self.cost)

    def _polished(self, guess: frozenset[int]) -> set[int]:
        chosen = set(guess)
        best = self.cost(chosen)
        while True:
            before = best
            rooms = [self._rooms[place] for place in chosen]
            units, memory = sum(room.units for room in rooms), sum(room.memory for room in rooms)
            devices = sum(room.devices for room in rooms)
            away = [sum(self._apart[place][other] for other in chosen) for place in self._all]
            swap = None
            for out, into in itertools.product(sorted(chosen), (place for place in self._all if place not in chosen)):
                old, new = self._rooms[out], self._rooms[into]
                after = self._cost(
                    units - old.units + new.units,
                    memory - old.memory + new.memory,
                    devices - old.devices + new.devices,
                    before[2] - away[out] + (away[into] - self._apart[into][out]),
                )
                if after < best:
                    best, swap = after, (out, into)
            if swap is None:
                return chosen
            chosen = (chosen - {swap[0]}) | {swap[1]}

    def best(self, known: set[int]) -> set[int] | None:
        """The best set that holds the guest, by branch and bound from the one that is `known` already."""
        rooms = self._rooms
        # place -> number of nodes -> the most that so many nodes from that place on can have
        most_units = self._most([room.units for room in rooms])
        most_memory = self._most([room.memory for room in rooms])
        most_devices = self._most([room.devices for room in rooms])
        closest = min((self._apart[one][two] for one, two in itertools.combinations(self._all, 2)), default=0)
        best, best_cost = known, self.cost(known)
        if best_cost[0] or not self._may_be(known):
            best_cost = _NONE
        steps = 2**EXACT_UP_TO if len(rooms) <= EXACT_UP_TO else _STEPS
        stack = [_Branch((), 0, 0, 0, 0, [0] * len(rooms))]
        while stack and steps:
            steps -= 1
            chosen, units, memory, devices, apart, away = stack.pop()
            first = chosen[-1] + 1 if chosen else 0
            missing = self._size - len(chosen)
            bound = self._cost(
                units + most_units[first][missing],
                memory + most_memory[first][missing],
                devices + most_devices[first][missing],
                apart + closest * (missing * (missing - 1) // 2),
            )
            if bound[0] or bound >= best_cost:
                continue
            if not missing:
                if self._may_be(chosen):
                    best, best_cost = set(chosen), bound
                continue
            if chosen:
                away = [before + more for before, more in zip(away, self._apart[chosen[-1]])]
            if (0.0, bound[1], bound[2] + sum(sorted(away[first:])[:missing]), bound[3]) >= best_cost:
                continue
            for place in reversed(range(first, len(rooms) - missing + 1)):
                room = rooms[place]
                stack.append(
                    _Branch(
                        (*chosen, place),
                        units + room.units,
                        memory + room.memory,
                        devices + room.devices,
                        apart + away[place],
                        away,
                    )
                )
        return None if best_cost == _NONE else best

    def _may_be(self, chosen: Iterable[int]) -> bool:
        return self._fits is None or self._fits(tuple(self.nodes[place] for place in sorted(chosen)))

    def _most(self, values: list[int]) -> list[list[int]]:
        return [[0, *itertools.accumulate(sorted(values[place:], reverse=True))] for place in range(len(values) + 1)]


class _Branch(NamedTuple):
    """A part of a set, and what its nodes have together."""

    chosen: tuple[int, ...]
    units: int
    memory: int
    devices: int
    apart: int
    away: list[int]
    """The distance of each node from those chosen, without the last of them."""

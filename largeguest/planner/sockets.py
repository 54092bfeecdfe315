# SPDX-License-Identifier: GPL-2.0-or-later
"""Divide guest cores into sockets that the engine takes: as few as it allows, and none cut by the edge of a cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

MAX_SOCKETS = 16
"""The sockets that the engine lets a VM have by default (MaxNumOfVmSockets)."""

MAX_CORES = 254
"""The cores that the engine lets a socket have by default (MaxNumOfCpuPerSocket)."""

Groups = Sequence[Sequence[int]]
"""For each guest socket the nodes that have its cells."""


def counts(cores: int, nodes: int) -> list[int]:
    """The numbers of equal sockets into which so many guest cores can be divided.

    On more nodes than the engine takes sockets a socket has the cells of several; otherwise each cell has whole ones.
    """
    least = nodes if nodes <= MAX_SOCKETS else 1
    return [count for count in range(least, MAX_SOCKETS + 1) if cores % count == 0 and cores // count <= MAX_CORES]


def most_cores(rooms: Collection[int], wanted: int) -> int:
    """The most guest cores up to those `wanted` that nodes with so much room each hold in equal sockets; 0: none."""
    if len(rooms) <= MAX_SOCKETS:
        sizes = range(1, min([*rooms, MAX_CORES, wanted]) + 1)
        found = {size: min(MAX_SOCKETS, wanted // size, sum(room // size for room in rooms)) for size in sizes}
        return max((size * count for size, count in found.items() if count >= len(rooms)), default=0)
    by_place = dict(enumerate(rooms))
    most = 0
    for count in range(1, MAX_SOCKETS + 1):
        groups = balanced(by_place, count)
        size = min(MAX_CORES, wanted // count, *(sum(by_place[place] for place in group) for group in groups))
        if hold(groups, by_place, size):
            most = max(most, size * count)
    return most


def spare_room(rooms: Sequence[int], count: int) -> int:
    """So much more room than the cores is always enough for nodes with so much each to be `balanced`."""
    alike = min(rooms) == max(rooms) and len(rooms) % count == 0
    return 0 if alike else (count - 1) * max(rooms)


def in_order(rooms: Mapping[int, int], count: int) -> Groups:
    """The nodes in so many groups, in their order, of the same size or nearly so."""
    nodes = list(rooms)
    ends = [len(nodes) * number // count for number in range(count + 1)]
    return [nodes[first:end] for first, end in zip(ends, ends[1:])]


def balanced(rooms: Mapping[int, int], count: int) -> Groups:
    """The nodes in so many groups that have nearly the same room: the largest first, each to the group with least."""
    groups: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for node in sorted(rooms, key=lambda node: -rooms[node]):
        least = totals.index(min(totals))
        groups[least].append(node)
        totals[least] += rooms[node]
    return [sorted(group) for group in groups]


def hold(groups: Groups, rooms: Mapping[int, int], cores: int) -> bool:
    """Whether the nodes of each group hold a socket of so many cores, at least one each."""
    return cores <= MAX_CORES and all(len(group) <= cores <= sum(rooms[node] for node in group) for group in groups)

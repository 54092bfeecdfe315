# SPDX-License-Identifier: GPL-2.0-or-later
"""Which CPUs of a node the vCPUs get, and in which order: cores are not shared while some are idle, caches are filled.

Of several orders that do this equally well it is the plainest, and one that does it on all nodes: its text is the
shortest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from ..cpuset import CpuSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Candidate

Cores = Sequence[Sequence[int]]
Order = list[int]


def deal(candidate: Candidate, counts: Mapping[int, int]) -> dict[int, Order]:
    """By node the CPUs that so many vCPUs get, in their order, and then those that more could get."""
    orders = {node: list(_orders(candidate, node, count)) for node, count in counts.items()}
    costs = {node: [_cost(candidate, node, order[: counts[node]]) for order in own] for node, own in orders.items()}
    for kind in range(max(map(len, orders.values()))):
        if all(own[min(kind, len(own) - 1)] == min(own) for own in costs.values()):
            return {node: own[min(kind, len(own) - 1)] for node, own in orders.items()}
    return {node: own[costs[node].index(min(costs[node]))] for node, own in orders.items()}


def _orders(candidate: Candidate, node: int, count: int) -> Iterator[Order]:
    """Orders of the CPUs of a node, the plainest first; they differ only if not all CPUs are needed."""
    cores, threads = candidate.cores[node], candidate.shape.threads
    yield list(itertools.chain.from_iterable(cores))
    if count == len(candidate.cpus[node]):
        return
    groups = candidate.groups(node)
    if threads >= candidate.need.host_threads:
        sizes = [sum(map(len, group)) for group in groups]
        yield list(itertools.chain.from_iterable(in_full_groups(groups, sizes, count)))
        return
    yield by_turns(cores, threads)
    sizes = [sum(min(len(core), threads) for core in group) for group in groups]
    yield by_turns(in_full_groups(groups, sizes, count), threads)


def by_turns(cores: Cores, threads: int) -> Order:
    """So many threads of each core, and then so many more: guest cores share a core only when each core has one."""
    turns = range(0, max(map(len, cores), default=0), threads)
    return [cpu for first in turns for core in cores for cpu in core[first : first + threads]]


def in_full_groups(groups: Sequence[Cores], sizes: Sequence[int], count: int) -> Cores:
    """The cores with as few groups begun as hold so many CPUs: the smallest that holds them, else the largest."""
    left = list(range(len(groups)))
    order: list[Sequence[int]] = []
    while left and count > 0:
        enough = [place for place in left if sizes[place] >= count]
        place = min(enough, key=sizes.__getitem__) if enough else max(left, key=sizes.__getitem__)
        left.remove(place)
        order += groups[place]
        count -= sizes[place]
    return [*order, *itertools.chain.from_iterable(groups[place] for place in left)]


def _cost(candidate: Candidate, node: int, cpus: Order) -> tuple[int, int]:
    """How few cores these CPUs are on, if guest cores share them, and how many groups of cores they begin."""
    own = CpuSet(cpus)
    cores = sum(bool(own & CpuSet(core)) for core in candidate.cores[node])
    is_told = candidate.shape.threads >= candidate.need.host_threads
    begun = sum(any(own & CpuSet(core) for core in group) for group in candidate.groups(node))
    return 0 if is_told else -cores, begun

# SPDX-License-Identifier: GPL-2.0-or-later
"""The mathematics of the checks; their messages are in test_placement."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest.cpuset import CpuSet
from largeguest.placement.capacity import Bound, overfull

NODES = range(4)
sets_of_nodes = st.frozensets(st.sampled_from(NODES), min_size=1).map(CpuSet)
parts = st.lists(st.builds(Bound, st.just("numatune"), sets_of_nodes, st.just(0), st.integers(0, 9)), max_size=6)
rooms = st.fixed_dictionaries({node: st.integers(0, 12) for node in NODES})


def excess(parts: list[Bound], room: dict[int, int], nodes: CpuSet) -> int:
    """By how much the memory bound to these nodes alone exceeds their room."""
    return sum(part.memory for part in parts if not part.nodeset - nodes) - sum(room[node] for node in nodes)


@settings(max_examples=500)
@given(parts, rooms)
def test_memory_fits_unless_some_nodes_are_too_small_for_what_is_bound_to_them(
    parts: list[Bound], room: dict[int, int]
) -> None:
    every = [CpuSet(nodes) for size in range(1, 5) for nodes in combinations(NODES, size)]
    full = overfull(parts, room)
    assert bool(full) == any(excess(parts, room, nodes) > 0 for nodes in every)
    assert not full or excess(parts, room, full) > 0

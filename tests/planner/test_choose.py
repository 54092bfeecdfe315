# SPDX-License-Identifier: GPL-2.0-or-later
"""The chosen nodes against all possible choices."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest.host import sysfs
from largeguest.planner.choose import EXACT_UP_TO, Capacity, least_size, nearest, some
from tests import hosts

Distances = Mapping[tuple[int, int], int]


def total(nodes: tuple[int, ...], distances: Distances) -> int:
    return sum(distances[pair] for pair in itertools.permutations(nodes, 2))


def score(nodes: tuple[int, ...], capacities: Mapping[int, Capacity], distances: Distances) -> tuple[int, int, int]:
    return (
        -sum(capacities[node].devices for node in nodes),
        total(nodes, distances),
        -sum(capacities[node].memory for node in nodes),
    )


def brute_force(
    capacities: Mapping[int, Capacity], size: int, units: int, memory: int, distances: Distances
) -> tuple[int, int, int] | None:
    """The score of the best of all sets; None if none holds the guest."""
    return min(
        (
            score(nodes, capacities, distances)
            for nodes in itertools.combinations(capacities, size)
            if sum(capacities[node].units for node in nodes) >= units
            and sum(capacities[node].memory for node in nodes) >= memory
        ),
        default=None,
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[int, Capacity], int, int, int, dict[tuple[int, int], int]]:
    numbers = draw(st.lists(st.integers(0, 40), min_size=1, max_size=9, unique=True))
    capacities = {
        number: Capacity(draw(st.integers(1, 6)), draw(st.integers(1, 40)), draw(st.integers(0, 2)))
        for number in numbers
    }
    distances = {
        (one, two): 10 if one == two else draw(st.integers(11, 15)) for one, two in itertools.product(numbers, numbers)
    }
    size = draw(st.integers(1, len(numbers)))
    units, memory = draw(st.integers(1, 5 * size)), draw(st.integers(1, 36 * size))
    return capacities, size, units, memory, distances


@settings(max_examples=300)
@given(problems())
def test_the_best_of_all_sets(
    problem: tuple[dict[int, Capacity], int, int, int, dict[tuple[int, int], int]],
) -> None:
    capacities, size, units, memory, distances = problem
    found = nearest(capacities, size, units, memory, lambda one, two: distances[one, two])
    best = brute_force(capacities, size, units, memory, distances)
    if found is None:
        assert best is None
        return
    assert (list(found), len(found)) == (sorted(set(found)), size)
    assert sum(capacities[node].units for node in found) >= units
    assert sum(capacities[node].memory for node in found) >= memory
    assert score(found, capacities, distances) == best


@settings(max_examples=200)
@given(problems())
def test_fewer_nodes_than_the_least_never_hold_the_guest(
    problem: tuple[dict[int, Capacity], int, int, int, dict[tuple[int, int], int]],
) -> None:
    capacities, _, units, memory, distances = problem
    least = least_size(capacities.values(), units, memory)
    assert least <= len(capacities) + 1
    assert all(brute_force(capacities, size, units, memory, distances) is None for size in range(1, least))


@pytest.mark.parametrize("seed", range(20))
def test_some_nodes_hold_the_guest_if_the_nearest_do(seed: int) -> None:
    """Memory and CPUs are not on the same nodes, so each alone would be enough on fewer."""
    chance = random.Random(seed)
    capacities = {node: Capacity(chance.randint(1, 12), chance.randint(1, 60)) for node in range(40)}
    size = chance.randint(2, 30)
    units = sum(sorted(room.units for room in capacities.values())[-size:]) * 9 // 10
    memory = sum(sorted(room.memory for room in capacities.values())[-size:]) * chance.randint(5, 9) // 10
    found = some(capacities, size, units, memory, lambda _one, _two: 20)
    assert (found is None) == (nearest(capacities, size, units, memory, lambda _one, _two: 20) is None)
    if found is not None:
        assert len(set(found)) == size
        assert sum(capacities[node].units for node in found) >= units
        assert sum(capacities[node].memory for node in found) >= memory


@pytest.mark.parametrize("size", range(1, 17))
def test_sixteen_nodes_without_any_order(size: int) -> None:
    chance = random.Random(size)
    capacities = {node: Capacity(chance.randint(2, 8), chance.randint(10, 80)) for node in range(EXACT_UP_TO)}
    distances = {
        (one, two): 10 if one == two else chance.randint(11, 60)
        for one, two in itertools.product(capacities, capacities)
    }
    # tight enough that the nearest nodes alone do not suffice
    units = sum(sorted(capacity.units for capacity in capacities.values())[-size:]) * 9 // 10
    memory = sum(sorted(capacity.memory for capacity in capacities.values())[-size:]) * 7 // 10
    found = nearest(capacities, size, units, memory, lambda one, two: distances[one, two])
    best = brute_force(capacities, size, units, memory, distances)
    assert (None if found is None else score(found, capacities, distances)) == best


def saved_trees() -> list[str]:
    return list(filter(None, os.environ.get("LARGEGUEST_HOST_TREES", "").split(":")))


@pytest.mark.parametrize("tree", ["built", *saved_trees()], ids=lambda path: Path(path).name)
def test_hosts(tree: str) -> None:
    host = hosts.build(sockets=4, nodes_per_socket=3) if tree == "built" else sysfs.from_sys(f"{tree}/sys")
    distances = {(one, two): node.distances[two] for one, node in host.nodes.items() for two in host.nodes}
    capacities = {number: Capacity(len(node.cpus), node.free or 1) for number, node in host.nodes.items()}
    for size in range(1, len(capacities) + 1):
        found = nearest(capacities, size, size, size, lambda one, two: distances[one, two])
        assert found is not None
        assert score(found, capacities, distances) == brute_force(capacities, size, size, size, distances)


def boards(chance: random.Random, noise: int) -> dict[tuple[int, int], int]:
    """64 nodes: 4 in a socket, 4 sockets on a board, 4 boards; a little nearer or farther by chance."""
    distances = {}
    for one, two in itertools.combinations(range(64), 2):
        far = 12 if one // 4 == two // 4 else 22 if one // 16 == two // 16 else 34
        distances[one, two] = distances[two, one] = far + chance.randint(0, noise)
    return distances


@pytest.mark.parametrize("noise", [0, 3, 30])
@pytest.mark.parametrize("seed", range(3))
def test_sixty_four_nodes_against_all_sets_of_three(noise: int, seed: int) -> None:
    chance = random.Random(seed)
    distances = boards(chance, noise)
    capacities = {node: Capacity(chance.randint(1, 8), chance.randint(10, 80)) for node in range(64)}
    found = nearest(capacities, 3, 18, 150, lambda one, two: distances[one, two])
    assert found is not None
    best = brute_force(capacities, 3, 18, 150, distances)
    assert best is not None
    assert total(found, distances) <= 1.05 * best[1]


@pytest.mark.parametrize("seed", range(6))
def test_sixty_four_nodes_of_which_fourteen_have_room(seed: int) -> None:
    """The others have almost nothing to offer, so that all good sets can be tried."""
    chance = random.Random(seed)
    distances = boards(chance, 6)
    roomy = chance.sample(range(64), 14)
    capacities = {node: Capacity(8 if node in roomy else 1, 80 if node in roomy else 1) for node in range(64)}
    found = nearest(capacities, 8, 64, 640, lambda one, two: distances[one, two])
    assert found is not None
    best = brute_force({node: capacities[node] for node in sorted(roomy)}, 8, 64, 640, distances)
    assert best is not None
    assert total(found, distances) <= 1.05 * best[1]


@pytest.mark.parametrize(("size", "units"), [(0, 1), (3, 1), (2, 5)])
def test_impossible_sizes(size: int, units: int) -> None:
    assert nearest({0: Capacity(2, 1), 1: Capacity(2, 1)}, size, units, 1, lambda _one, _two: 20) is None

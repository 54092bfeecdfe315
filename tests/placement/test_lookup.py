# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Node
from largeguest.placement import lookup
from largeguest.properties import cpulist
from largeguest.properties.cpulist import CpuList, Item, Place, Span
from largeguest.record import replace
from tests import hosts
from tests.hosts import FOUR_NODES, GIB

ONE_NODE = hosts.build(sockets=1, nodes_per_socket=1)

CELL = CpuSet([1, 2])

areas = st.one_of(
    st.tuples(st.just("node"), st.integers(0, 3)),
    st.tuples(st.just("socket"), st.integers(0, 1)),
    st.just(("cell", None)),
)
cores = st.tuples(
    st.lists(st.integers(0, 1), min_size=2, max_size=2).map(lambda ends: tuple(sorted(ends))),
    st.none() | st.integers(0, 1),
)
items = st.builds(
    Item,
    st.one_of(
        st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted).map(lambda ends: Span(*ends)),
        st.builds(lambda area, of: Place(*area, *of), areas, st.just(()) | cores),
    ),
    st.booleans(),
)


def cpus_of(place: Place) -> list[int]:
    """On this host the CPUs of a core are consecutive, as are those of a node with two cores and of a socket."""
    numbers = [1, 2] if place.number is None else [place.number]
    size = 8 if place.of == "socket" else 4
    found = []
    for first in (size * number for number in numbers):
        for core in range(size // 2):
            threads = [first + 2 * core, first + 2 * core + 1]
            if place.cores is None or place.cores[0] <= core <= place.cores[1]:
                found += threads if place.thread is None else [threads[place.thread]]
    return found


def read_one_by_one(cpus: CpuList) -> list[int]:
    """The CPUs in order, adding or removing one item at a time."""
    found = list(FOUR_NODES.online) if cpus.all_but else []
    for item in cpus.items:
        what = item.what
        here = list(range(what.first, what.last + 1)) if isinstance(what, Span) else cpus_of(what)
        if item.out:
            found = [cpu for cpu in found if cpu not in here]
        else:
            found += [cpu for cpu in here if cpu not in found]
    return found


@given(st.lists(items, min_size=1, max_size=6).map(lambda some: CpuList(tuple(some))))
def test_a_list_is_read_from_left_to_right(cpus: CpuList) -> None:
    expected = read_one_by_one(cpus)
    found = lookup.look_up(cpus, FOUR_NODES, CELL)
    assert list(found.in_order()) == expected
    assert found.cpus == CpuSet(expected)


def look_up(text: str, host: Host | None = FOUR_NODES, cell: CpuSet = CELL) -> str:
    return str(list(lookup.look_up(cpulist.parse(text), host, cell).in_order()))[1:-1]


APART = hosts.build(cores_per_node=3, siblings_apart=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node1", "3, 15, 4, 16, 5, 17"),
        ("node1.core0", "3, 15"),
        ("node1.core1-2", "4, 16, 5, 17"),
        ("node1.core1-2.thread1", "16, 17"),
        ("socket1.core0", "6, 18"),
        ("socket1.core2-3", "8, 20, 9, 21"),
        ("cell.core2", "5, 17, 8, 20"),
        ("cell.core0.thread0", "3, 6"),
        ("cell,^cell.core0-1", "5, 17, 8, 20"),
        ("node1,^node1.core1", "3, 15, 5, 17"),
        ("node1.core2,node1", "5, 17, 3, 15, 4, 16"),
        ("^node1,^cell.core0-2.thread0,^socket0", "18, 19, 20, 9, 21, 10, 22, 11, 23"),
    ],
)
def test_cores_are_counted_by_their_lowest_cpu(text: str, expected: str) -> None:
    """Node 1 has CPUs 3-5 and 15-17, node 2 has 6-8 and 18-20."""
    assert look_up(text, APART) == expected


def test_the_cores_of_a_socket_are_counted_through_its_dies() -> None:
    """The kernel numbers those of each die from 0."""
    cpus = {number: replace(cpu, die=cpu.core // 2, core=cpu.core % 2 * 7) for number, cpu in FOUR_NODES.cpus.items()}
    assert look_up("socket1.core1-2", replace(FOUR_NODES, cpus=cpus)) == "10, 11, 12, 13"


def offline(*cpus: int) -> Host:
    """FOUR_NODES without these CPUs."""
    left = FOUR_NODES.online - CpuSet(cpus)
    nodes = {number: replace(node, cpus=node.cpus & left) for number, node in FOUR_NODES.nodes.items()}
    online = {
        number: replace(cpu, siblings=cpu.siblings & left) for number, cpu in FOUR_NODES.cpus.items() if number in left
    }
    return Host(nodes, online)


def test_what_is_offline_is_not_counted() -> None:
    assert look_up("node0.core0", offline(0)) == "1"
    assert look_up("node0.core0", offline(0, 1)) == "2, 3"
    assert look_up("node0.core0-1.thread0", offline(0)) == "1, 2"


@pytest.mark.parametrize(
    ("text", "host", "message"),
    [
        ("node4", FOUR_NODES, "node4 is not on this host, which has nodes 0-3"),
        ("node4.core0", FOUR_NODES, "node4 is not on this host, which has nodes 0-3"),
        ("socket2", FOUR_NODES, "socket2 is not on this host, which has sockets 0-1"),
        ("node1", ONE_NODE, "node1 is not on this host, which has node 0"),
        ("socket1", ONE_NODE, "socket1 is not on this host, which has socket 0"),
        ("node0.core2", FOUR_NODES, "node0 has no core 2, it has 2 cores, counted from 0"),
        ("^node0.core1-7", FOUR_NODES, "node0 has no core 2, it has 2 cores, counted from 0"),
        ("socket1.core9", FOUR_NODES, "socket1 has no core 9, it has 4 cores, counted from 0"),
        ("cell.core2", FOUR_NODES, "node1 has no core 2, it has 2 cores, counted from 0"),
        ("node0.core0.thread2", FOUR_NODES, "node0.core0 has no thread 2, it has 2 online threads, counted from 0"),
        ("node0.core0-1.thread1", offline(2), "node0.core1 has no thread 1, it has 1 online thread, counted from 0"),
        ("node0.core1", offline(2, 3), "node0 has no core 1, it has 1 core, counted from 0"),
        ("node0", offline(0, 1, 2, 3), "node0 has no online CPUs"),
        ("node0", None, "node0 must be looked up on a host, but none is given"),
        ("cell", None, "cell must be looked up on a host, but none is given"),
        ("cell.core0", None, "cell.core0 must be looked up on a host, but none is given"),
    ],
)
def test_what_is_not_there(text: str, host: Host | None, message: str) -> None:
    with pytest.raises(lookup.NotThereError) as caught:
        look_up(text, host)
    assert str(caught.value) == message


def test_a_cell_needs_nodes_of_this_host() -> None:
    with pytest.raises(lookup.NotThereError, match="cell is on node 7, which is not on this host"):
        look_up("cell", cell=CpuSet([0, 7]))


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ({0: 40, 1: 40, 2: 40, 3: 20}, "12, 13, 14, 15"),
        ({0: 40, 1: 20, 2: 40, 3: 20}, "4, 5, 6, 7"),
        ({0: 10, 1: 20, 2: 40, 3: 20}, "4, 5, 6, 7"),
        ({}, "4, 5, 6, 7"),
    ],
)
def test_a_node_without_cpus_stands_for_the_nearest_that_has_some(distances: dict[int, int], expected: str) -> None:
    """Node 0 has none either."""
    memory_only = Node(CpuSet(), GIB, GIB, {}, distances)
    host = offline(0, 1, 2, 3)
    host = Host({**host.nodes, 4: memory_only}, host.cpus)
    assert look_up("cell", host, CpuSet([4])) == expected
    near = expected.split(",")[0]
    assert look_up("cell.core0.thread0", host, CpuSet([4])) == near
    assert look_up("cell", host, CpuSet([4, int(near) // 4])) == expected
    nowhere = Host({4: memory_only}, host.cpus)
    with pytest.raises(lookup.NotThereError, match="node4 has no online CPUs, nor has any other node"):
        look_up("cell", nowhere, CpuSet([4]))


def test_siblings_are_read_as_far_as_cpus_are_taken() -> None:
    read: list[int] = []

    def siblings(cpu: int) -> CpuSet:
        read.append(cpu)
        return FOUR_NODES.cpus[cpu].siblings

    host = replace(FOUR_NODES, siblings=siblings)
    assert list(itertools.islice(lookup.look_up(cpulist.parse("node1,node2"), host).in_order(), 3)) == [4, 5, 6]
    assert read == [4, 6]
    read.clear()
    assert lookup.look_up(cpulist.parse("node1.core0"), host).cpus == CpuSet([4, 5])
    assert read == [4]

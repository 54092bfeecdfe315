# SPDX-License-Identifier: GPL-2.0-or-later
"""The figure for how near vCPUs are to their memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largeguest import cpuset, properties
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host
from largeguest.placement import figure
from largeguest.placement.place import place
from largeguest.record import replace
from largeguest.values import Guest
from tests.any_host import any_hosts
from tests.hosts import FOUR_NODES, GIB, HIGH

CXL = replace(HIGH, nodes={n: replace(node, distances={**node.distances, 4: 14}) for n, node in HIGH.nodes.items()})
"""Its node 4 has no CPUs."""

BROKEN = replace(FOUR_NODES, nodes={n: replace(node, distances={n: 20}) for n, node in FOUR_NODES.nodes.items()})
"""Its firmware has no distances between nodes, and a strange one within."""


@pytest.mark.parametrize(
    ("vcpus", "host", "expected"),
    [
        ([("0", {0: 1})], FOUR_NODES, 1),
        ([("0-3", {0: 7 * GIB})], FOUR_NODES, 1),
        ([("0", {1: 1})], FOUR_NODES, 10 / 12),
        ([("0", {3: 1})], FOUR_NODES, 10 / 21),
        # half of the CPUs, and half of the vCPUs
        ([("0,4", {0: 1})], FOUR_NODES, (1 + 10 / 12) / 2),
        ([("0", {0: 1}), ("8", {0: 1})], FOUR_NODES, (1 + 10 / 21) / 2),
        # by bytes
        ([("0", {0: 3, 2: 1})], FOUR_NODES, (3 + 10 / 21) / 4),
        ([("0-15", {0: 1})], FOUR_NODES, (1 + 10 / 12 + 2 * 10 / 21) / 4),
        # memory without CPUs is never local
        ([("4-7", {4: 1})], CXL, 10 / 14),
        ([("0", {0: 1}), ("0", {1: 1})], BROKEN, (1 + 10 / 255) / 2),
        # not known
        ([], FOUR_NODES, None),
        ([("0", {})], FOUR_NODES, None),
        ([("0", {0: 0})], FOUR_NODES, None),
        ([("0", {0: 1}), ("0", {})], FOUR_NODES, None),
        ([("99", {0: 1})], FOUR_NODES, None),
    ],
)
def test_figure(vcpus: list[tuple[str, dict[int, int]]], host: Host, expected: float | None) -> None:
    measured = [(cpuset.parse(cpus), memory) for cpus, memory in vcpus]
    found = figure.mean(measured, host)
    assert found == (None if expected is None else pytest.approx(expected))


@given(any_hosts(), st.data())
def test_it_is_the_mean_of_all_pairs_of_cpu_and_byte(host: Host, data: st.DataObject) -> None:
    cpus, nodes = st.sampled_from(sorted(host.online)), st.sampled_from(sorted(host.nodes))
    vcpu = st.tuples(
        st.sets(cpus, min_size=1, max_size=6).map(CpuSet),
        st.dictionaries(nodes, st.integers(1, 3), min_size=1, max_size=3),
    )
    vcpus = data.draw(st.lists(vcpu, min_size=1, max_size=4))
    near = []
    for own, memory in vcpus:
        pairs = [
            1 if node == other else 10 / max(10, host.nodes[node].distances.get(other, 255))
            for cpu in own
            for node in host.nodes_with(CpuSet([cpu]))
            for other, size in memory.items()
            for _ in range(size)
        ]
        near.append(sum(pairs) / len(pairs))
    assert figure.mean(vcpus, host) == pytest.approx(sum(near) / len(near))


GUEST = Guest(max_vcpus=8, memory=2 * GIB, plugged=CpuSet.span(0, 3))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"cputune": "all#=cell", "guestnuma": "0-1#*@0,2-3#*@1,4-7#*@2"}, "1.00"),
        # a cell on two nodes: spread evenly
        ({"cputune": "all#=cell", "guestnuma": "0-7#*@0+1"}, "0.91"),
        ({"cputune": "0-3#=node1", "guestnuma": "0-7#*@0"}, "0.83"),
        ({"numatune": "strict#0"}, "0.69"),
        ({"cputune": "0-3#=node0", "numatune": "preferred#0"}, "1.00"),
        # not bound to nodes
        ({"cputune": "0-3#=node0"}, "?"),
        ({"cputune": "0-3#=node0", "numatune": "auto"}, "?"),
        ({"cputune": "0-3#=node0", "guestnuma": "0-1#*@0,2-7#*"}, "?"),
    ],
)
def test_figure_of_a_layout_on_paper(values: dict[str, str], expected: str) -> None:
    whole = place(properties.parse(values)[0], GUEST, FOUR_NODES).completed(GUEST)
    assert figure.text(figure.of_layout(whole, GUEST, FOUR_NODES)) == expected


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.00"), (0.99999, "0.99"), (0.835, "0.83"), (0.29, "0.29"), (None, "?")]
)
def test_what_is_less_than_all_is_never_shown_as_all(value: float | None, text: str) -> None:
    assert figure.text(value) == text

# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans on other numbers of nodes, and on nodes that are named."""

from __future__ import annotations

import pytest

from largeguest.planner import Request, plan
from largeguest.planner.alternatives import MAX_SHOWN, Alternative, alternatives
from largeguest.problem import Refused
from largeguest.properties import cpulist
from largeguest.values import Guest
from tests import hosts
from tests.hosts import FOUR_NODES, GIB, HIGH


def request_for(vcpus: int, **more: object) -> Request:
    return Request(Guest(max_vcpus=vcpus, memory=GIB), **{"reserve_memory": 0, **more})  # type: ignore[arg-type]


def test_each_number_of_nodes_has_its_best_plan() -> None:
    assert alternatives(request_for(8), FOUR_NODES, 2) == (
        Alternative(2, 2, (4, 4), 2, 2, 12.0, 3 * GIB),
        Alternative(3, 3, (2, 4), 4, 2, 18.0, 5 * GIB),
        Alternative(4, 4, (2, 2), 4, 2, 18.0, 7 * GIB),
    )


def test_interleaved_memory_has_one_cell() -> None:
    found = alternatives(request_for(8, mode="interleave"), FOUR_NODES, 2)
    assert {other.cells for other in found} == {1}


def test_there_are_few_of_a_large_host_and_the_chosen_is_one() -> None:
    host = hosts.build(sockets=8, nodes_per_socket=8, cores_per_node=4)
    found = alternatives(request_for(256), host, 32)
    assert 1 < len(found) <= MAX_SHOWN
    assert 32 in {other.nodes for other in found}


@pytest.mark.parametrize(
    ("named", "nodes"),
    [("node2,node3", (2,)), ("node3", (3,)), ("socket1", (2,)), ("^node0", (1,))],
)
def test_a_plan_on_named_nodes(named: str, nodes: tuple[int, ...]) -> None:
    assert plan(request_for(4, on=cpulist.parse(named)), FOUR_NODES).nodes == nodes


@pytest.mark.parametrize(
    ("vcpus", "named", "message"),
    [
        (
            8,
            "node3",
            "8 vCPUs and 1 GiB do not fit: the host has 1 node that --on names with 4 CPUs and 2 GiB of free memory: "
            "it fits without --on",
        ),
        (
            4,
            "node0.core1",
            "--on node0.core1 does not name whole nodes: write for example node2,node3, a number is a CPU",
        ),
        (4, "2-3", "--on 2-3 does not name whole nodes: write for example node2,node3, a number is a CPU"),
        (4, "node9", "--on node9: node9 is not on this host, which has nodes 0-4: name CPUs that exist"),
        (4, "node4", "--on node4: node4 has no online CPUs: name CPUs that exist"),
    ],
)
def test_no_plan_on_named_nodes(vcpus: int, named: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(request_for(vcpus, on=cpulist.parse(named)), HIGH)
    assert str(caught.value) == f"largeguest: plan: {message}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of a host and of a guest on it."""

from __future__ import annotations

import re

import pytest

from largeguest import cpuset
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Pages
from largeguest.planner import Request, plan
from largeguest.planner.alternatives import alternatives
from largeguest.problem import Refused
from largeguest.record import replace
from largeguest.values import Guest, HugePage, Neighbour, Promise
from largeguest.view import scene, table
from largeguest.view.columns import brief, fit
from largeguest.view.layout import Layout, lay_out

from .. import hosts
from ..any_host import renumber
from ..hosts import FOUR_NODES, GIB, HIGH
from .layouts import LARGE, by_hand, by_plan


def test_a_table_of_a_plan() -> None:
    assert (
        table.layout_table(by_plan(FOUR_NODES, 8, 2 * GIB))
        == """\
node  free   socket  cores  CPUs   cell  vCPUs  also here
0     2 GiB  0       0      0-1    0     0-1    emulator
             0       1      2-3    0     2-3    emulator
1     2 GiB  0       0      4-5    1     4-5    emulator
             0       1      6-7    1     6-7    emulator
2     2 GiB  1       0      8-9    -     -
             1       1      10-11  -     -
3     2 GiB  1       0      12-13  -     -
             1       1      14-15  -     -

cell  vCPUs  memory  on nodes  vCPUs there
0     0-3    1 GiB   0         4 of 4
1     4-7    1 GiB   1         4 of 4

distance   0   1
0         10  12
1         12  10"""
    )


def test_a_table_of_pins_typed_by_hand() -> None:
    layout = by_hand(
        FOUR_NODES,
        Guest(max_vcpus=6, memory=GIB),
        cputune="0-3#0-3,4#8,emulator#^0-14",
        guestnuma="0-1#*,2-5#*@2",
    )
    assert (
        table.layout_table(layout)
        == """\
node  free   socket  cores  CPUs   cell  vCPUs             also here
0     2 GiB  0       0      0-1    0-1   0-3 floating far
             0       1      2-3    0-1   0-3 floating far
1     2 GiB  0       0      4-5    -     -
             0       1      6-7    -     -
2     2 GiB  1       0      8-9    1     4
             1       1      10-11  -     -
3     2 GiB  1       0      12-13  -     -
             1       1      14-15  -     -                 emulator

vCPUs not pinned: 5

cell  vCPUs  memory   on nodes  vCPUs there
0     0-1    512 MiB  any       -
1     2-5    512 MiB  2         1 of 4"""
    )


def test_of_a_guest_in_huge_pages_the_free_pages_are_shown() -> None:
    nodes = {n: replace(node, pages={2048: Pages(9, n)}) for n, node in FOUR_NODES.nodes.items()}
    guest = Guest(max_vcpus=8, memory=GIB, pages=(HugePage(2048, None),))
    layout = by_hand(replace(FOUR_NODES, nodes=nodes), guest, cputune="0-7#0-7")
    lines = table.layout_table(layout).splitlines()
    assert lines[0].startswith("node  free 2M pages  ")
    assert [line.split()[:2] for line in lines[1:9:2]] == [[str(n), str(n)] for n in range(4)]
    heads = {item.text for item in scene.of(layout).items if isinstance(item, scene.Text)}
    assert "3 free of 9 pages of 2 MiB" in heads


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"cputune": "0-7#=0-7", "numatune": "strict#0-1"}, "memory on nodes 0-1, 8 of 8 vCPUs there"),
        ({"cputune": "0-7#=0-7", "numatune": "strict#0"}, "memory on node 0, 4 of 8 vCPUs there"),
        ({"cputune": "0-7#=4-11", "numatune": "strict#4"}, "memory on node 4, 4 of 8 vCPUs there"),  # node 1 is nearest
        ({"cputune": "0-7#=0-7"}, "memory on any node: it is not bound"),
        ({"numatune": "auto"}, "memory on the nodes that numad advises"),
    ],
)
def test_without_cells_a_line_says_where_the_memory_is(values: dict[str, str], line: str) -> None:
    assert table.layout_table(by_hand(HIGH, Guest(max_vcpus=8, memory=GIB), **values)).splitlines()[-1] == line


@pytest.mark.parametrize(
    ("numatune", "lines"),
    [
        ("strict#0-1", ["0     0-1    512 MiB  0-1       2 of 2", "1     2-3    512 MiB  0-1       0 of 2"]),
        ("auto", ["0     0-1    512 MiB  by numad", "1     2-3    512 MiB  by numad"]),
    ],
)
def test_cells_without_nodes_have_those_of_the_policy(numatune: str, lines: list[str]) -> None:
    values = {"cputune": "0-1#=node1,2-3#=node2", "guestnuma": "0-1#*,2-3#*", "numatune": numatune}
    layout = by_hand(FOUR_NODES, Guest(max_vcpus=4, memory=GIB), **values)
    assert table.layout_table(layout).splitlines()[-2:] == lines


def test_far_cpus_are_marked_and_near_ones_are_not() -> None:
    layout = by_hand(
        HIGH, Guest(max_vcpus=6, memory=GIB), cputune="0-1#0-5,2#=6,3#=7,4-5#=8-9", guestnuma="0-1#*@0,2-5#*@4"
    )
    assert rows_with_cells(layout) == [
        ("0-1", "0-1 floating"),
        ("2-3", "0-1 floating"),
        ("4-5", "0-1 floating far"),
        ("6-7", "2-3"),
        ("8-9", "4-5 far"),
    ]


def test_a_folded_line_is_far_as_its_cores_are() -> None:
    guest = Guest(max_vcpus=32, memory=GIB)
    assert rows_with_cells(by_hand(LARGE, guest, cputune="0-31#=8-39", guestnuma="0-31#*@0")) == [
        ("8-15,1032-1039", "0-7"),
        ("16-31,1040-1055", "8-23 far"),
        ("32-39,1056-1063", "24-31 far"),
    ]


def rows_with_cells(layout: Layout) -> list[tuple[str, str]]:
    """CPUs and vCPUs of the rows of cores with a cell."""
    return re.findall(r"(?m)  (\d+-\S+) +\d  +(\d\S*(?: \w+)*)$", table.layout_table(layout))


def test_a_large_host_is_folded() -> None:
    lines = table.layout_table(by_plan(LARGE, 1024, 1024 * GIB)).splitlines()
    assert lines[:3] == [
        "node   free    socket  cores  CPUs                cell  vCPUs     also here",
        "0      64 GiB  0       0-15   0-15,1024-1039      0     0-31      emulator",
        "1      64 GiB  0       0-15   16-31,1040-1055     1     32-63     emulator",
    ]
    assert lines[33].startswith("32-63  64 GiB  4       0-15   512-639,1536-1663   -     -")
    assert len(lines) < 80
    assert max(map(len, lines[:38])) < 90


def test_colour_marks_the_cells_and_no_more() -> None:
    plain = table.layout_table(by_plan(FOUR_NODES, 8, GIB))
    coloured = table.layout_table(by_plan(FOUR_NODES, 8, GIB), colour=True)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain
    colours = [re.findall("38;5;([0-9]+)", line) for line in coloured.splitlines() if " emulator" in line]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert not any("\x1b" in line for line in coloured.splitlines() if " - " in line)


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ("", ""),
        ("3", "3"),
        ("0-7", "0-7"),
        ("0,4", "0,4"),
        ("0,4,8", "0-8/4"),
        ("0,4,8,12-15", "0-8/4,12-15"),
        ("1,3,5,9,11,13", "1-5/2,9-13/2"),
        ("0,2,4,6,9,12,15", "0-6/2,9-15/3"),
        ("0-1,4-5,8-9", "0-1,4-5,8-9"),
        (",".join(map(str, range(2, 160, 8))), "2-154/8"),
    ],
)
def test_ids_that_are_evenly_apart_are_a_stride(ids: str, text: str) -> None:
    assert brief(cpuset.parse(ids) if ids else CpuSet()) == text


def test_empty_columns_are_left_out_and_long_lists_go_on_in_the_next_line() -> None:
    ids = ",".join(map(str, range(0, 99, 3)))
    lines = fit([["node", "nothing", "CPUs", "a head of words"], ["0", "-", ids, "x"], ["1", "", "7", "yy"]])
    assert "\n".join(lines) == (
        "node  CPUs                                                       a head of words\n"
        "0     0,3,6,9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57,   x\n"
        "      60,63,66,69,72,75,78,81,84,87,90,93,96\n"
        "1     7                                                          yy"
    )


def interleaved(nodes: int, cores: int, threads: int) -> Host:
    """As many hosts number their CPUs: node by node in turn, the threads of a core apart."""
    built = hosts.build(nodes, 1, cores, threads, 512 * GIB)
    of_node = [list(built.nodes[node].cpus) for node in built.nodes]
    order = {cpu: place * nodes + node for node, own in enumerate(of_node) for place, cpu in enumerate(own)}
    return renumber(built, [order[cpu] for cpu in built.cpus])


UP_TO_EIGHT_NODES = {
    "four nodes": FOUR_NODES,
    "memory alone": HIGH,
    "large": hosts.build(2, 2, 16, 2, 512 * GIB, siblings_apart=True),
    "eight nodes": hosts.build(2, 4, 14, 2, 768 * GIB, siblings_apart=True),
    "SMT 8": hosts.build(2, 1, 24, 8, 2048 * GIB),
    "sub-NUMA clusters": hosts.build(4, 2, 10, 2, 384 * GIB, siblings_apart=True, cores_per_l3=10),
    "numbered in turn": interleaved(8, 20, 2),
    "huge pages": replace(
        (eight := hosts.build(4, 2, 14, 2, 768 * GIB, siblings_apart=True)),
        nodes={
            n: replace(node, pages={2048: Pages(1000, 999), GIB: Pages(600, 599)}) for n, node in eight.nodes.items()
        },
    ),
    "other VMs": replace(
        hosts.build(4, 2, 8, 2, 64 * GIB),
        neighbours=(
            Neighbour("a-database-with-a-name", cpuset.parse("0-7,16-23,33,35,37,39,41,45"), False, ()),
            Neighbour("x", cpuset.parse("64-79"), True, (Promise(CpuSet([4, 5]), 0, 3 * GIB),)),
        ),
    ),
}


@pytest.mark.parametrize("name", UP_TO_EIGHT_NODES)
def test_tables_of_hosts_up_to_eight_nodes_fit_a_terminal(name: str) -> None:
    host = UP_TO_EIGHT_NODES[name]
    lines = table.host_table(host).splitlines()
    most = len(host.online - CpuSet.union(other.cpus for other in host.neighbours))
    for vcpus in (1, most // 3, most // 2 // 16 * 16 or 1, most):
        request = Request(Guest(max_vcpus=vcpus, memory=GIB))
        try:
            found = plan(request, host)
        except Refused:
            continue
        layout = lay_out(host, found.placement, request.guest)
        lines += table.layout_table(layout).splitlines()
        lines += "\n".join(table.alternatives(found, alternatives(request, host, len(found.nodes)))).splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= 80


def test_heads_of_distances_are_above_them() -> None:
    _, *rows = table.host_table(FOUR_NODES).partition("\ndistance")[2].partition("\n\n")[0].splitlines()
    heads = table.host_table(FOUR_NODES).partition("\ndistance")[2].splitlines()[0]
    ends = [match.end() for match in re.finditer(r"\d+", "distance" + heads)]
    assert all([match.end() for match in re.finditer(r"\d+", row)][1:] == ends for row in rows)

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest

from largeguest import properties, record
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Node, Pages
from largeguest.placement import locality, place
from largeguest.problem import Refused
from largeguest.properties import Properties
from largeguest.properties.cputune import Cputune
from largeguest.values import Cell, Guest, HugePage, MemoryDevice, Pins, Policy, Topology
from tests import hosts
from tests.hosts import FOUR_NODES, GIB

GUEST = Guest(max_vcpus=4, memory=4096)


@pytest.fixture(scope="module", autouse=True)
def _no_locality() -> Iterator[None]:
    """Whether a valid layout is also a good one is tested in test_locality."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locality, "check", lambda *_: ())
        yield


def parse(**values: str) -> Properties:
    parsed, problems = properties.parse(values)
    assert problems == ()
    return parsed


@pytest.mark.parametrize(
    ("values", "done"),
    [
        ({}, "nothing requested"),
        ({"cputune": "0#0"}, "cputune: 1 vCPU pinned"),
        ({"cputune": "0#0,3#0"}, "cputune: 2 vCPUs pinned"),
        ({"numatune": "strict#0"}, "numatune: memory strict on host node 0"),
        ({"numatune": "preferred#7"}, "numatune: memory preferred on host node 7"),
        ({"numatune": "interleave#0,2"}, "numatune: memory interleave on host nodes 0,2"),
        ({"guestnuma": "0-3#4096"}, "guestnuma: 1 cell, 4 vCPUs, 4 MiB"),
        ({"guestnuma": "0,2#1024,1,3#3072"}, "guestnuma: 2 cells, 4 vCPUs, 4 MiB"),
        (
            {"guestnuma": "0-3#4096", "cputune": "0#0", "numatune": "strict#0"},
            "cputune: 1 vCPU pinned; numatune: memory strict on host node 0; guestnuma: 1 cell, 4 vCPUs, 4 MiB",
        ),
    ],
)
def test_the_text_of_a_placement(values: dict[str, str], done: str) -> None:
    assert str(place.place(parse(**values), GUEST, None)) == done


def test_what_is_not_requested_is_none() -> None:
    placement = place.place(parse(cputune="3#1,0#0-1"), GUEST, None)
    assert (placement.pins, placement.policy, placement.cells) == (
        Pins({3: CpuSet([1]), 0: CpuSet([0, 1])}),
        None,
        None,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cputune": "4#0"}, "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: remove its pin"),
        ({"cputune": "0#0,9#1,4#0"}, "cputune: vCPUs 4,9 do not exist, the VM has vCPUs 0-3: remove their pins"),
        ({"cputune": "0#0,0#0"}, "cputune: vCPU 0 is pinned more than once: write one pin for each vCPU"),
        ({"cputune": "0#0,1#0,1#1,0#2"}, "cputune: vCPUs 0-1 are pinned more than once: write one pin for each vCPU"),
        (
            {"numatune": "preferred#0-1"},
            "numatune: preferred names nodes 0-1, but older QEMU (7.2) silently uses only the first: name one node, or write interleave#",
        ),
        (
            {"guestnuma": "0-4#4096"},
            "guestnuma: vCPU 4 does not exist, the VM has vCPUs 0-3: name no vCPU above 3",
        ),
        ({"guestnuma": "0-2#2048,2-3#2048"}, "guestnuma: vCPU 2 is in more than one cell: name each vCPU once"),
        ({"guestnuma": "0-3#2048,0-3#2048"}, "guestnuma: vCPUs 0-3 are in more than one cell: name each vCPU once"),
        (
            {"guestnuma": "0-1#*@0,1,2-3#*@2"},
            "guestnuma: vCPU 1 is in more than one cell: name each vCPU once, or join several nodes after @ with +",
        ),
        ({"guestnuma": "0-1#*,1-2#*@0,3#*@1"}, "guestnuma: vCPU 1 is in more than one cell: name each vCPU once"),
        ({"guestnuma": "0,3#4096"}, "guestnuma: vCPUs 1-2 are in no cell: name all of 0-3"),
        (
            {"guestnuma": "0-1#0,2-3#4096"},
            "guestnuma: cell 0 has 0 KiB: write at least 1M",
        ),
        (
            {"guestnuma": "0-1#3073,2-3#1023"},
            "guestnuma: cell 0 has 3073 KiB, which is not a multiple of 1 MiB: write 3M or 4M; largeguest: "
            "guestnuma: cell 1 has 1023 KiB, which is not a multiple of 1 MiB: write at least 1M",
        ),
        (
            {"guestnuma": "0#1,1#1,2#2,3#4092"},
            "guestnuma: cells 0-1 have 1 KiB, which is not a multiple of 1 MiB: write at least 1M; largeguest: "
            "guestnuma: cell 2 has 2 KiB, which is not a multiple of 1 MiB: write at least 1M; largeguest: "
            "guestnuma: cell 3 has 4092 KiB, which is not a multiple of 1 MiB: write 3M or 4M",
        ),
        (
            {"guestnuma": "0-3#5120"},
            "guestnuma: the cells have 5 MiB, but the VM has 4 MiB: remove 1 MiB from a cell, or write * for one cell's memory",
        ),
        (
            {"guestnuma": "0-3#3072"},
            "guestnuma: the cells have 3 MiB, but the VM has 4 MiB: add 1 MiB to a cell, or write * for one cell's memory",
        ),
        (
            {"cputune": "4#0", "numatune": "preferred#0,2", "guestnuma": "1,3#4096"},
            "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: remove its pin; largeguest: "
            "guestnuma: vCPUs 0,2 are in no cell: name all of 0-3; largeguest: "
            "numatune: preferred names nodes 0,2, but older QEMU (7.2) silently uses only the first: name one node, or write interleave#",
        ),
    ],
)
def test_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(Refused) as caught:
        place.place(parse(**values), GUEST, None)
    assert str(caught.value) == f"largeguest: {message}"


EIGHT = Guest(max_vcpus=8, memory=8 * GIB, iothreads=CpuSet([1, 2]))
ROOMY = record.replace(EIGHT, memory=GIB)

# Host: node 0 has CPUs 0-3, node 1 has 4-7 (socket 0), node 2 has 8-11, node 3 has 12-15 (socket 1); two threads a core.
# value, threads and their CPUs
RESOLVED = [
    ("0-3#0-7", "0:0-7 1:0-7 2:0-7 3:0-7"),
    ("0-1#=8,0", "0:8 1:0"),
    ("0-3#=3,2,1,0", "0:3 1:2 2:1 3:0"),
    ("0-3#=0-7,^2", "0:0 1:1 2:3 3:4"),
    ("0-3#=node0,4-7#=node1", "0:0 1:1 2:2 3:3 4:4 5:5 6:6 7:7"),
    ("0-1#=node0,2-3#=node0", "0:0 1:1 2:2 3:3"),
    ("0#=0,1#=0-1,2#=node0", "0:0 1:1 2:2"),
    ("0-5#=node0,node1,^0,^4", "0:1 1:2 2:3 3:5 4:6 5:7"),
    ("0-7#node0,emulator#0,8", "0:0-3 1:0-3 2:0-3 3:0-3 4:0-3 5:0-3 6:0-3 7:0-3 emulator:0,8"),
    ("0#socket1", "0:8-15"),
    ("0-1#=socket0.core3", "0:6 1:7"),
    ("0#socket1,^socket1.core0", "0:10-15"),
    ("0#^3", "0:0-2,4-15"),
    ("0#^node0,^node1", "0:8-15"),
    ("0#^3,1-4", "0:1-4"),
    ("0#0,node3,^12", "0:0,13-15"),
    ("emulator#=node2,iothread1#=node2,iothread2#node3", "iothread1:9 iothread2:12-15 emulator:8"),
    ("0#=node1,1#node1", "0:4 1:4-7"),
    ("0#node2.core1,1#=socket1.core1-2.thread1,2#=node2", "0:10-11 1:11 2:8"),
    ("all#=node0,node2", "0:0 1:1 2:2 3:3 4:8 5:9 6:10 7:11"),
    ("all#=node0,node2,^node0.core0,8,0,1,emulator#^node0", "0:2 1:3 2:8 3:9 4:10 5:11 6:0 7:1 emulator:4-15"),
    ("all#node3.core0", " ".join(f"{vcpu}:12-13" for vcpu in range(8))),
]


def who_is_where(pins: Pins | None) -> str:
    assert pins is not None
    words = [f"{vcpu}:{cpus}" for vcpu, cpus in pins.vcpus.items()]
    words += [f"iothread{number}:{cpus}" for number, cpus in pins.iothreads.items()]
    return " ".join([*words, *([f"emulator:{pins.emulator}"] if pins.emulator else [])])


@pytest.mark.parametrize(("cputune", "expected"), RESOLVED)
def test_places_are_looked_up_on_the_host(cputune: str, expected: str) -> None:
    assert who_is_where(place.place(parse(cputune=cputune), EIGHT, FOUR_NODES).pins) == expected


TWO_CELLS = "0-3#*@1,4-7#*@3"
ENGINES = record.replace(
    ROOMY,
    cells=(Cell(CpuSet(range(4)), GIB // 2, CpuSet([2])), Cell(CpuSet(range(4, 8)), GIB // 2, CpuSet([0]))),
    policy=Policy("strict", CpuSet([0, 2])),
)
"""Its vNUMA is pinned in the engine."""


@pytest.mark.parametrize(
    ("cputune", "others", "guest", "expected"),
    [
        # the nodes after @
        ("all#=cell", {"guestnuma": TWO_CELLS}, ROOMY, "0:4 1:5 2:6 3:7 4:12 5:13 6:14 7:15"),
        ("4-5#=cell,0#=cell", {"guestnuma": TWO_CELLS}, ROOMY, "4:12 5:13 0:4"),
        ("0#cell,7#cell", {"guestnuma": TWO_CELLS}, ROOMY, "0:4-7 7:12-15"),
        ("0#cell.core1,4-5#=cell.core0-1.thread1", {"guestnuma": TWO_CELLS}, ROOMY, "0:6-7 4:13 5:15"),
        ("3-4#=cell,^cell.core0,0", {"guestnuma": TWO_CELLS}, ROOMY, "3:6 4:14"),
        ("0#^cell", {"guestnuma": TWO_CELLS}, ROOMY, "0:0-3,8-15"),
        ("all#=cell", {"guestnuma": "0-1,6-7#*@3,2-5#*@0"}, ROOMY, "0:12 1:13 2:0 3:1 4:2 5:3 6:14 7:15"),
        # a cell on several nodes, and two cells on one
        ("0-4#=cell", {"guestnuma": "0-5#*@0+3,6-7#*@1"}, ROOMY, "0:0 1:1 2:2 3:3 4:12"),
        ("1-4#=cell", {"guestnuma": "0-2#*@2,3-7#*@2"}, ROOMY, "1:8 2:9 3:10 4:11"),
        ("1-4#=cell", {"guestnuma": "0-2#*@2,3-7#*@2+0"}, ROOMY, "1:8 2:9 3:0 4:1"),
        # all cells
        (
            "emulator#cell,iothread1#=cell,iothread2#cell.core0.thread0",
            {"guestnuma": TWO_CELLS},
            ROOMY,
            "iothread1:4 iothread2:4,12 emulator:4-7,12-15",
        ),
        # the policy of all the guest
        ("0-4#=cell,5#cell", {"numatune": "2-3"}, ROOMY, "0:8 1:9 2:10 3:11 4:12 5:8-15"),
        ("0-1#cell", {"numatune": "interleave#^0-1"}, ROOMY, "0:8-15 1:8-15"),
        ("3-4#cell", {"guestnuma": "0-3#*@1,4-7#*", "numatune": "1-2"}, ROOMY, "3:4-7 4:4-11"),
        # the engine's
        ("3-4#cell", {}, ENGINES, "3:8-11 4:0-3"),
        ("3-4#=cell,emulator#cell", {}, ENGINES, "3:8 4:0 emulator:0-3,8-11"),
        ("3-4#cell", {}, record.replace(ENGINES, cells=()), "3:0-3,8-11 4:0-3,8-11"),
        ("3-4#cell", {}, record.replace(ENGINES, cells=ENGINES.cells[:1]), "3:8-11 4:8-11"),
        ("3-4#cell", {"guestnuma": "0-3#*@0,4-7#*"}, ENGINES, "3:0-3 4:0-3,8-11"),
        # which numatune replaces, with the nodes of its cells
        ("3-4#cell", {"numatune": "3"}, ENGINES, "3:12-15 4:12-15"),
        # only what is plugged in
        ("all#=cell,emulator#=cell", {}, record.replace(ENGINES, plugged=CpuSet([0, 5])), "0:8 5:0 emulator:1"),
    ],
)
def test_a_cell_stands_for_the_nodes_behind_it(
    cputune: str, others: dict[str, str], guest: Guest, expected: str
) -> None:
    pins = place.place(parse(cputune=cputune, **others), guest, FOUR_NODES).pins
    assert who_is_where(pins) == expected
    if "," not in cputune and not others:
        assert who_is_where(
            place.resolve_pins(parse(cputune=cputune).cputune or Cputune(()), guest, FOUR_NODES, Pins(), Pins())[0]
        ) == (expected)


NO_NODES = "cell has no nodes for {}: write the nodes after @ in guestnuma, or name them in numatune"


@pytest.mark.parametrize(
    ("values", "guest", "message"),
    [
        ({"cputune": "all#=cell"}, ROOMY, NO_NODES.format("vCPUs 0-7")),
        ({"cputune": "2#cell.core0", "guestnuma": "0-7#*"}, ROOMY, NO_NODES.format("vCPU 2")),
        ({"cputune": "all#cell", "numatune": "auto"}, ROOMY, NO_NODES.format("vCPUs 0-7")),
        ({"cputune": "all#cell", "guestnuma": "0-3#*@0,4-7#*"}, ROOMY, NO_NODES.format("vCPUs 4-7")),
        ({"cputune": "emulator#cell"}, ROOMY, NO_NODES.format("emulator")),
        ({"cputune": "iothread1#^cell"}, ROOMY, NO_NODES.format("iothread1")),
        (
            {"cputune": "all#cell"},
            record.replace(ROOMY, policy=Policy("strict", CpuSet())),
            NO_NODES.format("vCPUs 0-7"),
        ),
        ({"cputune": "all#cell"}, record.replace(ROOMY, policy=Policy("strict", None)), NO_NODES.format("vCPUs 0-7")),
        (
            {"cputune": "all#=cell", "guestnuma": "0-4#*@1,5-7#*@3"},
            ROOMY,
            "all#=cell needs 5 CPUs on node 1, only 4 are available: plan again, or write # without =",
        ),
        (
            {"cputune": "all#=cell.core0.thread0", "numatune": "0-1"},
            ROOMY,
            "all#=cell.core0.thread0 needs 8 CPUs on nodes 0-1, only 2 are available: plan again, or write # without =",
        ),
        (
            {"cputune": "0#=0,all#=cell", "guestnuma": "0-3#*@1,4-7#*@3"},
            ROOMY,
            "vCPU 0 is pinned more than once: write one pin for each vCPU",
        ),
        (
            {"cputune": "emulator#=5,all#=cell", "guestnuma": "0-3#*@1,4-7#*@3"},
            ROOMY,
            "all#=cell needs 4 CPUs on node 1, only 3 are available (another #= has taken the others): "
            "plan again, or write # without =",
        ),
        (
            {"cputune": "all#=cell.core1-2", "guestnuma": "0-3#*@1,4-7#*@3"},
            ROOMY,
            "node1 has no core 2, it has 2 cores, counted from 0: name CPUs that exist; largeguest: cputune: "
            "node3 has no core 2, it has 2 cores, counted from 0: name CPUs that exist",
        ),
        ({"cputune": "all#0,all#1"}, ROOMY, "vCPUs 0-7 are pinned more than once: write one pin for each vCPU"),
        (
            {"cputune": "all#0,6#1"},
            record.replace(ROOMY, plugged=CpuSet(range(4))),
            "vCPU 6 is pinned more than once: write one pin for each vCPU",
        ),
        (
            {"cputune": "8#0,all#1"},
            ROOMY,
            "vCPU 8 does not exist, the VM has vCPUs 0-7: remove its pin",
        ),
        (
            {"cputune": "0#cell"},
            record.replace(ROOMY, policy=Policy("strict", CpuSet([5]))),
            "cell is on node 5, which is not on this host: name nodes of this host",
        ),
    ],
)
def test_pins_that_are_refused(values: dict[str, str], guest: Guest, message: str) -> None:
    with pytest.raises(Refused) as caught:
        place.place(parse(**values), guest, FOUR_NODES)
    assert str(caught.value) == f"largeguest: cputune: {message}"


def test_a_cell_is_looked_up_on_a_host() -> None:
    with pytest.raises(
        Refused, match="cell must be looked up on a host, but none is given: name a host, or write numbers"
    ):
        place.place(parse(cputune="all#=cell", numatune="0"), ROOMY, None)
    with pytest.raises(
        Refused, match="cell has no nodes for vCPUs 0-7: write the nodes after @ in guestnuma, or name them in numatune"
    ):
        place.place(parse(cputune="all#=cell"), ROOMY, None)


def test_an_item_is_idle_if_it_removes_nothing_in_every_cell() -> None:
    values = {"guestnuma": TWO_CELLS}
    assert place.place(parse(cputune="all#cell,^node1.core0", **values), ROOMY, FOUR_NODES).warnings == ()
    (warning,) = place.place(parse(cputune="all#cell,^node0,^4", **values), ROOMY, FOUR_NODES).warnings
    assert warning.what == "^node0 removes nothing in all#cell,^node0,^4"


def test_all_leaves_no_vcpu_without_a_pin() -> None:
    """Not even those that are plugged in later, so the 5 cannot be meant as one."""
    guest = record.replace(ROOMY, plugged=CpuSet(range(4)))
    assert place.place(parse(cputune="all#0,5"), guest, FOUR_NODES).warnings == ()


def test_one_cpu_each_goes_core_by_core_where_siblings_are_numbered_far_apart() -> None:
    far = hosts.build(siblings_apart=True)
    placement = place.place(parse(cputune="0-3#=node1,4-7#=socket1"), EIGHT, far)
    assert who_is_where(placement.pins) == "0:2 1:10 2:3 3:11 4:4 5:12 6:5 7:13"


HUNDREDS = hosts.build(nodes_per_socket=1, cores_per_node=113, memory=64 * GIB, siblings_apart=True)


def test_a_large_vm_one_cpu_each_around_cpus_left_free() -> None:
    """452 CPUs in 2 nodes: CPU 0 and its sibling 226 are of the first core, CPU 8 of the ninth."""
    guest = Guest(max_vcpus=448, memory=64 * GIB)
    pins = place.place(parse(cputune="0-447#=node0,node1,^0,^8"), guest, HUNDREDS).pins
    assert pins is not None
    order = [cpus.last for cpus in pins.vcpus.values()]
    assert order[:6] == [226, 1, 227, 2, 228, 3]
    assert len(set(order)) == 448
    assert not {0, 8} & set(order)


@pytest.mark.parametrize("value", ["0-31#=node0,32-63#=node1", "0-7#node0,8-15#node1,emulator#0,8"])
def test_vcpus_by_node(value: str) -> None:
    pins = place.place(parse(cputune=value), Guest(max_vcpus=64, memory=GIB), HUNDREDS).pins
    assert pins is not None
    half = len(pins.vcpus) // 2
    for vcpu, cpus in pins.vcpus.items():
        assert not cpus - HUNDREDS.nodes[vcpu // half].cpus
    assert {len(cpus) for cpus in pins.vcpus.values()} == ({1} if "=" in value else {226})
    assert str(pins.emulator) == ("None" if "=" in value else "0,8")


@pytest.mark.parametrize(
    ("numatune", "expected"),
    [
        ("0-1", "numatune: memory strict on host nodes 0-1"),
        ("^3", "numatune: memory strict on host nodes 0-2"),
        ("interleave#^0,^1", "numatune: memory interleave on host nodes 2-3"),
        ("restrictive#0,2-3", "numatune: memory restrictive on host nodes 0,2-3"),
        ("preferred#^0-2", "numatune: memory preferred on host node 3"),
        ("auto", "numatune: memory strict on the nodes that numad advises"),
        ("interleave#auto", "numatune: memory interleave on the nodes that numad advises"),
    ],
)
def test_policy(numatune: str, expected: str) -> None:
    assert str(place.place(parse(numatune=numatune), EIGHT, FOUR_NODES)) == expected


# value, VM's memory, page, the cells' KiB
SHARED = [
    ("0-3#*,4-7#*", 8 * GIB, None, [4 * GIB, 4 * GIB]),
    ("0-3#1G,4-7#*", 8 * GIB, None, [GIB, 7 * GIB]),
    ("0-2#*,3-5#*,6-7#*", 4096, None, [1024, 1024, 2048]),
    ("0#*,1#1M,2-7#*", 5120, None, [2048, 1024, 2048]),
    ("0-3#*,4-7#*", 3 * GIB, GIB, [GIB, 2 * GIB]),
    ("0-7#*", 4096, None, [4096]),
]


@pytest.mark.parametrize(("guestnuma", "memory", "page", "cells"), SHARED)
def test_a_star_is_an_equal_share_of_what_is_left(
    guestnuma: str, memory: int, page: int | None, cells: list[int]
) -> None:
    pages = () if page is None else (HugePage(page, None),)
    guest = record.replace(EIGHT, memory=memory, pages=pages)
    placement = place.place(parse(guestnuma=guestnuma), guest, None)
    assert [cell.memory for cell in placement.cells or ()] == cells


@pytest.mark.parametrize(
    ("guestnuma", "nodes", "distances"),
    [
        ("0-3#*@2,4-7#*@3", ["2", "3"], [{0: 10, 1: 12}, {0: 12, 1: 10}]),
        ("0-3#*@3,4-7#*@0", ["3", "0"], [{0: 10, 1: 21}, {0: 21, 1: 10}]),
        (
            "0-1#*@0,2-3#*@1,4-7#*@2",
            ["0", "1", "2"],
            [{0: 10, 1: 12, 2: 21}, {0: 12, 1: 10, 2: 21}, {0: 21, 1: 21, 2: 10}],
        ),
        # not each on a node of its own: distances would be invented
        ("0-3#*@0+1,4-7#*@3", ["0-1", "3"], [{}, {}]),
        ("0-3#*@0,4-7#*@0", ["0", "0"], [{}, {}]),
        ("0-3#*@0,4-7#*", ["0", "None"], [{}, {}]),
        ("0-7#1G@0+1+2", ["0-2"], [{}]),
    ],
)
def test_cells_on_host_nodes(guestnuma: str, nodes: list[str], distances: list[dict[int, int]]) -> None:
    guest = record.replace(EIGHT, memory=GIB)
    placement = place.place(parse(guestnuma=guestnuma), guest, FOUR_NODES)
    assert [str(cell.nodes) for cell in placement.cells or ()] == nodes
    assert [cell.distances for cell in placement.cells or ()] == distances
    assert {cell.mode for cell in placement.cells or ()} == {"strict"}


def test_distances_that_libvirt_refuses_are_left_out() -> None:
    """As a host with fake nodes has them: all local."""
    local = {n: record.replace(node, distances=dict.fromkeys(range(4), 10)) for n, node in FOUR_NODES.nodes.items()}
    placement = place.place(parse(guestnuma="0-3#*@0,4-7#*@1"), ROOMY, Host(local, FOUR_NODES.cpus))
    assert [cell.distances for cell in placement.cells or ()] == [{}, {}]


def test_unknown_distances_are_left_out() -> None:
    unknown = Host({n: record.replace(node, distances={}) for n, node in FOUR_NODES.nodes.items()}, FOUR_NODES.cpus)
    for host in (unknown, None):
        placement = place.place(parse(guestnuma="0-3#*@0,4-7#*@1"), EIGHT, host)
        assert [cell.distances for cell in placement.cells or ()] == [{}, {}]


@pytest.mark.parametrize(
    ("numatune", "mode"), [("0-3", "strict"), ("interleave#0", "interleave"), ("preferred#0", "preferred")]
)
def test_cells_have_the_mode_of_the_policy(numatune: str, mode: str) -> None:
    placement = place.place(parse(guestnuma="0-3#*@0,4-7#*@1", numatune=numatune), EIGHT, FOUR_NODES)
    assert {cell.mode for cell in placement.cells or ()} == {mode}


def hotplug(current: int = 8, sockets: int = 16, cores: int = 2, threads: int = 2) -> Guest:
    """A VM to which CPUs can be added, as the engine defines it."""
    return Guest(
        max_vcpus=sockets * cores * threads,
        plugged=CpuSet(range(current)),
        memory=4 * GIB,
        topology=Topology(sockets, 1, cores, threads),
    )


@pytest.mark.parametrize(
    ("guestnuma", "guest", "cells"),
    [
        pytest.param("0-3#2097152,4-7#2097152", hotplug(sockets=2), ["0-3", "4-7"], id="all named"),
        pytest.param(
            "0-3#2097152,4-7#2097152", hotplug(sockets=6), ["0-3,8-11,16-19", "4-7,12-15,20-23"], id="sockets in turn"
        ),
        pytest.param("0-3#2097152,4-7#2097152", hotplug(sockets=5), ["0-3,8-11,16-19", "4-7,12-15"], id="odd number"),
        pytest.param(
            "0-3#2097152,4-5#2097152",
            hotplug(current=6, sockets=4),
            ["0-3,8-11", "4-7,12-15"],
            id="a socket that was begun is filled up first",
        ),
        pytest.param(
            "4-7#2097152,0-3#2097152", hotplug(sockets=4), ["4-11", "0-3,12-15"], id="in turn by cell, not by vCPU"
        ),
        pytest.param(
            "0#1048576,1#1048576,2#2097152",
            Guest(max_vcpus=8, plugged=CpuSet(range(3)), memory=4 * GIB),
            ["0,3,6", "1,4,7", "2,5"],
            id="no topology: each vCPU is a socket",
        ),
        pytest.param(
            "0-1#4194304",
            record.replace(hotplug(current=2, sockets=2), max_vcpus=6),
            ["0-5"],
            id="a torn last socket",
        ),
    ],
)
def test_unnamed_vcpus_are_distributed_by_sockets(guestnuma: str, guest: Guest, cells: list[str]) -> None:
    placement = place.place(parse(guestnuma=guestnuma), guest, None)
    assert placement.cells is not None
    assert [str(cell.vcpus) for cell in placement.cells] == cells
    assert placement.warnings == ()


@pytest.mark.parametrize("current", range(8, 65))
def test_plugged_sockets_fill_the_cells_evenly_and_stay_in_their_cell(current: int) -> None:
    """However many are plugged in at the start, the cells are the same; and never more than a socket apart."""
    placement = place.place(parse(guestnuma="0-3#2097152,4-7#*"), hotplug(current), None)
    cells = placement.cells or ()
    assert [str(cell.vcpus) for cell in cells] == [
        "0-3,8-11,16-19,24-27,32-35,40-43,48-51,56-59",
        "4-7,12-15,20-23,28-31,36-39,44-47,52-55,60-63",
    ]
    plugged = [sum(vcpu < current for vcpu in cell.vcpus) for cell in cells]
    assert abs(plugged[0] - plugged[1]) <= 4


@pytest.mark.parametrize(
    ("values", "guest", "warning"),
    [
        (
            {"guestnuma": "0-3#2097152,4-7#2097152"},
            hotplug(current=12),
            "guestnuma: vCPUs 8-11 are plugged in but not named, and distributed over the cells by guest socket: "
            "name them if they should be elsewhere",
        ),
        (
            {"guestnuma": "0-5#2097152,6-7#2097152"},
            hotplug(),
            "guestnuma: guest socket 1 is cut by a cell boundary (a socket has 4 vCPUs): "
            "give each cell whole sockets, or change the VM's sockets",
        ),
        (
            {"cputune": "0#1,3,5#2"},
            hotplug(),
            "cputune: 3 is taken as a host CPU, but vCPU 3 is unpinned: write 3#... if the vCPU is meant",
        ),
        (
            {"cputune": "0#3,2,^3,4,5-6,7,99,1#0"},
            hotplug(),
            "cputune: 2,4,7 are taken as host CPUs, but vCPUs 2,4,7 are unpinned: write 2#... if the vCPU is meant",
        ),
        (
            {"cputune": "0#8-9,^9,^1-2,^9"},
            hotplug(),
            "cputune: ^1-2,^9 remove nothing in 0#8-9,^9,^1-2,^9: name CPUs that come earlier in the list",
        ),
        (
            {"guestnuma": "0,2,4,6#2097152,1,3,5,7#2097152"},
            hotplug(),
            "guestnuma: guest sockets 0-1 are cut by a cell boundary (a socket has 4 vCPUs): "
            "give each cell whole sockets, or change the VM's sockets",
        ),
    ],
)
def test_warnings_on_the_guest_do_not_stop_it(values: dict[str, str], guest: Guest, warning: str) -> None:
    placement = place.place(parse(**values), guest, None)
    assert [str(problem) for problem in placement.warnings] == [f"largeguest: warning: {warning}"]


@pytest.mark.parametrize(
    ("guestnuma", "cut"),
    [
        ("0-1#*,2-3#*,4-5#*,6-7#*", ""),  # two whole cells in each socket, as with sub-NUMA clusters
        ("0-1#*,2-3#*,4-7#*", ""),
        ("0-1#*,2-7#*", "guest socket 0 is"),
        ("0-1,4-5#*,2-3,6-7#*", "guest sockets 0-1 are"),
    ],
)
def test_several_whole_cells_may_be_in_a_socket(guestnuma: str, cut: str) -> None:
    warnings = place.place(parse(guestnuma=guestnuma), hotplug(), None).warnings
    assert [problem.what.partition(" cut by")[0] for problem in warnings] == ([cut] if cut else [])


def test_a_hundred_problems_of_one_kind_stay_readable() -> None:
    cells = ",".join(f"{number}#{number + 1}" for number in range(100))
    with pytest.raises(Refused) as caught:
        place.place(parse(guestnuma=cells), Guest(max_vcpus=100, memory=5050), None)
    assert str(caught.value).endswith("; largeguest: and 88 more like these")
    assert len(str(caught.value)) < 2000


def test_wide_cells_are_cheap() -> None:
    # expanded to numbers these would be 16 million; see also test_cpuset
    cells = ",".join(["0-16383#1M"] * 350)
    pins = ",".join(["0-16383#0-16383"] * 250)
    with pytest.raises(Refused, match=r"vCPUs 0-16383 are in more than one cell: name each vCPU once"):
        place.place(parse(guestnuma=cells, cputune=pins), Guest(max_vcpus=16384, memory=358400), None)


DIMM = MemoryDevice("dimm", 1024, 2)

# properties, guest, message
REFUSED_ON_GUEST = [
    (
        {"guestnuma": "0-3#1048576"},
        Guest(max_vcpus=4, memory=GIB, arch="s390x"),
        "guestnuma: a guest on s390x has no NUMA: remove the property",
    ),
    (
        {"guestnuma": "0-3#1049600"},
        Guest(max_vcpus=4, memory=1049600, arch="ppc64le"),
        "guestnuma: cell 0 has 1025 MiB, which is not a multiple of 256 MiB: write 1G or 1280M",
    ),
    (
        {"guestnuma": "0-1#1572864,2-3#524288"},
        Guest(max_vcpus=4, memory=2 * GIB, pages=(HugePage(GIB, None),)),
        "guestnuma: cell 0 has 1536 MiB, which is not a multiple of 1 GiB: write 1G or 2G; largeguest: "
        "guestnuma: cell 1 has 512 MiB, which is not a multiple of 1 GiB: write at least 1G",
    ),
    (
        {"guestnuma": "0-1#1572864,2-3#524288"},
        Guest(max_vcpus=4, memory=2 * GIB, pages=(HugePage(2048, None), HugePage(GIB, CpuSet([1])))),
        "guestnuma: cell 1 has 512 MiB, which is not a multiple of 1 GiB: write at least 1G",
    ),
    (
        {"guestnuma": "0-3#4096"},
        Guest(max_vcpus=4, memory=3072, devices=(DIMM,)),
        "guestnuma: the cells have 4 MiB, but the VM has 3 MiB without its memory devices: remove 1 MiB from a cell, "
        "or write * for one cell's memory; largeguest: guestnuma: the VM has a memory device in guest node 2, but only cell 0 exists: "
        "write more cells, or unplug the device",
    ),
    (
        {"guestnuma": "0-3#4096"},
        Guest(max_vcpus=4, memory=4096, pages=(HugePage(2048, CpuSet([0, 3])),)),
        "guestnuma: the VM has huge pages for cell 3, but only cell 0 exists: write more cells",
    ),
    *(
        (
            {"numatune": "strict#0", "cputune": "0#0"},
            Guest(max_vcpus=4, memory=4096, cpu_policy=policy),
            f"cputune: the VM has the CPU pinning policy {policy}, under which the engine sets the layout: "
            "choose the policy None or Manual, or remove the property; largeguest: "
            f"numatune: the VM has the CPU pinning policy {policy}, under which the engine sets the layout: "
            "choose the policy None or Manual, or remove the property",
        )
        for policy in ("dedicated", "siblings", "isolate-threads")
    ),
]


REFUSED_ON_GUEST += [
    ({"cputune": "6-9#0"}, EIGHT, "cputune: vCPUs 8-9 do not exist, the VM has vCPUs 0-7: remove their pins"),
    (
        {"cputune": "0-6#=0,3#=1"},
        EIGHT,
        "cputune: vCPU 3 is pinned more than once: write one pin for each vCPU; largeguest: cputune: 0-6#=0 needs 7 "
        "CPUs, only 1 is available: name more CPUs, or write # without =",
    ),
    ({"cputune": "0-3#0,3-4#1"}, EIGHT, "cputune: vCPU 3 is pinned more than once: write one pin for each vCPU"),
    (
        {"cputune": "iothread3#0"},
        EIGHT,
        "cputune: iothread 3 does not exist, the VM has iothreads 1-2: remove its pin",
    ),
    (
        {"cputune": "iothread0#0,iothread1#0"},
        GUEST,
        "cputune: iothreads 0-1 do not exist, the VM has none: remove their pins, iothreads are counted from 1",
    ),
    (
        {"cputune": "iothread0#0,iothread2#0"},
        EIGHT,
        "cputune: iothread 0 does not exist, the VM has iothreads 1-2: remove its pin, iothreads are counted from 1",
    ),
    ({"cputune": "emulator#0,emulator#1"}, EIGHT, "cputune: emulator is pinned more than once: write one pin for it"),
    (
        {"cputune": "iothread1#0,iothread1#1"},
        EIGHT,
        "cputune: iothread1 is pinned more than once: write one pin for it",
    ),
    (
        {"cputune": "0#node0"},
        EIGHT,
        "cputune: node0 must be looked up on a host, but none is given: name a host, or write numbers",
    ),
    (
        {"cputune": "0#^1"},
        EIGHT,
        "cputune: ^1 must be looked up on a host, but none is given: name a host, or write numbers",
    ),
    (
        {"numatune": "^1"},
        EIGHT,
        "numatune: ^1 must be looked up on a host, but none is given: name a host, or write numbers",
    ),
    (
        {"guestnuma": "0-3#8G,4-7#*"},
        EIGHT,
        "guestnuma: nothing is left for *: the other cells have 8 GiB of the VM's 8 GiB: give the other cells less",
    ),
    (
        {"guestnuma": "0-3#*,4-7#*"},
        record.replace(EIGHT, memory=0, devices=(MemoryDevice("nvdimm", GIB, 0),)),
        "guestnuma: nothing is left for *: the VM has no memory besides its memory devices: give the VM more memory",
    ),
    (
        {"guestnuma": "0-1#*,2-3#*,4-5#*,6-7#*"},
        record.replace(EIGHT, memory=3 * GIB, pages=(HugePage(GIB, None),)),
        "guestnuma: 4 cells share 3 GiB, only 3 huge pages of 1 GiB: write fewer cells, or give the VM more memory",
    ),
    (
        {"guestnuma": "0-3#1536,4-5#*,6-7#*"},
        record.replace(EIGHT, memory=2560),
        "guestnuma: 2 cells share 1 MiB, only 1 piece of 1 MiB: "
        "write fewer cells, or give the VM more memory; largeguest: "
        "guestnuma: cell 0 has 1536 KiB, which is not a multiple of 1 MiB: write 1M or 2M",
    ),
    (
        {"guestnuma": "0-3#*,4-7#1G"},
        record.replace(EIGHT, memory=GIB + 512),
        "guestnuma: cell 0 would have 512 KiB for *, which is not a multiple of 1 MiB: "
        "change the VM's memory, or write the amounts out",
    ),
    (
        {"guestnuma": "0-3#*@0,4-7#*@1", "numatune": "auto"},
        EIGHT,
        "guestnuma: @ cannot be combined with numatune's auto, where numad chooses: remove one of them",
    ),
    (
        {"guestnuma": "0-3#*@0,4-7#*@1+2", "numatune": "strict#0-1"},
        EIGHT,
        "guestnuma: cell 1 is on nodes 1-2, but numatune allows only 0-1: name these nodes in numatune too",
    ),
    (
        {"guestnuma": "0-3#*@0+1,4-7#*@2", "numatune": "preferred#0"},
        EIGHT,
        "guestnuma: cell 0 has several nodes, but older QEMU (7.2) silently prefers only the first: name one node after @, or write interleave# in numatune",
    ),
    (
        {"guestnuma": "0-3#*@0,4-7#*@1"},
        record.replace(EIGHT, policy=Policy("strict", CpuSet([0]))),
        "guestnuma: cell 1 is on node 1, but numatune allows only 0: name these nodes in numatune too",
    ),
    (
        {"guestnuma": ",".join(f"{n}#1M" for n in range(129))},
        Guest(max_vcpus=129, memory=129 * 1024),
        "guestnuma: there are 129 cells, QEMU allows 128: write fewer",
    ),
    *(
        (
            {"guestnuma": "0-3#*@0,4-7#*@1"},
            record.replace(EIGHT, policy=policy),
            f"guestnuma: @ cannot be combined with the memory policy {name} that the VM already has: set numatune too",
        )
        for policy, name in ((Policy("strict", None), "auto"), (Policy("restrictive", CpuSet([0, 1])), "restrictive"))
    ),
]


@pytest.mark.parametrize(("values", "guest", "message"), REFUSED_ON_GUEST)
def test_refused_on_the_guest(values: dict[str, str], guest: Guest, message: str) -> None:
    with pytest.raises(Refused) as caught:
        place.place(parse(**values), guest, None)
    assert str(caught.value) == f"largeguest: {message}"


@pytest.mark.parametrize("policy", [None, "none", "manual"])
def test_a_policy_that_is_not_exclusive_is_fine(policy: str | None) -> None:
    guest = record.replace(GUEST, cpu_policy=policy)
    assert place.place(parse(cputune="0#0"), guest, None).warnings == ()


BIG = Guest(max_vcpus=4, memory=6 * GIB)
ONE_OFFLINE = Host(FOUR_NODES.nodes, {number: cpu for number, cpu in FOUR_NODES.cpus.items() if number != 5})


def with_node(number: int, node: Node) -> Host:
    return Host({**FOUR_NODES.nodes, number: node}, FOUR_NODES.cpus)


def with_pages(number: int, size: int, total: int, free: int | None) -> Host:
    return with_node(number, record.replace(FOUR_NODES.nodes[number], pages={size: Pages(total, free)}))


def huge(size: int, memory: int = 2 * GIB) -> Guest:
    return Guest(max_vcpus=4, memory=memory, pages=(HugePage(size, None),))


# properties, guest, host, message
REFUSED_ON_HOST = [
    (
        {"cputune": "0#0-1,1#16,2#99"},
        GUEST,
        FOUR_NODES,
        "cputune: CPUs 16,99 are not online on this host, which has 0-15: pin to CPUs that are online",
    ),
    (
        {"cputune": "0#0-7"},
        GUEST,
        ONE_OFFLINE,
        "cputune: CPU 5 is not online on this host, which has 0-4,6-15: pin to CPUs that are online",
    ),
    (
        {"numatune": "interleave#0,4,7"},
        GUEST,
        FOUR_NODES,
        "numatune: nodes 4,7 are not on this host, which has nodes 0-3: name nodes of this host",
    ),
    (
        {"numatune": "preferred#2"},
        GUEST,
        with_node(2, Node(FOUR_NODES.nodes[2].cpus, 0, 0, {}, {})),
        "numatune: node 2 has no memory on this host: name nodes with memory",
    ),
    (
        {"numatune": "strict#1"},
        BIG,
        FOUR_NODES,
        "numatune: 6 GiB is bound to node 1, where only 4 GiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"numatune": "strict#0-1"},
        BIG,
        with_pages(0, 2048, 1536, 1536),
        "numatune: 6 GiB is bound to nodes 0-1, where only 5 GiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"numatune": "strict#3"},
        BIG,
        with_pages(3, 2048, 4096, 0),
        "numatune: 6 GiB is bound to node 3, where only 0 KiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"numatune": "strict#2"},
        huge(2048),
        with_pages(3, 2048, 1024, 1024),
        "numatune: 1024 huge pages of 2 MiB are bound to node 2, where the pool has only 0: "
        "reserve more on these nodes, or name others",
    ),
    (
        {"numatune": "strict#2-3"},
        huge(GIB, 3 * GIB),
        with_pages(3, GIB, 2, 2),
        "numatune: 3 huge pages of 1 GiB are bound to nodes 2-3, where the pool has only 2: "
        "reserve more on these nodes, or name others",
    ),
    (
        {"numatune": "strict#3", "cputune": "0#0,4#70"},
        huge(GIB),
        FOUR_NODES,
        "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: remove its pin; largeguest: "
        "cputune: CPU 70 is not online on this host, which has 0-15: pin to CPUs that are online; largeguest: "
        "numatune: 2 huge pages of 1 GiB are bound to node 3, where the pool has only 0: "
        "reserve more on these nodes, or name others",
    ),
]


REFUSED_ON_HOST += [
    (
        {"cputune": "0#node4"},
        ROOMY,
        FOUR_NODES,
        "cputune: node4 is not on this host, which has nodes 0-3: name CPUs that exist",
    ),
    (
        {"cputune": "0#socket2"},
        ROOMY,
        FOUR_NODES,
        "cputune: socket2 is not on this host, which has sockets 0-1: name CPUs that exist",
    ),
    (
        {"cputune": "0#socket1.core4"},
        ROOMY,
        FOUR_NODES,
        "cputune: socket1 has no core 4, it has 4 cores, counted from 0: name CPUs that exist",
    ),
    (
        {"cputune": "0#node2"},
        ROOMY,
        with_node(2, Node(CpuSet(), GIB, GIB, {}, {})),
        "cputune: node2 has no online CPUs: name CPUs that exist",
    ),
    (
        {"cputune": "0#node0,^node0"},
        ROOMY,
        FOUR_NODES,
        "cputune: 0#node0,^node0 leaves no CPU on this host: name one that no later ^ removes",
    ),
    (
        {"cputune": "0-4#=node0"},
        ROOMY,
        FOUR_NODES,
        "cputune: 0-4#=node0 needs 5 CPUs, only 4 are available: name more CPUs, or write # without =",
    ),
    (
        {"cputune": "0-2#=node0,3-4#=node0"},
        ROOMY,
        FOUR_NODES,
        "cputune: 3-4#=node0 needs 2 CPUs, only 1 is available (another #= has taken the others): "
        "name more CPUs, or write # without =",
    ),
    (
        {"numatune": "preferred#^0"},
        ROOMY,
        FOUR_NODES,
        "numatune: preferred names nodes 1-3, but older QEMU (7.2) silently uses only the first: name one node, or write interleave#",
    ),
    ({"numatune": "^0-3"}, ROOMY, FOUR_NODES, "numatune: ^0-3 leaves no node on this host: remove fewer"),
    (
        {"numatune": "auto"},
        ROOMY,
        record.replace(FOUR_NODES, numad=False),
        "numatune: auto needs numad, which this host does not have: install numad, or name nodes",
    ),
    (
        {"guestnuma": "0-3#*@0,4-7#*@4+5"},
        ROOMY,
        FOUR_NODES,
        "guestnuma: nodes 4-5 are not on this host, which has nodes 0-3: name nodes of this host",
    ),
    (
        {"guestnuma": "0-3#*@0,4-7#*@2"},
        ROOMY,
        with_node(2, Node(FOUR_NODES.nodes[2].cpus, 0, 0, {}, {})),
        "guestnuma: node 2 has no memory on this host: name nodes with memory",
    ),
    (
        {"guestnuma": "0-3#5G@0,4-7#3G@1"},
        EIGHT,
        FOUR_NODES,
        "guestnuma: 5 GiB is bound to node 0, where only 4 GiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"guestnuma": "0-7#*@3", "numatune": "^3"},
        ROOMY,
        FOUR_NODES,
        "guestnuma: cell 0 is on node 3, but numatune allows only 0-2: name these nodes in numatune too",
    ),
    # what is bound to parts of the nodes adds up
    (
        {"guestnuma": "0-1#7G@0+1,2-5#7G@1+2,6-7#1G@3"},
        record.replace(EIGHT, memory=15 * GIB),
        FOUR_NODES,
        "guestnuma: 14 GiB is bound to nodes 0-2, where only 12 GiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"guestnuma": "0-1#3G@0,2-3#3G@1,4-7#3G@0+1"},
        record.replace(EIGHT, memory=9 * GIB),
        FOUR_NODES,
        "guestnuma: 9 GiB is bound to nodes 0-1, where only 8 GiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"guestnuma": "0-1#3G@0,2-3#3G@1,4-7#*", "numatune": "strict#0-1"},
        record.replace(EIGHT, memory=9 * GIB),
        FOUR_NODES,
        "numatune: 9 GiB is bound to nodes 0-1, where only 8 GiB fits: "
        "name more nodes, or write interleave# or preferred#",
    ),
    (
        {"guestnuma": "0-3#*@2,4-7#*@3"},
        record.replace(huge(2048), max_vcpus=8),
        with_pages(3, 2048, 1024, 1024),
        "guestnuma: 512 huge pages of 2 MiB are bound to node 2, where the pool has only 0: "
        "reserve more on these nodes, or name others",
    ),
]


@pytest.mark.parametrize(("values", "guest", "host", "message"), REFUSED_ON_HOST)
def test_refused_on_the_host(values: dict[str, str], guest: Guest, host: Host, message: str) -> None:
    with pytest.raises(Refused) as caught:
        place.place(parse(**values), guest, host)
    assert str(caught.value) == f"largeguest: {message}"


@pytest.mark.parametrize(
    ("values", "guest", "host", "warnings"),
    [
        ({"cputune": "0#0-15", "numatune": "strict#0-3"}, BIG, FOUR_NODES, []),
        ({"numatune": "strict#0-1"}, BIG, hosts.build(memory=6 * GIB), []),
        (
            {"numatune": "strict#0-1"},
            BIG,
            FOUR_NODES,
            [
                "numatune: 6 GiB is bound to nodes 0-1, where only 4 GiB is free now: "
                "free memory there, or the VM may be killed when it uses all of its memory"
            ],
        ),
        ({"numatune": "interleave#0"}, BIG, FOUR_NODES, []),
        ({"numatune": "preferred#0"}, BIG, FOUR_NODES, []),
        ({"numatune": "strict#3"}, huge(2048), with_pages(3, 2048, 1024, 1024), []),
        ({"numatune": "strict#3"}, huge(2048), with_pages(3, 2048, 1024, None), []),
        (
            {"numatune": "strict#3"},
            huge(2048),
            with_pages(3, 2048, 1024, 1000),
            [
                "numatune: 1024 huge pages of 2 MiB are bound to node 3, where only 1000 are free now: "
                "free more there, or the VM will not start"
            ],
        ),
        # the host's default size cannot be read
        (
            {"numatune": "strict#3"},
            Guest(max_vcpus=4, memory=99 * GIB, pages=(HugePage(None, None),)),
            FOUR_NODES,
            [],
        ),
        # how much memory there is cannot be read
        ({"numatune": "strict#3"}, BIG, with_node(3, record.replace(FOUR_NODES.nodes[3], memory=None)), []),
        # how much is free is not in libvirt's capabilities
        (
            {"numatune": "strict#0-1"},
            BIG,
            Host({n: record.replace(node, free=None) for n, node in FOUR_NODES.nodes.items()}, FOUR_NODES.cpus),
            [],
        ),
        # base pages may also be named as pages
        ({"numatune": "strict#0"}, huge(4), FOUR_NODES, []),
        # memory bound to several nodes is placed where there is room
        (
            {"guestnuma": "0-1#3G@0,2-3#3G@0+1,4-7#1G@1"},
            record.replace(EIGHT, memory=7 * GIB),
            with_node(1, record.replace(FOUR_NODES.nodes[1], free=4 * GIB)),
            [
                "guestnuma: 3 GiB is bound to node 0, where only 2 GiB is free now: "
                "free memory there, or the VM may be killed when it uses all of its memory"
            ],
        ),
        (
            {"guestnuma": "0-1#1G@0,2-3#3G@0+1,4-7#1G@1+2"},
            record.replace(EIGHT, memory=5 * GIB),
            FOUR_NODES,
            [],
        ),
        # the file behind an nvdimm is not memory of a node
        (
            {"numatune": "strict#0"},
            Guest(max_vcpus=1, memory=GIB, devices=(MemoryDevice("nvdimm", 8 * GIB, 0),)),
            FOUR_NODES,
            [],
        ),
    ],
)
def test_fine_on_the_host(values: dict[str, str], guest: Guest, host: Host, warnings: list[str]) -> None:
    placement = place.place(parse(**values), guest, host)
    assert [str(problem) for problem in placement.warnings] == [f"largeguest: warning: {text}" for text in warnings]


def test_all_but_starts_from_nodes_with_cpus_and_memory() -> None:
    """A coherent GPU's memory is a node of the host without CPUs."""
    gpu = Node(CpuSet(), 96 * GIB, 90 * GIB, {}, {})
    host = Host({**FOUR_NODES.nodes, 4: gpu, 5: gpu}, FOUR_NODES.cpus)
    assert str(place.place(parse(numatune="^0"), ROOMY, host).policy) == "memory strict on host nodes 1-3"


@pytest.mark.parametrize("cpus", ["node1,^0-1", "socket0,^8", "^16,^2", "0-3,^node1", "node0,^socket0.core2"])
@pytest.mark.parametrize("sign", ["#", "#="])
def test_items_that_remove_nothing_on_this_host(sign: str, cpus: str) -> None:
    (warning,) = place.place(parse(cputune=f"0{sign}{cpus}"), ROOMY, FOUR_NODES).warnings
    idle = next(item for item in cpus.split(",") if item.startswith("^"))
    assert str(warning).startswith(f"largeguest: warning: cputune: {idle} removes nothing in 0{sign}{cpus}: name CPUs")


@pytest.mark.parametrize("cpus", ["node1,^4-5", "^2", "0-3,^node0,8", "node0,^0-1,^3", "socket0,^node1"])
def test_items_that_remove_something_on_this_host(cpus: str) -> None:
    assert place.place(parse(cputune=f"0#{cpus}"), ROOMY, FOUR_NODES).warnings == ()


def test_every_node_that_is_too_small_is_reported() -> None:
    guest = record.replace(EIGHT, memory=14 * GIB)
    with pytest.raises(Refused) as caught:
        place.place(parse(guestnuma="0-1#5G@0,2-3#5G@1,4-5#3G@2,6-7#1G@3"), guest, FOUR_NODES)
    assert [problem.what[:-5] for problem in caught.value.problems] == [
        f"5 GiB is bound to node {node}, where only 4 GiB" for node in (0, 1)
    ]
    three = "0-1#3G@0,2-3#1G@1,4-7#3G@3"
    placement = place.place(parse(guestnuma=three), record.replace(EIGHT, memory=7 * GIB), FOUR_NODES)
    assert [problem.what for problem in placement.warnings] == [
        f"3 GiB is bound to node {node}, where only 2 GiB is free now" for node in (0, 3)
    ]


def test_the_memory_of_a_vm_that_has_run_is_what_it_has_now() -> None:
    """Its cells count, and what was plugged in; not the property, which is from its start."""
    properties_then = parse(guestnuma="0-3#1048576", numatune="strict#0")
    now = Guest(
        max_vcpus=4,
        memory=GIB,
        cells=(Cell(CpuSet(range(4)), GIB),),
        policy=Policy("strict", CpuSet([0])),
        devices=(MemoryDevice("dimm", 4 * GIB, 0),),
    )
    with pytest.raises(Refused, match="5 GiB is bound to node 0, where only 4 GiB fits"):
        place.place_again(properties_then, now, FOUR_NODES, Pins())


def test_a_number_without_a_unit_may_be_meant_as_mib() -> None:
    with pytest.raises(Refused) as caught:
        place.place(parse(guestnuma="0-1#32768,2-3#32768"), record.replace(GUEST, memory=64 * GIB), None)
    assert str(caught.value) == (
        "largeguest: guestnuma: the cells have 64 MiB, but the VM has 64 GiB: did you mean 32768M?"
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Layouts that are valid, but slow."""

from __future__ import annotations

import random

import pytest

from largeguest import properties
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Cpu, Host
from largeguest.placement.place import place
from largeguest.record import replace
from largeguest.values import Cell, Guest, Pins, Placement, Policy, Topology
from tests import hosts
from tests.hosts import FOUR_NODES, GIB, HIGH

GUEST = Guest(max_vcpus=8, memory=2 * GIB, topology=Topology(2, 1, 2, 2), iothreads=CpuSet([1]))
"""Two sockets of two cores of two threads."""

BOTH = "0-3#*@0,4-7#*@1"
"""A cell for each guest socket, on nodes 0 and 1."""

CELL = "write cell, as in all#=cell"
NUMBERS = "were the CPUs renumbered? write cell instead of numbers"
EACH, MORE = "name a CPU for each, as in all#=cell", "name more CPUs"
PIN = "write cputune=all#cell"
ALL = "pin all vCPUs, as in all#=cell"
OF_CELLS, OF_MEMORY = "on the nodes of their cells", "on the nodes of their memory"
PLACE = "write a place after #=, as in all#=cell, or leave out whole cores"


def lay_out(values: dict[str, str], guest: Guest = GUEST, host: Host = FOUR_NODES) -> Placement:
    typed, problems = properties.parse(values)
    assert problems == ()
    return place(typed, guest, host)


def split(cores: int, first: str) -> str:
    return (
        f"cputune: the threads of {cores} of 4 guest cores are on different host cores, first those of {first}: {PLACE}"
    )


def cell_is_on(cell: int, nodes: str, but: str) -> str:
    return f"the memory of cell {cell} is on {nodes}, but {but}"


# properties, VM, warnings (property: what: fix), the figure
WRONG = [
    # cells and pins crossed
    (
        {"cputune": "0-3#=node1,4-7#=node0", "guestnuma": BOTH},
        GUEST,
        [
            f"cputune: {cell_is_on(0, 'node 0', '4 of its 4 vCPUs run on node 1')}: {CELL}",
            f"cputune: {cell_is_on(1, 'node 1', '4 of its 4 vCPUs run on node 0')}: {CELL}",
        ],
        f"0 of 8 vCPUs {OF_CELLS}",
    ),
    # the same in numbers, one vCPU wrong
    (
        {"cputune": "0-3#=0-3,4-7#=4-6,8", "guestnuma": BOTH},
        GUEST,
        [
            f"cputune: {cell_is_on(1, 'node 1', '1 of its 4 vCPUs runs on node 2')}: {NUMBERS}",
            split(1, "vCPUs 6-7"),
        ],
        f"7 of 8 vCPUs {OF_CELLS}",
    ),
    # all cells mixed over all nodes, as after a renumbering
    (
        {"cputune": "0-7#=0,4,8,12,1,5,9,13", "guestnuma": BOTH},
        GUEST,
        [
            f"cputune: {cell_is_on(0, 'node 0', '3 of its 4 vCPUs run on nodes 1-3')}: {NUMBERS}",
            f"cputune: {cell_is_on(1, 'node 1', '3 of its 4 vCPUs run on nodes 0,2-3')}: {NUMBERS}",
            split(4, "vCPUs 0-1"),
        ],
        f"2 of 8 vCPUs {OF_CELLS}",
    ),
    # floating over two nodes, memory on one
    (
        {"cputune": "0-7#node0,node1", "guestnuma": "0-7#*@0"},
        GUEST,
        [f"cputune: {cell_is_on(0, 'node 0', '8 of its 8 vCPUs may run on node 1')}: {CELL}"],
        f"0 of 8 vCPUs {OF_CELLS}",
    ),
    # some near, some far, some in between
    (
        {"cputune": "0-1#node0,2-3#node0,node2,4-7#node1", "guestnuma": BOTH},
        GUEST,
        [f"cputune: {cell_is_on(0, 'node 0', '2 of its 4 vCPUs may run on node 2')}: {CELL}"],
        f"6 of 8 vCPUs {OF_CELLS}",
    ),
    # no cells: all memory remote
    (
        {"cputune": "0-3#=node3", "numatune": "strict#0"},
        replace(GUEST, max_vcpus=4),
        [f"cputune: the memory is on node 0, but 4 of its 4 vCPUs run on node 3: {CELL}"],
        f"0 of 4 vCPUs {OF_MEMORY}",
    ),
    (
        {"cputune": "0-7#socket0", "numatune": "preferred#0"},
        GUEST,
        [f"cputune: the memory is on node 0, but 8 of its 8 vCPUs may run on node 1: {CELL}"],
        f"0 of 8 vCPUs {OF_MEMORY}",
    ),
    (
        {"cputune": "0-7#=node2,node3", "numatune": "interleave#0-1"},
        GUEST,
        [f"cputune: the memory is on nodes 0-1, but 8 of its 8 vCPUs run on nodes 2-3: {CELL}"],
        f"0 of 8 vCPUs {OF_MEMORY}",
    ),
    (
        {"cputune": "0-7#8-15", "numatune": "restrictive#0"},
        GUEST,
        [f"cputune: the memory is on node 0, but 8 of its 8 vCPUs run on nodes 2-3: {NUMBERS}"],
        f"0 of 8 vCPUs {OF_MEMORY}",
    ),
    # memory bound, vCPUs not
    (
        {"numatune": "strict#0"},
        GUEST,
        [f"numatune: the memory is on node 0, but its vCPUs may run anywhere: {PIN}"],
        f"0 of 8 vCPUs {OF_MEMORY}",
    ),
    (
        {"guestnuma": BOTH},
        GUEST,
        [
            f"guestnuma: {cell_is_on(0, 'node 0', 'its vCPUs may run anywhere')}: {PIN}",
            f"guestnuma: {cell_is_on(1, 'node 1', 'its vCPUs may run anywhere')}: {PIN}",
        ],
        f"0 of 8 vCPUs {OF_CELLS}",
    ),
    # a cputune without vCPUs says nothing about them
    (
        {"cputune": "emulator#0", "numatune": "strict#0"},
        GUEST,
        ["cputune: the memory is on node 0, but its vCPUs may run anywhere: add all#cell"],
        f"0 of 8 vCPUs {OF_MEMORY}",
    ),
    # the engine has pinned the vCPUs
    (
        {"numatune": "strict#1"},
        replace(GUEST, pins=Pins({vcpu: CpuSet([vcpu]) for vcpu in range(8)}), cpu_policy="manual"),
        [f"numatune: the memory is on node 1, but 4 of its 8 vCPUs run on node 0: {PIN}"],
        f"4 of 8 vCPUs {OF_MEMORY}",
    ),
    # the engine has bound the memory
    (
        {"cputune": "0-7#=node2,node3"},
        replace(GUEST, cells=(Cell(CpuSet.span(0, 7), 2 * GIB, CpuSet([0])),)),
        [f"cputune: {cell_is_on(0, 'node 0', '8 of its 8 vCPUs run on nodes 2-3')}: {CELL}"],
        f"0 of 8 vCPUs {OF_CELLS}",
    ),
    (
        {"cputune": "0-7#=node2,node3"},
        replace(GUEST, policy=Policy("strict", CpuSet([0]))),
        [f"cputune: the memory is on node 0, but 8 of its 8 vCPUs run on nodes 2-3: {CELL}"],
        f"0 of 8 vCPUs {OF_MEMORY}",
    ),
    # numatune removes the engine's nodes of the cells
    (
        {"cputune": "0-7#=node0,node1", "numatune": "strict#2"},
        replace(GUEST, cells=(Cell(CpuSet.span(0, 7), 2 * GIB, CpuSet([0, 1])),)),
        [f"cputune: {cell_is_on(0, 'node 2', '8 of its 8 vCPUs run on nodes 0-1')}: {CELL}"],
        f"0 of 8 vCPUs {OF_CELLS}",
    ),
    # half of the vCPUs not pinned
    (
        {"cputune": "0-3#=node0", "guestnuma": "0-7#*@0"},
        GUEST,
        [f"cputune: vCPUs 4-7 are not pinned, and may run on the CPUs of the others: {ALL}"],
        f"4 of 8 vCPUs {OF_CELLS}",
    ),
    (
        {"cputune": "0-6#node0,node1"},
        GUEST,
        [f"cputune: vCPU 7 is not pinned, and may run on the CPUs of the others: {ALL}"],
        "",
    ),
    # two vCPUs on one CPU
    (
        {"cputune": "0-6#=node0,node1,7#6"},
        GUEST,
        [f"cputune: vCPUs 6-7 share CPU 6: {EACH}"],
        "",
    ),
    (
        {"cputune": "0#0,1#0,2#1,3#1,4-7#node1"},
        GUEST,
        [f"cputune: vCPUs 0-1 share CPU 0: {EACH}", f"cputune: vCPUs 2-3 share CPU 1: {EACH}"],
        "",
    ),
    # more vCPUs than CPUs
    (
        {"cputune": "0-7#node0"},
        GUEST,
        [f"cputune: vCPUs 0-7 share CPUs 0-3: {MORE}"],
        "",
    ),
    # in one set, together with those in a part of it
    (
        {"cputune": "0-1#0-1,2-3#1-3,4#2,5#0-3,6-7#node1"},
        GUEST,
        [f"cputune: vCPUs 0-5 share CPUs 0-3: {MORE}"],
        "",
    ),
    # guest threads on different cores
    (
        {"cputune": "0#0,1#2,2#1,3#3,4-7#=node1"},
        GUEST,
        [split(2, "vCPUs 0-1")],
        "",
    ),
    # emulator and iothreads far from the memory
    (
        {"cputune": "0-3#=node0,4-7#=node1,emulator#node3,iothread1#=node2", "guestnuma": BOTH},
        GUEST,
        [
            "cputune: emulator runs on node 3, but the memory is on nodes 0-1: write emulator#cell",
            "cputune: iothread1 runs on node 2, but the memory is on nodes 0-1: write iothread1#cell",
        ],
        f"8 of 8 vCPUs {OF_CELLS}",
    ),
    (
        {"cputune": "0-7#node0,node1,emulator#12", "numatune": "interleave#0-1"},
        GUEST,
        ["cputune: emulator runs on node 3, but the memory is on nodes 0-1: write emulator#cell"],
        f"8 of 8 vCPUs {OF_MEMORY}",
    ),
    # vCPUs that are not plugged in do not count
    (
        {"cputune": "0-3#node1", "guestnuma": BOTH},
        replace(GUEST, plugged=CpuSet.span(0, 3)),
        [f"cputune: {cell_is_on(0, 'node 0', '4 of its 4 vCPUs run on node 1')}: {CELL}"],
        f"0 of 4 vCPUs {OF_CELLS}",
    ),
    (
        {"cputune": "0-3#node0,4#node1", "guestnuma": BOTH},
        replace(GUEST, plugged=CpuSet.span(0, 5)),
        [f"cputune: vCPU 5 is not pinned, and may run on the CPUs of the others: {ALL}"],
        f"5 of 6 vCPUs {OF_CELLS}",
    ),
]


@pytest.mark.parametrize(("values", "guest", "warnings", "figure"), WRONG, ids=lambda value: repr(value)[:60])
def test_wrong_but_valid(values: dict[str, str], guest: Guest, warnings: list[str], figure: str) -> None:
    placement = lay_out(values, guest)
    assert [str(problem) for problem in placement.warnings] == [f"largeguest: warning: {text}" for text in warnings]
    assert str(placement.locality) == figure


GOOD = [
    ({"cputune": "0-3#=node0,4-7#=node1", "guestnuma": BOTH}, GUEST, FOUR_NODES, f"8 of 8 vCPUs {OF_CELLS}"),
    ({"cputune": "0-7#=node1,node0", "guestnuma": "0-7#*@0+1"}, GUEST, FOUR_NODES, f"8 of 8 vCPUs {OF_CELLS}"),
    ({"cputune": "0-7#socket1", "numatune": "interleave#2-3"}, GUEST, FOUR_NODES, f"8 of 8 vCPUs {OF_MEMORY}"),
    ({"cputune": "0-7#node0"}, replace(GUEST, plugged=CpuSet.span(0, 3)), FOUR_NODES, ""),
    ({"numatune": "interleave#0-3"}, GUEST, FOUR_NODES, f"8 of 8 vCPUs {OF_MEMORY}"),
    ({"cputune": "0-7#=node2,node3"}, GUEST, FOUR_NODES, ""),
    ({"cputune": "0-7#=node2,node3", "numatune": "auto"}, GUEST, FOUR_NODES, ""),
    ({"cputune": "0-7#node2,node3", "guestnuma": "0-3#*,4-7#*"}, GUEST, FOUR_NODES, ""),
    # the emulator near one of the cells is near enough, and one that is not pinned is nobody's choice
    ({"cputune": "0-3#=node0,4-7#=node1,emulator#node1", "guestnuma": BOTH}, GUEST, FOUR_NODES,
     f"8 of 8 vCPUs {OF_CELLS}"),
    # the host's cores have one thread, so those of a guest core cannot share one
    ({"cputune": "0-7#=node0"}, GUEST, hosts.build(cores_per_node=8, threads=1), ""),
    # what the engine has written for another host is not looked at here
    ({"cputune": "0-6#=node0,node1"}, replace(GUEST, pins=Pins({7: CpuSet([99])})), FOUR_NODES, ""),
    ({"cputune": "0-7#=node0,node1"}, replace(GUEST, policy=Policy("strict", CpuSet([9]))), FOUR_NODES, ""),
    # memory without CPUs: the nearest node counts
    ({"cputune": "0-3#=node1", "numatune": "strict#4"}, replace(GUEST, max_vcpus=4), HIGH, f"4 of 4 vCPUs {OF_MEMORY}"),
    ({"cputune": "0-3#=node0,4-7#=node1", "guestnuma": "0-3#*@0,4-7#*@1+4"}, GUEST, HIGH, f"8 of 8 vCPUs {OF_CELLS}"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "guest", "host", "figure"), GOOD, ids=lambda value: repr(value)[:60])
def test_good(values: dict[str, str], guest: Guest, host: Host, figure: str) -> None:
    placement = lay_out(values, guest, host)
    assert (placement.warnings, str(placement.locality)) == ((), figure)


def test_memory_without_cpus_is_not_near_everything() -> None:
    (warning,) = lay_out({"cputune": "0-3#=node0", "numatune": "strict#4"}, replace(GUEST, max_vcpus=4), HIGH).warnings
    assert warning.what == "the memory is on node 4, but 4 of its 4 vCPUs run on node 0"


def test_a_vm_without_properties_is_not_judged() -> None:
    pinned = replace(GUEST, pins=Pins({0: CpuSet([0]), 1: CpuSet([0])}), policy=Policy("strict", CpuSet([3])))
    assert lay_out({}, pinned) == Placement()


def test_it_is_quick_on_a_large_host() -> None:
    """Every set of CPUs is different, and none is a single CPU: the slowest that fits into a value."""
    many = ",".join(f"{n}#{2 * n},{2 * n + 1}" for n in range(300))
    host = hosts.build(sockets=2, nodes_per_socket=1, cores_per_node=300)
    guest = Guest(max_vcpus=300, memory=GIB)
    assert lay_out({"cputune": many}, guest, host).warnings == ()


def renumbered(host: Host, seed: int) -> Host:
    """The same machine, whose firmware has numbered the CPUs in another order."""
    order = list(host.cpus)
    random.Random(seed).shuffle(order)
    new = dict(zip(host.cpus, order))

    def moved(cpus: CpuSet) -> CpuSet:
        return CpuSet(new[cpu] for cpu in cpus)

    cpus: dict[int, Cpu] = {
        new[cpu]: replace(where, siblings=moved(where.siblings)) for cpu, where in host.cpus.items()
    }
    nodes = {number: replace(node, cpus=moved(node.cpus)) for number, node in host.nodes.items()}
    return replace(host, nodes=nodes, cpus=dict(sorted(cpus.items())))


@pytest.mark.parametrize("seed", range(5))
def test_a_layout_in_numbers_after_a_renumbering(seed: int) -> None:
    """112 vCPUs in four cells, pinned one to one: the numbers are still valid, but nowhere near."""
    host = hosts.build(cores_per_node=14, memory=512 * GIB)
    guest = Guest(max_vcpus=112, memory=1536 * GIB)
    values = {
        "cputune": ",".join(f"{28 * n}-{28 * n + 27}#={28 * n}-{28 * n + 27}" for n in range(4)),
        "guestnuma": ",".join(f"{28 * n}-{28 * n + 27}#384G@{n}" for n in range(4)),
    }
    before = lay_out(values, guest, host)
    assert str(before.locality) == "112 of 112 vCPUs on the nodes of their cells"
    after = lay_out(values, guest, renumbered(host, seed))
    far = [warning for warning in after.warnings if "renumbered" in warning.fix]
    assert len(far) == 4
    assert "of its 28 vCPUs run on nodes" in far[0].what

# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans and refusals, word by word, and for any host and guest."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest import cpuset, planner, properties
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Node, Pages
from largeguest.placement import lookup
from largeguest.placement.place import place
from largeguest.planner import MODES, Plan, Request
from largeguest.problem import Refused
from largeguest.properties import cpulist
from largeguest.properties.cpulist import Place
from largeguest.record import replace
from largeguest.values import Guest, HugePage, MemoryDevice, Neighbour, Placement, Topology
from tests import hosts
from tests.advised import advised
from tests.any_host import MIB, any_hosts, renumber
from tests.hosts import FOUR_NODES, GIB, HIGH

APART = hosts.build(cores_per_node=4, siblings_apart=True)
NO_SMT = hosts.build(cores_per_node=4, threads=1)


def cpus(text: str) -> cpulist.CpuList:
    return cpulist.parse(text)


def plan(request_: Request, host: Host) -> Plan:
    """The tests count on all of the memory; what the host needs by default has tests of its own."""
    return planner.plan(request_ if request_.reserve_memory else replace(request_, reserve_memory=0), host)


def guest(most: int, memory: int, devices: tuple[MemoryDevice, ...] = (), **more: object) -> Guest:
    """`memory` is all that the VM has, in KiB, its memory devices included."""
    cells = memory - sum(device.size for device in devices)
    return replace(Guest(max_vcpus=most, memory=cells, devices=devices), **more)


PLANS = [
    # what one node holds stays on it, threads of a core next to each other
    (FOUR_NODES, Request(guest(4, GIB)), ("all#=cell,emulator#cell", "strict#0", "0-3#*@0"), (1, 2, 2)),
    # more CPUs than a node has: the nearest two
    (
        FOUR_NODES,
        Request(guest(8, GIB)),
        ("all#=cell,emulator#cell", "strict#0-1", "0-3#*@0,4-7#*@1"),
        (2, 2, 2),
    ),
    # more memory than a node has
    (
        FOUR_NODES,
        Request(guest(4, 3 * GIB)),
        ("all#=cell,emulator#cell", "strict#0-1", "0-1#*@0,2-3#*@1"),
        (2, 1, 2),
    ),
    # reserved CPUs are for the emulator, and a node that has too few is not among the fewest
    (
        FOUR_NODES,
        Request(guest(8, GIB), reserve=cpus("0-1,node3")),
        ("all#=cell,emulator#node0.core0,node3", "strict#1-2", "0-3#*@1,4-7#*@2"),
        (2, 2, 2),
    ),
    # a leftover half of a core stays free
    (
        FOUR_NODES,
        Request(guest(2, GIB), reserve=cpus("0,4-15")),
        ("all#=cell.core1,emulator#node0.core0.thread0,node1,node2,node3", "strict#0", "0-1#*@0"),
        (1, 1, 2),
    ),
    # unless all is needed: then the guest's cores have one thread, and a thread of the host's core is left out
    (
        FOUR_NODES,
        Request(guest(3, GIB), reserve=cpus("0,4-15")),
        ("all#=cell,^cell.core0.thread0,emulator#node0.core0.thread0,node1,node2,node3", "strict#0", "0-2#*@0"),
        (1, 3, 1),
    ),
    # siblings that the kernel numbers apart
    (APART, Request(guest(4, GIB)), ("all#=cell,emulator#cell", "strict#0", "0-3#*@0"), (1, 2, 2)),
    (
        APART,
        Request(guest(4, GIB), reserve=cpus("0,16")),
        ("all#=cell.core1-3,emulator#cell.core0", "strict#0", "0-3#*@0"),
        (1, 2, 2),
    ),
    # uneven: memory in proportion to the vCPUs, the last cell gets what is added to the VM later
    (
        NO_SMT,
        Request(guest(10, 10 * 64 * MIB)),
        ("all#=cell,emulator#cell", "strict#0-2", "0-3#256M@0,4-6#192M@1,7-9#*@2"),
        (10, 1, 1),
    ),
    (
        FOUR_NODES,
        Request(guest(8, GIB), nodes=4),
        (
            "all#=cell,emulator#cell",
            "strict#0-3",
            "0-1#*@0,2-3#*@1,4-5#*@2,6-7#*@3",
        ),
        (4, 1, 2),
    ),
    # as many nodes as there are cores for
    (
        FOUR_NODES,
        Request(guest(4, GIB), spread=True),
        ("all#=cell,emulator#cell", "strict#0-1", "0-1#*@0,2-3#*@1"),
        (2, 1, 2),
    ),
    (
        FOUR_NODES,
        Request(guest(8, GIB), mode="preferred"),
        ("all#=cell,emulator#cell", "preferred#0", "0-3#*@0,4-7#*@1"),
        (2, 2, 2),
    ),
    # memory is the same everywhere: a cell for each node would mislead the guest
    (
        FOUR_NODES,
        Request(guest(8, GIB), mode="interleave"),
        ("all#=cell,emulator#cell", "interleave#0-1", "0-7#*"),
        (2, 2, 2),
    ),
    (
        FOUR_NODES,
        Request(guest(4, GIB), threads=1),
        ("all#=cell,emulator#cell", "strict#0", "0-3#*@0"),
        (1, 4, 1),
    ),
    (
        NO_SMT,
        Request(guest(4, GIB), threads=2),
        ("all#=cell,emulator#cell", "strict#0", "0-3#*@0"),
        (1, 2, 2),
    ),
    # of a VM that exists: its sockets stay whole, what can be plugged in is not pinned, iothreads are
    (
        FOUR_NODES,
        Request(guest(64, GIB, plugged=CpuSet(range(6)), topology=Topology(32, 1, 1, 2), iothreads=CpuSet([1, 2]))),
        (
            "all#=cell,emulator#cell,iothread1#cell,iothread2#cell",
            "strict#0-1",
            "0-3#682M@0,4-5#*@1",
        ),
        (3, 1, 2),
    ),
    # where its sockets do not fit, a topology that does
    (
        FOUR_NODES,
        Request(guest(8, GIB, topology=Topology(1, 1, 4, 2))),
        ("all#=cell,emulator#cell", "strict#0-1", "0-3#*@0,4-7#*@1"),
        (2, 2, 2),
    ),
    # as many nodes as there are guest cores for, though its socket would stay whole on one
    (
        FOUR_NODES,
        Request(guest(8, GIB, topology=Topology(1, 1, 4, 2)), spread=True),
        (
            "all#=cell,emulator#cell",
            "strict#0-3",
            "0-1#*@0,2-3#*@1,4-5#*@2,6-7#*@3",
        ),
        (4, 1, 2),
    ),
    # nothing runs on CPUs of others, not even the emulator
    (
        FOUR_NODES,
        Request(guest(2, GIB), exclude=cpus("2,node1,node2,node3")),
        ("all#=cell.core0,emulator#cell,^cell.core1.thread0", "strict#0", "0-1#*@0"),
        (1, 1, 2),
    ),
    (
        FOUR_NODES,
        Request(guest(2, GIB), reserve=cpus("4,7"), exclude=cpus("node0,5-6,node2,14-15")),
        ("all#=cell.core0,emulator#node1.core0.thread0,node1.core1.thread1", "strict#3", "0-1#*@3"),
        (1, 1, 2),
    ),
    # one cell is cut by no socket, so the guest keeps its own
    (
        FOUR_NODES,
        Request(guest(6, GIB, topology=Topology(1, 1, 3, 2)), mode="interleave", nodes=2),
        ("all#=cell,emulator#cell", "interleave#0-1", "0-5#*"),
        (1, 3, 2),
    ),
    # memory that is interleaved need not be whole steps of a cell on each node; in a single cell vCPUs that do not
    # fill a node are pinned to it by its number
    (
        replace(FOUR_NODES, nodes={n: replace(node, free=200 * MIB) for n, node in FOUR_NODES.nodes.items()}),
        Request(guest(4, 512 * MIB, arch="ppc64"), mode="interleave"),
        (
            "0-1#=node0.core0-1.thread0,node0.core0-1.thread1,2#=node1.core0-1.thread0,node1.core0-1.thread1,"
            "3#=node2.core0-1.thread0,node2.core0-1.thread1,emulator#cell",
            "interleave#0-2",
            "0-3#*",
        ),
        (4, 1, 1),
    ),
    # fewer vCPUs than nodes that the memory needs: one cell on all of them
    (
        FOUR_NODES,
        Request(guest(1, 3 * GIB)),
        ("all#=cell,emulator#cell", "strict#0-1", "0#*@0-1"),
        (1, 1, 1),
    ),
    (
        FOUR_NODES,
        Request(guest(3, 8 * GIB), reserve=cpus("node0.core0,4-7,8")),
        (
            "0-2#=node2,^node2.core0.thread0,emulator#node0.core0,node1,node2.core0.thread0",
            "strict#0-3",
            "0-2#*@0-3",
        ),
        (1, 3, 1),
    ),
    (
        HIGH,
        Request(guest(4, 7 * GIB), threads=2, on=cpus("node1,node2,node3,node0")),
        ("all#=cell,emulator#cell", "strict#0-3", "0-3#*@0-3"),
        (1, 2, 2),
    ),
    # vCPUs of which the guest does not know that they are threads share a core only when no core is idle
    (
        hosts.build(cores_per_node=4),
        Request(guest(5, GIB)),
        ("all#=cell.core0-3.thread0,cell.core0-3.thread1,emulator#cell", "strict#0", "0-4#*@0"),
        (1, 5, 1),
    ),
    (
        hosts.build(cores_per_node=4),
        Request(guest(7, GIB)),
        ("all#=cell,emulator#cell", "strict#0", "0-6#*@0"),
        (1, 7, 1),
    ),
    (
        hosts.build(cores_per_node=4),
        Request(guest(3, GIB), reserve=cpus("0-1,3")),
        (
            "all#=cell.core1-3.thread0,cell.core2-3.thread1,emulator#cell.core0,cell.core1.thread1",
            "strict#0",
            "0-2#*@0",
        ),
        (1, 3, 1),
    ),
    # nor do the cores of the guest on a host with more threads a core
    (
        hosts.build(nodes_per_socket=1, cores_per_node=3, threads=8),
        Request(guest(10, GIB), threads=2),
        (
            "all#=cell.core0.thread0,cell.core0.thread1,cell.core1.thread0,cell.core1.thread1,cell.core2.thread0,"
            "cell.core2.thread1,cell.core0.thread2,cell.core0.thread3,cell.core1.thread2,cell.core1.thread3,"
            "cell.core2.thread2,cell.core2.thread3,cell.core0.thread4,cell.core0.thread5,cell.core1.thread4,"
            "cell.core1.thread5,cell.core2.thread4,cell.core2.thread5,cell.core0.thread6,cell.core0.thread7,"
            "cell.core1.thread6,cell.core1.thread7,cell.core2.thread6,cell.core2.thread7,emulator#cell",
            "strict#0",
            "0-9#*@0",
        ),
        (1, 5, 2),
    ),
    # a core for each, and none of which another thread is in use
    (
        hosts.build(cores_per_node=4),
        Request(guest(4, GIB), one_thread_per_core=True),
        ("all#=cell.core0-3.thread0,emulator#cell", "strict#0", "0-3#*@0"),
        (1, 4, 1),
    ),
    (
        hosts.build(nodes_per_socket=1, cores_per_node=4, threads=8),
        Request(guest(6, GIB), one_thread_per_core=True, exclude=cpus("9")),
        (
            "0-2#=node0.core0.thread0,node0.core2-3.thread0,3-5#=node1.core0-3.thread0,"
            "emulator#node0,^node0.core1.thread1,node1",
            "strict#0-1",
            "0-2#*@0,3-5#*@1",
        ),
        (2, 3, 1),
    ),
    # memory devices are on the node of their cell
    (
        FOUR_NODES,
        Request(guest(8, 3 * GIB, devices=(MemoryDevice("dimm", GIB, 1), MemoryDevice("nvdimm", 9 * GIB, 0)))),
        None,
        None,
    ),
    (
        FOUR_NODES,
        Request(guest(8, 3 * GIB, devices=(MemoryDevice("dimm", GIB, 1),))),
        ("all#=cell,emulator#cell", "strict#0-1", "0-3#*@0,4-7#*@1"),
        (2, 2, 2),
    ),
]


@pytest.mark.parametrize(("host", "request_", "typed", "shape"), PLANS)
def test_plans(
    host: Host, request_: Request, typed: tuple[str, str, str] | None, shape: tuple[int, int, int] | None
) -> None:
    if typed is None or shape is None:
        with pytest.raises(Refused):
            plan(request_, host)
        return
    result = plan(request_, host)
    assert tuple(result.values.values()) == typed
    assert result.topology == Topology(shape[0], 1, shape[1], shape[2])


def with_pages(free: tuple[int, ...]) -> Host:
    nodes = {
        number: replace(node, pages={GIB: Pages(free[number] + 1, free[number])})
        for number, node in FOUR_NODES.nodes.items()
    }
    return replace(FOUR_NODES, nodes=nodes)


@pytest.mark.parametrize(
    ("cores", "reserve", "cputune"),
    [
        (1, "", "all#=cell.core1-3,emulator#cell.core0"),
        (2, "", "all#=cell.core2-3,emulator#cell.core0-1"),
        # what is reserved by name is for emulator and iothreads, too
        (1, "14-15", "all#=cell.core1-3,emulator#node0.core0,node1.core3"),
    ],
)
def test_cores_of_each_node_are_left_to_the_host(cores: int, reserve: str, cputune: str) -> None:
    host = hosts.build(nodes_per_socket=1, cores_per_node=4)
    request_ = Request(guest(4, GIB), reserve_cores=cores, reserve=cpus(reserve) if reserve else None)
    result = plan(request_, host)
    assert (result.values["cputune"], result.nodes, result.notes) == (cputune, (0,), ())


def test_cores_that_nothing_may_use_are_not_left_to_the_host() -> None:
    host = hosts.build(nodes_per_socket=1, cores_per_node=4)
    result = plan(Request(guest(4, GIB), reserve_cores=1, exclude=cpus("0")), host)
    assert result.values["cputune"] == "all#=cell.core2-3,emulator#cell.core1"
    assert str(result.reserved) == "2-3,8-9"


@pytest.mark.parametrize(
    ("reserve", "pages", "most"),
    [
        (None, False, 2048 - 256 - 41),
        (0, False, 2048),
        (GIB, False, 1024),
        (None, True, 2048),  # the host cannot live on these
    ],
)
def test_memory_of_each_node_is_left_to_the_host(reserve: int | None, pages: bool, most: int) -> None:
    host = with_pages((2, 2, 2, 2)) if pages else FOUR_NODES
    backing = (HugePage(GIB, None),) if pages else ()
    step = GIB if pages else MIB
    for memory, nodes in ((most * MIB // step * step, 1), (most * MIB // step * step + step, 2)):
        request_ = Request(guest(4, memory, pages=backing), reserve_memory=reserve)
        assert len(planner.plan(request_, host).nodes) == nodes


@pytest.mark.parametrize(
    ("vcpus", "others", "noted"),
    [(16, "", True), (14, "", False), (15, "", True), (8, "8-15", True), (8, "8-13", False)],
)
def test_a_host_without_a_core_of_its_own_is_noted(vcpus: int, others: str, noted: bool) -> None:
    held = cpuset.parse(others) if others else CpuSet()
    host = replace(FOUR_NODES, neighbours=(Neighbour("db02", held),))
    notes = plan(Request(guest(vcpus, GIB)), host).notes
    assert noted == any(note.startswith("the plan leaves the host no core") for note in notes)


@pytest.mark.parametrize("kind", ["cores_per_l3", "cores_per_cluster"])
@pytest.mark.parametrize(
    ("vcpus", "exclude", "cputune"),
    [
        # nothing is gained: the plainest text
        (8, "", "all#=cell,emulator#cell"),
        # a part of the first cache is in use: the second one holds the guest
        (8, "0-1", "all#=cell.core4-7,cell.core1-3,cell.core8-15,emulator#cell.core1-15"),
        # of those that hold it the smallest
        (6, "0-3,16-17", "all#=cell.core9-11,cell.core2-7,cell.core12-15,emulator#cell.core2-15,^cell.core8"),
        # the whole of the second, and a part of the third
        (16, "0-1", "all#=cell.core4-11,cell.core1-3,cell.core12-15,emulator#cell.core1-15"),
        # first a core each
        (3, "0-1", "all#=cell.core1-15.thread0,cell.core1-15.thread1,emulator#cell.core1-15"),
        (5, "0-7", "all#=cell.core4-15.thread0,cell.core4-15.thread1,emulator#cell.core4-15"),
    ],
)
def test_cores_that_share_a_cache_are_taken_together(kind: str, vcpus: int, exclude: str, cputune: str) -> None:
    size = {"cores_per_l3": 0, "cores_per_cluster": 0, kind: 4}
    host = hosts.build(1, 1, 16, 2, 8 * GIB, False, size["cores_per_l3"], size["cores_per_cluster"])
    result = plan(Request(guest(vcpus, GIB), exclude=cpus(exclude) if exclude else None), host)
    assert result.values["cputune"] == cputune


def test_huge_pages_are_what_counts() -> None:
    vm = guest(4, 2 * GIB, pages=(HugePage(GIB, None),))
    result = plan(Request(vm), with_pages((1, 1, 1, 2)))
    assert (result.nodes, result.values["guestnuma"]) == ((3,), "0-3#*@3")
    result = plan(Request(vm), with_pages((1, 0, 1, 1)))
    assert (result.nodes, result.values["guestnuma"]) == ((2, 3), "0-1#*@2,2-3#*@3")


@pytest.mark.parametrize(
    ("memory", "free", "fix"),
    [
        (
            9 * GIB,
            (3, 3, 3, 3),
            "1 GiB pages are free, plan with --hugepages 1G (in the engine the property hugepages)",
        ),
        (9 * GIB, (2, 2, 2, 2), "the nearest that fits is 4 vCPUs and 4 GiB, on 4 nodes"),
        (5 * GIB + MIB, (2, 2, 2, 2), "the nearest that fits is 4 vCPUs and 4 GiB, on 4 nodes"),
    ],
)
def test_free_huge_pages_are_pointed_out(memory: int, free: tuple[int, ...], fix: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(Request(guest(4, memory)), with_pages(free))
    assert caught.value.problems[0].fix == fix


@pytest.mark.parametrize(
    ("pci", "note"),
    [
        (("0000:41:00.0",), ()),
        (("0000:42:00.0",), ("the node of PCI 0000:42:00.0 is not known here, and not considered",)),
        (
            ("0000:42:00.0", "0000:41:00.0", "0000:43:00.1"),
            ("the nodes of PCI 0000:42:00.0, 0000:43:00.1 are not known here, and not considered",),
        ),
    ],
)
def test_devices_without_a_known_node_are_noted(pci: tuple[str, ...], note: tuple[str, ...]) -> None:
    host = replace(FOUR_NODES, pci_node={"0000:41:00.0": 3}.get)
    result = plan(Request(guest(4, GIB), pci=pci), host)
    assert (result.notes, result.nodes) == (note, (3,) if "0000:41:00.0" in pci else (0,))


def test_a_device_draws_the_guest_to_its_node() -> None:
    host = replace(FOUR_NODES, pci_node={"0000:3b:00.0": 2, "0000:3b:00.1": 2, "0000:01:00.0": 0}.get)
    vm = guest(4, GIB)
    assert plan(Request(vm), host).nodes == (0,)
    assert plan(Request(vm, pci=("0000:3b:00.0",)), host).nodes == (2,)
    assert plan(Request(vm, pci=("0000:01:00.0", "0000:3b:00.0", "0000:3b:00.1")), host).nodes == (2,)
    # but not to more nodes than it needs, nor to where there is no room
    assert plan(Request(vm, pci=("0000:3b:00.0",), reserve=cpus("node2")), host).nodes == (0,)
    assert plan(Request(guest(8, GIB), pci=("0000:01:00.0", "0000:3b:00.0")), host).nodes == (0, 2)


NO_PLAN = [
    (
        Request(guest(17, GIB)),
        "17 vCPUs and 1 GiB do not fit: the host has 4 nodes with 16 CPUs and 8 GiB of free memory: "
        "the nearest that fits is 16 vCPUs and 1 GiB, on 4 nodes",
    ),
    (
        Request(guest(16, 9 * GIB)),
        "16 vCPUs and 9 GiB do not fit: the host has 4 nodes with 16 CPUs and "
        "8 GiB of free memory: the nearest that fits is 16 vCPUs and 8 GiB, on 4 nodes",
    ),
    (
        Request(guest(8, GIB), nodes=1),
        "8 vCPUs and 1 GiB do not fit on 1 node: the host has 4 nodes with 16 CPUs "
        "and 8 GiB of free memory: it fits on 2 nodes",
    ),
    (
        Request(guest(4, GIB), nodes=3, threads=2),
        "4 vCPUs and 1 GiB do not fit on 3 nodes: the host has 4 nodes with 16 CPUs in whole cores of 2 "
        "threads and 8 GiB of free memory: it fits on 2 nodes",
    ),
    (
        Request(guest(16, GIB), reserve=cpus("0")),
        "16 vCPUs and 1 GiB do not fit: the host has 4 nodes with 15 CPUs "
        "(1 reserved) and 8 GiB of free memory: "
        "the nearest that fits is 15 vCPUs and 1 GiB, on 4 nodes",
    ),
    (
        Request(guest(14, GIB), threads=2, reserve=cpus("0,2")),
        "14 vCPUs and 1 GiB do not fit: the host has 4 nodes with 12 CPUs in whole cores of 2 threads "
        "(2 reserved) and 8 GiB of free memory, 3 nodes with both: it fits with --threads 1",
    ),
    (
        Request(guest(4, GIB), reserve=cpus("node0,node1,node2,node3")),
        "4 vCPUs and 1 GiB do not fit: the host has 4 nodes with 0 CPUs "
        "(16 reserved) and 8 GiB of free memory, 0 nodes with both: it fits without --reserve",
    ),
    (
        Request(guest(4, 2 * GIB, pages=(HugePage(2048, None),))),
        "4 vCPUs and 2 GiB do not fit: the host has 4 nodes with 16 CPUs "
        "and 0 KiB of free huge pages of 2 MiB, 0 nodes with both: it fits if they are reserved on the "
        "nodes, or without huge pages",
    ),
    (
        Request(guest(4, GIB), reserve=cpus("node9")),
        "--reserve node9: node9 is not on this host, which has nodes 0-3: name CPUs that exist",
    ),
    (
        Request(guest(4, GIB), exclude=cpus("0,cell.core0")),
        "--exclude 0,cell.core0: a cell is that of a vCPU: name nodes of the host",
    ),
    (
        Request(guest(4, GIB), reserve=cpus("node0,^node0")),
        "--reserve node0,^node0 leaves no CPU on this host: name one that no later ^ removes",
    ),
    (
        Request(guest(4, GIB), exclude=cpus("16")),
        "--exclude 16: CPU 16 is not available: name CPUs that are online, which are 0-15",
    ),
    (
        Request(guest(4, GIB), reserve=cpus("0-3"), exclude=cpus("2-5")),
        "--reserve and --exclude both name CPUs 2-3: name each in only one of them",
    ),
    (
        Request(guest(16, GIB), reserve=cpus("0"), exclude=cpus("2-3")),
        "16 vCPUs and 1 GiB do not fit: the host has 4 nodes with 13 CPUs (1 reserved, 2 excluded) and 8 GiB "
        "of free memory: the nearest that fits is 13 vCPUs and 1 GiB, on 4 nodes",
    ),
    (
        Request(guest(64, GIB), threads=64),
        "64 vCPUs and 1 GiB do not fit: the host has 4 nodes with 0 CPUs in whole cores of 64 threads and "
        "8 GiB of free memory, 0 nodes with both: the nearest that fits is 16 vCPUs and 1 GiB with "
        "--threads 1, on 4 nodes",
    ),
    (
        Request(guest(8, 2 * GIB, devices=(MemoryDevice("dimm", GIB, 5),))),
        "8 vCPUs and 2 GiB do not fit: the host has 4 nodes with 16 CPUs and 8 GiB of free memory, but a "
        "memory device in guest node 5 needs 6 nodes: choose another host",
    ),
    (
        Request(guest(8, 2 * GIB, devices=(MemoryDevice("dimm", GIB, 1),)), mode="interleave"),
        "with interleave the guest has one cell, but a memory device is in guest node 1: unplug it, or plan with "
        "another mode",
    ),
    (
        Request(guest(4, GIB), reserve=cpus("14-17")),
        "--reserve 14-17: CPUs 16-17 are not available: name CPUs that are online, which are 0-15",
    ),
    (
        Request(guest(4, GIB + 1)),
        "1048577 KiB of memory is not a multiple of 1 MiB: give the VM 1 GiB or 1025 MiB",
    ),
    (Request(guest(4, 1)), "1 KiB of memory is not a multiple of 1 MiB: give the VM more"),
    (
        Request(guest(5, GIB), threads=2),
        "5 vCPUs cannot be divided into cores of 2 threads: the nearest that fits is 4 vCPUs, on 1 node or 6 vCPUs, "
        "on 2 nodes or 5 vCPUs with --threads 1, on 2 nodes",
    ),
    (
        Request(guest(15, GIB), threads=4),
        "15 vCPUs cannot be divided into cores of 4 threads: the nearest that fits is 12 vCPUs, on 3 nodes or 16 "
        "vCPUs, on 4 nodes or 15 vCPUs with --threads 1, on 4 nodes",
    ),
    (
        Request(guest(4, GIB, pages=(HugePage(2048, CpuSet([0])),))),
        "the VM has huge pages for individual cells, but a plan makes new ones: write one <page>",
    ),
    (
        Request(guest(4, GIB, pages=(HugePage(None, None),))),
        "the VM's <hugepages> does not give their size: write <page size=...>",
    ),
]


@pytest.mark.parametrize(("request_", "message"), NO_PLAN)
def test_no_plan(request_: Request, message: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(request_, FOUR_NODES)
    assert str(caught.value) == f"largeguest: plan: {message}"


EIGHT_NODES = hosts.build(sockets=4, cores_per_node=16, memory=512 * GIB, siblings_apart=True)


@pytest.mark.parametrize(
    ("vcpus", "nodes", "shape"),
    [
        # 13 + 13 + 12 + 12 cores would be 50 sockets, of which the engine takes 16
        (100, 4, (10, 5, 2)),
        # even if possible
        (96, 3, (3, 16, 2)),
        # more nodes than it would take, because those have no even deal
        (182, 7, (7, 13, 2)),
    ],
)
def test_sockets_are_no_more_than_the_engine_takes(vcpus: int, nodes: int, shape: tuple[int, int, int]) -> None:
    result = plan(Request(guest(vcpus, 64 * GIB), threads=2), EIGHT_NODES)
    topology = result.topology
    assert len(result.nodes) == nodes
    assert (topology.sockets, topology.cores, topology.threads) == shape
    assert all(len(own) % (topology.cores * topology.threads) == 0 for own in result.vcpus)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            Request(guest(122, 64 * GIB)),
            "122 vCPUs in cores of 2 threads cannot be divided evenly into sockets as the engine takes them, "
            "at most 16 of 254 cores (MaxNumOfVmSockets, MaxNumOfCpuPerSocket): "
            "the nearest that fits is 120 vCPUs, on 4 nodes or 124 vCPUs, on 4 nodes",
        ),
        (
            Request(guest(122, 64 * GIB), nodes=4),
            "122 vCPUs in cores of 2 threads cannot be divided evenly on 4 nodes into sockets as the engine takes "
            "them, at most 16 of 254 cores (MaxNumOfVmSockets, MaxNumOfCpuPerSocket): "
            "the nearest that fits is 120 vCPUs, on 4 nodes or 124 vCPUs, on 4 nodes",
        ),
    ],
)
def test_what_would_have_too_many_sockets_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(request_, EIGHT_NODES)
    assert str(caught.value) == f"largeguest: plan: {message}"


@pytest.mark.parametrize(
    ("vcpus", "count", "shape"),
    [(256, 32, (16, 8, 2)), (384, 24, (12, 16, 2)), (250, 25, (5, 25, 2)), (238, 17, (1, 119, 2))],
)
def test_more_cells_than_sockets_are_whole_in_the_sockets(vcpus: int, count: int, shape: tuple[int, int, int]) -> None:
    """As with sub-NUMA clusters."""
    host = hosts.build(sockets=16, cores_per_node=8, memory=16 * GIB)
    result = plan(Request(guest(vcpus, 64 * GIB), nodes=count), host)
    assert (result.topology.sockets, result.topology.cores, result.topology.threads) == shape
    assert len({len(own) for own in result.vcpus}) <= 2
    assert result.notes == ()


@pytest.mark.parametrize(("vcpus", "sockets"), [(384, 16), (368, 8), (192, 16)])
def test_cells_of_sub_numa_clusters_share_a_guest_socket_if_they_share_the_hosts(vcpus: int, sockets: int) -> None:
    """Eight sockets of four clusters each; a socket for each cell would be more than the engine takes."""
    host = hosts.build(sockets=8, nodes_per_socket=4, cores_per_node=6, memory=64 * GIB, siblings_apart=True)
    request_ = Request(guest(vcpus, 768 * GIB, plugged=CpuSet.span(0, vcpus - 1)), nodes=32)
    result = plan(request_, host)
    assert result.topology.sockets == sockets
    host_sockets: dict[int, set[int]] = {}
    for node, own in zip(result.nodes, result.vcpus):
        (guest_socket,) = {vcpu // (vcpus // sockets) for vcpu in own}
        host_sockets.setdefault(guest_socket, set()).add(host.cpus[host.nodes[node].cpus.first].socket)
    assert [len(own) for own in host_sockets.values()] == [1] * sockets
    check_what_is_printed(result, request_, host)


def test_cells_of_unequal_nodes_are_whole_in_the_sockets() -> None:
    """Groups of as many nodes do not hold as many cores each: they are made of larger and smaller ones."""
    regular = hosts.build(sockets=10, cores_per_node=16, memory=16 * GIB)
    taken = ",".join(f"node{number}.core{4 if number < 10 else 15}-15" for number in range(20))
    result = plan(Request(guest(320, 64 * GIB), nodes=20, reserve=cpus(taken)), regular)
    size = result.topology.cores * result.topology.threads
    sockets = [CpuSet(vcpu // size for vcpu in own) for own in result.vcpus]
    assert result.topology.sockets <= 16
    assert all(len(own) == 1 for own in sockets)


def test_a_plan_with_interleave_needs_few_sockets_too() -> None:
    result = plan(Request(guest(122, 64 * GIB), mode="interleave"), EIGHT_NODES)
    assert (result.topology.sockets, result.topology.cores, result.notes) == (1, 61, ())


def test_one_cell_over_several_nodes_is_noted_and_local_as_far_as_can_be() -> None:
    result = plan(Request(guest(1, 5 * GIB)), FOUR_NODES)
    assert result.notes == (
        "the memory needs more nodes than there are guest cores: one cell is on all of them, so some of it is far",
    )
    assert result.vcpus == (CpuSet([0]), CpuSet(), CpuSet())
    assert result.placement.locality is not None
    assert str(result.placement.locality) == "1 of 1 vCPU on the nodes of their cells"
    assert result.figure is not None
    assert 0.7 < result.figure < 0.8


def test_fewer_nodes_can_cost_whole_cores() -> None:
    result = plan(Request(guest(6, GIB), reserve=cpus("0,4,8,12")), FOUR_NODES)
    assert (len(result.nodes), result.topology.threads) == (2, 1)
    assert [note for note in result.notes if note.startswith("with --threads 2, on 3 nodes, the guest would know")]
    assert plan(Request(guest(6, GIB), reserve=cpus("0,4,8,12"), threads=1), FOUR_NODES).notes == ()


def test_a_lone_number_to_reserve_is_no_vcpu() -> None:
    request_ = Request(guest(16, GIB, plugged=CpuSet(range(4))), reserve=cpus("0,9"))
    assert not any("taken as a host CPU" in note for note in plan(request_, FOUR_NODES).notes)


NODE_AND_DEVICE = Request(guest(8, 5 * GIB // 2, devices=(MemoryDevice("dimm", 2 * GIB, 0),)))


def test_a_memory_device_finds_the_node_that_holds_it() -> None:
    small, large = (replace(FOUR_NODES.nodes[0], free=size * GIB // 2) for size in (3, 5))
    nodes = {n: replace(node, free=(large if n == 3 else small).free) for n, node in FOUR_NODES.nodes.items()}
    result = plan(NODE_AND_DEVICE, replace(FOUR_NODES, nodes=nodes))
    assert (len(result.nodes), result.nodes[0]) == (2, 3)


def test_no_node_with_both_cpus_and_memory() -> None:
    """As in a partition of a POWER machine."""
    nodes = {0: replace(FOUR_NODES.nodes[0], memory=0, free=0), 1: replace(FOUR_NODES.nodes[1], cpus=CpuSet())}
    with pytest.raises(Refused, match="free memory, but no node has both CPUs and memory: choose another host"):
        plan(Request(guest(2, GIB)), replace(FOUR_NODES, nodes=nodes))


def test_memory_of_gpus_is_not_counted() -> None:
    gpu = Node(CpuSet(), 96 * GIB, 90 * GIB, {}, dict.fromkeys(range(5), 80))
    with pytest.raises(Refused, match="the host has 4 nodes with 16 CPUs and 8 GiB of free memory"):
        plan(Request(guest(4, 20 * GIB)), replace(FOUR_NODES, nodes={**FOUR_NODES.nodes, 4: gpu}))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            Request(guest(1, 3 * GIB), mode="preferred"),
            "free memory, but each node used needs 1 vCPU or more: the nearest that fits is 1 vCPU and 2 GiB, "
            "on 1 node",
        ),
        (Request(guest(2, 10 * GIB)), "the nearest that fits is 2 vCPUs and 8 GiB, on 4 nodes"),
        # memory backed by files is neither counted nor an obstacle
        (
            Request(guest(4, 20 * GIB, devices=(MemoryDevice("nvdimm", 9 * GIB, 0),))),
            "4 vCPUs and 11 GiB do not fit: .*: the nearest that fits is 4 vCPUs and 8 GiB, on 4 nodes",
        ),
        (Request(guest(4, GIB, arch="s390x")), "a guest on s390x has no NUMA: pin its vCPUs by hand"),
    ],
)
def test_what_would_fit_is_found_where_the_totals_are_enough(request_: Request, message: str) -> None:
    with pytest.raises(Refused, match=message):
        plan(request_, FOUR_NODES)


def test_a_thousand_vcpus_need_little_text() -> None:
    host = hosts.build(sockets=16, nodes_per_socket=2, cores_per_node=32, memory=64 * GIB, siblings_apart=True)
    first_two = ",".join(f"{n * 32}-{n * 32 + 1},{1024 + n * 32}-{1024 + n * 32 + 1}" for n in range(32))
    result = plan(Request(guest(1024, 512 * GIB), reserve=cpus(first_two)), host)
    assert result.values["cputune"].startswith("all#=cell.core2-31,emulator#node0.core0-1,")
    assert plan(Request(guest(1024, 512 * GIB), nodes=32, reserve=cpus(first_two)), host).values["cputune"] == (
        "all#=cell.core2-31,emulator#cell.core0-1"
    )


def uneven(iothreads: int) -> tuple[Request, Host]:
    """Of each node another thread is missing."""
    missing = ",".join(str(node * 16 + node % 16) for node in range(32))
    vm = guest(448, 32 * GIB, iothreads=CpuSet(range(1, iothreads + 1)))
    return Request(vm, exclude=cpus(missing)), hosts.build(sockets=16, cores_per_node=8)


def test_numbers_are_written_where_places_are_too_long() -> None:
    assert "emulator#node0,^node0.core0.thread0," in plan(*uneven(0)).values["cputune"]
    result = plan(*uneven(3))
    assert result.length <= 4000
    assert "emulator#1-16,18-33,35-50," in result.values["cputune"]
    assert "15-29#=node1,^node1.core0.thread1," in result.values["cputune"]
    assert "15-29#=node1,^17," in plan(*uneven(10)).values["cputune"]


def test_what_the_engine_cannot_store_is_no_plan() -> None:
    with pytest.raises(Refused) as caught:
        plan(*uneven(12))
    assert re.search(r"the properties have \d+ characters, but the engine stores 4000", str(caught.value))


def test_cpu_policies_of_the_engine() -> None:
    with pytest.raises(Refused, match="the VM has the CPU pinning policy dedicated"):
        plan(Request(guest(4, GIB, cpu_policy="dedicated")), FOUR_NODES)


@pytest.mark.parametrize(
    ("host", "request_", "note"),
    [
        (FOUR_NODES, Request(guest(8, GIB, topology=Topology(1, 1, 4, 2))), "the VM has a different topology"),
        (
            FOUR_NODES,
            Request(guest(8, GIB, topology=Topology(8, 1, 1, 1))),
            "with --threads 2, on 2 nodes, the guest would",
        ),
        (NO_SMT, Request(guest(8, GIB), threads=2), "the threads of a guest core run on different cores"),
        (
            with_pages((0, 0, 0, 2)),
            Request(guest(4, 2 * GIB, pages=(HugePage(GIB, None),)), reserve=cpus("0")),
            "libvirt before 9.3",
        ),
        (
            replace(FOUR_NODES, nodes={n: replace(node, free=None) for n, node in FOUR_NODES.nodes.items()}),
            Request(guest(4, 4 * GIB)),
            "the host's free memory is not known",
        ),
    ],
)
def test_notes(host: Host, request_: Request, note: str) -> None:
    (line,) = [text for text in plan(request_, host).notes if text.startswith(note)]
    assert line.isascii()


# hosts and guests of all kinds: a plan is what it says, or there is none


@st.composite
def random_requests(draw: st.DrawFn, host: Host) -> Request:
    vcpus = draw(st.integers(1, len(host.cpus) + 1))
    free = sum(node.free or 0 for node in host.nodes.values()) // MIB
    memory = draw(st.integers(1, max(1, free + 1))) * MIB
    threads = draw(st.sampled_from([None, None, *(number for number in (1, 2, 4) if vcpus % number == 0)]))
    reserved, excluded = (draw(st.lists(st.sampled_from(sorted(host.cpus)), max_size=4, unique=True)) for _ in range(2))
    excluded = [cpu for cpu in excluded if cpu not in reserved]
    nodes = draw(st.sampled_from([None, None, None, 1, 2, 3]))
    return Request(
        guest(vcpus, memory),
        threads=threads,
        nodes=nodes,
        spread=nodes is None and draw(st.booleans()),
        mode=draw(st.sampled_from(MODES)),
        reserve=cpus(",".join(map(str, reserved))) if reserved else None,
        exclude=cpus(",".join(map(str, excluded))) if excluded else None,
    )


def taken(request_: Request, host: Host) -> CpuSet:
    """CPUs that are not for vCPUs."""
    return CpuSet.union(
        lookup.look_up(these, host).cpus for these in (request_.reserve, request_.exclude) if these is not None
    )


def cores_on(host: Host, node: int, reserved: CpuSet, threads: int) -> int:
    """How many guest cores of so many threads a node can take, counted afresh."""
    cores = {host.cpus[cpu].siblings & host.nodes[node].cpus for cpu in host.nodes[node].cpus}
    if threads > max(len(cpu.siblings) for cpu in host.cpus.values()):
        return len(host.nodes[node].cpus - reserved) // threads
    return sum(len(core - reserved) // threads for core in cores)


def holding(request_: Request, host: Host, threads: int) -> Iterator[tuple[int, ...]]:
    """All sets of nodes that hold the guest with so many threads a core, by their size."""
    reserved = taken(request_, host)
    cores_needed, memory = request_.guest.max_vcpus // threads, request_.guest.total_memory // MIB
    cores = {node: cores_on(host, node, reserved, threads) for node in host.nodes}
    mebibytes = {number: (node.free or 0) // MIB for number, node in host.nodes.items()}
    usable = [node for node in host.nodes if cores[node] and mebibytes[node]]
    cells = memory if request_.mode != "interleave" else len(usable)  # each has a step of memory at least
    for size in range(1, min(len(usable), cores_needed, cells) + 1):
        for nodes in itertools.combinations(usable, size):
            enough = sum(mebibytes[node] for node in nodes) >= memory
            if request_.mode == "interleave":
                enough = all(mebibytes[node] * MIB * size >= request_.guest.total_memory for node in nodes)
            divides = request_.mode == "interleave" or can_be_sockets([cores[node] for node in nodes], cores_needed)
            if enough and divides and sum(cores[node] for node in nodes) >= cores_needed:
                yield nodes


def can_be_sockets(rooms: list[int], cores: int) -> bool:
    """Whether nodes with so many cores each hold this many in 16 equal sockets or fewer, one or more on each."""
    return any(
        cores % size == 0 and cores // size <= 16 and sum(room // size for room in rooms) >= cores // size
        for size in range(1, min(rooms) + 1)
    ) and len(rooms) <= min(16, cores)


def all_plans(request_: Request, host: Host) -> dict[int, dict[int, list[tuple[int, ...]]]]:
    """How many nodes -> threads of a core -> the sets of nodes."""
    vcpus = request_.guest.max_vcpus
    most = max(len(cpu.siblings) for cpu in host.cpus.values())
    threads = [number for number in range(most, 0, -1) if vcpus % number == 0]
    found: dict[int, dict[int, list[tuple[int, ...]]]] = {}
    for number in threads if request_.threads is None else [request_.threads]:
        for nodes in holding(request_, host, number):
            if request_.nodes in (None, len(nodes)):
                found.setdefault(len(nodes), {}).setdefault(number, []).append(nodes)
    return found


@settings(max_examples=500)
@given(st.data())
def test_any_host_and_any_guest(data: st.DataObject) -> None:
    host = data.draw(any_hosts())
    request_ = data.draw(random_requests(host))
    possible = all_plans(request_, host)
    try:
        result = plan(request_, host)
    except Refused as refused:
        assert possible == {}
        for other, its_host, nodes in advised(str(refused), request_, host):
            assert len(plan(other, its_host).nodes) == nodes or nodes is None
        return
    if not possible:
        check_one_cell_over_nodes(result, request_, host)
        return
    threads, size = max((threads, size) for size, by_threads in possible.items() for threads in by_threads)
    if not request_.spread:
        size = min(possible)
        threads = max(possible[size])
    assert (len(result.nodes), result.topology.threads) == (size, threads)
    assert tuple(sorted(result.nodes)) in possible[size][threads]

    def apart(nodes: tuple[int, ...]) -> int:
        return sum(host.nodes[one].distances[two] for one, two in itertools.permutations(nodes, 2))

    assert apart(result.nodes) == min(map(apart, possible[size][threads]))
    check_what_is_printed(result, request_, host)


def check_one_cell_over_nodes(result: Plan, request_: Request, host: Host) -> None:
    """For fewer guest cores than nodes that the memory needs, on as few nodes as hold it."""
    cores = request_.guest.max_vcpus // result.topology.threads
    usable = {number: (node.free or 0) // MIB * MIB for number, node in host.nodes.items() if node.cpus}
    room = {node: cores_on(host, node, taken(request_, host), result.topology.threads) for node in usable}
    assert request_.mode == "strict"
    assert sum(sorted(usable.values())[-cores:]) < request_.guest.memory
    fewer = itertools.combinations(usable, len(result.nodes) - 1) if request_.nodes is None else ()
    for nodes in fewer:
        has_cores = sum(room[node] for node in nodes) >= cores
        assert not (has_cores and sum(usable[node] for node in nodes) >= request_.guest.memory)
    (cell,) = result.placement.cells or ()
    assert (cell.nodes, cell.memory) == (CpuSet(result.nodes), request_.guest.memory)
    pins = result.placement.pins
    assert pins
    used = [pins.vcpus[vcpu].last for vcpu in range(request_.guest.max_vcpus)]
    assert len(set(used)) == len(used)
    assert not CpuSet(used) & taken(request_, host)
    assert not CpuSet(used) - CpuSet.union(host.nodes[node].cpus for node in result.nodes)
    assert warnings(result.placement, request_, host) == []


def warnings(placement: Placement, request_: Request, host: Host) -> list[str]:
    """Those that were not asked for: with an emulator elsewhere, or with more threads than some cores have."""
    wished = []
    if request_.reserve is not None:
        wished.append("emulator runs on")
    if request_.threads is not None and any(len(cpu.siblings) < request_.threads for cpu in host.cpus.values()):
        wished.append("the threads of")
    return [text for text in map(str, placement.warnings) if not any(wish in text for wish in wished)]


def check_what_is_printed(result: Plan, request_: Request, host: Host) -> None:
    typed, problems = properties.parse(result.values)
    assert problems == ()
    fitting = replace(request_.guest, topology=result.topology)
    placement = place(typed, fitting, host)
    assert warnings(placement, request_, host) == []
    assert placement.pins is not None
    assert placement.cells is not None
    used = [cpu for cpus_of_one in placement.pins.vcpus.values() for cpu in cpus_of_one]
    assert sorted(placement.pins.vcpus) == list(range(request_.guest.max_vcpus))
    assert [placement.pins.vcpus[vcpu].last for vcpu in range(len(used))] == cpus_in_order(result, request_, host)
    assert (len(set(used)), len(used)) == (len(placement.pins.vcpus), len(placement.pins.vcpus))
    assert not CpuSet(used) & taken(request_, host)
    assert placement.pins.emulator
    if request_.exclude is not None:
        assert not placement.pins.emulator & lookup.look_up(request_.exclude, host).cpus
    if request_.reserve is not None:
        assert placement.pins.emulator == lookup.look_up(request_.reserve, host).cpus
    else:
        assert placement.pins.emulator == CpuSet.union(host.nodes[node].cpus for node in result.nodes) - taken(
            request_, host
        )
    threads = result.topology.threads
    if threads <= max(len(cpu.siblings) for cpu in host.cpus.values()):
        for first in range(0, request_.guest.max_vcpus, threads):
            core = {placement.pins.vcpus[vcpu].last for vcpu in range(first, first + threads)}
            assert core <= set(host.cpus[min(core)].siblings)
    if request_.mode != "interleave":
        for cell, node in zip(placement.cells, result.nodes):
            assert cell.nodes == CpuSet([node])
            assert cell.memory <= (host.nodes[node].free or 0)
            assert all(placement.pins.vcpus[vcpu].last in host.nodes[node].cpus for vcpu in cell.vcpus)
    assert result.topology.sockets * result.topology.cores * threads == request_.guest.max_vcpus


def cpus_in_order(result: Plan, request_: Request, host: Host) -> list[int]:
    """The CPU of each vCPU: on its node, core by core, as far as they fit there; by turns if cores would idle."""
    found, threads = [], result.topology.threads
    most = max(len(cpu.siblings) for cpu in host.cpus.values())
    ways = []
    for node, own in zip(result.nodes, result.vcpus):
        cores = sorted({tuple(host.cpus[cpu].siblings) for cpu in host.nodes[node].cpus})
        left = [[cpu for cpu in core if cpu not in taken(request_, host)] for core in cores]
        whole = [core[: len(core) // threads * threads] if threads <= most else core for core in left]
        by_core = [cpu for core in whole for cpu in core]
        turns = range(0, most, threads)
        by_turns = [cpu for first in turns for core in whole for cpu in core[first : first + threads]]
        ways.append((by_core[: len(own)], by_turns[: len(own)]))
    pins = result.placement.pins
    assert pins
    for (by_core, by_turns), own in zip(ways, result.vcpus):
        used = [pins.vcpus[vcpu].last for vcpu in own]
        if threads >= most or len({host.cpus[cpu].siblings for cpu in by_core}) < len(
            {host.cpus[cpu].siblings for cpu in by_turns}
        ):
            found += by_core if threads >= most else by_turns
        else:
            found += by_core if used == by_core else by_turns
    return found


@settings(max_examples=200)
@given(st.data())
def test_a_plan_fits_a_host_with_other_numbers(data: st.DataObject) -> None:
    """It is valid there, too, and as local: only which cores are the first ones differs."""
    host = hosts.build(
        data.draw(st.integers(1, 3)), 2, data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 2]))
    )
    request_ = data.draw(random_requests(host))
    try:
        result = plan(request_, host)
    except Refused:
        return
    typed, _ = properties.parse(result.values)
    assert typed.cputune is not None
    assert all(isinstance(item.what, Place) for pin in typed.cputune.pins for item in pin.cpus.items)
    other = renumber(host, data.draw(st.permutations(range(len(host.cpus)))))
    placement = place(typed, replace(request_.guest, topology=result.topology), other)
    assert warnings(placement, request_, other) == []
    assert placement.pins is not None
    for node, own in zip(result.nodes, result.vcpus):
        used = CpuSet.union(placement.pins.vcpus[vcpu] for vcpu in own)
        assert len(used) == len(own)
        assert not used - other.nodes[node].cpus
    threads = result.topology.threads
    whole_cores = request_.reserve is None and request_.exclude is None and threads <= len(host.cpus[0].siblings)
    for first in range(0, request_.guest.max_vcpus if whole_cores else 0, threads):
        core = CpuSet(placement.pins.vcpus[vcpu].last for vcpu in range(first, first + threads))
        assert not core - other.cpus[core.first].siblings

# SPDX-License-Identifier: GPL-2.0-or-later
"""The word auto: what it becomes on a host, beside the VMs that run there."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from largeguest import properties
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host
from largeguest.placement import pinning
from largeguest.placement.backing import Backing
from largeguest.placement.place import place
from largeguest.planner import Request, plan
from largeguest.planner.expand import expand
from largeguest.planner.free import pin_again, pin_near
from largeguest.problem import Refused
from largeguest.properties import Properties
from largeguest.record import replace
from largeguest.rewrite import place_on
from largeguest.values import Cell, Guest, Neighbour, Pins, Topology
from tests import hosts
from tests.any_host import MIB
from tests.hosts import FOUR_NODES, GIB, HIGH

from .test_beside import held, hosts_with_vms

GUEST = Guest(max_vcpus=4, memory=GIB, topology=Topology(2, 1, 1, 2))
BOTH = {"cputune": "auto", "guestnuma": "auto"}
NOWHERE = "choose another host, or make room on this one"


def beside(*others: Neighbour) -> Host:
    return replace(FOUR_NODES, neighbours=others)


def typed(values: dict[str, str]) -> Properties:
    request, problems = properties.parse(values)
    assert not problems
    return request


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        (BOTH, [], ("all#=cell,emulator#cell", "strict#0", "0-3#*@0")),
        (BOTH, [held([1])], ("all#=cell,emulator#cell", "strict#1", "0-3#*@1")),
        # two nodes are needed
        (
            BOTH,
            [held([n for n in range(16) if n % 4 < 2])],
            ("all#=cell.core1,emulator#cell.core1", "strict#0-1", "0-1#*@0,2-3#*@1"),
        ),
        # what is typed restricts what is chosen
        ({**BOTH, "numatune": "^0-1"}, [], ("all#=cell,emulator#cell", "strict#2", "0-3#*@2")),
        ({**BOTH, "numatune": "auto"}, [], ("all#=cell,emulator#cell", "strict#0", "0-3#*@0")),
        ({**BOTH, "numatune": "restrictive#1"}, [], ("all#=cell,emulator#cell", "restrictive#1", "0-3#*@1")),
        ({**BOTH, "numatune": "preferred#auto"}, [], ("all#=cell,emulator#cell", "preferred#0", "0-3#*@0")),
        (
            {"guestnuma": "auto", "cputune": "all#=cell.core1,emulator#node3"},
            [],
            ("all#=cell.core1,emulator#node3", "strict#0-1", "0-1#*@0,2-3#*@1"),
        ),
        (
            {"guestnuma": "auto", "cputune": "all#=cell.core1"},
            [held([2])],
            ("all#=cell.core1", "strict#2-3", "0-1#*@2,2-3#*@3"),
        ),
        ({"guestnuma": "auto"}, [], ("None", "strict#0", "0-3#*@0")),
        # typed cells, and free CPUs near them
        ({"cputune": "auto", "numatune": "strict#2"}, [], ("0#=8,1#=9,2#=10,3#=11,emulator#8-11", "strict#2", "None")),
        (
            {"cputune": "auto", "guestnuma": "0-1#*@2,2-3#*@1"},
            [held([4, 9])],
            # whole cores first
            ("0#=10,1#=11,2#=6,3#=7,emulator#5-8,10-11", "None", "0-1#*@2,2-3#*@1"),
        ),
        (
            {"cputune": "auto", "guestnuma": "0,2#*@1,1,3#*@1"},
            [],
            ("0#=4,1#=5,2#=6,3#=7,emulator#4-7", "None", "0,2#*@1,1,3#*@1"),
        ),
    ],
)
def test_auto_becomes(values: dict[str, str], others: list[Neighbour], expected: tuple[str, str, str]) -> None:
    chosen, warnings = expand(typed(values), GUEST, beside(*others))
    assert (str(chosen.cputune), str(chosen.numatune), str(chosen.guestnuma)) == expected
    assert warnings == ()
    assert not chosen.is_auto


@pytest.mark.parametrize(
    ("values", "others", "problem"),
    [
        (
            BOTH,
            [held(list(range(13)))],
            "guestnuma: auto: 4 vCPUs and 1 GiB do not fit: the host has 4 nodes with 2 CPUs in whole cores of 2 "
            "threads (13 of other VMs) and 7004 MiB of free memory besides 1.2 GiB for the host, 1 node with both: "
            f"{NOWHERE}",
        ),
        (
            {"cputune": "auto"},
            [],
            "cputune: auto: the memory of vCPUs 0-3 is not bound to nodes: write guestnuma=auto, or name the nodes in "
            "guestnuma or numatune",
        ),
        (
            {"cputune": "auto", "numatune": "auto"},
            [],
            "cputune: auto: the memory of vCPUs 0-3 is not bound to nodes: write guestnuma=auto, or name the nodes in "
            "guestnuma or numatune",
        ),
        (
            {"cputune": "auto", "numatune": "strict#0"},
            [held([0, 3])],
            "cputune: auto: vCPUs 0-3 need 4 CPUs of their own, but node 0 has only 2 that no other VM is pinned to: "
            f"{NOWHERE}",
        ),
        (
            {"cputune": "auto", "guestnuma": "0-2#*@0,3#*@0+9"},
            [],
            "cputune: auto: the memory is on node 9, which is not on this host: choose another host",
        ),
        (
            {"cputune": "0-3#=node0", "guestnuma": "auto"},
            [],
            "guestnuma: auto chooses the nodes, but 0-3#=node0 in cputune has CPUs of its own: write all#=cell, or "
            "auto, or name the cells",
        ),
        (
            {**BOTH, "numatune": "strict#7"},
            [],
            "numatune: node 7 is not on this host, which has nodes 0-3: name nodes of this host",
        ),
        ({**BOTH, "numatune": "^0-3"}, [], "numatune: ^0-3 leaves no node on this host: remove fewer"),
    ],
)
def test_refused(values: dict[str, str], others: list[Neighbour], problem: str) -> None:
    with pytest.raises(Refused) as caught:
        expand(typed(values), GUEST, beside(*others))
    assert [found.text for found in caught.value.problems] == [problem]


def test_typed_cores_of_cells_are_not_those_of_another_vm() -> None:
    """A node counts for what is left there, and that is what the cell gets."""
    guest = Guest(max_vcpus=2, memory=GIB, topology=Topology(1, 1, 1, 2))
    chosen, _ = expand(typed({"guestnuma": "auto", "cputune": "all#=cell"}), guest, beside(held([0, 1])))
    assert (str(chosen.cputune), str(chosen.guestnuma)) == ("all#=cell,^0-1", "0-1#*@0")
    pins = place(chosen, guest, FOUR_NODES).pins
    assert pins is not None
    assert str(pins.cpus()) == "2-3"


@pytest.mark.parametrize("is_starting", [True, False])
def test_memory_that_a_vm_has_not_touched_yet(is_starting: bool) -> None:
    """Of a node's 4 GiB the host's own programs use 1: 2 GiB more are free, or only look so."""
    nodes = {n: replace(node, free=3 * GIB) for n, node in FOUR_NODES.nodes.items()}
    other = replace(held([], ([0], 3 * GIB // 2)), is_starting=is_starting)
    host = replace(FOUR_NODES, nodes=nodes, neighbours=(other,))
    guest = Guest(max_vcpus=2, memory=3 * GIB // 2, topology=Topology(1, 1, 1, 2))
    with pytest.raises(Refused) if is_starting else contextlib.nullcontext():
        expand(typed({**BOTH, "numatune": "strict#0"}), guest, host)


def test_nothing_is_chosen_blindly() -> None:
    host = replace(FOUR_NODES, neighbours_unknown="libvirt does not answer")
    for name, values in (("guestnuma", BOTH), ("cputune", {"cputune": "auto", "numatune": "0"})):
        with pytest.raises(Refused) as caught:
            expand(typed(values), GUEST, host)
        (problem,) = caught.value.problems
        assert problem.text == (
            f"{name}: auto: what other VMs hold is not known: libvirt does not answer: start the keeper: "
            "systemctl enable --now vdsm-largeguest-keeper"
        )


def test_all_problems_are_told_together() -> None:
    with pytest.raises(Refused) as caught:
        place_on(typed({"cputune": "auto", "guestnuma": "0-3#2G"}), GUEST, FOUR_NODES)
    assert {problem.subject for problem in caught.value.problems} == {"cputune", "guestnuma"}


def test_what_is_chosen_is_not_taken_for_a_slip() -> None:
    """CPU 4 is that of vCPU 0, and not vCPU 4, which can be plugged in later."""
    guest = Guest(max_vcpus=16, plugged=CpuSet.span(0, 2), memory=GIB)
    placement = place_on(typed({"cputune": "auto", "numatune": "strict#1"}), guest, FOUR_NODES)
    assert [problem.text for problem in placement.warnings if "taken as" in problem.text] == []


def test_a_cell_of_vcpus_that_can_only_be_plugged_in_is_on_a_node_of_the_host_too() -> None:
    values = typed({"cputune": "auto", "guestnuma": "0-3#*@0,4-7#*@9"})
    with pytest.raises(Refused, match="the memory is on node 9, which is not on this host"):
        place_on(values, replace(GUEST, max_vcpus=8, plugged=CpuSet.span(0, 3)), FOUR_NODES)


def test_too_few_near_a_node_without_cpus() -> None:
    """Node 4 has none; node 1, the nearest, has 4, of which others of this VM need 3."""
    memory = Backing(((CpuSet([0, 1, 2]), CpuSet([1])), (CpuSet([3, 4]), CpuSet([4]))), CpuSet())
    with pytest.raises(Refused, match="vCPUs 3-4 need 2 CPUs of their own, but node 1 has only 1 that no other VM"):
        pin_near(memory, Guest(max_vcpus=5, memory=GIB), HIGH)


def test_a_topology_that_does_not_fit_the_cells() -> None:
    """It is the engine's, and stays; the hook says which one would fit."""
    guest = replace(GUEST, memory=3 * GIB, topology=Topology(1, 1, 2, 2))
    chosen, warnings = expand(typed(BOTH), guest, FOUR_NODES)
    assert str(chosen.guestnuma) == "0-1#*@0,2-3#*@1"
    assert [problem.text for problem in warnings] == [
        "guestnuma: auto: the cells are not whole guest sockets: give the VM this topology: 2 sockets, 1 core, "
        "2 threads"
    ]
    assert all(problem.warning for problem in warnings)


def test_two_vcpus_share_no_core_while_others_are_idle_unless_the_guest_knows() -> None:
    for threads, cpus in ((1, "0#=8,1#=10"), (2, "0#=8,1#=9")):
        guest = Guest(max_vcpus=2, memory=GIB, topology=Topology(2 // threads, 1, 1, threads))
        chosen, _ = expand(typed({"cputune": "auto", "numatune": "strict#2"}), guest, FOUR_NODES)
        assert str(chosen.cputune) == f"{cpus},emulator#8-11"


@pytest.mark.parametrize(
    ("vcpus", "threads", "cpus"),
    [
        (6, 2, [2, 3, 4, 5, 6, 7]),  # the smallest cache that has enough
        (8, 2, [8, 9, 10, 11, 12, 13, 14, 15]),
        (10, 2, [8, 9, 10, 11, 12, 13, 14, 15, 2, 3]),  # first the largest
        (3, 1, [2, 4, 6]),  # a core for each
        (4, 1, [8, 10, 12, 14]),
    ],
)
def test_as_few_caches_are_begun_as_possible(vcpus: int, threads: int, cpus: list[int]) -> None:
    """Of two caches with four cores each another VM has a core of the first."""
    host = hosts.build(sockets=1, nodes_per_socket=1, cores_per_node=8, cores_per_l3=4)
    host = replace(host, neighbours=(held([0, 1]),))
    guest = Guest(max_vcpus=vcpus, memory=GIB, topology=Topology(1, 1, vcpus // threads, threads))
    chosen, _ = expand(typed({"cputune": "auto", "numatune": "strict#0"}), guest, host)
    assert str(chosen.cputune) == ",".join([f"{vcpu}#={cpu}" for vcpu, cpu in enumerate(cpus)] + ["emulator#2-15"])


def resolve(guest: Guest, host: Host, before: Pins) -> tuple[Pins, list[str]]:
    chosen = pin_again(guest, host, before)
    memory = Backing(((guest.all_vcpus, CpuSet([1])),), CpuSet([1]))
    found, problems = pinning.resolve(chosen, guest, memory, host, before)
    assert all(problem.warning for problem in problems)
    return found, [problem.what for problem in problems]


@pytest.mark.parametrize(
    ("others", "plugged", "numbers"),
    [
        ([], 2, "0#5,1#4,emulator#3"),  # nothing has been plugged in
        ([], 4, "0#5,1#4,2#6,3#7,emulator#3"),
        ([held([6])], 3, "0#5,1#4,2#7,emulator#3"),
        ([held([6, 7])], 3, "0#5,1#4,2#4-5,emulator#3"),  # it floats over those of the VM
        ([held([6])], 4, "0#5,1#4,2#7,3#4-5,7,emulator#3"),
        ([held([4, 5])], 3, "0#5,1#4,2#6,emulator#3"),  # another VM has come on its CPUs: it keeps them
    ],
)
def test_vcpus_that_are_plugged_in_later(others: list[Neighbour], plugged: int, numbers: str) -> None:
    cells = (Cell(CpuSet.span(0, 3), GIB, CpuSet([1])),)
    guest = Guest(max_vcpus=4, memory=GIB, cells=cells, plugged=CpuSet.span(0, plugged - 1))
    before = Pins({0: CpuSet([5]), 1: CpuSet([4])}, {}, CpuSet([3]))
    found, _ = resolve(guest, beside(*others), before)
    assert found.numbers() == numbers


@st.composite
def guests(draw: st.DrawFn) -> Guest:
    vcpus, memory = draw(st.integers(1, 12)), draw(st.integers(1, 3000)) * MIB
    threads = draw(st.sampled_from([threads for threads in (1, 2, 4) if vcpus % threads == 0]))
    cores = draw(st.sampled_from([cores for cores in (1, 2, 3) if vcpus // threads % cores == 0]))
    topology = draw(st.sampled_from([None, Topology(vcpus // threads // cores, 1, cores, threads)]))
    return Guest(max_vcpus=vcpus, memory=memory, topology=topology)


@settings(max_examples=150)
@given(hosts_with_vms(), guests(), st.sampled_from(["strict", "interleave", "preferred"]))
def test_auto_is_what_a_plan_gives(host: Host, guest: Guest, mode: str) -> None:
    request = typed({**BOTH, "numatune": f"{mode}#auto"})
    try:
        planned = plan(Request(guest, mode=mode), host)
    except Refused:
        with pytest.raises(Refused):
            expand(request, guest, host)
        return
    chosen, warnings = expand(request, guest, host)
    assert chosen == planned.properties
    placement = place(chosen, guest, host)
    assert placement.pins is not None
    assert placement.pins.vcpus.keys() == {*guest.all_vcpus}
    threads = {len(cpu.siblings) for cpu in host.cpus.values()}
    if guest.topology is not None and guest.topology.threads in {1} | threads and len(threads) == 1 and not warnings:
        assert [problem.text for problem in placement.warnings if problem.subject in BOTH] == []


@settings(max_examples=150)
@given(hosts_with_vms(), guests(), st.data())
def test_auto_pins_near_typed_cells(host: Host, guest: Guest, data: st.DataObject) -> None:
    assume(host.local_nodes)
    nodes = st.sets(st.sampled_from(sorted(host.local_nodes)), min_size=1, max_size=2)
    split = data.draw(st.integers(1, guest.max_vcpus))
    parts = [own for own in (CpuSet.span(0, split - 1), CpuSet.span(split, guest.max_vcpus - 1)) if own]
    memory = Backing(tuple((own, CpuSet(data.draw(nodes))) for own in parts), CpuSet())
    theirs = CpuSet.union(other.cpus for other in host.neighbours)
    try:
        pins, problems = pinning.resolve(pin_near(memory, guest, host), guest, memory, host)
    except Refused:
        free = [host.cpus_near(there) - theirs for _, there in memory.cells]
        assert (
            any(len(own) > len(there) for (own, _), there in zip(memory.cells, free))
            or len(CpuSet.union(free)) < guest.max_vcpus
        )
        return
    assert problems == []
    used = [cpus.first for cpus in pins.vcpus.values()]
    assert all(len(cpus) == 1 for cpus in pins.vcpus.values())
    assert len({*used}) == len(used) == guest.max_vcpus
    assert not CpuSet(used) & theirs
    for own, there in memory.cells:
        assert all(pins.vcpus[vcpu].first in host.cpus_near(there) for vcpu in own)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Pins by place, on hosts of all kinds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest import properties
from largeguest.cpuset import CpuSet
from largeguest.domxml import parse, read
from largeguest.host.topology import Host
from largeguest.placement import pinning, place
from largeguest.problem import Refused
from largeguest.properties import cputune
from largeguest.rewrite import rewrite
from largeguest.values import Cell, Guest, Pins, Policy
from tests import hosts
from tests.any_host import any_hosts, renumber


@st.composite
def guests(draw: st.DrawFn, host: Host, most: int) -> Guest:
    """A VM with cells on nodes of the host, some of them on those of its policy."""
    vcpus = list(range(draw(st.integers(1, most))))
    nodesets = st.sets(st.sampled_from(sorted(host.nodes)), min_size=1).map(CpuSet)
    cells: dict[int, list[int]] = {}
    for vcpu in vcpus:
        cells.setdefault(draw(st.integers(0, 3)), []).append(vcpu)
    return Guest(
        max_vcpus=len(vcpus),
        memory=0,
        plugged=CpuSet(draw(st.sets(st.sampled_from(vcpus)))) | CpuSet([0]),
        cells=tuple(Cell(CpuSet(own), 0, draw(st.none() | nodesets)) for own in cells.values()),
        policy=Policy("strict", draw(nodesets)),
    )


def cpus_near(nodes: CpuSet, host: Host) -> set[int]:
    """Those of the nodes themselves, or of the nearest to each."""
    near = set()
    for node in nodes:
        by_distance = sorted(host.nodes, key=lambda other: (other != node, host.nodes[node].distances[other], other))
        near.update(next([*host.nodes[other].cpus] for other in by_distance if host.nodes[other].cpus))
    return near


def resolve(text: str, guest: Guest, host: Host) -> Pins:
    return place.resolve_pins(cputune.parse(text), guest, host, Pins(), Pins())[0]


@settings(max_examples=200)
@given(st.data())
def test_all_vcpus_are_near_the_memory_of_their_cells(data: st.DataObject) -> None:
    host = data.draw(any_hosts())
    guest = data.draw(guests(host, len(host.cpus)))
    assert guest.policy is not None
    near = {}
    for cell in guest.cells:
        for vcpu in cell.vcpus:
            near[vcpu] = cpus_near(cell.nodes or guest.policy.nodeset or CpuSet(), host)
    floating = resolve("all#cell", guest, host)
    assert {vcpu: set(cpus) for vcpu, cpus in floating.vcpus.items()} == {v: near[v] for v in guest.plugged_vcpus}
    try:
        pins = resolve("all#=cell,emulator#cell", guest, host)
    except Refused:
        wanted = [near[vcpu] for vcpu in guest.plugged_vcpus]
        assert any(len(cpus) < sum(bool(other & cpus) for other in wanted) for cpus in wanted)
        return
    assert sorted(pins.vcpus) == [*guest.plugged_vcpus]
    assert len({cpus.last for cpus in pins.vcpus.values()}) == len(pins.vcpus)
    for vcpu, cpus in pins.vcpus.items():
        assert set(cpus) < near[vcpu] or set(cpus) == near[vcpu]
        assert len(cpus) == 1
    assert set(pins.emulator or ()) == set().union(*near.values())


@pytest.mark.parametrize(
    "typed",
    [
        {"guestnuma": "0-1#*@1,2-3#*@3"},
        {"guestnuma": "0#*@2,1-3#*", "numatune": "0,2"},
        {"guestnuma": "0-3#*", "numatune": "interleave#1-2"},
        {"numatune": "restrictive#^0-1"},
        {"guestnuma": "0-1#*@1,2-3#*@0", "numatune": "preferred#1"},
        {},
    ],
)
def test_the_xml_of_a_started_vm_has_the_nodes_of_its_cells(typed: dict[str, str]) -> None:
    """From it the keeper resolves the same pins again."""
    document = b"""<domain><memory>4194304</memory><vcpu current='3'>4</vcpu><numatune>
        <memnode cellid='0' mode='strict' nodeset='3'/><memnode cellid='1' mode='strict' nodeset='0'/></numatune>
        <cpu><numa><cell id='0' cpus='0,2' memory='2097152'/><cell id='1' cpus='1,3' memory='2097152'/></numa></cpu>
        </domain>"""
    text = "all#=cell,emulator#cell"
    new = rewrite({"cputune": text, **typed}, document, hosts.FOUR_NODES).document
    guest = read.guest(parse.domain(new))
    assert sorted(guest.pins.vcpus) == [0, 1, 2]
    assert resolve(text, guest, hosts.FOUR_NODES) == guest.pins


def places(areas: list[str], threads: int) -> st.SearchStrategy[str]:
    """Lists of places on a host with two sockets of two nodes of three cores each."""
    thread = st.integers(0, threads - 1).map(lambda number: f".thread{number}")
    core = st.sampled_from([".core0", ".core2", ".core0-1", ".core1-2"])
    part = st.just("") | core | st.tuples(core, thread).map("".join)
    return st.lists(st.tuples(st.sampled_from(areas), part).map("".join), min_size=1, max_size=3).map(",".join)


@settings(max_examples=200)
@given(st.data())
def test_places_mean_the_same_whatever_numbers_the_cpus_have(data: st.DataObject) -> None:
    threads = data.draw(st.sampled_from([1, 2, 4]))
    host = hosts.build(cores_per_node=3, threads=threads)
    numbers = data.draw(st.permutations(range(len(host.cpus))))
    areas = ["node0", "node2", "cell"]
    if data.draw(st.booleans()):  # the order of a socket, and of all that is online, is that of the numbers
        numbers.sort(key=lambda number: number // (3 * threads))
        areas += ["socket1", "^cell", "^node0", "^socket0"]
    guest = data.draw(guests(host, 4))
    sign = data.draw(st.sampled_from(["#", "#="]))
    text = f"all{sign}{data.draw(places(areas, threads))},emulator#{data.draw(places(areas, threads))}"
    assert outcome(text, guest, host) == outcome(text, guest, renumber(host, numbers))


def outcome(text: str, guest: Guest, host: Host) -> object:
    """Where each thread may run: nodes, with the ranks of their cores and threads; or why it cannot run."""
    place_of = {}
    for number, node in host.nodes.items():
        cores = sorted({tuple(host.cpus[cpu].siblings) for cpu in node.cpus})
        for core, siblings in enumerate(cores):
            place_of.update({cpu: (number, core, thread) for thread, cpu in enumerate(siblings)})
    try:
        pins = resolve(text, guest, host)
    except Refused as refused:
        return str(refused)
    return [(name, {place_of[cpu] for cpu in cpus}) for name, cpus in pins.by_name()]


def test_pins_as_numbers() -> None:
    pins = Pins(
        {0: CpuSet([1]), 1: CpuSet([1]), 2: CpuSet([0, 1, 5]), 4: CpuSet([0, 1, 5])},
        {1: CpuSet([3]), 12: CpuSet([0])},
        CpuSet([2, 3]),
    )
    assert pins.numbers() == "0-1#1,2#0-1,5,4#0-1,5,emulator#2-3,iothread1#3,iothread12#0"
    assert pinning.of_numbers(pins.numbers()) == pins


@pytest.mark.parametrize(("before", "refused"), [(Pins(), True), (Pins({4: CpuSet([0, 1, 2, 3])}), False)])
def test_a_vcpu_that_floated_where_it_comes_from_may_float_here(before: Pins, refused: bool) -> None:
    """It was plugged in when no CPU was left, so the VM has to be able to leave, and to be resumed."""
    guest = Guest(max_vcpus=5, memory=0, policy=Policy("strict", CpuSet([0])))
    typed = cputune.parse("all#=cell")
    if refused:
        with pytest.raises(Refused, match="needs 5 CPUs on node 0, only 4 are available"):
            place.resolve_pins(typed, guest, hosts.FOUR_NODES, Pins(), before)
    else:
        pins, _ = place.resolve_pins(typed, guest, hosts.FOUR_NODES, Pins(), before)
        assert pins.numbers() == "0#0,1#1,2#2,3#3,4#0-3"
        place.place_again(properties.Properties(cputune=typed), guest, hosts.FOUR_NODES, before)

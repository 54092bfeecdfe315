# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans beside other VMs: nothing of theirs is taken, and no memory is promised twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest import properties
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host
from largeguest.placement.capacity import Bound, overfull
from largeguest.placement.place import place
from largeguest.planner import Plan, Request, plan
from largeguest.problem import Refused
from largeguest.record import replace
from largeguest.values import Guest, Neighbour, Promise
from tests.any_host import MIB, any_hosts
from tests.hosts import FOUR_NODES, GIB

GUEST = Guest(max_vcpus=4, memory=GIB)


def held(cpus: list[int], *promises: tuple[list[int], int], name: str = "db01") -> Neighbour:
    return Neighbour(name, CpuSet(cpus), False, tuple(Promise(CpuSet(nodes), 0, memory) for nodes, memory in promises))


def beside(*others: Neighbour) -> Host:
    return replace(FOUR_NODES, neighbours=others)


def texts(found: Plan) -> tuple[str, ...]:
    return (*found.values.values(), found.notes[0])


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        # a node in use: the next one
        (
            [held([0, 1, 2, 3], ([0], GIB))],
            (
                "all#=cell,emulator#cell",
                "strict#1",
                "0-3#*@1",
                'left to 1 other VM ("db01"): 4 CPUs and 1 GiB promised',
            ),
        ),
        # half of each: the other half, and the emulator there, too
        (
            [held([0, 1, 4, 5]), held([8, 9, 12, 13], name="db02")],
            (
                "all#=cell.core1,emulator#cell.core1",
                "strict#0-1",
                "0-1#*@0,2-3#*@1",
                'left to 2 other VMs ("db01", "db02"): 8 CPUs',
            ),
        ),
        # only memory, of which the other VM has not touched anything yet
        (
            [held([], ([0, 1], 8 * GIB))],
            ("all#=cell,emulator#cell", "strict#2", "0-3#*@2", 'left to 1 other VM ("db01"): 8 GiB promised'),
        ),
    ],
)
def test_plans_beside_others(others: list[Neighbour], expected: tuple[str, ...]) -> None:
    assert texts(plan(Request(GUEST), beside(*others))) == expected


@pytest.mark.parametrize(
    ("others", "error"),
    [
        (
            [held(list(range(14)))],
            "plan: 4 vCPUs and 1 GiB do not fit: the host has 4 nodes with 2 CPUs (14 of other VMs) and 8 GiB of free "
            "memory, 1 node with both: ",
        ),
        ([held([], ([0, 1, 2, 3], 16 * GIB))], "plan: 4 vCPUs and 1 GiB do not fit: the host has 4 nodes with 16 CPUs"),
    ],
)
def test_no_plan_beside_others(others: list[Neighbour], error: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(Request(GUEST, reserve_memory=0), beside(*others))
    (problem,) = caught.value.problems
    assert problem.text.startswith(error)
    if not any(other.cpus for other in others):
        assert problem.fix == "it fits with --share, together with the other VMs"


@st.composite
def hosts_with_vms(draw: st.DrawFn) -> Host:
    host = draw(any_hosts())
    cpus, nodes = st.sampled_from(sorted(host.cpus)), st.sampled_from(sorted(host.nodes))
    promises = st.builds(
        Promise, st.sets(nodes, min_size=1, max_size=3).map(CpuSet), st.just(0), st.integers(1, 1500).map(MIB.__mul__)
    )
    vms = st.builds(
        Neighbour,
        st.just("x"),
        st.sets(cpus, max_size=8).map(CpuSet),
        st.booleans(),
        st.lists(promises, max_size=2).map(tuple),
    )
    return replace(host, neighbours=tuple(draw(st.lists(vms, max_size=4))))


@settings(max_examples=300)
@given(hosts_with_vms(), st.integers(1, 12), st.integers(1, 3000), st.sampled_from(["strict", "interleave"]))
def test_nothing_of_theirs_is_taken(host: Host, vcpus: int, memory: int, mode: str) -> None:
    request = Request(Guest(max_vcpus=vcpus, memory=memory * MIB), mode=mode)
    theirs = CpuSet.union(other.cpus for other in host.neighbours)
    try:
        found = plan(request, host)
    except Refused:
        return
    pins = found.placement.pins
    assert pins
    assert not pins.cpus() & theirs
    if mode != "strict":
        return
    ours = [Bound("", CpuSet([node]), 0, cell.memory) for node, cell in zip(found.nodes, found.placement.cells or ())]
    promised = [Bound("", promise.nodes, 0, promise.memory) for other in host.neighbours for promise in other.promises]
    room = {number: node.room(0).total for number, node in host.nodes.items()}
    if not overfull(promised, dict(room)):  # they fit without us
        assert not overfull([*promised, *ours], room)


@settings(max_examples=300)
@given(
    hosts_with_vms(),
    st.integers(1, 12),
    st.integers(1, 3000),
    st.sampled_from(["strict", "interleave", "preferred"]),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from([None, 1, 2, 3]),
)
def test_no_plan_has_a_warning(
    host: Host, vcpus: int, memory: int, mode: str, one_thread_per_core: bool, cores: int, nodes: int | None
) -> None:
    """Neither of locality nor another: `check --strict` accepts it."""
    guest = Guest(max_vcpus=vcpus, memory=memory * MIB)
    request = Request(
        guest,
        mode=mode,
        one_thread_per_core=one_thread_per_core,
        reserve_cores=cores,
        nodes=nodes,
    )
    try:
        found = plan(request, host)
    except Refused:
        return
    typed, problems = properties.parse(found.values)
    assert problems == ()
    assert place(typed, replace(guest, topology=found.topology), host).warnings == ()

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the matrix says of a VM on a host is what the hook would report there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest import properties
from largeguest.cpuset import CpuSet
from largeguest.engine import definitions, matrix
from largeguest.engine.estate import Estate
from largeguest.engine.inventory import START, Cluster, Machine, Vm
from largeguest.host.topology import Host, Pages
from largeguest.problem import Problem, Refused
from largeguest.record import replace
from largeguest.rewrite import place_on
from largeguest.values import Neighbour, Promise, Topology
from tests import hosts
from tests.hosts import GIB

from .test_guest import vm

HUGE = hosts.build(memory=16 * GIB)
HOSTS = {
    "four nodes": hosts.FOUR_NODES,
    "little free": replace(
        hosts.FOUR_NODES, nodes={n: replace(node, free=n * GIB // 2) for n, node in hosts.FOUR_NODES.nodes.items()}
    ),
    "little memory": hosts.build(memory=GIB),
    "one node": hosts.build(sockets=1, nodes_per_socket=1),
    "memory without CPUs": hosts.HIGH,
    "huge pages": replace(
        HUGE, nodes={n: replace(node, pages={GIB: Pages(4, n), 2048: Pages(0, 0)}) for n, node in HUGE.nodes.items()}
    ),
    "others": replace(
        hosts.FOUR_NODES,
        neighbours=(Neighbour("db02", CpuSet([0, 1, 9]), True, (Promise(CpuSet([0, 1]), 0, 7 * GIB),)),),
    ),
}
TYPED = st.fixed_dictionaries(
    {},
    optional={
        "cputune": st.sampled_from(["0#0", "all#=cell", "all#node0", "0-3#=node1,emulator#node0", "auto", "0#99", "x"]),
        "numatune": st.sampled_from(
            ["0", "strict#0-1", "^3", "interleave#0-3", "strict#auto", "preferred#1", "4", "^0-9"]
        ),
        "guestnuma": st.sampled_from(["0-1#*@0,2-3#*@1", "0-3#*", "0-1#1G,2-3#*@2", "0-3#*@4", "0-3#1G", "auto"]),
    },
)
VMS = st.builds(
    vm,
    topology=st.sampled_from([Topology(2, 1, 2, 1), Topology(1, 1, 2, 2), Topology(4, 1, 1, 1)]),
    memory=st.sampled_from([2 * GIB, 4 * GIB, 6 * GIB]),
    policy=st.sampled_from(["none", "manual", "dedicated"]),
    iothreads=st.integers(0, 1),
    custom=st.builds(
        lambda typed, size: {**typed, **({"hugepages": size} if size else {})},
        TYPED,
        st.sampled_from(["", str(GIB), "4"]),
    ),
)


def machine(name: str, host: Host, hook: bool = True) -> Machine:
    return Machine(name, name, "blue", "up", host, {}, {START: "x"} if hook else {}, {})


def estate(*machines: Machine, vms: tuple[Vm, ...] = ()) -> Estate:
    cluster = Cluster("blue", "blue", "4.7", None)
    return Estate({"blue": cluster}, {one.id: one for one in vms}, {one.id: one for one in machines}, {})


def hooks_view(vm: Vm, known: Estate, host: Host) -> tuple[Problem, ...]:
    request, problems = properties.parse(vm.ours)
    try:
        return (*problems, *place_on(request, known.guest(vm), host).warnings)
    except Refused as refused:
        return (*problems, *refused.problems)


def fatal(problems: tuple[Problem, ...]) -> set[Problem]:
    return {problem for problem in problems if not problem.warning}


@settings(max_examples=400)
@given(VMS)
def test_the_matrix_has_the_problems_of_the_hook(vm: Vm) -> None:
    known = estate(*(machine(name, replace(host, neighbours=())) for name, host in HOSTS.items()))
    known.held["others"] += [("2", one) for one in HOSTS["others"].neighbours]
    (row,) = matrix.rows(known, [vm], {})
    for verdict in row.verdicts:
        expected = hooks_view(vm, known, HOSTS[verdict.machine])
        if fatal(expected):
            # the memory is not looked at where the rest is refused, which only leaves something out
            assert verdict.word == matrix.REFUSED
            assert fatal(verdict.problems) <= fatal(expected)
        else:
            assert {*verdict.problems} == {*expected}
            assert verdict.word == (matrix.WARN if expected else matrix.OK)


def test_what_only_uneven_huge_pages_allow_is_a_warning() -> None:
    host = hosts.build(sockets=2, nodes_per_socket=1, memory=8 * GIB)
    even = replace(host, nodes={n: replace(node, pages={GIB: Pages(3, 3)}) for n, node in host.nodes.items()})
    known = estate(replace(machine("a", even), pages={GIB: Pages(6, 6)}))
    found = []
    for size in ("", str(GIB)):
        for memory in range(1, 10):
            own = vm(custom={"cputune": "all#node0", "numatune": "0", "hugepages": size}, memory=memory * GIB)
            (row,) = matrix.rows(known, [own], {})
            (verdict,) = row.verdicts
            uneven = any(problem.what.startswith("if huge pages are spread") for problem in verdict.problems)
            found.append("refused" if verdict.word == matrix.REFUSED else "only uneven" if uneven else "fits")
    # 3 of 8 GiB are in huge pages, or up to 6 of them
    assert found[:9] == ["fits"] * 5 + ["only uneven"] * 3 + ["refused"]
    assert found[9:] == ["fits"] * 3 + ["only uneven"] * 3 + ["refused"] * 3


@pytest.mark.parametrize(
    ("custom", "word", "next_start", "refusals"),
    [
        ({"cputune": "all#node0"}, matrix.BARE, "without its layout on 1 of 1 host", []),
        # nothing refuses it there, but it would be refused as soon as the hook is there
        ({"cputune": "all#node9"}, matrix.BARE, "without its layout on 1 of 1 host", ["node9 is not on this host"]),
        ({"sap": "a"}, matrix.OK, "ok on 1 host", []),
    ],
)
def test_a_host_without_the_hook(custom: dict[str, str], word: str, next_start: str, refusals: list[str]) -> None:
    known = estate(machine("bare", hosts.FOUR_NODES, hook=False))
    own = vm(custom=custom, memory=GIB, topology=Topology(1, 1, 2, 2))
    (row,) = matrix.rows(known, [own], {"4.7": definitions.read("4.7", "cputune=.*;sap=.*")})
    (verdict,) = row.verdicts
    assert (verdict.word, row.next_start, row.is_fine) == (word, next_start, word == matrix.OK)
    assert [problem.what.partition(",")[0] for problem in verdict.refusals] == refusals


def test_a_vm_without_properties_needs_no_host_that_is_known() -> None:
    known = estate(machine("new", replace(hosts.FOUR_NODES, nodes={}, cpus={})))
    (row,) = matrix.rows(known, [vm(custom={})], {})
    assert row.is_fine


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["a", "b"]),
        ({"only_on": ("b", "gone")}, ["b"]),
        ({"cluster": "green"}, ["c"]),
        ({"only_on": ("gone",)}, []),
    ],
)
def test_where_a_vm_may_run(more: dict[str, object], names: list[str]) -> None:
    three = [machine(name, hosts.FOUR_NODES) for name in "abc"]
    known = estate(*three[:2], replace(three[2], cluster="green"))
    assert [one.name for one in known.machines_for(vm(**more))] == names


def test_what_others_hold_is_what_their_properties_ask_for_now() -> None:
    pinned = vm(id="2", name="db02", host="a", custom={"cputune": "all#=node0", "numatune": "0"}, memory=GIB)
    pinned = replace(pinned, topology=Topology(1, 1, 2, 2))
    wrong = replace(pinned, id="3", name="wrong", custom={"cputune": "all#99"})
    syntax = replace(pinned, id="4", name="syntax", custom={"cputune": "x"})
    own = replace(machine("a", hosts.FOUR_NODES), engines={"5": ("alone", CpuSet([8]), True)})
    alone = replace(pinned, id="5", name="alone", custom={}, policy="dedicated")
    known = estate(own, machine("bare", hosts.FOUR_NODES, hook=False), vms=(pinned, wrong, syntax, alone))
    assert dict(known.held["a"]) == {
        "2": Neighbour("db02", CpuSet.span(0, 3), False, (Promise(CpuSet([0]), 0, GIB),)),
        "5": Neighbour("alone", CpuSet([8]), True),
    }
    chosen = [
        replace(pinned, id=number, name=number, custom={"cputune": "auto", "guestnuma": "auto"}) for number in "67"
    ]
    first, second = estate(own, vms=(*chosen, pinned)).held["a"][1:]
    assert not first[1].cpus & second[1].cpus  # each is chosen beside what is known of the others
    assert not (first[1].cpus | second[1].cpus) & CpuSet.span(0, 3)
    there = known.beside(own, pinned).host
    assert [one.name for one in there.neighbours] == ["alone"]
    assert there.nodes[0].free is None  # what it has itself would be free
    assert known.beside(own, vm(id="9")).host.nodes[0].free == 2 * GIB
    later = replace(known, later={"2": replace(pinned, custom={"cputune": "0-1#=node1", "numatune": "1"})})
    assert dict(later.held["a"])["2"] == Neighbour("db02", CpuSet.span(0, 5), False, (Promise(CpuSet([1]), 0, GIB),))
    bare = estate(machine("a", hosts.FOUR_NODES, hook=False), vms=(pinned,))
    assert bare.held["a"] == []

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a refusal names fits, whatever it is that does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Pages
from largeguest.planner import MODES, Request, plan
from largeguest.problem import Refused
from largeguest.properties import cpulist
from largeguest.record import replace
from largeguest.values import Guest, HugePage, Neighbour
from tests import hosts
from tests.advised import advised
from tests.any_host import MIB, any_hosts
from tests.hosts import FOUR_NODES, GIB

SMT8 = hosts.build(sockets=2, nodes_per_socket=1, cores_per_node=4, threads=8)


def cpus(text: str) -> cpulist.CpuList:
    return cpulist.parse(text)


def without_whole_cores(host: Host) -> Host:
    """A thread of each core is another VM's."""
    held = CpuSet(cpu.siblings.first for cpu in host.cpus.values())
    return replace(host, neighbours=(Neighbour("db02", held),))


def guest(vcpus: int, memory: int, **more: object) -> Guest:
    return replace(Guest(max_vcpus=vcpus, memory=memory), **more)


@pytest.mark.parametrize(
    ("request_", "host", "fix"),
    [
        # no core is whole: without the option, also a smaller guest
        (Request(guest(4, GIB), one_thread_per_core=True), without_whole_cores(SMT8), "it fits without {option}"),
        (
            Request(guest(60, GIB), one_thread_per_core=True),
            without_whole_cores(SMT8),
            "the nearest that fits is 56 vCPUs and 1 GiB without {option}, on 2 nodes",
        ),
        # some are
        (
            Request(guest(90, GIB), one_thread_per_core=True, exclude=cpus("0")),
            SMT8,
            "the nearest that fits is 7 vCPUs and 1 GiB, on 2 nodes",
        ),
        # two options that leave nothing
        (
            Request(guest(90, GIB), exclude=cpus("node0"), reserve=cpus("node1")),
            SMT8,
            "the nearest that fits is 32 vCPUs and 1 GiB without --reserve, on 1 node",
        ),
        (
            Request(guest(90, GIB), on=cpus("node0"), one_thread_per_core=True, exclude=cpus("node0.core0-3.thread0")),
            without_whole_cores(SMT8),
            "the nearest that fits is 28 vCPUs and 1 GiB without --one-thread-per-core, on 1 node",
        ),
        (
            Request(guest(90, GIB), on=cpus("node0"), exclude=cpus("node0"), reserve=cpus("node1")),
            SMT8,
            "the nearest that fits is 32 vCPUs and 1 GiB without --exclude, on 1 node",
        ),
        (
            Request(guest(90, GIB), on=cpus("node0"), one_thread_per_core=True, reserve=cpus("node0")),
            without_whole_cores(SMT8),
            "the nearest that fits is 28 vCPUs and 1 GiB without --on and without --one-thread-per-core, on 1 node",
        ),
        # whole cores of the guest
        (
            Request(guest(30, GIB), threads=8),
            SMT8,
            "the nearest that fits is 24 vCPUs, on 1 node or 32 vCPUs, on 1 node or 30 vCPUs with --threads 6, "
            "on 2 nodes",
        ),
        (
            Request(guest(63, GIB), threads=2),
            SMT8,
            "the nearest that fits is 64 vCPUs, on 2 nodes",
        ),
        (
            Request(guest(3, GIB), threads=8),
            FOUR_NODES,
            "the nearest that fits is 3 vCPUs with --threads 3, on 1 node",
        ),
        (Request(guest(201, GIB), threads=2), SMT8, "the nearest that fits is 64 vCPUs and 1 GiB, on 2 nodes"),
        # huge pages that are not there, for a guest that is too large
        (
            Request(guest(17, GIB, pages=(HugePage(2048, None),))),
            FOUR_NODES,
            "the nearest that fits is 16 vCPUs and 1 GiB without huge pages, on 4 nodes",
        ),
    ],
)
def test_what_fits_is_named(request_: Request, host: Host, fix: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(request_, host)
    assert caught.value.problems[0].fix == fix.format(option="--one-thread-per-core")
    check(caught.value, request_, host)


def uneven(vcpus: int, iothreads: int, **more: object) -> tuple[Request, Host]:
    """Of each node another thread is missing, so that the text of each is another."""
    missing = ",".join(str(node * 16 + node % 16) for node in range(32))
    vm = guest(vcpus, 32 * GIB, iothreads=CpuSet(range(1, iothreads + 1)))
    return Request(vm, exclude=cpus(missing), **more), hosts.build(sockets=16, cores_per_node=8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uneven_", "fix"),
    [
        (uneven(448, 12), "it fits with 11 iothreads"),
        (uneven(192, 14, nodes=32), "it fits on 26 nodes"),
        (uneven(192, 14, spread=True), "it fits on 26 nodes"),
    ],
)
def test_text_that_is_too_long_for_the_engine(uneven_: tuple[Request, Host], fix: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(*uneven_)
    (problem,) = caught.value.problems
    assert problem.what.endswith("characters, but the engine stores 4000")
    assert problem.fix == fix
    check(caught.value, *uneven_)


@st.composite
def hosts_and_requests(draw: st.DrawFn) -> tuple[Request, Host]:
    """Of all kinds, in which much is too little."""
    host = draw(any_hosts())
    pages = draw(st.sampled_from([{}, {}, {2048: Pages(2, 1)}]))
    host = replace(host, nodes={number: replace(node, pages=pages) for number, node in host.nodes.items()})
    numbers = st.lists(st.sampled_from(sorted(host.cpus)), max_size=6, unique=True)
    held, reserved, excluded = draw(numbers), draw(numbers), draw(numbers)
    host = replace(host, neighbours=(Neighbour("db02", CpuSet(held)),) if held else ())
    excluded = [cpu for cpu in excluded if cpu not in reserved]
    named = draw(st.sets(st.sampled_from([*host.local_nodes] or [0]), max_size=3)) if host.local_nodes else set()
    memory = sum(node.free or 0 for node in host.nodes.values()) // (2 * MIB) + 2
    vm = guest(
        draw(st.integers(1, len(host.cpus) + 4)),
        draw(st.integers(1, memory)) * 2 * MIB,
        pages=draw(st.sampled_from([(), (HugePage(2048, None),)])) if pages else (),
    )
    one_thread = draw(st.booleans())
    return Request(
        vm,
        threads=None if one_thread else draw(st.sampled_from([None, 1, 2, 3, 4, 8])),
        one_thread_per_core=one_thread,
        nodes=draw(st.sampled_from([None, None, 1, 2, 3])),
        mode=draw(st.sampled_from(MODES)),
        reserve=cpus(",".join(map(str, reserved))) if reserved else None,
        exclude=cpus(",".join(map(str, excluded))) if excluded else None,
        reserve_cores=draw(st.sampled_from([0, 0, 1, 4])),
        on=cpus(",".join(f"node{number}" for number in sorted(named))) if named else None,
    ), host


@settings(max_examples=300)
@given(hosts_and_requests())
def test_what_is_named_fits_any_host(request_and_host: tuple[Request, Host]) -> None:
    request_, host = request_and_host
    try:
        plan(request_, host)
    except Refused as refused:
        check(refused, request_, host)


def check(refused: Refused, request_: Request, host: Host) -> None:
    """What is named fits; if nothing is, the smallest guest does not fit, with nothing reserved."""
    named = list(advised(str(refused), request_, host))
    for other, its_host, nodes in named:
        assert len(plan(other, its_host).nodes) == nodes or nodes is None
    if not named:
        with pytest.raises(Refused):
            plan(Request(guest(1, MIB), mode=request_.mode, reserve_memory=0), replace(host, neighbours=()))

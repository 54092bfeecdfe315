# SPDX-License-Identifier: GPL-2.0-or-later
"""What other VMs hold, and what a placement takes of it."""

from __future__ import annotations

import pytest

from largeguest import properties
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Pages
from largeguest.placement import neighbours
from largeguest.placement.place import place
from largeguest.record import replace
from largeguest.values import Cell, Guest, HugePage, MemoryDevice, Neighbour, Policy, Promise
from tests.hosts import FOUR_NODES, GIB

EMPTY = replace(FOUR_NODES, nodes={n: replace(node, free=4 * GIB) for n, node in FOUR_NODES.nodes.items()})
"""Four nodes of 4 GiB; nothing has been touched yet."""

GUEST = Guest(max_vcpus=4, memory=3 * GIB)
PLAN = "largeguest plan leaves out what other VMs hold"


def beside(*others: Neighbour, host: Host = EMPTY) -> Host:
    return replace(host, neighbours=others)


def db(cpus: str = "", promises: tuple[Promise, ...] = (), name: str = "db01", exclusive: bool = False) -> Neighbour:
    return Neighbour(name, CpuSet(map(int, cpus.split(","))) if cpus else CpuSet(), exclusive, promises)


def promise(nodes: str, memory: int, page: int = 0) -> Promise:
    return Promise(CpuSet(map(int, nodes.split(","))), page, memory)


@pytest.mark.parametrize(
    ("values", "others", "warnings"),
    [
        ({"cputune": "0-3#=node0"}, [db("4,5")], []),
        (
            {"cputune": "0-3#=node0"},
            [db("1,2,9")],
            [f'cputune: CPUs 1-2 are also pinned by VM "db01": {PLAN}'],
        ),
        (
            {"cputune": "0-3#=node0"},
            [db("1", exclusive=True), db("3", name="caf\u00e9")],
            [
                f'cputune: CPU 1 is exclusive to VM "db01": {PLAN}',
                f'cputune: CPU 3 is also pinned by VM "caf\\xe9": {PLAN}',
            ],
        ),
        # memory: two of 3 GiB on a node of 4 GiB
        ({"numatune": "strict#1"}, [db(promises=(promise("0", 3 * GIB),))], []),
        ({"numatune": "preferred#0"}, [db(promises=(promise("0", 3 * GIB),))], []),
        ({"numatune": "strict#0"}, [db(promises=(promise("0", GIB),))], []),
        (
            {"numatune": "strict#0"},
            [db(promises=(promise("0", 3 * GIB),))],
            [f'numatune: 3 GiB is bound to node 0, where 3 GiB is promised to VM "db01": {PLAN}'],
        ),
        # 3 of 8 GiB on nodes 0-1 are promised, the rest is enough
        ({"numatune": "strict#0-1"}, [db(promises=(promise("0,1", 3 * GIB),))], []),
        (
            {"numatune": "strict#0-1"},
            [db(promises=(promise("0,1", 3 * GIB),)), db(promises=(promise("1", 3 * GIB),), name="db02")],
            [f'numatune: 3 GiB is bound to nodes 0-1, where 6 GiB is promised to VM "db01", "db02": {PLAN}'],
        ),
        # what can be elsewhere gives way: 3 GiB on nodes 0-2, of which this VM needs node 0
        ({"numatune": "strict#0"}, [db(promises=(promise("0,1,2", 9 * GIB),))], []),
        (
            {"guestnuma": "0-1#1G@0,2-3#2G@1"},
            [db(promises=(promise("1", 3 * GIB),))],
            [f'guestnuma: 2 GiB is bound to node 1, where 3 GiB is promised to VM "db01": {PLAN}'],
        ),
        # pages of another size are other memory
        ({"numatune": "strict#0"}, [db(promises=(promise("0", 3 * GIB, 2048),))], []),
    ],
)
def test_what_another_vm_holds(values: dict[str, str], others: list[Neighbour], warnings: list[str]) -> None:
    placement = place(properties.parse(values)[0], GUEST, beside(*others))
    found = [problem.text for problem in placement.warnings if PLAN in problem.fix]
    assert found == warnings
    assert all(problem.warning for problem in placement.warnings)


def test_huge_pages_that_are_promised() -> None:
    nodes = {n: replace(node, pages={2048: Pages(512, 512)}) for n, node in EMPTY.nodes.items()}
    host = beside(db(promises=(promise("0", GIB // 2, 2048),)), host=replace(EMPTY, nodes=nodes))
    guest = replace(GUEST, memory=3 * GIB // 4, pages=(HugePage(2048, None),))
    (warning,) = place(properties.parse({"cputune": "all#=node0", "numatune": "strict#0"})[0], guest, host).warnings
    assert warning.text == (
        f'numatune: 384 huge pages of 2 MiB are bound to node 0, where 512 MiB is promised to VM "db01": {PLAN}'
    )


@pytest.mark.parametrize(
    ("promises", "expected"),
    [
        ([promise("0", GIB)], {0: GIB}),
        ([promise("0", GIB), promise("0", GIB)], {0: 2 * GIB}),
        ([promise("0,1", 2 * GIB)], {0: GIB, 1: GIB}),
        # as evenly as there is room
        ([promise("0,1", 4 * GIB), promise("0", 3 * GIB)], {0: 4 * GIB, 1: 3 * GIB}),
        ([promise("0,9", 2 * GIB)], {0: 2 * GIB}),
        ([promise("0", 99 * GIB)], {0: 4 * GIB}),
        ([promise("0", GIB, 2048)], {}),
    ],
)
def test_promised_by_node(promises: list[Promise], expected: dict[int, int]) -> None:
    assert neighbours.promised(0, beside(db(promises=tuple(promises)))) == expected


@pytest.mark.parametrize(
    ("guest", "promises"),
    [
        (GUEST, ()),
        (replace(GUEST, policy=Policy("strict", CpuSet([0, 1]))), (promise("0,1", 3 * GIB),)),
        (replace(GUEST, policy=Policy("restrictive", CpuSet([0]))), (promise("0", 3 * GIB),)),
        (replace(GUEST, policy=Policy("preferred", CpuSet([0]))), ()),
        (replace(GUEST, policy=Policy("interleave", CpuSet([0]))), ()),
        (replace(GUEST, policy=Policy("strict", None)), ()),
        (
            replace(
                GUEST,
                cells=(Cell(CpuSet([0, 1]), GIB, CpuSet([2])), Cell(CpuSet([2, 3]), 2 * GIB, CpuSet([3]))),
                devices=(MemoryDevice("dimm", GIB, 1), MemoryDevice("nvdimm", GIB, 0)),
                pages=(HugePage(2048, CpuSet([1])),),
            ),
            (promise("2", GIB), promise("3", 2 * GIB, 2048), promise("3", GIB, 2048)),
        ),
        # a node that this host does not have
        (replace(GUEST, policy=Policy("strict", CpuSet([9]))), ()),
    ],
)
def test_what_a_running_vm_is_promised(guest: Guest, promises: tuple[Promise, ...]) -> None:
    held = neighbours.of("db01", guest, CpuSet([1]), False, EMPTY)
    assert held == Neighbour("db01", CpuSet([1]), False, promises)

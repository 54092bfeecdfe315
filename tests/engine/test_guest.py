# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM of the engine as the guest of its next start."""

from __future__ import annotations

from typing import Any

import pytest

from largeguest.cpuset import CpuSet, parse
from largeguest.engine.guest import guest_of, max_vcpus
from largeguest.engine.inventory import VirtualCell, Vm
from largeguest.values import Cell, HugePage, Topology

GIB = 2**20


def vm(**known: Any) -> Vm:
    values: dict[str, Any] = {
        "id": "1",
        "name": "db01",
        "cluster": "blue",
        "status": "down",
        "host": None,
        "only_on": (),
        "level": None,
        "pending": False,
        "custom": {},
        "topology": Topology(2, 1, 4, 2),
        "memory": 8 * GIB,
        "policy": "none",
        "pins": {},
        "iothreads": 0,
    }
    return Vm(**{**values, **known})


def test_without_vnuma_the_engine_writes_one_cell_with_all_vcpus() -> None:
    guest = guest_of(vm(iothreads=2, custom={"hugepages": "2048"}), "4.7", "x86_64", ())
    assert guest.plugged == CpuSet.span(0, 15)
    assert guest.max_vcpus == 32
    assert guest.topology == Topology(4, 1, 4, 2)
    assert guest.cells == (Cell(CpuSet.span(0, 31), 8 * GIB),)
    assert guest.pages == (HugePage(2048, None),)
    assert guest.iothreads == CpuSet([1, 2])
    assert (guest.memory, guest.arch, guest.cpu_policy) == (8 * GIB, "x86_64", "none")


@pytest.mark.parametrize(
    ("topology", "level", "most"),
    [
        (Topology(16, 1, 1, 1), "4.7", 32),
        (Topology(4, 1, 14, 2), "4.7", 224),
        (Topology(1, 1, 1, 1), "4.6", 32),
        (Topology(2, 1, 3, 1), "4.6", 30),
        (Topology(8, 1, 32, 2), "4.8", 704),
        (Topology(2, 1, 2, 1), "4.5", 32),
        (Topology(1, 1, 128, 2), "4.4", 512),
    ],
)
def test_how_far_vcpus_can_be_plugged_in(topology: Topology, level: str, most: int) -> None:
    assert max_vcpus(vm(topology=topology), level) == most


def test_vnuma_gets_the_vcpus_that_can_be_plugged_in_by_turns() -> None:
    cells = (
        VirtualCell(parse("0-3"), 4 * GIB, CpuSet([1]), "strict"),
        VirtualCell(parse("4-7"), 4 * GIB, CpuSet(), "strict"),
    )
    guest = guest_of(vm(topology=Topology(8, 1, 1, 1)), "4.7", None, cells)
    assert [str(cell.vcpus) for cell in guest.cells] == [
        "0-3,8,10,12,14,16,18,20,22,24,26,28,30",
        "4-7,9,11,13,15,17,19,21,23,25,27,29,31",
    ]
    assert [cell.nodes for cell in guest.cells] == [CpuSet([1]), None]
    assert guest.cpu_policy == "manual"  # the engine sends this for None, too, if vNUMA is pinned


@pytest.mark.parametrize(("policy", "pins"), [("manual", {0: CpuSet([3])}), ("none", {}), ("dedicated", {})])
def test_only_manual_pins_are_the_vms_own(policy: str, pins: dict[int, CpuSet]) -> None:
    guest = guest_of(vm(policy=policy, pins={0: CpuSet([3])}), "4.7", None, ())
    assert (guest.cpu_policy, dict(guest.pins.vcpus)) == (policy, pins)


@pytest.mark.parametrize("size", ["", "0", "x", " "])
def test_hugepages_that_are_none(size: str) -> None:
    assert guest_of(vm(custom={"hugepages": size}), "4.7", None, ()).pages == ()

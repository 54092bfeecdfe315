# SPDX-License-Identifier: GPL-2.0-or-later
"""Which cell the memory on a node belongs to, as far as that can be told."""

from __future__ import annotations

from typing import Any

import pytest

from largeguest.cpuset import CpuSet
from largeguest.placement import locality
from largeguest.record import replace
from largeguest.running import memory
from largeguest.running.process import Mapped
from largeguest.values import Cell, Guest, MemoryDevice, Pins, Placement, Policy
from tests.hosts import FOUR_NODES, GIB

TWO = Guest(
    max_vcpus=4,
    memory=8 * GIB,
    cells=(Cell(CpuSet([0, 1]), 4 * GIB, CpuSet([0])), Cell(CpuSet([2, 3]), 4 * GIB, CpuSet([1]))),
)
"""A cell of 4 GiB on each of nodes 0 and 1."""

ONE = Guest(max_vcpus=4, memory=8 * GIB, policy=Policy("strict", CpuSet([0, 1])))
UNBOUND = Guest(max_vcpus=4, memory=8 * GIB)
SAME = replace(TWO, cells=tuple(replace(cell, nodes=None) for cell in TWO.cells), policy=ONE.policy)
"""Both cells are on both nodes."""

MIB = 1024


def homes(guest: Guest) -> tuple[Any, ...]:
    return locality.measure(Placement(Pins(), guest.policy, guest.cells or None), guest, FOUR_NODES).homes


@pytest.mark.parametrize(
    ("guest", "of_vm", "of_cells", "elsewhere"),
    [
        (TWO, {0: 3 * GIB, 1: 2 * GIB}, ({0: 3 * GIB}, {1: 2 * GIB}), {}),
        # QEMU's own
        (TWO, {0: 3 * GIB, 1: 2 * GIB, 3: 256 * MIB}, ({0: 3 * GIB}, {1: 2 * GIB}), {}),
        (TWO, {0: 4 * GIB + 200 * MIB, 1: 2 * GIB}, ({0: 4 * GIB + 200 * MIB}, {1: 2 * GIB}), {}),
        # the guest's
        (TWO, {0: 3 * GIB, 1: 2 * GIB, 3: 257 * MIB}, (None, None), {3: 257 * MIB}),
        # more than cell 0 can have: some of cell 1 is there, but how much?
        (TWO, {0: 5 * GIB, 1: GIB}, (None, None), {}),
        # a device that is plugged into cell 0
        (
            replace(TWO, devices=(MemoryDevice("dimm", GIB, 0),)),
            {0: 5 * GIB, 1: GIB},
            ({0: 5 * GIB}, {1: GIB}),
            {},
        ),
        (ONE, {0: 4 * GIB, 1: GIB}, ({0: 4 * GIB, 1: GIB},), {}),
        (ONE, {0: 4 * GIB, 2: GIB}, ({0: 4 * GIB, 2: GIB},), {2: GIB}),
        (UNBOUND, {0: 4 * GIB, 2: GIB}, ({0: 4 * GIB, 2: GIB},), {}),
        (SAME, {0: 4 * GIB, 1: GIB}, (None, None), {}),
        (SAME, {0: 4 * GIB, 2: GIB}, (None, None), {2: GIB}),
        # one cell is bound, the other is not: nothing is known to be in the wrong place
        (replace(TWO, cells=(TWO.cells[0], replace(TWO.cells[1], nodes=None))), {3: GIB}, (None, None), {}),
        (TWO, None, (None, None), {}),
    ],
)
def test_memory_of_a_control_group(
    guest: Guest, of_vm: dict[int, int] | None, of_cells: tuple[Any, ...], elsewhere: dict[int, int]
) -> None:
    found = memory.by_group(guest, homes(guest), of_vm)
    assert found.of_cells == of_cells
    assert found.of_vm == of_vm
    away = found.away(homes(guest))
    assert away == ({0 if len(of_cells) == 1 else None: elsewhere} if elsewhere else {})


QEMU = Mapped("default", "", {2: 60 * MIB})


def of_policy(text: str, **nodes: int) -> Mapped:
    return Mapped(text, "", {int(node[1:]): kib for node, kib in nodes.items()})


@pytest.mark.parametrize(
    ("guest", "mappings", "of_cells"),
    [
        # by their policies; a page elsewhere is seen
        (
            TWO,
            [QEMU, of_policy("bind:0", n0=GIB, n3=4), of_policy("bind:1", n1=GIB)],
            ({0: GIB, 3: 4}, {1: GIB}),
        ),
        # moved crosswise
        (TWO, [of_policy("bind:0", n1=GIB), of_policy("bind:1", n0=GIB)], ({1: GIB}, {0: GIB})),
        # a device plugged into cell 0 is a mapping of its own
        (TWO, [of_policy("bind:0", n0=8), of_policy("bind:0", n0=4), of_policy("bind:1", n1=4)], ({0: 12}, {1: 4})),
        # by their names, whatever the policies
        (
            SAME,
            [Mapped("bind:0-1", f"/dev/hugepages/x/qemu_back_mem.ram-node{n}.y", {n: GIB}) for n in (0, 1)],
            ({0: GIB}, {1: GIB}),
        ),
        (SAME, [of_policy("bind:0-1", n0=GIB), of_policy("bind:0-1", n1=GIB)], None),
        (ONE, [QEMU, of_policy("bind:0-1", n0=GIB)], ({0: GIB},)),
        (replace(ONE, policy=Policy("preferred", CpuSet([0]))), [QEMU, of_policy("prefer:0", n1=4)], ({1: 4},)),
        (
            replace(ONE, policy=Policy("preferred", CpuSet([0, 1]))),
            [QEMU, of_policy("prefer (many):0-1", n1=4)],
            ({1: 4},),
        ),
        (
            replace(ONE, policy=Policy("interleave", CpuSet([0, 1]))),
            [QEMU, of_policy("interleave:0-1", n0=4, n1=4)],
            ({0: 4, 1: 4},),
        ),
        # only the control group binds it: QEMU's own cannot be told apart
        (
            replace(ONE, policy=Policy("restrictive", CpuSet([0, 1]))),
            [QEMU, of_policy("default", n0=GIB)],
            ({0: GIB, 2: 60 * MIB},),
        ),
        (UNBOUND, [QEMU, of_policy("default", n0=GIB)], ({0: GIB, 2: 60 * MIB},)),
        (TWO, [QEMU], None),
    ],
)
def test_memory_of_the_mappings(guest: Guest, mappings: list[Mapped], of_cells: tuple[Any, ...] | None) -> None:
    found = memory.by_mapping(guest, homes(guest), mappings)
    assert (found and found.of_cells) == of_cells


@pytest.mark.parametrize(
    ("cell_0", "away"),
    [
        ({0: GIB, 3: GIB // 100}, {0: {3: GIB // 100}}),
        ({0: GIB, 3: GIB // 2000}, {}),  # the kernel may have merged these pages
        ({3: 4}, {0: {3: 4}}),
    ],
)
def test_what_is_known_to_be_the_guests_has_no_slack(cell_0: dict[int, int], away: dict[int, Any]) -> None:
    mappings = [Mapped("bind:0", "", cell_0), of_policy("bind:1", n1=GIB)]
    found = memory.by_mapping(TWO, homes(TWO), mappings)
    assert found
    assert found.away(homes(TWO)) == away


@pytest.mark.parametrize(
    ("of_vm", "surplus"),
    [({0: 5 * GIB, 1: GIB}, {0: 5 * GIB}), ({0: 4 * GIB + 256 * MIB, 1: GIB}, {}), ({0: 3 * GIB}, {})],
)
def test_more_than_a_cell_can_have(of_vm: dict[int, int], surplus: dict[int, int]) -> None:
    assert memory.surplus(TWO, homes(TWO), memory.by_group(TWO, homes(TWO), of_vm)) == surplus


def test_little_memory_that_is_all_elsewhere_is_not_qemus_own() -> None:
    assert memory.by_group(ONE, homes(ONE), {3: 80 * MIB}).away(homes(ONE)) == {0: {3: 80 * MIB}}

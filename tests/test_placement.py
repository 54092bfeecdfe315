# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from largeguest import placement, properties
from largeguest.cpuset import CpuSet
from largeguest.domxml import Guest
from largeguest.errors import Refused
from largeguest.properties import Properties

GUEST = Guest(max_vcpus=4, memory=4096)


def wanted(**values: str) -> Properties:
    parsed, problems = properties.parse(values)
    assert problems == ()
    return parsed


@pytest.mark.parametrize(
    ("values", "done"),
    [
        ({}, ""),
        ({"cputune": "0#0"}, "cputune: 1 vCPU pinned"),
        ({"cputune": "0#0,3#0"}, "cputune: 2 vCPUs pinned"),
        ({"numatune": "strict#0"}, "numatune: memory strict on host node 0"),
        ({"numatune": "preferred#7"}, "numatune: memory preferred on host node 7"),
        ({"numatune": "interleave#0,2"}, "numatune: memory interleave on host nodes 0,2"),
        ({"guestnuma": "0-3#4096"}, "guestnuma: 1 cell, 4 vCPUs, 4096 KiB"),
        ({"guestnuma": "0,2#1024,1,3#3072"}, "guestnuma: 2 cells, 4 vCPUs, 4096 KiB"),
        (
            {"guestnuma": "0-3#4096", "cputune": "0#0", "numatune": "strict#0"},
            "cputune: 1 vCPU pinned; numatune: memory strict on host node 0; guestnuma: 1 cell, 4 vCPUs, 4096 KiB",
        ),
    ],
)
def test_what_was_done(values: dict[str, str], done: str) -> None:
    assert str(placement.place(wanted(**values), GUEST)) == done


def test_what_was_not_asked_for_is_none() -> None:
    placed = placement.place(wanted(cputune="3#1,0#0-1"), GUEST)
    assert (placed.pins, placed.memory, placed.cells) == ({3: CpuSet([1]), 0: CpuSet([0, 1])}, None, None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cputune": "4#0"}, "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: take their pins out"),
        ({"cputune": "0#0,9#1,4#0"}, "cputune: vCPUs 4,9 do not exist, the VM has vCPUs 0-3: take their pins out"),
        ({"cputune": "0#0,0#0"}, "cputune: vCPU 0 is pinned more than once: write one pin for each vCPU"),
        ({"cputune": "0#0,1#0,1#1,0#2"}, "cputune: vCPUs 0-1 are pinned more than once: write one pin for each vCPU"),
        (
            {"numatune": "preferred#0-1"},
            "numatune: preferred takes one node but 0-1 are 2: name one, or write interleave#",
        ),
        (
            {"guestnuma": "0-4#4096"},
            "guestnuma: vCPU 4 does not exist, the VM has vCPUs 0-3: let the cells end with vCPU 3",
        ),
        ({"guestnuma": "0-2#2048,2-3#2048"}, "guestnuma: vCPU 2 is in more than one cell: name each vCPU once"),
        ({"guestnuma": "0-3#2048,0-3#2048"}, "guestnuma: vCPUs 0-3 are in more than one cell: name each vCPU once"),
        ({"guestnuma": "0,3#4096"}, "guestnuma: vCPUs 1-2 are in no cell: name all of 0-3"),
        (
            {"guestnuma": "0-1#0,2-3#4096"},
            "guestnuma: cell 0 has 0 KiB, which is no multiple of 1 MiB: write at least 1024",
        ),
        (
            {"guestnuma": "0-1#3073,2-3#1023"},
            "guestnuma: cell 0 has 3073 KiB, which is no multiple of 1 MiB: write 3072 or 4096; largeguest: "
            "guestnuma: cell 1 has 1023 KiB, which is no multiple of 1 MiB: write at least 1024",
        ),
        ({"guestnuma": "0-3#5120"}, "guestnuma: the cells hold 5120 KiB but the VM has 4096 KiB: take 1024 KiB away"),
        ({"guestnuma": "0-3#3072"}, "guestnuma: the cells hold 3072 KiB but the VM has 4096 KiB: add 1024 KiB"),
        (
            {"cputune": "4#0", "numatune": "preferred#0,2", "guestnuma": "0-2#4096"},
            "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: take their pins out; largeguest: "
            "numatune: preferred takes one node but 0,2 are 2: name one, or write interleave#; largeguest: "
            "guestnuma: vCPU 3 is in no cell: name all of 0-3",
        ),
    ],
)
def test_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(Refused) as caught:
        placement.place(wanted(**values), GUEST)
    assert str(caught.value) == f"largeguest: {message}"

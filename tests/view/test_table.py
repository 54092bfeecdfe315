# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of a host and of a guest on it."""

from __future__ import annotations

import re

from largeguest.values import Guest
from largeguest.view import table

from ..hosts import FOUR_NODES, GIB
from .layouts import LARGE, by_hand, by_plan


def test_a_table_of_a_plan() -> None:
    assert (
        table.layout_table(by_plan(FOUR_NODES, 8, 2 * GIB))
        == """\
node  free   socket  cores  CPUs   cell  vCPUs  also here
0     2 GiB  0       0      0-1    0     0-1    emulator
             0       1      2-3    0     2-3    emulator
1     2 GiB  0       2      4-5    1     4-5    emulator
             0       3      6-7    1     6-7    emulator
2     2 GiB  1       0      8-9    -     -
             1       1      10-11  -     -
3     2 GiB  1       2      12-13  -     -
             1       3      14-15  -     -

cell  vCPUs  memory  on nodes  distance to 0 1
0     0-3    1 GiB   0         10 12
1     4-7    1 GiB   1         12 10"""
    )


def test_a_table_of_pins_typed_by_hand() -> None:
    layout = by_hand(
        FOUR_NODES,
        Guest(max_vcpus=6, memory=GIB),
        cputune="0-3#0-3,4#8,emulator#^0-14",
        guestnuma="0-1#*,2-5#*@2",
    )
    assert (
        table.layout_table(layout)
        == """\
node  free   socket  cores  CPUs   cell  vCPUs         also here
0     2 GiB  0       0      0-1    0-1   0-3 floating
             0       1      2-3    0-1   0-3 floating
1     2 GiB  0       2      4-5    -     -
             0       3      6-7    -     -
2     2 GiB  1       0      8-9    1     4
             1       1      10-11  -     -
3     2 GiB  1       2      12-13  -     -
             1       3      14-15  -     -             emulator

vCPUs not pinned: 5

cell  vCPUs  memory   on nodes
0     0-1    512 MiB  by numatune
1     2-5    512 MiB  2"""
    )


def test_a_large_host_is_folded() -> None:
    lines = table.layout_table(by_plan(LARGE, 1024, 1024 * GIB)).splitlines()
    assert lines[:3] == [
        "node   free    socket  cores    CPUs                cell  vCPUs     also here",
        "0      64 GiB  0       0-15     0-15,1024-1039      0     0-31      emulator",
        "1      64 GiB  0       16-31    16-31,1040-1055     1     32-63     emulator",
    ]
    assert lines[33].startswith("32-63  64 GiB  4       0-127    512-639,1536-1663   -     -")
    assert len(lines) < 80
    assert max(map(len, lines[:38])) < 90


def test_colour_marks_the_cells_and_no_more() -> None:
    plain = table.layout_table(by_plan(FOUR_NODES, 8, GIB))
    coloured = table.layout_table(by_plan(FOUR_NODES, 8, GIB), colour=True)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain
    colours = [re.findall("38;5;([0-9]+)", line) for line in coloured.splitlines() if " emulator" in line]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert not any("\x1b" in line for line in coloured.splitlines() if " - " in line)

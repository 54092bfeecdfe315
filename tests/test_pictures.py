# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables and pictures of a host and of a guest on it."""

from __future__ import annotations

import itertools
import re

import pytest
from lxml import etree

from largeguest import placement, properties, show, svg
from largeguest.guest import Guest
from largeguest.host import Host
from largeguest.layout import Layout, lay_out
from largeguest.plan import Request, plan
from largeguest.records import replace

from . import hosts
from .hosts import FOUR_NODES, GIB

LARGE = hosts.build(sockets=8, nodes_per_socket=8, cores_per_node=16, threads=2, memory=128 * GIB, siblings_apart=True)


def typed(host: Host, guest: Guest, **values: str) -> Layout:
    wanted, problems = properties.parse(values)
    assert problems == ()
    return lay_out(host, placement.place(wanted, guest, host), guest)


def planned(host: Host, vcpus: int, memory: int) -> Layout:
    guest = Guest(max_vcpus=vcpus, memory=memory)
    return lay_out(host, plan(Request(guest), host).placement, guest)


def test_a_table_of_a_plan() -> None:
    assert (
        show.layout_table(planned(FOUR_NODES, 8, 2 * GIB))
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
    its_layout = typed(
        FOUR_NODES,
        Guest(max_vcpus=6, memory=GIB),
        cputune="0-3#0-3,4#8,emulator#^0-14",
        guestnuma="0-1#*,2-5#*@2",
    )
    assert (
        show.layout_table(its_layout)
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
0     0-1    512 MiB  any of numatune
1     2-5    512 MiB  2"""
    )


def test_a_large_host_is_folded() -> None:
    lines = show.layout_table(planned(LARGE, 1024, 1024 * GIB)).splitlines()
    assert lines[:3] == [
        "node   free    socket  cores    CPUs                cell  vCPUs     also here",
        "0      64 GiB  0       0-15     0-15,1024-1039      0     0-31      emulator",
        "1      64 GiB  0       16-31    16-31,1040-1055     1     32-63     emulator",
    ]
    assert lines[33].startswith("32-63  64 GiB  4       0-127    512-639,1536-1663   -     -")
    assert len(lines) < 80
    assert max(map(len, lines[:38])) < 90


def test_colour_marks_the_cells_and_no_more() -> None:
    plain = show.layout_table(planned(FOUR_NODES, 8, GIB))
    coloured = show.layout_table(planned(FOUR_NODES, 8, GIB), colour=True)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain
    colours = [re.findall("38;5;([0-9]+)", line) for line in coloured.splitlines() if " emulator" in line]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert not any("\x1b" in line for line in coloured.splitlines() if " - " in line)


PICTURES = {
    "host": lay_out(FOUR_NODES),
    "plan": planned(FOUR_NODES, 8, 2 * GIB),
    "typed": typed(
        FOUR_NODES,
        Guest(max_vcpus=1200, memory=GIB),
        cputune="0-1199#0-7,emulator#0",
        guestnuma="0-599#*,600-1199#*",
    ),
    "large": planned(LARGE, 1024, 1024 * GIB),
    "one node": lay_out(replace(FOUR_NODES, nodes={0: FOUR_NODES.nodes[0]})),
    "no CPUs": lay_out(
        replace(FOUR_NODES, nodes={**FOUR_NODES.nodes, 4: hosts.build(cores_per_node=0).nodes[0]}),
    ),
    "apart": planned(hosts.build(sockets=1, nodes_per_socket=5, cores_per_node=3, threads=4), 36, GIB),
}


class Box:
    def __init__(self, element: etree._Element, x: float, y: float, width: float, height: float) -> None:
        self.element, self.left, self.top, self.right, self.bottom = element, x, y, x + width, y + height

    def overlaps(self, other: Box) -> bool:
        across = self.left < other.right - 0.1 and other.left < self.right - 0.1
        return across and self.top < other.bottom - 0.1 and other.top < self.bottom - 0.1

    def holds(self, other: Box) -> bool:
        inside = self.left - 0.1 <= other.left and other.right <= self.right + 0.1
        return inside and self.top - 0.1 <= other.top and other.bottom <= self.bottom + 0.1


def rectangles(root: etree._Element) -> list[Box]:
    found = []
    for element in root.iterfind("{*}rect"):
        x, y, width, height = (float(element.get(name, "")) for name in ("x", "y", "width", "height"))
        found.append(Box(element, x, y, width, height))
    return found


def texts(root: etree._Element) -> list[Box]:
    """Where the texts are, with a character as wide as the widest digits of common fonts."""
    found = []
    for element in root.iterfind("{*}text"):
        size = float(element.get("font-size", ""))
        width = len(element.text or "") * size * (0.7 if element.get("font-weight") else 0.6)
        start = {"middle": width / 2, "end": width}.get(element.get("text-anchor", ""), 0)
        x, y = float(element.get("x", "")), float(element.get("y", ""))
        found.append(Box(element, x - start, y - 0.75 * size, width, 0.75 * size))
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_in_a_picture_nothing_overlaps_that_does_not_lie_in_the_other(name: str) -> None:
    root = etree.fromstring(svg.draw(PICTURES[name]))
    whole, *boxes = rectangles(root)
    letters = texts(root)
    assert all(whole.holds(box) for box in boxes + letters)
    boxes.sort(key=lambda box: box.top)
    everything = sorted([*boxes, *letters], key=lambda box: box.top)
    for place, one in enumerate(everything):
        below = itertools.takewhile(lambda other: other.top < one.bottom, everything[place + 1 :])  # noqa: B023
        for other in below:
            if one.overlaps(other):
                text = [box.element.text for box in (one, other) if box in letters]
                assert len(text) < 2, f"{text} overlap"
                assert one.holds(other) or other.holds(one), (
                    etree.tostring(one.element),
                    etree.tostring(other.element),
                )


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_every_cpu_and_every_pinned_vcpu(name: str) -> None:
    layout = PICTURES[name]
    root = etree.fromstring(svg.draw(layout))
    tips = {element.text or "" for element in root.iter("{*}title")}
    online = {cpu for node in layout.host.nodes.values() for cpu in node.cpus}
    assert {int(tip.split(",")[0].removeprefix("CPU ")) for tip in tips} == online
    small = [element for element in root.iterfind("{*}text[@font-size='8']") if not element.get("font-weight")]
    shown = {element.text for element in small} - {"e"}
    assert shown == {str(cpu) for cpu in online}
    alone = {
        (seat.cpu, str(seat.vcpus))
        for cores in layout.cores.values()
        for core in cores
        for seat in core.seats
        if seat.alone
    }
    assert alone <= {(int(tip.split(",")[0][4:]), tip.split(", ")[1][6:]) for tip in tips if "vCPUs" in tip}


def test_a_picture_has_each_cell_in_a_colour_of_its_own() -> None:
    root = etree.fromstring(svg.draw(planned(hosts.build(sockets=4), 32, GIB)))
    fills: dict[str, set[str]] = {}
    for rect in root.iter("{*}rect"):
        tip = rect.findtext("{*}title")
        if tip and "vCPUs" in tip:
            vcpu = int(tip.split(", ")[1].removeprefix("vCPUs "))
            fills.setdefault(str(vcpu // 4), set()).add(rect.get("fill", ""))
    assert len(fills) == 8
    assert all(len(colours) == 1 for colours in fills.values())
    assert len(set.union(*fills.values())) == 8

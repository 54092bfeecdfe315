# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in a picture, and where."""

from __future__ import annotations

import itertools

import pytest

from largeguest.record import replace
from largeguest.values import Guest
from largeguest.view import scene
from largeguest.view.layout import Layout, lay_out
from largeguest.view.scene import Box, Item, Text

from .. import hosts
from ..hosts import FOUR_NODES, GIB, HIGH
from .layouts import LARGE, by_hand, by_plan

BAR = "Bar under a vCPU: its memory is on other nodes"

PICTURES = {
    "host": lay_out(FOUR_NODES),
    "plan": by_plan(FOUR_NODES, 8, 2 * GIB),
    "by hand": by_hand(
        FOUR_NODES,
        Guest(max_vcpus=1200, memory=GIB),
        cputune="0-1199#0-7,emulator#0",
        guestnuma="0-599#*,600-1199#*",
    ),
    "far": by_hand(
        FOUR_NODES,
        Guest(max_vcpus=1200, memory=GIB),
        cputune="0-599#0-7,600-1198#8-10,1199#11,emulator#0",
        guestnuma="0-599#*@0,600-1199#*@3",
    ),
    "large": by_plan(LARGE, 1024, 1024 * GIB),
    "one node": lay_out(replace(FOUR_NODES, nodes={0: FOUR_NODES.nodes[0]})),
    "no CPUs": lay_out(
        replace(FOUR_NODES, nodes={**FOUR_NODES.nodes, 4: hosts.build(cores_per_node=0).nodes[0]}),
    ),
    "apart": by_plan(hosts.build(sockets=1, nodes_per_socket=5, cores_per_node=3, threads=4), 36, GIB),
}


class Frame:
    """The area of a box or a text; a character is as wide as the widest digits of common fonts."""

    def __init__(self, item: Item) -> None:
        self.item = item
        if isinstance(item, Box):
            left, self.top, width, height = item.x, item.y, item.width, item.height
        else:
            width, height = len(item.text) * item.size * (0.7 if item.weight == "bold" else 0.6), 0.75 * item.size
            left = item.x - {"start": 0, "middle": width / 2, "end": width}[item.anchor]
            self.top = item.y - height
        self.left, self.right, self.bottom = left, left + width, self.top + height

    def overlaps(self, other: Frame) -> bool:
        across = self.left < other.right - 0.1 and other.left < self.right - 0.1
        return across and self.top < other.bottom - 0.1 and other.top < self.bottom - 0.1

    def holds(self, other: Frame) -> bool:
        inside = self.left - 0.1 <= other.left and other.right <= self.right + 0.1
        return inside and self.top - 0.1 <= other.top and other.bottom <= self.bottom + 0.1


@pytest.mark.parametrize("name", PICTURES)
def test_what_overlaps_is_within_the_other(name: str) -> None:
    paper, *frames = map(Frame, scene.of(PICTURES[name]).items)
    assert all(paper.holds(frame) for frame in frames)
    frames.sort(key=lambda frame: frame.top)
    for place, one in enumerate(frames):
        below = itertools.takewhile(lambda other: other.top < one.bottom, frames[place + 1 :])  # noqa: B023
        for other in below:
            if one.overlaps(other):
                assert isinstance(one.item, Box) or isinstance(other.item, Box)
                assert one.holds(other) or other.holds(one), (one.item, other.item)


@pytest.mark.parametrize("name", PICTURES)
def test_the_paper_is_as_large_as_the_picture(name: str) -> None:
    picture = scene.of(PICTURES[name])
    assert picture.items[0] == Box(0, 0, picture.width, picture.height, "#ffffff", "none")


@pytest.mark.parametrize("name", PICTURES)
def test_every_cpu_and_every_pinned_vcpu_is_shown(name: str) -> None:
    layout, items = PICTURES[name], scene.of(PICTURES[name]).items
    tooltips = {item.tooltip for item in items if isinstance(item, Box) and item.tooltip}
    drawn = [own[0] for own in layout.node_groups() if len(own) == 1]
    online = {cpu for node in drawn for cpu in layout.host.nodes[node].cpus}
    assert {int(tooltip.split(",")[0].removeprefix("CPU ")) for tooltip in tooltips} == online
    small = {item.text for item in items if isinstance(item, Text) and item.size == 8 and item.weight == "normal"}
    assert small - {"e"} == {str(cpu) for cpu in online}
    alone = {
        f"CPU {seat.cpu}, vCPU {seat.vcpus}"
        for cores in layout.cores.values()
        for core in cores
        for seat in core.seats
        if seat.alone
    }
    assert alone <= {", ".join(tooltip.split(", ")[:2]) for tooltip in tooltips}


def test_nodes_of_a_large_host_without_any_of_the_guest_are_one_box() -> None:
    texts = [item.text for item in scene.of(PICTURES["large"]).items if isinstance(item, Text)]
    assert "nodes 32-63" in texts
    assert "1024 CPUs, 2 TiB free" in texts
    assert rows_of_distances(PICTURES["large"]) == list(range(32))
    texts = [item.text for item in scene.of(lay_out(LARGE)).items if isinstance(item, Text)]
    assert "node 63, socket 7" in texts
    assert rows_of_distances(lay_out(LARGE)) == list(range(64))


def rows_of_distances(layout: Layout) -> list[int]:
    """The nodes of which the distances to others are shown."""
    texts = [item for item in scene.of(layout).items if isinstance(item, Text)]
    return [int(item.text) for item in texts if item.weight == "bold" and item.anchor == "end"]


def test_each_cell_has_a_colour_of_its_own() -> None:
    fills: dict[int, set[str]] = {}
    for item in scene.of(by_plan(hosts.build(sockets=4), 32, GIB)).items:
        if isinstance(item, Box) and "vCPU" in item.tooltip:
            vcpu = int(item.tooltip.split(", ")[1].removeprefix("vCPU "))
            fills.setdefault(vcpu // 4, set()).add(item.fill)
    assert len(fills) == 8
    assert all(len(colours) == 1 for colours in fills.values())
    assert len(set.union(*fills.values())) == 8


def test_only_vcpus_that_float_are_dashed() -> None:
    items = scene.of(by_hand(FOUR_NODES, Guest(max_vcpus=3, memory=GIB), cputune="0#0,1#0,2#2-3")).items
    assert {item.tooltip for item in items if isinstance(item, Box) and item.dash} == {
        "CPU 0, vCPUs 0-1",
        "CPU 2, vCPU 2",
        "CPU 3, vCPU 2",
    }


def test_a_bar_is_in_the_square_of_each_cpu_that_is_far_from_the_memory() -> None:
    layout = by_hand(
        HIGH,
        Guest(max_vcpus=5, memory=GIB),
        cputune="0#2-4,1#4,2#=6,3-4#=8-9,emulator#9",
        guestnuma="0-1#*@0,2-4#*@4",
    )
    items = scene.of(layout).items
    squares = [Frame(item) for item in items if isinstance(item, Box) and item.tooltip]
    bars = [Frame(item) for item in items if isinstance(item, Box) and item.height == 3]
    marked = [square.item.tooltip for square in squares for bar in bars if square.holds(bar)]  # type: ignore[union-attr]
    assert marked == [
        "CPU 4, vCPUs 0-1, far from the memory of vCPUs 0-1",
        "CPU 8, vCPU 3, far from the memory of vCPU 3",
        "CPU 9, vCPU 4, emulator, far from the memory of vCPU 4",
    ]
    assert len(bars) == 3
    assert BAR in {item.text for item in items if isinstance(item, Text)}


def test_without_far_cpus_the_legend_has_no_bar() -> None:
    assert BAR not in {item.text for item in scene.of(PICTURES["plan"]).items if isinstance(item, Text)}


def test_the_legend_says_where_the_memory_of_a_guest_without_cells_is() -> None:
    items = scene.of(by_hand(FOUR_NODES, Guest(max_vcpus=8, memory=GIB), numatune="0", cputune="0-7#=0-7")).items
    assert "Memory on node 0, 4 of 8 vCPUs there" in {item.text for item in items if isinstance(item, Text)}

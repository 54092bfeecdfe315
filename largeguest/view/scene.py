# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of a host, and of a guest on it, as values: boxes and texts, with all lengths in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Union

from ..cpuset import CpuSet
from ..host.topology import Node
from ..record import Record
from ..wording import amount, name_ids, plural, shorten, verb
from .layout import Core, Layout, Seat

# Okabe and Ito's palette, which is safe for colour-blind people; each with black or white text
_COLOURS = (
    ("#e69f00", "#000000"),
    ("#56b4e9", "#000000"),
    ("#009e73", "#ffffff"),
    ("#f0e442", "#000000"),
    ("#0072b2", "#ffffff"),
    ("#d55e00", "#ffffff"),
    ("#cc79a7", "#000000"),
    ("#999999", "#000000"),
)
_SEVERAL = ("#dddddd", "#000000")
_EMPTY = ("#ffffff", "#000000")
_HELD = ("#eedddd", "#000000")
_INK, _FAINT, _LINE = "#000000", "#555555", "#888888"

_MARGIN = 24
_GAP = 16
_SEAT_WIDTH, _SEAT_HEIGHT = 36, 30
_CORE_HEAD, _CORE_PAD = 13, 3
_MIN_CORE_WIDTH = 58
_NODE_HEAD = 66
_CHIP = 14
_LINE_HEIGHT = 20
_CHARACTER, _BOLD_CHARACTER = 0.62, 0.7
"""The width of a character of a sans-serif font, as a fraction of its size; an overestimate."""


class Box(Record):
    """A rectangle; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = _LINE
    radius: int = 0
    """Of its corners."""
    dash: str = ""
    """Lengths of the line's dashes and gaps; empty: a solid line."""
    tooltip: str = ""
    name: str = ""
    """By which a program finds it in the picture: `node0`, `cpu12`."""


class Text(Record):
    """A line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    size: int
    fill: str = _INK
    weight: str = "normal"
    """Or bold."""
    anchor: str = "start"
    """The part of the text that is at `x`: start, middle or end."""


Item = Union[Box, Text]


class Scene(Record):
    """A picture; what comes later in `items` is drawn over what comes before."""

    width: int
    height: int
    items: tuple[Item, ...]


class _Section(Record):
    """A part of the picture, as wide as the picture."""

    items: tuple[Item, ...]
    right: float
    bottom: float


class _Grid(Record):
    """The size of a node, and of the cores in it."""

    width: float
    height: float
    columns: int
    """Cores next to each other."""
    core_width: int
    core_height: int


def of(layout: Layout) -> Scene:
    """The picture: a title, the nodes with their cores, a legend, and the distances between those not folded."""
    sections = [_title(layout, _MARGIN)]
    sections.append(_nodes(layout, sections[-1].bottom + _GAP))
    right = max(section.right for section in sections)
    sections.append(_legend(layout, sections[-1].bottom + 2 * _GAP, right))
    alone = [own[0] for own in layout.node_groups() if len(own) == 1]
    nodes = {number: layout.host.nodes[number] for number in alone}
    if len(nodes) > 1 and any(node.distances for node in nodes.values()):
        sections.append(_distances(nodes, sections[-1].bottom + 2 * _GAP))
    width = round(max(section.right for section in sections) + _MARGIN)
    height = round(sections[-1].bottom + _MARGIN)
    paper = Box(0, 0, width, height, "#ffffff", "none")
    return Scene(width, height, (paper, *(item for section in sections for item in section.items)))


def _title(layout: Layout, top: float) -> _Section:
    host = f"a host with {plural(len(layout.host.nodes), 'node')} and {plural(len(layout.host.cpus), 'CPU')}"
    memory = f" and {amount(layout.memory)}" if layout.memory else ""
    guest = f"{plural(len(layout.vcpus), 'vCPU')}{memory} on " if layout.vcpus else ""
    title = guest + host
    items = (Text(_MARGIN, top + 18, title[:1].upper() + title[1:], 18, weight="bold"),)
    return _Section(items, _right(items), top + 22)


def _nodes(layout: Layout, top: float) -> _Section:
    groups = [CpuSet(numbers) for numbers in layout.node_groups()]
    heads = [_head(layout, own.first) if len(own) == 1 else _head_of_folded(layout, own) for own in groups]
    grid = _grid(layout, heads)
    columns = _columns(len(heads), math.sqrt(len(heads) * 2 * grid.height / grid.width))
    items: list[Item] = []
    for place, (own, head) in enumerate(zip(groups, heads)):
        x = _MARGIN + place % columns * (grid.width + _GAP)
        y = top + place // columns * (grid.height + _GAP)
        items += _node(layout, own.first, head, grid, x, y) if len(own) == 1 else _folded(head, grid, x, y)
    return _Section(tuple(items), _right(items), top + math.ceil(len(heads) / columns) * (grid.height + _GAP) - _GAP)


def _head_of_folded(layout: Layout, numbers: CpuSet) -> list[str]:
    """Three lines about nodes without any of the guest."""
    nodes = [layout.host.nodes[number] for number in numbers]
    cpus = plural(sum(len(node.cpus) for node in nodes), "CPU")
    free = [node.free for node in nodes if node.free is not None]
    memory = f"{amount(sum(free))} free" if len(free) == len(nodes) else "free memory not known"
    return [name_ids("node", numbers), f"{cpus}, {memory}", "no thread of the guest"]


def _folded(head: list[str], grid: _Grid, x: float, y: float) -> Iterator[Item]:
    yield Box(x, y, grid.width, grid.height, "#f6f6f6", radius=6, dash="6 4")
    yield Text(x + 10, y + 18, head[0], 13, weight="bold")
    yield Text(x + 10, y + 36, head[1], 12, _FAINT)
    yield Text(x + 10, y + 55, head[2], 12)


def _head(layout: Layout, number: int) -> list[str]:
    """Up to three lines about a node."""
    node = layout.host.nodes[number]
    sockets = CpuSet(core.socket for core in layout.cores[number])
    where = f", socket {sockets}" if len(sockets) == 1 else f", sockets {sockets}" if sockets else ", no CPUs"
    free = "" if node.free is None else f"{amount(node.free)} free of "
    lines = [f"node {number}{where}", f"{free}{amount(node.memory)}"]
    if layout.page:
        pages = layout.free_pages(number)
        free = "" if pages.free is None else f"{pages.free} free of "
        lines[1] = f"{free}{'?' if pages.total is None else pages.total} pages of {amount(layout.page)}"
    cells = layout.cells_on(number)
    if len(cells) == 1:
        cell = layout.cells[cells[0]]
        memory = [amount(layout.memory_of(cells[0]))] if cell.nodes is not None and number in cell.nodes else []
        here = cell.vcpus & CpuSet(vcpu for core in layout.cores[number] for seat in core.seats for vcpu in seat.vcpus)
        vcpus = [_vcpus(here)] if here else []
        lines.append(shorten(f"cell {cells[0]}: {', '.join(memory + vcpus)}", 36))
    elif cells:
        lines.append(shorten(f"cells {CpuSet(cells)}", 36))
    return lines


def _grid(layout: Layout, heads: Iterable[list[str]]) -> _Grid:
    """One size for all nodes: half as wide again as high, and wide enough for their heads."""
    threads = max((len(core.seats) for cores in layout.cores.values() for core in cores), default=1)
    core_width = max(threads * _SEAT_WIDTH + 2 * _CORE_PAD, _MIN_CORE_WIDTH)
    core_height = _CORE_HEAD + _SEAT_HEIGHT + 2 * _CORE_PAD
    cores = max(map(len, layout.cores.values()), default=1) or 1
    columns = max(1, round(math.sqrt(cores * 1.6 * core_height / core_width)))
    widths = [_width(line, 12) + _CHIP + 8 for head in heads for line in head]
    widths += [_width(head[0], 13, "bold") + 4 for head in heads]
    return _Grid(
        max(columns * (core_width + 6) + 10, max(widths) + 16),
        _NODE_HEAD + math.ceil(cores / columns) * (core_height + 6) + 6,
        columns,
        core_width,
        core_height,
    )


def _node(layout: Layout, number: int, head: list[str], grid: _Grid, x: float, y: float) -> Iterator[Item]:
    yield Box(x, y, grid.width, grid.height, "#f6f6f6", radius=6, name=f"node{number}")
    yield Text(x + 10, y + 18, head[0], 13, weight="bold")
    yield Text(x + 10, y + 36, head[1], 12, _FAINT)
    cells = layout.cells_on(number)
    if cells:
        fill, _ = _colours(CpuSet(cells))
        yield Box(x + 10, y + 44, _CHIP, _CHIP, fill, radius=2)
        yield Text(x + 10 + _CHIP + 6, y + 55, head[2], 12)
    for place, core in enumerate(layout.cores[number]):
        core_x = x + 8 + place % grid.columns * (grid.core_width + 6)
        core_y = y + _NODE_HEAD + place // grid.columns * (grid.core_height + 6)
        yield Box(core_x, core_y, grid.core_width, grid.core_height, "#ffffff", radius=3)
        yield from _core(core, core_x, core_y)


def _core(core: Core, x: float, y: float) -> Iterator[Item]:
    yield Text(x + _CORE_PAD + 1, y + 11, f"core {core.number}", 9, _FAINT)
    for place, seat in enumerate(core.seats):
        yield from _seat(seat, x + _CORE_PAD + place * _SEAT_WIDTH, y + _CORE_HEAD + _CORE_PAD)


def _seat(seat: Seat, x: float, y: float) -> Iterator[Item]:
    fill, ink = _colours(seat.cells) if seat.vcpus else _HELD if seat.held else _EMPTY
    stroke, dash = (_INK, "3 2") if seat.vcpus and not seat.alone else (_LINE, "")
    vcpus = [_vcpus(seat.vcpus)] if seat.vcpus else []
    far = [f"far from the memory of {_vcpus(seat.far)}"] if seat.far else []
    tooltip = ", ".join([f"CPU {seat.cpu}", *vcpus, *seat.others, *far, *seat.held])
    yield Box(x + 1, y, _SEAT_WIDTH - 2, _SEAT_HEIGHT, fill, stroke, 2, dash, tooltip, f"cpu{seat.cpu}")
    yield Text(x + 4, y + 10, str(seat.cpu), 8, ink)
    if seat.others:
        marks = "".join(sorted({other[0] for other in seat.others}))
        yield Text(x + _SEAT_WIDTH - 4, y + 10, marks, 8, ink, anchor="end")
    if seat.vcpus:
        label = str(seat.vcpus) if len(str(seat.vcpus)) <= 5 else f"{len(seat.vcpus)} v"
        size = {5: 9, 6: 8}.get(len(label), 11)
        yield Text(x + _SEAT_WIDTH / 2, y + 24, label, size, ink, "bold", "middle")
    if seat.far:
        yield Box(x + 5, y + _SEAT_HEIGHT - 5, _SEAT_WIDTH - 10, 3, ink, "none")


def _legend(layout: Layout, top: float, right: float) -> _Section:
    """The cells in as many columns as there is room for up to `right`, and what the marks mean."""
    seats = [seat for cores in layout.cores.values() for core in cores for seat in core.seats]
    entries = [(fill, shorten(text, 60)) for fill, text in _entries(layout, seats)]
    width = max(_width(text, 12) for _, text in entries) + _CHIP + 24
    columns = max(1, int((right - _MARGIN) // width))
    items: list[Item] = []
    for place, (fill, text) in enumerate(entries):
        x = _MARGIN + place % columns * width
        y = top + place // columns * _LINE_HEIGHT
        items += [Box(x, y, _CHIP, _CHIP, fill, radius=2), Text(x + _CHIP + 6, y + 12, text, 12)]
    last = _MARGIN + (min(columns, len(entries)) - 1) * width
    bottom = top + math.ceil(len(entries) / columns) * _LINE_HEIGHT
    for hint in _hints(layout, seats):
        items.append(Text(_MARGIN, bottom + 12, hint, 12, _FAINT))
        bottom += _LINE_HEIGHT
    return _Section(tuple(items), max(last + width - 24, _right(items)), bottom)


def _entries(layout: Layout, seats: Sequence[Seat]) -> Iterator[tuple[str, str]]:
    """Each colour and its meaning."""
    for number, home in enumerate(layout.homes if layout.cells else ()):
        where = f", {verb(home.nodes, 'node', 'nodes')} {home.nodes}" if home.nodes else ""
        fill, _ = _colours(CpuSet([number]))
        yield fill, f"cell {number}: {_vcpus(home.vcpus)}, {amount(layout.memory_of(number))}{where}"
    if any(seat.vcpus and len(seat.cells) != 1 for seat in seats):
        yield _SEVERAL[0], "vCPUs of several cells, or of none"
    held = dict.fromkeys(name for seat in seats for name in seat.held)
    if held:
        yield _HELD[0], f"left out: {', '.join(held)}"
    yield _EMPTY[0], "no thread of the guest"


def _vcpus(vcpus: CpuSet) -> str:
    """`vCPU 2`, `vCPUs 2-3`, `vCPUs -`."""
    return f"{verb(vcpus, 'vCPU', 'vCPUs')} {vcpus or '-'}"


def _hints(layout: Layout, seats: Sequence[Seat]) -> Iterator[str]:
    vcpu = ", the vCPU on it is bold" if layout.vcpus else ""
    yield f"Each square is a CPU (a thread of its core): its number is small{vcpu}"
    if any(seat.vcpus and not seat.alone for seat in seats):
        yield "Dashed: the vCPUs float over several CPUs"
    if any(seat.far for seat in seats):
        yield "Bar under a vCPU: its memory is on other nodes"
    others = {other[0] for seat in seats for other in seat.others}
    marks = {"e": "e: the emulator may run here", "i": "i: iothreads may run here"}
    if others:
        yield "; ".join(marks[mark] for mark in sorted(others))
    if layout.unpinned:
        yield f"Not pinned: {name_ids('vCPU', layout.unpinned)}"
    if not layout.cells:
        for home in layout.homes:
            yield str(home)[:1].upper() + str(home)[1:]


def _distances(nodes: Mapping[int, Node], top: float) -> _Section:
    distances = {distance for node in nodes.values() for distance in node.distances.values()}
    width, height = 8 + 9 * max(len(str(distance)) for distance in distances), 18
    columns = [(number, _MARGIN + (place + 1) * width) for place, number in enumerate(nodes)]
    items: list[Item] = [Text(_MARGIN, top + 13, "Distances between the nodes (10: local)", 13, weight="bold")]
    for number, x in columns:
        items.append(Text(x + width / 2, top + 36, str(number), 10, weight="bold", anchor="middle"))
    for row, (number, node) in enumerate(nodes.items()):
        y = top + 42 + row * height
        items.append(Text(_MARGIN + width - 6, y + 13, str(number), 10, weight="bold", anchor="end"))
        for other, x in columns:
            distance = node.distances.get(other)
            text = "?" if distance is None else str(distance)
            items.append(Box(x, y, width - 2, height - 2, _shade(distance, max(distances)), "none"))
            items.append(Text(x + width / 2 - 1, y + 12, text, 10, anchor="middle"))
    right = max(_right(items), _MARGIN + (len(nodes) + 1) * width, _MARGIN + 300)
    return _Section(tuple(items), right, top + 42 + len(nodes) * height)


def _right(items: Iterable[Item]) -> float:
    """The right edge of boxes and of texts that start at their `x`; the others are within boxes."""
    return max(
        item.x + (item.width if isinstance(item, Box) else _width(item.text, item.size, item.weight))
        for item in items
        if isinstance(item, Box) or item.anchor == "start"
    )


def _colours(cells: CpuSet) -> tuple[str, str]:
    """Background and text colour for these cells."""
    return _COLOURS[cells.last % len(_COLOURS)] if len(cells) == 1 else _SEVERAL


def _columns(count: int, ideal: float) -> int:
    """Columns for so many boxes, near the ideal but with few empty places."""
    near = range(max(1, math.floor(ideal * 0.7)), math.ceil(ideal * 1.5) + 1)
    return min(near, key=lambda columns: (-count % columns / columns + abs(columns - ideal) / ideal, columns))


def _shade(distance: int | None, largest: int) -> str:
    """Darker with the distance, but light enough for black text."""
    if distance is None or largest <= 10:
        return "#ffffff"
    grey = 255 - round(95 * min(1.0, max(0, distance - 10) / (largest - 10)))
    return f"#{grey:02x}{grey:02x}{grey:02x}"


def _width(text: str, size: int, weight: str = "normal") -> float:
    return len(text) * size * (_BOLD_CHARACTER if weight == "bold" else _CHARACTER)

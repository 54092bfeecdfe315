# SPDX-License-Identifier: GPL-2.0-or-later
"""A host, and a guest on it, as a picture: SVG 1.1, without scripts or anything from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lxml import etree

from .cpuset import CpuSet
from .errors import plural, shorten
from .layout import Core, Layout, Seat
from .show import amount

_SVG = "http://www.w3.org/2000/svg"

# Okabe and Ito's palette, which people can tell apart however they see colours: with black or white text on each
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
_NOBODY = ("#ffffff", "#000000")
_INK, _FAINT, _LINE = "#000000", "#555555", "#888888"

# all lengths in pixels
_MARGIN = 24
_GAP = 16
_SEAT_WIDTH, _SEAT_HEIGHT = 36, 30
_CORE_HEAD, _CORE_PAD = 13, 3
_NODE_HEAD = 66
_CHIP = 14
_LINE_HEIGHT = 20
_CHARACTER, _BOLD_CHARACTER = 0.62, 0.7
"""The width of a character of a sans-serif font, as a part of its size, rather too large."""


def draw(layout: Layout) -> bytes:
    """The picture as an SVG document."""
    return etree.tostring(_Picture(layout).root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


class _Picture:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._cores = [core for cores in layout.cores.values() for core in cores]
        self.root = etree.Element(f"{{{_SVG}}}svg", nsmap={None: _SVG})  # type: ignore[dict-item]
        self.root.set("font-family", "DejaVu Sans, Verdana, sans-serif")
        self._right = 0.0
        bottom = self._title(_MARGIN)
        bottom = self._nodes(bottom + _GAP)
        bottom = self._legend(bottom + 2 * _GAP)
        bottom = self._distances(bottom + 2 * _GAP)
        width, height = round(self._right + _MARGIN), round(bottom + _MARGIN)
        for name, value in (("width", width), ("height", height), ("viewBox", f"0 0 {width} {height}")):
            self.root.set(name, str(value))
        self.root.insert(0, self._box(0, 0, width, height, "#ffffff", "none"))

    def _title(self, top: float) -> float:
        layout = self._layout
        host = f"a host with {plural(len(layout.host.nodes), 'node')} and {plural(len(layout.host.cpus), 'CPU')}"
        memory = f" and {amount(layout.memory)}" if layout.memory else ""
        guest = f"{plural(len(layout.vcpus), 'vCPU')}{memory} on " if layout.vcpus else ""
        self._text(_MARGIN, top + 18, (guest + host)[:1].upper() + (guest + host)[1:], 18, bold=True)
        return top + 22

    def _nodes(self, top: float) -> float:
        nodes = list(self._layout.cores)
        threads = max((len(core.seats) for core in self._cores), default=1)
        core_width = max(threads * _SEAT_WIDTH + 2 * _CORE_PAD, 58)
        core_height = _CORE_HEAD + _SEAT_HEIGHT + 2 * _CORE_PAD
        most = max(map(len, self._layout.cores.values()), default=1) or 1
        across = max(1, round(math.sqrt(most * 1.6 * core_height / core_width)))
        heads = [self._head(number) for number in nodes]
        head_width = max(_width(line, 12) + _CHIP + 8 for head in heads for line in head)
        head_width = max(head_width, *(_width(head[0], 13, bold=True) + 4 for head in heads))
        width = max(across * (core_width + 6) + 10, head_width + 16)
        height = _NODE_HEAD + math.ceil(most / across) * (core_height + 6) + 6
        columns = _columns(len(nodes), math.sqrt(len(nodes) * 2 * height / width))
        for place, (number, head) in enumerate(zip(nodes, heads)):
            x = _MARGIN + place % columns * (width + _GAP)
            y = top + place // columns * (height + _GAP)
            self._node(number, head, x, y, width, height)
            for index, core in enumerate(self._layout.cores[number]):
                at_x = x + 8 + index % across * (core_width + 6)
                self._core(core, at_x, y + _NODE_HEAD + index // across * (core_height + 6), core_width, core_height)
        return top + math.ceil(len(nodes) / columns) * (height + _GAP) - _GAP

    def _head(self, number: int) -> list[str]:
        """Up to three lines about a node."""
        node = self._layout.host.nodes[number]
        sockets = CpuSet(core.socket for core in self._layout.cores[number])
        where = f", socket {sockets}" if len(sockets) == 1 else f", sockets {sockets}" if sockets else ", no CPUs"
        free = "" if node.free is None else f"{amount(node.free)} free of "
        lines = [f"node {number}{where}", f"{free}{amount(node.memory)}"]
        cells = self._layout.cells_on(number)
        if len(cells) == 1:
            cell = self._layout.cells[cells[0]]
            here = CpuSet(vcpu for core in self._layout.cores[number] for seat in core.seats for vcpu in seat.vcpus)
            memory = (
                [amount(self._layout.memory_of(cells[0]))] if cell.nodes is not None and number in cell.nodes else []
            )
            vcpus = [f"vCPUs {here & cell.vcpus}"] if here & cell.vcpus else []
            lines.append(shorten(f"cell {cells[0]}: {', '.join(memory + vcpus)}", 36))
        elif cells:
            lines.append(shorten(f"cells {CpuSet(cells)}", 36))
        return lines

    def _node(self, number: int, head: list[str], x: float, y: float, width: float, height: float) -> None:
        cells = self._layout.cells_on(number)
        self._box(x, y, width, height, "#f6f6f6", _LINE, radius=6)
        self._text(x + 10, y + 18, head[0], 13, bold=True)
        self._text(x + 10, y + 36, head[1], 12, _FAINT)
        if cells:
            fill = _colours(CpuSet(cells))[0]
            self._box(x + 10, y + 44, _CHIP, _CHIP, fill, _LINE, radius=2)
            self._text(x + 10 + _CHIP + 6, y + 55, head[2], 12)
        self._right = max(self._right, x + width)

    def _core(self, core: Core, x: float, y: float, width: float, height: float) -> None:
        self._box(x, y, width, height, "#ffffff", _LINE, radius=3)
        self._text(x + _CORE_PAD + 1, y + 11, f"core {core.number}", 9, _FAINT)
        for index, seat in enumerate(core.seats):
            self._seat(seat, x + _CORE_PAD + index * _SEAT_WIDTH, y + _CORE_HEAD + _CORE_PAD)

    def _seat(self, seat: Seat, x: float, y: float) -> None:
        fill, ink = _colours(seat.cells) if seat.vcpus else _NOBODY
        box = self._box(x + 1, y, _SEAT_WIDTH - 2, _SEAT_HEIGHT, fill, _LINE, radius=2)
        if seat.vcpus and not seat.alone:
            box.set("stroke-dasharray", "3 2")
            box.set("stroke", _INK)
        tip = [f"CPU {seat.cpu}", f"vCPUs {seat.vcpus}" if seat.vcpus else "", *seat.others]
        etree.SubElement(box, f"{{{_SVG}}}title").text = ", ".join(filter(None, tip))
        self._text(x + 4, y + 10, str(seat.cpu), 8, ink)
        if seat.others:
            mark = "".join(sorted({other[0] for other in seat.others}))
            self._text(x + _SEAT_WIDTH - 4, y + 10, mark, 8, ink, anchor="end")
        if seat.vcpus:
            label = str(seat.vcpus) if len(str(seat.vcpus)) <= 5 else f"{len(seat.vcpus)} v"
            size = {5: 9, 6: 8}.get(len(label), 11)
            self._text(x + _SEAT_WIDTH / 2, y + 24, label, size, ink, bold=True, anchor="middle")

    def _legend(self, top: float) -> float:
        layout = self._layout
        entries = []
        for number, cell in enumerate(layout.cells):
            where = "" if cell.nodes is None else f", node {cell.nodes}"
            vcpus = cell.vcpus & layout.vcpus
            entries.append(
                (
                    _colours(CpuSet([number])),
                    f"cell {number}: vCPUs {vcpus or '-'}, {amount(layout.memory_of(number))}{where}",
                )
            )
        seats = [seat for core in self._cores for seat in core.seats]
        if any(seat.vcpus and len(seat.cells) != 1 for seat in seats):
            entries.append((_SEVERAL, "vCPUs of several cells, or of none"))
        entries.append((_NOBODY, "nobody of the guest"))
        entries = [(colours, shorten(text, 60)) for colours, text in entries]
        width = max(_width(text, 12) for _, text in entries) + _CHIP + 24
        columns = max(1, int((self._right - _MARGIN) // width))
        for index, ((fill, _), text) in enumerate(entries):
            x = _MARGIN + index % columns * width
            y = top + index // columns * _LINE_HEIGHT
            self._box(x, y, _CHIP, _CHIP, fill, _LINE, radius=2)
            self._text(x + _CHIP + 6, y + 12, text, 12)
            self._right = max(self._right, x + width - 24)
        bottom = top + math.ceil(len(entries) / columns) * _LINE_HEIGHT
        for line in self._hints(seats):
            self._text(_MARGIN, bottom + 12, line, 12, _FAINT)
            self._right = max(self._right, _MARGIN + _width(line, 12))
            bottom += _LINE_HEIGHT
        return bottom

    def _hints(self, seats: list[Seat]) -> Iterable[str]:
        yield "Each square is a CPU (a thread of its core): its number is small" + (
            ", the vCPU on it is bold" if self._layout.vcpus else ""
        )
        if any(seat.vcpus and not seat.alone for seat in seats):
            yield "Dashed: the vCPUs float over several CPUs"
        others = {other[0] for seat in seats for other in seat.others}
        marks = {"e": "e: the emulator may run here", "i": "i: iothreads may run here"}
        if others:
            yield "; ".join(marks[mark] for mark in sorted(others))
        if self._layout.unpinned:
            yield f"Not pinned: vCPUs {shorten(str(self._layout.unpinned))}"

    def _distances(self, top: float) -> float:
        nodes = self._layout.host.nodes
        told = {value for node in nodes.values() for value in node.distances.values()}
        if len(nodes) < 2 or not told:
            return top - 2 * _GAP
        self._text(_MARGIN, top + 13, "Distances between the nodes (10: local)", 13, bold=True)
        width, height = 8 + 9 * max(len(str(value)) for value in told), 18
        for place, other in enumerate(nodes):
            x = _MARGIN + (place + 1) * width
            self._text(x + width / 2, top + 36, str(other), 10, bold=True, anchor="middle")
        for row, (number, node) in enumerate(nodes.items()):
            y = top + 42 + row * height
            self._text(_MARGIN + width - 6, y + 13, str(number), 10, bold=True, anchor="end")
            for place, other in enumerate(nodes):
                x = _MARGIN + (place + 1) * width
                value = node.distances.get(other)
                self._box(x, y, width - 2, height - 2, _shade(value, max(told)), "none")
                self._text(x + width / 2 - 1, y + 12, "?" if value is None else str(value), 10, anchor="middle")
        self._right = max(self._right, _MARGIN + (len(nodes) + 1) * width, _MARGIN + 300)
        return top + 42 + len(nodes) * height

    def _box(
        self, x: float, y: float, width: float, height: float, fill: str, stroke: str, radius: int = 0
    ) -> etree._Element:
        box = self._add("rect", x, y, fill)
        box.set("width", _number(width))
        box.set("height", _number(height))
        box.set("stroke", stroke)
        if radius:
            box.set("rx", str(radius))
        return box

    def _text(
        self, x: float, y: float, text: str, size: int, fill: str = _INK, bold: bool = False, anchor: str = "start"
    ) -> None:
        element = self._add("text", x, y, fill)
        element.set("font-size", str(size))
        if bold:
            element.set("font-weight", "bold")
        if anchor == "start":
            self._right = max(self._right, x + _width(text, size, bold))
        else:
            element.set("text-anchor", anchor)
        element.text = text

    def _add(self, name: str, x: float, y: float, fill: str) -> etree._Element:
        return etree.SubElement(self.root, f"{{{_SVG}}}{name}", {"x": _number(x), "y": _number(y), "fill": fill})


def _colours(cells: CpuSet) -> tuple[str, str]:
    """Background and text for what is of these cells."""
    return _COLOURS[cells.last % len(_COLOURS)] if len(cells) == 1 else _SEVERAL


def _columns(count: int, ideal: float) -> int:
    """Columns for so many boxes, near the ideal but so that few places stay empty."""
    near = range(max(1, math.floor(ideal * 0.7)), math.ceil(ideal * 1.5) + 1)
    return min(near, key=lambda columns: (-count % columns / columns + abs(columns - ideal) / ideal, columns))


def _shade(distance: int | None, largest: int) -> str:
    """The farther the darker, but light enough for black text."""
    if distance is None or largest <= 10:
        return "#ffffff"
    grey = 255 - round(95 * min(1.0, max(0, distance - 10) / (largest - 10)))
    return f"#{grey:02x}{grey:02x}{grey:02x}"


def _width(text: str, size: int, bold: bool = False) -> float:
    return len(text) * size * (_BOLD_CHARACTER if bold else _CHARACTER)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

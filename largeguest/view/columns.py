# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of text as lines in columns, and lists of ids as short as a column needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..cpuset import CpuSet, range_text

WIDTH = 80
"""Of a terminal."""

_EMPTY = ("", "-")


def brief(ids: CpuSet) -> str:
    """Like str(), but with strides, as many hosts number their CPUs: `0-76/4` is every fourth id."""
    parts, ranges = [], list(ids.ranges())
    while ranges:
        first, last = ranges[0]
        step = ranges[1][0] - first if len(ranges) > 1 else 0
        stride = [(first + step * place,) * 2 for place in range(len(ranges))]
        length = next((place for place, own in enumerate(ranges) if own != stride[place]), len(ranges))
        parts.append(f"{first}-{ranges[length - 1][0]}/{step}" if length > 2 else range_text(first, last))
        del ranges[: length if length > 2 else 1]
    return ",".join(parts)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, each column as wide as it must be."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def fit(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows in columns that fit a terminal, for each row its lines; the first row are heads.

    Columns without content are left out, the first one aside, and long lists go on in the next line.
    """
    used = [place for place, column in enumerate(zip(*rows)) if not place or set(column[1:]) - {*_EMPTY}]
    chosen = [[row[place] for place in used] for row in rows]
    widths = [max(map(len, column)) for column in zip(*chosen)]
    excess = sum(widths) + 2 * (len(widths) - 1) - WIDTH
    for place in sorted(range(len(widths)), key=lambda place: -widths[place]):
        least = max(len(piece.rstrip()) for row in chosen for piece in _pieces(row[place]))
        cut = max(0, min(excess, widths[place] - least))
        widths[place] -= cut
        excess -= cut
    return ["\n".join(_lines(row, widths)) for row in chosen]


def matrix(corner: str, values: Mapping[int, Mapping[int, int]]) -> list[str]:
    """Numbers from each of some ids to each, right below the ids; what is not known is ?."""
    rows = [[corner, *map(str, values)]]
    rows += [[str(number), *(str(row.get(other, "?")) for other in values)] for number, row in values.items()]
    width = max(len(cell) for row in rows for cell in row[1:])
    return [row[0].ljust(len(corner)) + "".join(f"  {cell:>{width}}" for cell in row[1:]) for row in rows]


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [_wrap(cell, width) for cell, width in zip(row, widths)]
    height = max(map(len, wrapped))
    filled = [own + [""] * (height - len(own)) for own in wrapped]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in zip(*filled)]


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _pieces(text: str) -> list[str]:
    """What may not be divided: up to a comma or a blank."""
    return re.findall("[^, ]*(?:[, ]+|$)", text)

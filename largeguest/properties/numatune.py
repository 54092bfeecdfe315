# SPDX-License-Identifier: GPL-2.0-or-later
"""numatune: the memory policy of the whole guest.

interleave#0-1    all memory interleaved over nodes 0 and 1
^3                strict, on all nodes that have CPUs and memory, except node 3
"""

from __future__ import annotations

from .. import cpuset
from ..cpuset import CpuSet
from ..problem import ParseError
from ..record import Record
from ..values import DEFAULT_MODE, MODES
from .shape import AUTO, Shape, auto_elsewhere, not_alone, union

SHAPE = Shape(
    first=rf" *(?:(?:{'|'.join(MODES)}) *# *)?(?:{cpuset.ITEM}|{AUTO})",
    further=f" *{cpuset.ITEM}",
)


class Nodeset(Record):
    """Nodes of the host; with `all_but` all except those named."""

    nodes: CpuSet
    all_but: bool = False

    def __str__(self) -> str:
        return ",".join(f"^{item}" for item in str(self.nodes).split(",")) if self.all_but else str(self.nodes)


class Numatune(Record):
    """The memory policy: one of MODES and the host nodes that it applies to; None: numad chooses them."""

    mode: str
    nodeset: Nodeset | None

    def __str__(self) -> str:
        return f"{self.mode}#{'auto' if self.nodeset is None else self.nodeset}"


def parse(text: str) -> Numatune:
    """Read a policy such as `strict#0-1`, `0-1` or `interleave#auto`; raises ParseError."""
    SHAPE.fields(text, _explain)  # raises ParseError
    sign = text.find("#")
    mode = text[:sign].strip(" ") if sign >= 0 else DEFAULT_MODE
    begin, stop = cpuset.strip(text, sign + 1, len(text))
    items = [item.strip(" ") for item in text[begin:stop].split(",")]
    if items == ["auto"]:
        return Numatune(mode, None)
    if items[0] == "auto":
        raise not_alone(text, begin, begin + len("auto"), "nodes")
    if all(item.startswith("^") for item in items):
        return Numatune(mode, Nodeset(union(text, begin, stop, ","), all_but=True))
    return Numatune(mode, Nodeset(cpuset.parse(text, begin, stop)))


def _explain(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if start == 0 and sign >= 0:
        begin, stop = cpuset.strip(text, 0, sign)
        if text[begin:stop] not in MODES:
            fix = f"write {'#, '.join(MODES[:-1])}# or {MODES[-1]}# before the nodes"
            return ParseError(text, begin, stop, "is not a mode", fix)
        start = sign + 1
    begin, stop = cpuset.strip(text, start, end)
    if start == 0 and text[begin:stop] in MODES:
        mode = text[begin:stop]
        nodes = "0-1" if mode == "interleave" else "0"
        return ParseError(text, begin, stop, "names no nodes", f"write {mode}#<nodeset>, as in {mode}#{nodes}")
    if text[begin:stop].lower() == "auto":
        return auto_elsewhere(text, begin, stop, "nodes")
    missing = ("a node", "write one or remove the comma")
    strange = ("is not a node or a range of nodes", "write for example 3, 2-5, ^3 or auto")
    return cpuset.not_an_item(text, begin, stop, missing, strange)

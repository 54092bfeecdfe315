# SPDX-License-Identifier: GPL-2.0-or-later
"""A list of host CPUs as `cputune` writes it: ids, ranges and places of the host, in the order typed.

0-3,^2          CPUs 0, 1 and 3
node1,^8        the CPUs of node 1 except CPU 8
socket0.core3   the threads of core 3 of socket 0
^0              all online CPUs except CPU 0
"""

from __future__ import annotations

import re

from .. import cpuset
from ..cpuset import NUMBER, RANGE, CpuSet
from ..problem import ParseError
from ..record import Record

PLACE = rf"(?:node *{NUMBER} *|socket *{NUMBER} *(?:\. *core *{NUMBER} *)?)"
ITEM = rf"(?:\^ *)?(?:{RANGE}|{PLACE})"
"""An id, a range or a place, or with `^` in front what to remove. Means the same in Python, Java and JavaScript."""

_PLACE = re.compile(rf" *(?:(node) *({NUMBER})|(socket) *({NUMBER}) *(?:\. *core *({NUMBER}))?) *")


class Span(Record):
    """The CPUs from `first` to `last`."""

    first: int
    last: int

    def __str__(self) -> str:
        return cpuset.range_text(self.first, self.last)


class NodePlace(Record):
    """The online CPUs of a node of the host."""

    node: int

    def __str__(self) -> str:
        return f"node{self.node}"


class SocketPlace(Record):
    """The online CPUs of a socket of the host, or of one of its cores."""

    socket: int
    core: int | None = None

    def __str__(self) -> str:
        return f"socket{self.socket}" if self.core is None else f"socket{self.socket}.core{self.core}"


class Item(Record):
    """What is added to the list or, with `out`, removed from it."""

    what: Span | NodePlace | SocketPlace
    out: bool = False

    def __str__(self) -> str:
        return f"{'^' if self.out else ''}{self.what}"


class CpuList(Record):
    """The items in the order typed; if all have `^`, they are removed from all online CPUs."""

    items: tuple[Item, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.items))

    @property
    def all_but(self) -> bool:
        """Whether it has nothing but items with `^`."""
        return all(item.out for item in self.items)


def spans(cpus: CpuSet, out: bool = False) -> tuple[Item, ...]:
    """The items for a set of CPUs, as few as possible."""
    return tuple(Item(Span(*span), out) for span in cpus.ranges())


def parse(source: str, start: int = 0, end: int | None = None) -> CpuList:
    """Read `source[start:end]`; raises ParseError with the position in `source`."""
    end = len(source) if end is None else end
    cpus = CpuList(tuple(_parse_item(source, *bounds) for bounds in cpuset.split(source, start, end)))
    if all(isinstance(item.what, Span) for item in cpus.items) and not cpus.all_but:
        cpuset.parse(source, start, end)  # raises ParseError for a list that leaves nothing
    return cpus


def not_an_item(source: str, start: int, end: int) -> ParseError:
    """The error for `source[start:end]`, a piece between commas that is not an item."""
    missing = ("a CPU", "write one or remove the comma")
    return cpuset.not_an_item(
        source, start, end, missing, ("is not a CPU, a range or a place (node0, socket0, socket0.core0)", "")
    )


def _parse_item(source: str, start: int, end: int) -> Item:
    if re.fullmatch(f" *{ITEM}", source[start:end]) is None:
        raise not_an_item(source, start, end)
    caret = source.find("^", start, end)
    start = max(start, caret + 1)
    place = _PLACE.fullmatch(source, start, end)
    if place is None:
        return Item(Span(*cpuset.parse_range(source, start, end)), out=caret >= 0)
    numbers = [cpuset.parse_id(source, *place.span(group)) for group in (2, 4, 5) if place[group]]
    return Item(NodePlace(*numbers) if place[1] else SocketPlace(*numbers), out=caret >= 0)

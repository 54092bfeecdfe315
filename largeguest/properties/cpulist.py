# SPDX-License-Identifier: GPL-2.0-or-later
"""A list of host CPUs as `cputune` writes it: ids, ranges and places of the host, in the order typed.

0-3,^2                      CPUs 0, 1 and 3
node1,^8                    the CPUs of node 1 except CPU 8
socket0.core3               the threads of the fourth core of socket 0
cell.core2-15.thread0       the first thread of 14 cores of each node that backs the vCPU's own cell
^0                          all online CPUs except CPU 0
"""

from __future__ import annotations

import re

from .. import cpuset
from ..cpuset import NUMBER, RANGE, CpuSet
from ..problem import ParseError
from ..record import Record

PLACE = rf"(?:(?:(?:node|socket) *{NUMBER}|cell) *(?:\. *core *{RANGE}(?:\. *thread *{NUMBER} *)?)?)"
ITEM = rf"(?:\^ *)?(?:{RANGE}|{PLACE})"
"""An id, a range or a place, or with `^` in front what to remove. Means the same in Python, Java and JavaScript."""

_MISTAKES = (
    (r"cell *s|cells? *[0-9].*", "is not a place", "write cell, which is the vCPU's own"),
    (r"(?:core|thread) *[0-9].*", "names no place", "write for example node0.core0, socket0.core0 or cell.core0"),
    (r"[0-9][0-9 -]*\..*", "is not a place", "write for example node0.core0, socket0.core0 or cell.core0"),
    (r"[a-z]+ *(?:[0-9]+ *)?\. *thread.*", "has a thread without a core", "write for example node0.core0.thread0"),
    (r"(?:node|socket)|.*\. *(?:core|thread)", "ends without a number", "write for example node0 or node0.core0"),
    (r"(?:node|socket) *[0-9]+ *- *[0-9]+.*", "is not a place", "write one after the other, as in node0,node1"),
    (r"all", 'is a name for vCPUs, before the "#"', "write CPUs, for example node0 or cell"),
)
"""What is often typed instead of an item, as regular expressions; what is wrong with it; and how to fix it."""


class Span(Record):
    """The CPUs from `first` to `last`."""

    first: int
    last: int

    def __str__(self) -> str:
        return cpuset.range_text(self.first, self.last)


class Place(Record):
    """The online CPUs of a part of the host, which has the same name whatever numbers its CPUs have."""

    of: str
    """`node`, `socket`, or `cell`: the host nodes that back the cell of the vCPU."""
    number: int | None
    """None for `cell`."""
    cores: tuple[int, int] | None = None
    """The first and the last of its cores, counted from 0 in the order of their lowest CPUs; None: all."""
    thread: int | None = None
    """Of each of these cores, counted from 0; None: all."""

    def __str__(self) -> str:
        cores = "" if self.cores is None else f".core{cpuset.range_text(*self.cores)}"
        thread = "" if self.thread is None else f".thread{self.thread}"
        return f"{self.of}{'' if self.number is None else self.number}{cores}{thread}"


class Item(Record):
    """What is added to the list or, with `out`, removed from it."""

    what: Span | Place
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

    @property
    def of_cell(self) -> bool:
        """Whether it depends on the cell of the vCPU."""
        return any(isinstance(item.what, Place) and item.what.of == "cell" for item in self.items)


def spans(cpus: CpuSet, out: bool = False) -> tuple[Item, ...]:
    """The items for a set of CPUs, as few as possible."""
    return tuple(Item(Span(*span), out) for span in cpus.ranges())


def parse(source: str) -> CpuList:
    """Read a list of CPUs; raises ParseError."""
    for start, end in cpuset.split(source, 0, len(source)):
        if re.fullmatch(f" *{ITEM}", source[start:end]) is None:
            raise not_an_item(source, start, end)
    return read(source, 0, len(source))


def read(source: str, start: int, end: int) -> CpuList:
    """Read `source[start:end]`, which has the form of a list; raises ParseError with the position in `source`."""
    cpus = CpuList(tuple(_read_item(source, *bounds) for bounds in cpuset.split(source, start, end)))
    if all(isinstance(item.what, Span) for item in cpus.items) and not cpus.all_but:
        cpuset.parse(source, start, end)  # raises ParseError for a list that leaves nothing
    return cpus


def not_an_item(source: str, start: int, end: int) -> ParseError:
    """The error for `source[start:end]`, a piece between commas that is not an item."""
    begin, stop = cpuset.strip(source, start, end)
    piece = source[begin:stop].lstrip("^ ")
    for mistake, what, fix in _MISTAKES:
        if re.fullmatch(mistake, piece):
            return ParseError(source, begin, stop, what, fix)
    missing = ("a CPU", "write one or remove the comma")
    strange = ("is not a CPU, a range or a place (node0, socket0.core1, cell)", "")
    return cpuset.not_an_item(source, begin, stop, missing, strange)


def _read_item(source: str, start: int, end: int) -> Item:
    caret = source.find("^", start, end)
    start, end = cpuset.strip(source, max(start, caret + 1), end)
    if source[start].isdigit():
        return Item(Span(*cpuset.parse_range(source, start, end)), out=caret >= 0)
    return Item(_read_place(source, start, end), out=caret >= 0)


def _read_place(source: str, start: int, end: int) -> Place:
    first, *further = cpuset.split(source, start, end, ".")
    of = next(of for of in ("node", "socket", "cell") if source.startswith(of, start))
    number = None if of == "cell" else cpuset.parse_id(source, start + len(of), first[1])
    cores, thread = None, None
    if further:
        cores = cpuset.parse_range(source, source.index("core", further[0][0]) + len("core"), further[0][1])
    if len(further) > 1:
        thread = cpuset.parse_id(source, source.index("thread", further[1][0]) + len("thread"), further[1][1])
    return Place(of, number, cores, thread)

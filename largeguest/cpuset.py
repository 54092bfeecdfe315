# SPDX-License-Identifier: GPL-2.0-or-later
"""Text like `1-4,^3,6` to a set of ids and back, by libvirt's rules; used for CPUs, nodes and vCPUs.

Items are read left to right: `1-4,^3` is 1, 2, 4, but `^3,1-4` is 1 to 4 (libvirt's virBitmapParse).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .problem import ParseError

MAX_ID = 16383
"""The highest id libvirt accepts in a cpuset or nodeset (VIR_DOMAIN_CPUMASK_LEN - 1)."""

NUMBER = "[0-9]+"
RANGE = f"{NUMBER} *(?:- *{NUMBER} *)?"
"""One id or a range of ids, blanks allowed after each token. Means the same in Python, Java and JavaScript."""

ITEM = rf"(?:\^ *)?{RANGE}"
"""A range, or with `^` in front the ids to remove."""

_ITEM = re.compile(f" *{ITEM}")


class CpuSet:
    """An immutable set of ids from 0 to MAX_ID; `str()` is the shortest text for it: sorted, ranges joined, no `^`.

    Kept as a bitmap, as libvirt and the kernel do: a range costs no more than a single id.
    """

    __slots__ = ("_bits",)

    def __init__(self, ids: Iterable[int] = ()) -> None:
        bits = 0
        for number in ids:
            bits |= 1 << number
        self._bits = bits

    @classmethod
    def _of(cls, bits: int) -> CpuSet:
        new = cls.__new__(cls)
        new._bits = bits
        return new

    @classmethod
    def span(cls, first: int, last: int) -> CpuSet:
        """The ids from `first` to `last`, both included; none if `last` is below `first`."""
        return cls._of(((1 << max(0, last - first + 1)) - 1) << first)

    @classmethod
    def union(cls, sets: Iterable[CpuSet]) -> CpuSet:
        """The ids that are in at least one of `sets`."""
        bits = 0
        for ids in sets:
            bits |= ids._bits
        return cls._of(bits)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The set as (first, last) pairs, in order, as few as possible."""
        bits, base = self._bits, 0
        while bits:
            gap = (bits & -bits).bit_length() - 1
            bits >>= gap
            length = (~bits & (bits + 1)).bit_length() - 1
            yield base + gap, base + gap + length - 1
            bits >>= length
            base += gap + length

    @property
    def first(self) -> int:
        """The lowest id; -1 of an empty set."""
        return (self._bits & -self._bits).bit_length() - 1

    @property
    def last(self) -> int:
        """The highest id; -1 of an empty set."""
        return self._bits.bit_length() - 1

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __contains__(self, number: int) -> bool:
        return number >= 0 and bool(self._bits >> number & 1)

    def __len__(self) -> int:
        return bin(self._bits).count("1")

    def __bool__(self) -> bool:
        return self._bits != 0

    def __or__(self, other: CpuSet) -> CpuSet:
        return self._of(self._bits | other._bits)

    def __and__(self, other: CpuSet) -> CpuSet:
        return self._of(self._bits & other._bits)

    def __sub__(self, other: CpuSet) -> CpuSet:
        return self._of(self._bits & ~other._bits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CpuSet) and self._bits == other._bits

    def __hash__(self) -> int:
        return hash(self._bits)

    def __str__(self) -> str:
        return ",".join(range_text(first, last) for first, last in self.ranges())

    def __repr__(self) -> str:
        return f"CpuSet({str(self)!r})"


def range_text(first: int, last: int) -> str:
    """`3`, `2-5`."""
    return str(first) if first == last else f"{first}-{last}"


def parse(source: str, start: int = 0, end: int | None = None) -> CpuSet:
    """Read `source[start:end]`, for example `0-3,^2,8`.

    Raises ParseError, with the position in `source`, for anything that is not a list of ids and ranges, for an id
    above MAX_ID, a range that runs backwards, and a list that leaves nothing (libvirt refuses an empty cpuset).
    """
    end = len(source) if end is None else end
    ids = CpuSet()
    for at, stop in split(source, start, end):
        if _ITEM.fullmatch(source, at, stop) is None:
            raise not_an_item(source, at, stop)
        caret = source.find("^", at, stop)
        span = CpuSet.span(*parse_range(source, max(at, caret + 1), stop))
        ids = ids | span if caret < 0 else ids - span
    if not ids:
        raise ParseError(source, start, end, "leaves nothing", "name at least one id that no later ^ removes")
    return ids


def read_ids(text: str) -> list[int]:
    """The ids in a list as `str()` and the kernel write it, such as `0-3,8`, in its order: faster than `parse`.

    Raises ValueError for anything else, and for an id above MAX_ID.
    """
    ids: list[int] = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        low, high = int(first), int(last if dash else first)
        if high > MAX_ID:
            raise ValueError(text)
        ids += range(low, high + 1)
    return ids


def split(source: str, start: int, end: int, separator: str = ",") -> Iterator[tuple[int, int]]:
    """The bounds of the pieces of `source[start:end]` between the separators."""
    for piece in source[start:end].split(separator):
        yield start, start + len(piece)
        start += len(piece) + 1


def parse_range(source: str, start: int, end: int) -> tuple[int, int]:
    """The first and the last id of `source[start:end]`, which has the form of RANGE; raises ParseError."""
    dash = source.find("-", start, end)
    first = parse_id(source, start, end if dash < 0 else dash)
    last = first if dash < 0 else parse_id(source, dash + 1, end)
    if last < first:
        raise ParseError(source, *strip(source, start, end), "runs backwards", f"write {last}-{first}")
    return first, last


def parse_id(source: str, start: int, end: int) -> int:
    """The id that the ASCII digits `source[start:end]` stand for; raises ParseError above MAX_ID."""
    start, end = strip(source, start, end)
    digits = source[start:end].lstrip("0") or "0"
    if len(digits) > len(str(MAX_ID)) or int(digits) > MAX_ID:
        raise ParseError(source, start, end, "is too large", f"ids go from 0 to {MAX_ID}")
    return int(digits)


def not_an_item(
    source: str,
    start: int,
    end: int,
    missing: tuple[str, str] = ("an id", "write one or remove the comma"),
    strange: tuple[str, str] = ("is not an id or a range", "write for example 3, 2-5 or ^3"),
) -> ParseError:
    """The error for `source[start:end]`, a piece between commas that is empty or not an item."""
    start, end = strip(source, start, end)
    if start == end:
        return ParseError(source, start, end, f"is empty, {missing[0]} is missing here", missing[1])
    return ParseError(source, start, end, *strange)


def strip(source: str, start: int, end: int) -> tuple[int, int]:
    """The bounds of `source[start:end]` without the blanks around it."""
    end = start + len(source[start:end].rstrip(" "))
    return end - len(source[start:end].lstrip(" ")), end

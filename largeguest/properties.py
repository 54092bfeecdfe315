# SPDX-License-Identifier: GPL-2.0-or-later
"""The three custom properties: text to values, and `str()` back to text. Knows no XML and no host.

    cputune    0#0-1,1#2,4                     vCPU 0 on CPUs 0-1, vCPU 1 on CPUs 2 and 4
    numatune   interleave#0-1                  all memory interleaved over nodes 0 and 1
    guestnuma  0-7#10485760,8-15#10485760      two cells of 10 GiB (memory in KiB)

A comma continues the cpuset on its left in `cputune`, and the cell's vCPUs on its right in `guestnuma`. Blanks between
tokens are ignored; a value that is empty or blank is as good as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import PROPERTIES, cpuset
from .cpuset import ITEM, NUMBER, RANGE, CpuSet
from .errors import ParseError, Problem

MODES = ("strict", "preferred", "interleave")
"""The memory modes, as libvirt and the kernel (set_mempolicy(2)) know them."""

MAX_MEMORY_KIB = 2**53 - 1
"""The most memory a cell may name: libvirt holds bytes in a signed 64-bit number."""


@dataclass(frozen=True)
class Shape:
    """The form of a value, as a list of fields with commas between.

    `first` and `further` are regular expressions for the first and for each later field, `last` for how the whole value
    must end; they hold nothing that reads differently in Python, Java and JavaScript.
    """

    first: str
    further: str
    last: str = ".*"


SHAPES = {
    "cputune": Shape(first=f" *{NUMBER} *# *{ITEM}", further=f" *(?:{NUMBER} *# *)?{ITEM}"),
    "numatune": Shape(first=f" *(?:{'|'.join(MODES)}) *# *{ITEM}", further=f" *{ITEM}"),
    "guestnuma": Shape(first=f" *{RANGE}(?:# *{NUMBER} *)?", further=f" *{RANGE}(?:# *{NUMBER} *)?", last=".*#[^,]*"),
}


@dataclass(frozen=True)
class Pin:
    """One vCPU and the host CPUs that it may run on."""

    vcpu: int
    cpuset: CpuSet

    def __str__(self) -> str:
        return f"{self.vcpu}#{self.cpuset}"


@dataclass(frozen=True)
class Cputune:
    """The pins, in the order typed."""

    pins: tuple[Pin, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.pins))


@dataclass(frozen=True)
class Numatune:
    """The memory policy: one of MODES and the host nodes that it is about."""

    mode: str
    nodeset: CpuSet

    def __str__(self) -> str:
        return f"{self.mode}#{self.nodeset}"


@dataclass(frozen=True)
class Cell:
    """One node of the guest: its vCPUs and its memory in KiB."""

    vcpus: CpuSet
    memory: int

    def __str__(self) -> str:
        return f"{self.vcpus}#{self.memory}"


@dataclass(frozen=True)
class Guestnuma:
    """The guest's nodes; a cell's id is its index."""

    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.cells))


@dataclass(frozen=True)
class Properties:
    """What was asked for; None for a property that is not set."""

    cputune: Cputune | None = None
    numatune: Numatune | None = None
    guestnuma: Guestnuma | None = None


def parse(values: Mapping[str, str]) -> tuple[Properties, tuple[Problem, ...]]:
    """Read the properties out of `values` (name to text; other names are passed over).

    Returns what could be read together with a problem for each property that could not, so that the readable ones can
    still be checked and everything be told in one go.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "cputune": parse_cputune,
        "numatune": parse_numatune,
        "guestnuma": parse_guestnuma,
    }
    read: dict[str, Any] = {}
    problems = []
    for name in PROPERTIES:
        text = values.get(name, "")
        if text.strip(" "):
            try:
                read[name] = readers[name](text)
            except ParseError as error:
                problems.append(Problem(name, error.what, error.mend))
    return Properties(**read), tuple(problems)


def parse_cputune(text: str) -> Cputune:
    """Read pins such as `0#0-1,1#2,4`; raises ParseError."""
    begins = [
        (start, text.index("#", start, end))
        for start, end in _fields(text, SHAPES["cputune"], _explain_pin)
        if "#" in text[start:end]
    ]
    ends = [start - 1 for start, _ in begins[1:]] + [len(text)]
    return Cputune(
        tuple(
            Pin(cpuset.parse_id(text, start, sign), cpuset.parse(text, sign + 1, end))
            for (start, sign), end in zip(begins, ends)
        )
    )


def parse_numatune(text: str) -> Numatune:
    """Read a policy such as `strict#0-1`; raises ParseError."""
    list(_fields(text, SHAPES["numatune"], _explain_policy))
    sign = text.index("#")
    return Numatune(text[:sign].strip(" "), cpuset.parse(text, sign + 1))


def parse_guestnuma(text: str) -> Guestnuma:
    """Read cells such as `0-7#10485760,8-15#10485760`, memory in KiB; raises ParseError."""
    cells = []
    begin = 0
    # the shape of all fields before the numbers in any, as in the regular expressions
    for start, end in list(_fields(text, SHAPES["guestnuma"], _explain_cell)):
        sign = text.find("#", start, end)
        if sign >= 0:
            cells.append(Cell(cpuset.parse(text, begin, sign), _parse_memory(text, sign + 1, end)))
            begin = end + 1
    if begin <= len(text):
        start, end = cpuset.strip(text, begin, len(text))
        raise ParseError(text, start, end, "has no memory", "write <vcpus>#<KiB>, for example 0-3#4194304")
    return Guestnuma(tuple(cells))


def _fields(text: str, shape: Shape, explain: Callable[[str, int, int], ParseError]) -> Iterator[tuple[int, int]]:
    """The bounds of the fields of `text`; where one does not have its shape, what `explain` says is raised."""
    start = 0
    for field in text.split(","):
        end = start + len(field)
        if re.fullmatch(shape.further if start else shape.first, field) is None:
            raise explain(text, start, end)
        yield start, end
        start = end + 1


def _explain_pin(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0 and start == 0:
        return ParseError(text, *cpuset.strip(text, start, end), "names no vCPU", "write <vcpu>#<cpuset>, as in 0#0-3")
    if sign < 0:
        return cpuset.not_an_item(text, start, end)
    if "#" in text[sign + 1 : end]:
        return _second_sign(text, start, end)
    if re.fullmatch(f" *{NUMBER} *", text[start:sign]):
        return cpuset.not_an_item(text, sign + 1, end)
    return ParseError(text, *cpuset.strip(text, start, sign), "is not a vCPU", "write its number, as in 0#0-3")


def _explain_policy(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if start == 0:
        begin, stop = cpuset.strip(text, 0, sign if sign >= 0 else end)
        if text[begin:stop] not in MODES:
            return ParseError(
                text, begin, stop, "is not a mode", "write strict#, preferred# or interleave# before the nodes"
            )
        if sign < 0:
            return ParseError(
                text, begin, stop, "names no nodes", f"write {text[begin:stop]}#<nodeset>, as in strict#0"
            )
        start = sign + 1
    return cpuset.not_an_item(text, start, end)


def _explain_cell(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0:
        return _not_vcpus(text, start, end)
    if "#" in text[sign + 1 : end]:
        return _second_sign(text, start, end)
    if re.fullmatch(f" *{RANGE}", text[start:sign]):
        return ParseError(
            text, *cpuset.strip(text, sign + 1, end), "is not an amount of memory", "write KiB in digits, as in 4194304"
        )
    return _not_vcpus(text, start, sign)


def _not_vcpus(text: str, start: int, end: int) -> ParseError:
    start, end = cpuset.strip(text, start, end)
    return ParseError(text, start, end, "is not a vCPU or a range of vCPUs", "write for example 3 or 0-7")


def _second_sign(text: str, start: int, end: int) -> ParseError:
    start, end = cpuset.strip(text, start, end)
    return ParseError(text, start, end, "has one # too many", "put a comma between two entries")


def _parse_memory(text: str, start: int, end: int) -> int:
    start, end = cpuset.strip(text, start, end)
    digits = text[start:end].lstrip("0") or "0"
    if len(digits) > len(str(MAX_MEMORY_KIB)) or int(digits) > MAX_MEMORY_KIB:
        raise ParseError(text, start, end, "is too large", f"memory is in KiB and at most {MAX_MEMORY_KIB}")
    return int(digits)

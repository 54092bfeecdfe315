# SPDX-License-Identifier: GPL-2.0-or-later
"""guestnuma: the cells of the guest, each with vCPUs, memory and, optionally, the host nodes that back it.

    0-7#10G@0,8-15#*@1    a cell of 10 GiB on node 0, and one with the rest on node 1

A comma continues the cell's vCPUs to its right.
"""

from __future__ import annotations

import re

from .. import cpuset
from ..cpuset import NUMBER, RANGE, CpuSet
from ..problem import ParseError
from ..record import Record
from .shape import AUTO, Shape, auto_elsewhere, is_auto, not_joined, second_sign, union

UNITS = {"": 1, "K": 2**0, "M": 2**10, "G": 2**20, "T": 2**30}
"""KiB in a unit; memory without one is in KiB, as in libvirt's domain XML."""

MAX_MEMORY_KIB = 2**53 - 1
"""The most memory a cell may name: libvirt holds bytes in a signed 64-bit number."""

_MEMORY = rf"(?:{NUMBER} *(?:[KMGTkmgt](?:[Ii][Bb])? *)?|\* *)"
_CELL = rf"{RANGE}(?:# *{_MEMORY}(?:@[0-9 +-]*)?)?"

SHAPE = Shape(
    first=rf" *(?:{_CELL}|{AUTO})",
    further=f" *{_CELL}",
    last=rf"(?:.*#[^,]*| *{AUTO})",
    joints="@+",
    joined=f" *{RANGE}",
)


class CellSpec(Record):
    """One cell as typed: its vCPUs, its memory in KiB and the host nodes that back it.

    Memory None is an equal share of what the others leave; with nodes None the policy of the whole guest applies.
    """

    vcpus: CpuSet
    memory: int | None
    nodes: CpuSet | None = None

    def __str__(self) -> str:
        nodes = "" if self.nodes is None else "@" + str(self.nodes).replace(",", "+")
        return f"{self.vcpus}#{memory_text(self.memory)}{nodes}"


class Guestnuma(Record):
    """The guest's cells; a cell's id is its index."""

    cells: tuple[CellSpec, ...]
    """None: they are chosen where the VM starts."""

    @property
    def is_auto(self) -> bool:
        return not self.cells

    @property
    def shares(self) -> list[int]:
        """The ids of the cells whose memory is `*`."""
        return [number for number, cell in enumerate(self.cells) if cell.memory is None]

    def __str__(self) -> str:
        return ",".join(map(str, self.cells)) or "auto"


def parse(text: str) -> Guestnuma:
    """Read cells such as `0-7#10485760,8-15#10G@1`; raises ParseError."""
    fields = SHAPE.fields(text, _explain)
    if is_auto(text, fields, "cells"):
        return Guestnuma(())
    cells = []
    begin = 0
    for start, end in fields:
        sign = text.find("#", start, end)
        if sign >= 0:
            at = text.find("@", sign, end)
            memory = _parse_memory(text, sign + 1, end if at < 0 else at)
            nodes = None if at < 0 else union(text, at + 1, end, "+")
            cells.append(CellSpec(cpuset.parse(text, begin, sign), memory, nodes))
            begin = end + 1
    return Guestnuma(tuple(cells))


def _explain(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0:
        return _not_vcpus(text, start, end)
    if "#" in text[sign + 1 : end]:
        return second_sign(text, start, end)
    if not re.fullmatch(f" *{RANGE}", text[start:sign]):
        return _not_vcpus(text, start, sign)
    at = text.find("@", sign, end)
    begin, stop = cpuset.strip(text, sign + 1, end if at < 0 else at)
    if re.fullmatch(_MEMORY, text[begin:stop]):
        return not_joined(text, at + 1, end)
    if re.fullmatch(r"[0-9]+ *[KMGTkmgt][Bb]", text[begin:stop]):
        unit = text[stop - 2].upper()
        return ParseError(text, begin, stop, "may be meant as decimal", f"write {unit} or {unit}iB, units are binary")
    fix = "write for example 4194304 (KiB), 4096M, 4G or *"
    return ParseError(text, begin, stop, "is not an amount of memory", fix)


def _not_vcpus(text: str, start: int, end: int) -> ParseError:
    start, end = cpuset.strip(text, start, end)
    if text[start:end].lower() == "auto":
        return auto_elsewhere(text, start, end, "cells")
    return ParseError(text, start, end, "is not a vCPU or a range of vCPUs", "write for example 3 or 0-7")


def _parse_memory(text: str, start: int, end: int) -> int | None:
    start, end = cpuset.strip(text, start, end)
    if text[start:end] == "*":
        return None
    number = re.match(NUMBER, text[start:end])
    assert number, "the shape has been checked"
    digits = number[0].lstrip("0") or "0"
    unit = UNITS[text[start + number.end() : end].strip(" ").upper().removesuffix("IB")]
    if len(digits) > len(str(MAX_MEMORY_KIB)) or int(digits) * unit > MAX_MEMORY_KIB:
        raise ParseError(text, start, end, "is too large", f"libvirt counts up to {MAX_MEMORY_KIB} KiB")
    return int(digits) * unit


def memory_text(kib: int | None) -> str:
    """As it is typed, in the largest unit without a remainder: the engine stores only 4,000 characters."""
    if kib is None:
        return "*"
    unit = max((unit for unit in UNITS if kib and kib % UNITS[unit] == 0), key=lambda unit: UNITS[unit], default="")
    return f"{kib // UNITS[unit]}{unit}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""The three custom properties: text to values, and `str()` back to text. Knows no XML and no host.

    cputune    0-31#=node0,emulator#node1,^8    vCPUs 0-31 on a CPU of node 0 each, the emulator on all of node 1 but 8
    numatune   interleave#0-1                   all memory interleaved over nodes 0 and 1
    guestnuma  0-7#10G@0,8-15#*@1               a cell of 10 GiB on node 0, and one with the rest on node 1

A comma continues the list of CPUs on its left in `cputune`, and the cell's vCPUs on its right in `guestnuma`. Blanks
between tokens are ignored; a value that is empty or blank is as good as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from . import PROPERTIES, cpulist, cpuset
from .cpulist import CpuList
from .cpuset import NUMBER, RANGE, CpuSet
from .errors import ParseError, Problem
from .records import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODES = ("strict", "preferred", "interleave", "restrictive")
"""The memory modes, as libvirt knows them."""

DEFAULT_MODE = "strict"

UNITS = {"": 1, "K": 2**0, "M": 2**10, "G": 2**20, "T": 2**30}
"""KiB in a unit; without one memory is in KiB, as in libvirt's domain XML."""

MAX_MEMORY_KIB = 2**53 - 1
"""The most memory a cell may name: libvirt holds bytes in a signed 64-bit number."""

MAX_LENGTH = 4000
"""Characters of a value: the engine's column for all custom properties of a VM (VARCHAR(4000)). What is longer was not
typed there; refused before it is read, no input makes the hook slow."""


@record
class Shape:
    """The form of a value, as a list of fields with commas between.

    `first` and `further` are regular expressions for the first and for each later field, `last` for how the whole value
    must end, and `joined` for what must follow each of the characters `joints` inside a field. They hold nothing that
    reads differently in Python, Java and JavaScript, and no group under `*`.
    """

    first: str
    further: str
    last: str = ".*"
    joints: str = ""
    joined: str = ""


_WHO = rf"(?:{RANGE}|emulator *|iothread *{NUMBER} *)"
_NODES = cpuset.ITEM
_MEMORY = rf"(?:{NUMBER} *(?:[KMGTkmgt](?:[Ii][Bb])? *)?|\* *)"
_CELL = rf" *{RANGE}(?:# *{_MEMORY}(?:@[0-9 +-]*)?)?"

SHAPES = {
    "cputune": Shape(
        first=rf" *{_WHO}# *(?:= *)?{cpulist.ITEM}",
        further=rf" *(?:{_WHO}# *(?:= *)?)?{cpulist.ITEM}",
    ),
    "numatune": Shape(
        first=rf" *(?:(?:{'|'.join(MODES)}) *# *)?(?:{_NODES}|auto *(?!.))",
        further=f" *{_NODES}",
    ),
    "guestnuma": Shape(first=_CELL, further=_CELL, last=".*#[^,]*", joints="@+", joined=f" *{RANGE}"),
}


@record
class Vcpus:
    """The vCPUs from `first` to `last`."""

    first: int
    last: int

    def __str__(self) -> str:
        return cpuset.range_text(self.first, self.last)


@record
class Emulator:
    """QEMU's own threads, besides vCPUs and iothreads."""

    def __str__(self) -> str:
        return "emulator"


@record
class Iothread:
    """An iothread; libvirt counts them from 1."""

    number: int

    def __str__(self) -> str:
        return f"iothread{self.number}"


@record
class Pin:
    """Who may run where: each floats over all the CPUs or, with `each`, takes one of them for itself, in order."""

    who: Vcpus | Emulator | Iothread
    cpus: CpuList
    each: bool = False

    def __str__(self) -> str:
        return f"{self.who}#{'=' if self.each else ''}{self.cpus}"


@record
class Cputune:
    """The pins, in the order typed."""

    pins: tuple[Pin, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.pins))


@record
class Nodeset:
    """Nodes of the host; with `all_but` those that are named are left out."""

    nodes: CpuSet
    all_but: bool = False

    def __str__(self) -> str:
        return ",".join(f"^{item}" for item in str(self.nodes).split(",")) if self.all_but else str(self.nodes)


@record
class Numatune:
    """The memory policy: one of MODES and the host nodes that it is about; None: numad chooses them."""

    mode: str
    nodeset: Nodeset | None

    def __str__(self) -> str:
        return f"{self.mode}#{'auto' if self.nodeset is None else self.nodeset}"


@record
class Cell:
    """One node of the guest: its vCPUs, its memory in KiB and the host nodes behind it.

    Memory None is an equal share of what the others leave; nodes None follow the policy of the whole guest.
    """

    vcpus: CpuSet
    memory: int | None
    nodes: CpuSet | None = None

    def __str__(self) -> str:
        nodes = "" if self.nodes is None else "@" + str(self.nodes).replace(",", "+")
        return f"{self.vcpus}#{_memory_text(self.memory)}{nodes}"


@record
class Guestnuma:
    """The guest's nodes; a cell's id is its index."""

    cells: tuple[Cell, ...]

    @property
    def shares(self) -> list[int]:
        """The ids of the cells whose memory is `*`."""
        return [number for number, cell in enumerate(self.cells) if cell.memory is None]

    def __str__(self) -> str:
        return ",".join(map(str, self.cells))


@record
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
        if len(text) > MAX_LENGTH:
            what = f"the value has {len(text)} characters"
            problems.append(Problem(name, what, f"the engine stores {MAX_LENGTH} for all properties of a VM together"))
        elif text.strip(" "):
            try:
                read[name] = readers[name](text)
            except ParseError as error:
                problems.append(Problem(name, error.what, error.mend))
    return Properties(**read), tuple(problems)


def parse_cputune(text: str) -> Cputune:
    """Read pins such as `0#0-1,1#2,4` or `0-31#=node0`; raises ParseError."""
    fields = _fields(text, SHAPES["cputune"], _explain_pin)
    begins = [(start, text.index("#", start, end)) for start, end in fields if "#" in text[start:end]]
    ends = [start - 1 for start, _ in begins[1:]] + [len(text)]
    return Cputune(tuple(_parse_pin(text, start, sign, end) for (start, sign), end in zip(begins, ends)))


def _parse_pin(text: str, start: int, sign: int, end: int) -> Pin:
    who = _parse_who(text, start, sign)
    begin, _ = cpuset.strip(text, sign + 1, end)
    if text[begin] == "=":
        return Pin(who, cpulist.parse(text, begin + 1, end), each=True)
    return Pin(who, cpulist.parse(text, sign + 1, end))


def _parse_who(text: str, start: int, end: int) -> Vcpus | Emulator | Iothread:
    word = text[start:end].strip(" ")
    if word == "emulator":
        return Emulator()
    if word.startswith("iothread"):
        return Iothread(cpuset.parse_id(text, text.index("d", start) + 1, end))
    return Vcpus(*cpuset.parse_range(text, start, end))


def parse_numatune(text: str) -> Numatune:
    """Read a policy such as `strict#0-1`, `0-1` or `interleave#auto`; raises ParseError."""
    _fields(text, SHAPES["numatune"], _explain_policy)  # for what it raises
    sign = text.find("#")
    mode = text[:sign].strip(" ") if sign >= 0 else DEFAULT_MODE
    begin, stop = cpuset.strip(text, sign + 1, len(text))
    items = [item.strip(" ") for item in text[begin:stop].split(",")]
    if items == ["auto"]:
        return Numatune(mode, None)
    if items[0] == "auto":
        raise _not_alone(text, begin, begin + len("auto"))
    if all(item.startswith("^") for item in items):
        return Numatune(mode, Nodeset(_union(text, begin, stop, ","), all_but=True))
    return Numatune(mode, Nodeset(cpuset.parse(text, begin, stop)))


def parse_guestnuma(text: str) -> Guestnuma:
    """Read cells such as `0-7#10485760,8-15#10G@1`; raises ParseError."""
    cells = []
    begin = 0
    for start, end in _fields(text, SHAPES["guestnuma"], _explain_cell):
        sign = text.find("#", start, end)
        if sign >= 0:
            at = text.find("@", sign, end)
            memory = _parse_memory(text, sign + 1, end if at < 0 else at)
            nodes = None if at < 0 else _union(text, at + 1, end, "+")
            cells.append(Cell(cpuset.parse(text, begin, sign), memory, nodes))
            begin = end + 1
    return Guestnuma(tuple(cells))


def parse_memory(text: str) -> int:
    """Read an amount such as `10485760` or `10G`, as in guestnuma but for `*`, in KiB; raises ParseError."""
    kib = _parse_memory(text, 0, len(text)) if re.fullmatch(f" *{_MEMORY}", text) else None
    if kib is None:
        raise ParseError(text, 0, len(text), "is not an amount of memory", "write a whole number: 4194304 (KiB), 1536G")
    return kib


def _union(text: str, start: int, end: int, separator: str) -> CpuSet:
    """The ids of all ranges between the separators, those behind a `^` like the others."""
    ids = CpuSet()
    for at, stop in cpuset.split(text, start, end, separator):
        ids |= CpuSet.span(*cpuset.parse_range(text, max(at, text.find("^", at, stop) + 1), stop))
    return ids


def _fields(text: str, shape: Shape, explain: Callable[[str, int, int], ParseError]) -> list[tuple[int, int]]:
    """The bounds of the fields of `text`; where one does not have its shape, what `explain` says of it is raised."""
    fields = list(cpuset.split(text, 0, len(text)))
    for start, end in fields:
        field = text[start:end]
        if re.fullmatch(shape.further if start else shape.first, field) is None:
            raise explain(text, start, end)
        for joint in re.finditer(f"[{shape.joints}]", field) if shape.joints else ():
            rest = field[joint.end() :]
            piece = re.split(f"[{shape.joints}]", rest, maxsplit=1)[0]
            if re.fullmatch(shape.joined, piece) is None:
                raise _not_joined(text, start + joint.end(), start + joint.end() + len(piece))
    if re.fullmatch(shape.last, text, re.DOTALL) is None:
        start, end = cpuset.strip(text, text.rfind(",") + 1, len(text))
        raise ParseError(text, start, end, "has no memory", "write <vcpus>#<memory>, for example 0-3#4G")
    return fields


def _explain_pin(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0 and start == 0:
        return ParseError(text, *cpuset.strip(text, start, end), "names no vCPU", "write <vcpu>#<cpuset>, as in 0#0-3")
    if sign < 0:
        return cpulist.not_an_item(text, start, end)
    if "#" in text[sign + 1 : end]:
        return _second_sign(text, start, end)
    if re.fullmatch(f" *{_WHO}", text[start:sign]):
        begin, stop = cpuset.strip(text, sign + 1, end)
        return cpulist.not_an_item(text, begin + text[begin:stop].startswith("="), end)
    mend = "write its number, a range, emulator or iothread1"
    return ParseError(text, *cpuset.strip(text, start, sign), "is not a vCPU", mend)


def _explain_policy(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if start == 0 and sign >= 0:
        begin, stop = cpuset.strip(text, 0, sign)
        if text[begin:stop] not in MODES:
            mend = f"write {'#, '.join(MODES[:-1])}# or {MODES[-1]}# before the nodes"
            return ParseError(text, begin, stop, "is not a mode", mend)
        start = sign + 1
    begin, stop = cpuset.strip(text, start, end)
    if start == 0 and text[begin:stop] in MODES:
        return ParseError(text, begin, stop, "names no nodes", f"write {text[begin:stop]}#<nodeset>, as in strict#0")
    if text[begin:stop] == "auto":
        return _not_alone(text, begin, stop)
    if begin == stop:
        return ParseError(text, begin, stop, "stands where a node is missing", "write one or take the comma out")
    return ParseError(text, begin, stop, "is not a node or a range of nodes", "write for example 3, 2-5, ^3 or auto")


def _explain_cell(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0:
        return _not_vcpus(text, start, end)
    if "#" in text[sign + 1 : end]:
        return _second_sign(text, start, end)
    if not re.fullmatch(f" *{RANGE}", text[start:sign]):
        return _not_vcpus(text, start, sign)
    at = text.find("@", sign, end)
    begin, stop = cpuset.strip(text, sign + 1, end if at < 0 else at)
    if re.fullmatch(_MEMORY, text[begin:stop]):
        return _not_joined(text, at + 1, end)
    if re.fullmatch(r"[0-9]+ *[KMGTkmgt][Bb]", text[begin:stop]):
        unit = text[stop - 2].upper()
        return ParseError(text, begin, stop, "may be meant decimal", f"write {unit} or {unit}iB, units are binary")
    mend = "write for example 4194304 (KiB), 4096M, 4G or *"
    return ParseError(text, begin, stop, "is not an amount of memory", mend)


def _not_vcpus(text: str, start: int, end: int) -> ParseError:
    start, end = cpuset.strip(text, start, end)
    return ParseError(text, start, end, "is not a vCPU or a range of vCPUs", "write for example 3 or 0-7")


def _not_joined(text: str, start: int, end: int) -> ParseError:
    """The error for the first piece between `+` that is no range."""
    pieces = cpuset.split(text, start, end, "+")
    wrong = next((piece for piece in pieces if re.fullmatch(f" *{RANGE}", text[slice(*piece)]) is None), (start, end))
    return ParseError(
        text, *cpuset.strip(text, *wrong), "is not a node or a range of nodes", "write for example @0, @0-1 or @0+2"
    )


def _not_alone(text: str, start: int, end: int) -> ParseError:
    return ParseError(text, start, end, "stands beside nodes", "write nodes, or auto alone")


def _second_sign(text: str, start: int, end: int) -> ParseError:
    second = text.index("#", text.index("#", start, end) + 1)
    return ParseError(text, second, second + 1, "is one too many", "put a comma between two entries")


def _parse_memory(text: str, start: int, end: int) -> int | None:
    start, end = cpuset.strip(text, start, end)
    if text[start:end] == "*":
        return None
    amount = re.match(NUMBER, text[start:end])
    assert amount, "the shape was checked"
    digits = amount[0].lstrip("0") or "0"
    unit = UNITS[text[start + amount.end() : end].strip(" ").upper().removesuffix("IB")]
    if len(digits) > len(str(MAX_MEMORY_KIB)) or int(digits) * unit > MAX_MEMORY_KIB:
        raise ParseError(text, start, end, "is too large", f"libvirt counts up to {MAX_MEMORY_KIB} KiB")
    return int(digits) * unit


def _memory_text(kib: int | None) -> str:
    """In the largest unit that leaves no rest: values are short, for the engine stores 4,000 characters."""
    if kib is None:
        return "*"
    unit = max((unit for unit in UNITS if kib and kib % UNITS[unit] == 0), key=lambda unit: UNITS[unit], default="")
    return f"{kib // UNITS[unit]}{unit}"

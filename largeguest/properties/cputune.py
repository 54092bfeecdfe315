# SPDX-License-Identifier: GPL-2.0-or-later
"""cputune: which host CPUs vCPUs, emulator and iothreads may run on.

    0-31#=node0,emulator#node1,^8    vCPUs 0-31 on one CPU of node 0 each, the emulator on all of node 1 except CPU 8
    all#=cell                        each vCPU that is plugged in on a CPU near the memory of its own cell

A comma continues the list of CPUs to its left.
"""

from __future__ import annotations

import re

from .. import cpuset
from ..cpuset import NUMBER, RANGE
from ..problem import ParseError
from ..record import Record
from ..wording import shorten
from . import cpulist
from .cpulist import CpuList
from .shape import AUTO, Shape, auto_elsewhere, is_auto, not_available, second_sign

_THREADS = rf"(?:{RANGE}|all *|emulator *|iothread *{NUMBER} *)"
_SIGN = "# *(?:= *(?:= *)?)?"

SHAPE = Shape(
    first=rf" *(?:{_THREADS}{_SIGN}{cpulist.ITEM}|{AUTO})",
    further=rf" *(?:{_THREADS}{_SIGN})?{cpulist.ITEM}",
)


class Vcpus(Record):
    """The vCPUs from `first` to `last`."""

    first: int
    last: int

    def __str__(self) -> str:
        return cpuset.range_text(self.first, self.last)


class All(Record):
    """Every vCPU that is plugged in."""

    def __str__(self) -> str:
        return "all"


class Emulator(Record):
    """QEMU's own threads, other than vCPUs and iothreads."""

    def __str__(self) -> str:
        return "emulator"


class Iothread(Record):
    """An iothread; libvirt counts them from 1."""

    number: int

    def __str__(self) -> str:
        return f"iothread{self.number}"


class Pin(Record):
    """Threads and their CPUs: each may run on all of the CPUs or, with `each`, gets one of its own, in order."""

    threads: All | Vcpus | Emulator | Iothread
    cpus: CpuList
    each: bool = False

    def __str__(self) -> str:
        return f"{self.threads}#{'=' if self.each else ''}{self.cpus}"


class Cputune(Record):
    """The pins, in the order typed."""

    pins: tuple[Pin, ...]
    """None: they are chosen where the VM starts."""

    @property
    def is_auto(self) -> bool:
        return not self.pins

    def __str__(self) -> str:
        return ",".join(map(str, self.pins)) or "auto"


def parse(text: str) -> Cputune:
    """Read pins such as `0#0-1,1#2,4` or `0-31#=node0`; raises ParseError."""
    fields = SHAPE.fields(text, _explain)
    if is_auto(text, fields, "pins"):
        return Cputune(())
    begins = [(start, text.index("#", start, end)) for start, end in fields if "#" in text[start:end]]
    ends = [start - 1 for start, _ in begins[1:]] + [len(text)]
    return Cputune(tuple(_parse_pin(text, start, sign, end) for (start, sign), end in zip(begins, ends)))


def _parse_pin(text: str, start: int, sign: int, end: int) -> Pin:
    threads = _parse_threads(text, start, sign)
    begin = max(sign, text.rfind("=", sign, end)) + 1
    if text.count("=", sign, end) == 2:
        raise not_available(text, sign, begin, "write #=")
    return Pin(threads, cpulist.read(text, begin, end), each="=" in text[sign:end])


def _parse_threads(text: str, start: int, end: int) -> All | Vcpus | Emulator | Iothread:
    word = text[start:end].strip(" ")
    if word == "all":
        return All()
    if word == "emulator":
        return Emulator()
    if word.startswith("iothread"):
        return Iothread(cpuset.parse_id(text, text.index("d", start) + 1, end))
    return Vcpus(*cpuset.parse_range(text, start, end))


def _explain(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0:
        return _explain_without_sign(text, *cpuset.strip(text, start, end))
    if "#" in text[sign + 1 : end]:
        return second_sign(text, start, end)
    if re.fullmatch(f" *{_THREADS}", text[start:sign]):
        return _explain_cpus(text, sign, end)
    begin, stop = cpuset.strip(text, start, sign)
    if re.fullmatch("all *[0-9-][0-9 -]*", text[begin:stop]):
        return ParseError(text, begin, stop, "is not a vCPU", "write all alone, or a range such as 0-3")
    fix = "write a number, a range, all, emulator or iothread1"
    return ParseError(text, begin, stop, "is not a vCPU", fix)


def _explain_cpus(text: str, sign: int, end: int) -> ParseError:
    begin = end - len(text[sign + 1 : end].lstrip("= "))
    if text.count("=", sign, begin) > 2:
        return ParseError(text, *cpuset.strip(text, sign, begin), "is not a sign", "write # or #=")
    return cpulist.not_an_item(text, begin, end)


def _explain_without_sign(text: str, start: int, end: int) -> ParseError:
    word = text[start:end]
    if word.lower() == "auto":
        return auto_elsewhere(text, start, end, "pins")
    if word in ("all", "emulator") or re.fullmatch("iothread *[0-9]+", word):
        return ParseError(text, start, end, "names no CPUs", f"write {shorten(word, 20)}#<cpuset>")
    if text[:start].strip(" "):
        return cpulist.not_an_item(text, start, end)
    return ParseError(text, start, end, "names no vCPU", "write <vcpu>#<cpuset>, as in 0#0-3")

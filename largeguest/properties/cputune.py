# SPDX-License-Identifier: GPL-2.0-or-later
"""cputune: which host CPUs vCPUs, emulator and iothreads may run on.

    0-31#=node0,emulator#node1,^8    vCPUs 0-31 on one CPU of node 0 each, the emulator on all of node 1 except CPU 8

A comma continues the list of CPUs to its left.
"""

from __future__ import annotations

import re

from .. import cpuset
from ..cpuset import NUMBER, RANGE
from ..problem import ParseError
from ..record import Record
from . import cpulist
from .cpulist import CpuList
from .shape import Shape, second_sign

_THREADS = rf"(?:{RANGE}|emulator *|iothread *{NUMBER} *)"

SHAPE = Shape(
    first=rf" *{_THREADS}# *(?:= *)?{cpulist.ITEM}",
    further=rf" *(?:{_THREADS}# *(?:= *)?)?{cpulist.ITEM}",
)


class Vcpus(Record):
    """The vCPUs from `first` to `last`."""

    first: int
    last: int

    def __str__(self) -> str:
        return cpuset.range_text(self.first, self.last)


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

    threads: Vcpus | Emulator | Iothread
    cpus: CpuList
    each: bool = False

    def __str__(self) -> str:
        return f"{self.threads}#{'=' if self.each else ''}{self.cpus}"

    @property
    def count(self) -> int:
        """How many threads are pinned."""
        return self.threads.last - self.threads.first + 1 if isinstance(self.threads, Vcpus) else 1


class Cputune(Record):
    """The pins, in the order typed."""

    pins: tuple[Pin, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.pins))


def parse(text: str) -> Cputune:
    """Read pins such as `0#0-1,1#2,4` or `0-31#=node0`; raises ParseError."""
    fields = SHAPE.fields(text, _explain)
    begins = [(start, text.index("#", start, end)) for start, end in fields if "#" in text[start:end]]
    ends = [start - 1 for start, _ in begins[1:]] + [len(text)]
    return Cputune(tuple(_parse_pin(text, start, sign, end) for (start, sign), end in zip(begins, ends)))


def _parse_pin(text: str, start: int, sign: int, end: int) -> Pin:
    threads = _parse_threads(text, start, sign)
    begin, _ = cpuset.strip(text, sign + 1, end)
    if text[begin] == "=":
        return Pin(threads, cpulist.parse(text, begin + 1, end), each=True)
    return Pin(threads, cpulist.parse(text, sign + 1, end))


def _parse_threads(text: str, start: int, end: int) -> Vcpus | Emulator | Iothread:
    word = text[start:end].strip(" ")
    if word == "emulator":
        return Emulator()
    if word.startswith("iothread"):
        return Iothread(cpuset.parse_id(text, text.index("d", start) + 1, end))
    return Vcpus(*cpuset.parse_range(text, start, end))


def _explain(text: str, start: int, end: int) -> ParseError:
    sign = text.find("#", start, end)
    if sign < 0 and start == 0:
        return ParseError(text, *cpuset.strip(text, start, end), "names no vCPU", "write <vcpu>#<cpuset>, as in 0#0-3")
    if sign < 0:
        return cpulist.not_an_item(text, start, end)
    if "#" in text[sign + 1 : end]:
        return second_sign(text, start, end)
    if re.fullmatch(f" *{_THREADS}", text[start:sign]):
        begin, stop = cpuset.strip(text, sign + 1, end)
        return cpulist.not_an_item(text, begin + text[begin:stop].startswith("="), end)
    fix = "write a number, a range, emulator or iothread1"
    return ParseError(text, *cpuset.strip(text, start, sign), "is not a vCPU", fix)

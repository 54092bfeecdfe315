# SPDX-License-Identifier: GPL-2.0-or-later
"""The form of a property's value, as regular expressions that mean the same in Python, Java and JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .. import cpuset
from ..cpuset import RANGE
from ..problem import ParseError
from ..record import Record

AUTO = "auto *(?!.)"
"""The word that is a whole value: nothing may come after it. (The fields of a value are looked at one by one, so a
comma after it is not seen there.)"""


class Shape(Record):
    """The form of a value, as a list of fields with commas between.

    `first` and `further` are regular expressions for the first and for each later field, `last` for how the whole value
    must end, and `joined` for what must follow each of the characters `joints` inside a field. They hold nothing that
    means something else in Python, Java or JavaScript, and no group under `*`.
    """

    first: str
    further: str
    last: str = ".*"
    joints: str = ""
    joined: str = ""

    def fields(self, text: str, explain: Callable[[str, int, int], ParseError]) -> list[tuple[int, int]]:
        """The bounds of the fields of `text`; raises the error that `explain` returns for one that does not match."""
        fields = list(cpuset.split(text, 0, len(text)))
        for start, end in fields:
            if re.fullmatch(self.further if start else self.first, text[start:end]) is None:
                raise explain(text, start, end)
            for bounds in self._joined(text, start, end):
                if re.fullmatch(self.joined, text[slice(*bounds)]) is None:
                    raise not_joined(text, *bounds)
        if re.fullmatch(self.last, text, re.DOTALL) is None:
            start, end = cpuset.strip(text, text.rfind(",") + 1, len(text))
            nodes = ", or join several nodes after @ with +" if "@" in text[text.rfind("#") + 1 :] else ""
            raise ParseError(text, start, end, "has no memory", f"write <vcpus>#<memory>, for example 0-3#4G{nodes}")
        return fields

    def _joined(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The bounds of what follows each joint of a field."""
        if not self.joints:
            return
        for joint in re.finditer(f"[{self.joints}]", text[start:end]):
            begin = start + joint.end()
            yield begin, begin + len(re.split(f"[{self.joints}]", text[begin:end], maxsplit=1)[0])


def not_joined(text: str, start: int, end: int) -> ParseError:
    """The error for the first piece between `+` that is not a range."""
    pieces = cpuset.split(text, start, end, "+")
    wrong = next((piece for piece in pieces if re.fullmatch(f" *{RANGE}", text[slice(*piece)]) is None), (start, end))
    return ParseError(
        text, *cpuset.strip(text, *wrong), "is not a node or a range of nodes", "write for example @0, @0-1 or @0+2"
    )


def is_auto(text: str, fields: list[tuple[int, int]], others: str) -> bool:
    """Whether the value is the word `auto`; raises ParseError if it is only the first of the fields.

    `others` are what else the value could have.
    """
    start, end = cpuset.strip(text, *fields[0])
    if text[start:end] != "auto":
        return False
    if len(fields) > 1:
        raise not_alone(text, start, end, others)
    return True


def not_alone(text: str, start: int, end: int, others: str) -> ParseError:
    """The error for `auto` beside others."""
    return ParseError(text, start, end, f"cannot be combined with {others}", f"write {others}, or auto alone")


def auto_elsewhere(text: str, start: int, end: int, others: str) -> ParseError:
    """The error for `auto` in other letters or, if it is written right, beside others."""
    if text[start:end] != "auto":
        return ParseError(text, start, end, "has capital letters", "write auto")
    return not_alone(text, start, end, others)


def not_available(text: str, start: int, end: int, fix: str) -> ParseError:
    """The error for `text[start:end]`, which belongs to the syntax, but can only be used in a later version."""
    return ParseError(text, start, end, "is not available in this version of the hook", fix)


def second_sign(text: str, start: int, end: int) -> ParseError:
    """The error for a second `#` in `text[start:end]`."""
    second = text.index("#", text.index("#", start, end) + 1)
    return ParseError(text, second, second + 1, 'is an unexpected second "#"', "put a comma between two entries")


def union(text: str, start: int, end: int, separator: str) -> cpuset.CpuSet:
    """The ids of all ranges between the separators, those after a `^` like the others."""
    ids = cpuset.CpuSet()
    for at, stop in cpuset.split(text, start, end, separator):
        ids |= cpuset.CpuSet.span(*cpuset.parse_range(text, max(at, text.find("^", at, stop) + 1), stop))
    return ids

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a request, in words for the person who must mend it.

A problem is told as `largeguest: <subject>: <what and where>: <mend>`, where the subject is the custom property or
`domain XML`. All text is plain ASCII on one line: the engine shows a hook's stderr as a Python bytes repr.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from .records import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cpuset import CpuSet


MOST_TOLD = 12

DOMAIN_XML = "domain XML"
"""The subject of a problem with what no property is responsible for."""


@record
class Problem:
    """One thing that is wrong: whose (`subject`), `what` and where, and how to `mend` it.

    Where `what` says by itself what would be right, `mend` is empty. A warning is for what may be meant as it is, and
    the VM starts all the same.
    """

    subject: str
    what: str
    mend: str
    warning: bool = False

    def __str__(self) -> str:
        warning = "warning: " if self.warning else ""
        return f"largeguest: {warning}{self.subject}: {self.what}" + (f": {self.mend}" if self.mend else "")


class Refused(Exception):
    """The request cannot be carried out exactly as asked; `problems` tells everything that is in the way."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__(join(self.problems))


def join(problems: Iterable[Problem]) -> str:
    """The problems in one line; each is told once, and of very many only the first ones: all is one event in the UI."""
    texts = list(dict.fromkeys(map(str, problems)))
    more = len(texts) - MOST_TOLD
    return "; ".join([*texts[:MOST_TOLD], *([f"largeguest: and {more} more like these"] if more > 0 else [])])


class ParseError(ValueError):
    """`source[start:end]` is not what the syntax wants there: `what` says why, `mend` what to write instead."""

    def __init__(self, source: str, start: int, end: int, what: str, mend: str = "") -> None:
        self.start, self.end = start, end
        self.mend = mend
        self.what = f"{_around(source, start, end)} at {start}: {quote(source[start:end])} {what}"
        super().__init__(f"{self.what}: {mend}" if mend else self.what)


def quote(text: str, longest: int = 40) -> str:
    """`text` in double quotes, as printable ASCII on one line, and shortened when it is longer than `longest`."""
    escaped, _ = codecs.unicode_escape_encode(shorten(text, longest))  # by name it would be a file to open
    return f'"{escaped.decode("ascii")}"'


def quote_name(name: str) -> str:
    """A VM's name in double quotes, whole and as it is; what could control a terminal is escaped.

    For logs and terminals. A hook's stderr is ASCII: use `quote` there.
    """
    return f'"{printable(name)}"'


def printable(text: str) -> str:
    """`text` on one line, with backslash escapes for what is not printable: control characters, bidi overrides."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def name_ids(noun: str, ids: CpuSet) -> str:
    """`node 0`, `nodes 0-1`; a long list is cut off."""
    return f"{noun} {shorten(str(ids))}" if len(ids) == 1 else f"{noun}s {shorten(str(ids))}"


def shorten(text: str, longest: int = 40) -> str:
    """`text`, with dots for its end where it is longer than `longest`."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def plural(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _around(source: str, start: int, end: int, reach: int = 12) -> str:
    """The source quoted, cut down to the neighbourhood of the piece when it is long."""
    if len(source) <= 40:
        return quote(source)
    left, right = max(0, start - reach), min(len(source), max(end, start) + reach)
    shown = ("..." if left else "") + source[left:right] + ("..." if right < len(source) else "")
    return quote(shown, 60)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a request, in words for the person who must fix it.

A problem is reported as `largeguest: <subject>: <what and where>: <fix>`, where the subject is the custom property or
something else, such as `domain XML`. All text is plain ASCII on one line: the engine shows a hook's stderr as a Python
bytes repr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .record import Record
from .wording import quote, quote_around

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Result = TypeVar("Result")

DOMAIN_XML = "domain XML"
"""The subject of a problem that neither a property nor the host has caused."""

LAYOUT, INPUT, USAGE = "layout", "input", "usage"
"""Kinds of problems: an impossible layout; XML or a host that cannot be used; a wrong command line."""

MAX_PROBLEMS = 12
"""In one line, which is one event in the UI."""


class Problem(Record):
    """One thing that is wrong: the `subject` it belongs to, `what` and where, and how to `fix` it.

    If `what` already says what would be right, `fix` is empty. A warning is for what may be intended: the VM still
    starts.
    """

    subject: str
    what: str
    fix: str
    warning: bool = False
    kind: str = LAYOUT

    def __str__(self) -> str:
        return f"largeguest: {'warning: ' if self.warning else ''}{self.text}"

    @property
    def text(self) -> str:
        """`guestnuma: the cells overlap: remove one`: where it is clear who reports it."""
        return ": ".join(filter(None, (self.subject, self.what, self.fix)))


class Refused(Exception):
    """The request cannot be carried out exactly as asked; `problems` are all the reasons."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__(join(self.problems))


def also(problems: Iterable[Problem], work: Callable[..., Result], *arguments: Any) -> Result:
    """The result of `work`; a Refused that it raises also gets the given problems, ahead of its own."""
    try:
        return work(*arguments)
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None


def join(problems: Iterable[Problem]) -> str:
    """The problems in one line; each is reported once, and of very many only the first MAX_PROBLEMS."""
    texts = list(dict.fromkeys(map(str, problems)))
    more = len(texts) - MAX_PROBLEMS
    return "; ".join([*texts[:MAX_PROBLEMS], *([f"largeguest: and {more} more like these"] if more > 0 else [])])


class ParseError(ValueError):
    """`source[start:end]` has a syntax error: `what` says which, `fix` what to write instead."""

    def __init__(self, source: str, start: int, end: int, what: str, fix: str = "") -> None:
        self.start, self.end = start, end
        self.fix = fix
        self.what = f"{quote_around(source, start, end)} at {start}: {quote(source[start:end])} {what}"
        super().__init__(f"{self.what}: {fix}" if fix else self.what)

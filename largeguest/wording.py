# SPDX-License-Identifier: GPL-2.0-or-later
"""Pieces of a message: quoted text, ids, counts, verbs that agree in number, amounts."""

from __future__ import annotations

import codecs
from collections.abc import Sized


def quote(text: str, longest: int = 40) -> str:
    """`text` in double quotes, as printable ASCII on one line, and shortened when it is longer than `longest`."""
    escaped, _ = codecs.unicode_escape_encode(shorten(text, longest))  # the codec by name would have to be imported
    return f'"{escaped.decode("ascii")}"'


def quote_name(name: str) -> str:
    """A VM's name in double quotes, unabridged; what could control a terminal is escaped.

    For logs and terminals. A hook's stderr is ASCII: use `quote` there.
    """
    return f'"{printable(name)}"'


def printable(text: str) -> str:
    """`text` on one line, with backslash escapes for what is not printable: control characters, bidi overrides."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def quote_around(source: str, start: int, end: int, reach: int = 12) -> str:
    """The source quoted, reduced to the surroundings of `source[start:end]` when it is long."""
    if len(source) <= 40:
        return quote(source)
    left, right = max(0, start - reach), min(len(source), max(end, start) + reach)
    shown = ("..." if left else "") + source[left:right] + ("..." if right < len(source) else "")
    return quote(shown, 60)


def shorten(text: str, longest: int = 40) -> str:
    """`text`, truncated with dots if it is longer than `longest`."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def plural(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def name_ids(noun: str, ids: Sized) -> str:
    """`node 0`, `nodes 0-1`; a long list is truncated."""
    return f"{noun} {shorten(str(ids))}" if len(ids) == 1 else f"{noun}s {shorten(str(ids))}"


def ids_are(noun: str, ids: Sized) -> str:
    """`vCPU 2 is`, `vCPUs 2-3 are`."""
    return f"{name_ids(noun, ids)} {verb(ids, 'is', 'are')}"


def verb(ids: Sized, one: str = "does", several: str = "do") -> str:
    """The form of the verb for so many."""
    return one if len(ids) == 1 else several


def exactly(kib: int) -> str:
    """KiB in the largest unit up to GiB without a remainder: `384 GiB`, `1536 MiB`, `20971521 KiB`."""
    for unit, size in (("GiB", 2**20), ("MiB", 2**10)):
        if kib and kib % size == 0:
            return f"{kib // size} {unit}"
    return f"{kib} KiB"


def amount(kib: int | None) -> str:
    """KiB in the unit that keeps the number short, rounded: `31.2 GiB`; `?` if unknown."""
    if kib is None:
        return "?"
    value, units = float(kib), ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.1f}".removesuffix(".0") + f" {units[0]}"

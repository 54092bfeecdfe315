# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of a JSON object in a request: each is of the type that is expected, or refused by its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...properties import MAX_LENGTH
from ...wording import quote
from .gate import HttpError

Body = Mapping[str, Any]

MAX_ITEMS = 512
"""Of a list: no guest has more cells."""


def text(body: Body, name: str, otherwise: str | None = None) -> str:
    """A text of up to MAX_LENGTH characters; without `otherwise` it must be there."""
    found = body.get(name, otherwise)
    if not isinstance(found, str) or len(found) > MAX_LENGTH:
        raise _wrong(name, f"a text of up to {MAX_LENGTH} characters")
    if any(0xD800 <= ord(character) < 0xE000 for character in found):  # it could not be sent back
        raise _wrong(name, "a text without half a character")
    return found


def choice(body: Body, name: str, choices: Collection[str]) -> str:
    """One of the choices."""
    found = body.get(name)
    if not isinstance(found, str) or found not in choices:
        raise _wrong(name, f"one of {', '.join(choices)}")
    return found


def number(body: Body, name: str, most: int, least: int = 0) -> int | None:
    """A whole number, or None if it is not there."""
    found = body.get(name)
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        raise _wrong(name, f"a whole number from {least} to {most}")
    return found


def flag(body: Body, name: str) -> bool:
    """True or false; false if it is not there."""
    found = body.get(name, False)
    if not isinstance(found, bool):
        raise _wrong(name, "true or false")
    return found


def part(body: Body, name: str) -> Body | None:
    """An object, or None if it is not there."""
    found = body.get(name)
    if found is not None and not isinstance(found, dict):
        raise _wrong(name, "an object")
    return found


def parts(body: Body, name: str) -> list[Body]:
    """A list of objects."""
    found = body.get(name)
    if not isinstance(found, list) or len(found) > MAX_ITEMS or not all(isinstance(one, dict) for one in found):
        raise _wrong(name, f"a list of up to {MAX_ITEMS} objects")
    return found


def _wrong(name: str, expected: str) -> HttpError:
    return HttpError("400 Bad Request", f"{quote(name)} is not {expected}")

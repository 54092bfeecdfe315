# SPDX-License-Identifier: GPL-2.0-or-later
"""A record behaves as a frozen dataclass does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from largeguest import record


class AsRecord(record.Record):
    """Two numbers, and more."""

    x: int
    y: int = 7
    name: str = "here"

    def sum(self) -> int:
        return self.x + self.y


@dataclasses.dataclass(frozen=True)
class AsDataclass:
    """The same."""

    x: int
    y: int = 7
    name: str = "here"

    def sum(self) -> int:
        return self.x + self.y


KINDS = pytest.mark.parametrize("kind", [AsRecord, AsDataclass], ids=["record", "dataclass"])


@KINDS
def test_values(kind: Any) -> None:
    point = kind(1, name="there")
    assert (point.x, point.y, point.name, point.sum()) == (1, 7, "there", 8)
    assert repr(point).endswith("(x=1, y=7, name='there')")


@KINDS
@pytest.mark.parametrize(
    ("positional", "named"),
    [((), {}), ((), {"y": 1}), ((1, 2, "a", 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1})],
)
def test_wrong_values(kind: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kind(*positional, **named)


@KINDS
def test_equality_and_hash(kind: Any) -> None:
    assert kind(1) == kind(1, 7)
    assert hash(kind(1)) == hash(kind(1, 7))
    assert kind(1) != kind(2)
    assert kind(1) != (1, 7, "here")
    assert AsRecord(1) != AsDataclass(1)
    with pytest.raises(TypeError):
        hash(kind([]))


@KINDS
def test_nothing_can_be_changed(kind: Any) -> None:
    point = kind(1)
    with pytest.raises(AttributeError):
        point.x = 2
    with pytest.raises(AttributeError):
        point.z = 2
    with pytest.raises(AttributeError):
        del point.x
    assert point == kind(1)


@pytest.mark.parametrize(
    ("kind", "replace"), [(AsRecord, record.replace), (AsDataclass, dataclasses.replace)], ids=["record", "dataclass"]
)
def test_replace(kind: Any, replace: Callable[..., Any]) -> None:
    assert replace(kind(1), y=2) == kind(1, 2)
    with pytest.raises(TypeError):
        replace(kind(1), z=2)


def test_what_a_class_defines_itself_stays() -> None:
    class Odd(record.Record):
        x: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd) and self.x % 2 == other.x % 2

    assert Odd(1) == Odd(3)

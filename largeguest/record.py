# SPDX-License-Identifier: GPL-2.0-or-later
"""Immutable values, like those of `dataclasses.dataclass(frozen=True)`, but at no cost for the start of a hook.

dataclasses compiles a handful of functions for each class, which for this whole package takes longer than importing
lxml. Here the classes share them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing takes long as well
if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, TypeVar

    from typing_extensions import dataclass_transform

    Value = TypeVar("Value", bound="Record")
else:

    def dataclass_transform(**_):
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """A class with an initializer for its annotated attributes; equality, hash and repr are by their values."""

    if TYPE_CHECKING:
        _names: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls._names = tuple(getattr(cls, "__annotations__", ()))  # an empty class has none in Python 3.9

    def __init__(self, *positional: Any, **named: Any) -> None:
        cls = type(self)
        names = cls._names
        if len(positional) > len(names):
            raise TypeError(f"{cls.__name__} takes {len(names)} values, not {len(positional)}")
        values = dict(zip(names, positional))
        for name, value in named.items():
            if name not in names or name in values:
                raise TypeError(f"{cls.__name__} takes no {name} here")
            values[name] = value
        for name in names:
            if name not in values:
                if name not in cls.__dict__:
                    raise TypeError(f"{cls.__name__} needs a value for {name}")
                values[name] = cls.__dict__[name]
        self.__dict__.update(values)

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _attributes(self) == _attributes(other)

    def __hash__(self) -> int:
        return hash(tuple(_attributes(self).values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in _attributes(self).items())
        return f"{type(self).__name__}({values})"


def replace(value: Value, **changes: object) -> Value:
    """A copy of a record with some attributes changed."""
    return type(value)(**{**_attributes(value), **changes})


def _attributes(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value._names}

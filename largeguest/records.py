# SPDX-License-Identifier: GPL-2.0-or-later
"""Immutable values, as `dataclasses.dataclass(frozen=True)` makes them, but at no cost for the start of a hook.

For each class dataclasses compiles a handful of functions anew, which for all of this package takes longer than
importing lxml. Here the classes share them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing takes long, too
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    from typing_extensions import dataclass_transform

    Value = TypeVar("Value")

    @dataclass_transform(frozen_default=True)
    def record(cls: type[Value]) -> type[Value]: ...

else:

    def record(cls):
        """Give the class an initializer for its annotated attributes, and equality, hash and repr by their values.

        What the class defines itself stays.
        """
        cls.__match_args__ = tuple(getattr(cls, "__annotations__", ()))  # an empty class has none in Python 3.9
        for name, function in _SHARED.items():
            if name not in cls.__dict__:
                setattr(cls, name, function)
        return cls


def replace(value: Value, **changes: object) -> Value:
    """A copy of a record in which some attributes are others."""
    return type(value)(**{**_attributes(value), **changes})


def _attributes(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__match_args__}


def _init(self: Any, *positional: Any, **named: Any) -> None:
    cls = type(self)
    names = cls.__match_args__
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


def _refuse(self: Any, name: str, _: object = None) -> NoReturn:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")


def _eq(self: Any, other: object) -> bool:
    return type(other) is type(self) and _attributes(self) == _attributes(other)


def _hash(self: Any) -> int:
    return hash(tuple(_attributes(self).values()))


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in _attributes(self).items())})"


_SHARED = {
    "__init__": _init,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
}

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine has in UserDefinedVMProperties for a cluster level, and the commands that change our part of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping

from .. import PROPERTIES
from ..problem import Problem
from ..record import Record
from ..wording import quote
from . import expressions

OPTION = "UserDefinedVMProperties"

LEVELS = ("4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8")
"""The cluster levels for which an engine may have a definition."""

MISSING, OURS, ANOTHER, STRANGE = "missing", "ours", "another version of ours", "not ours"
"""What a property is defined as. Whether another version is older or newer, its text does not say."""


class Definitions(Record):
    """The definitions of one level, in order, as the engine splits them: at `;`, and each at its first `=`."""

    level: str
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return ";".join(self.parts)

    def expressions(self, name: str) -> list[str]:
        """The regular expressions of a property; the last one counts."""
        return [part.partition("=")[2] for part in self.parts if _name(part) == name]

    def state(self, name: str) -> str:
        """MISSING, OURS, ANOTHER or STRANGE, by the expression that counts."""
        found = self.expressions(name)
        if not found:
            return MISSING
        if found[-1] == expressions.regex(name):
            return OURS
        return ANOTHER if expressions.is_ours(found[-1]) else STRANGE

    def times(self, name: str) -> int:
        """How often it is defined: more than once after several `engine-config -m`."""
        return len(self.expressions(name))

    @property
    def is_fine(self) -> bool:
        """Whether each property is defined once, as this version has it."""
        return all(self.state(name) == OURS and self.times(name) == 1 for name in PROPERTIES)

    @property
    def names(self) -> set[str]:
        """All properties that are defined, those of others, too."""
        return {_name(part) for part in self.parts}

    @property
    def others(self) -> tuple[str, ...]:
        """The definitions of other properties."""
        return tuple(part for part in self.parts if _name(part) not in PROPERTIES)

    def command(self) -> str:
        """The command that defines ours once and leaves others as they are; empty if nothing is to do."""
        if self.is_fine:
            return ""
        if not any(self.times(name) for name in PROPERTIES):
            return expressions.command(self.level)  # which appends, and so cannot lose what is there
        return self._set((*self.others, expressions.user_defined_vm_properties()))

    def way_back(self) -> str:
        """The command that removes ours; empty if there is nothing to remove."""
        return self._set(self.others) if self.names & {*PROPERTIES} else ""

    def _set(self, parts: Iterable[str]) -> str:
        return shlex.join(["engine-config", "-s", f"{OPTION}={';'.join(parts)}", f"--cver={self.level}"])

    def refusals(self, custom: Mapping[str, str]) -> Iterator[Problem]:
        """Why the engine would not start a VM with these values of our properties."""
        for name in PROPERTIES:
            if name not in custom:
                continue
            found = self.expressions(name)
            if not found:
                what = f"it is not defined for level {self.level}: the engine does not start the VM"
                yield Problem(name, what, "largeguest engine config prints the command that defines it")
            elif not _matches(found[-1], custom[name]):
                what = f"{quote(custom[name])} does not match the definition of level {self.level}"
                yield Problem(name, f"{what}: the engine does not start the VM", "correct the value, or the definition")


def read(level: str, text: str) -> Definitions:
    """The definitions in the value of the option."""
    return Definitions(level, tuple(part for part in text.split(";") if part))


def _name(part: str) -> str:
    return part.partition("=")[0]


def _matches(expression: str, value: str) -> bool:
    """As Java's String.matches; an expression that only Java understands counts as one that matches."""
    try:
        return re.fullmatch(expression, value) is not None
    except re.error:
        return True

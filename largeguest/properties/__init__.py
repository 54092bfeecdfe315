# SPDX-License-Identifier: GPL-2.0-or-later
"""The three custom properties: text to values, and `str()` back to text. Independent of XML and host.

Blanks between tokens are ignored; a value that is empty or blank counts as unset.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import PROPERTIES
from ..problem import ParseError, Problem
from ..record import Record, replace
from . import cputune, guestnuma, numatune
from .cputune import Cputune
from .guestnuma import Guestnuma
from .numatune import Numatune

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_LENGTH = 4000
"""Characters of a value: the engine's column for all custom properties of a VM (VARCHAR(4000)). Longer text did not
come from there. It is refused before it is parsed, so that no input makes the hook slow."""

READERS = {"cputune": cputune.parse, "numatune": numatune.parse, "guestnuma": guestnuma.parse}
"""Each reads the text of one property, and raises ParseError."""

SHAPES = {"cputune": cputune.SHAPE, "numatune": numatune.SHAPE, "guestnuma": guestnuma.SHAPE}


class Properties(Record):
    """The values of the properties; None for one that is not set."""

    cputune: Cputune | None = None
    numatune: Numatune | None = None
    guestnuma: Guestnuma | None = None

    @property
    def autos(self) -> tuple[str, ...]:
        """The names of those that are auto: pins or cells are chosen where the VM starts."""
        chosen = (("cputune", self.cputune), ("guestnuma", self.guestnuma))
        return tuple(name for name, value in chosen if value is not None and value.is_auto)

    @property
    def is_auto(self) -> bool:
        return bool(self.autos)

    def without_auto(self) -> Properties:
        """What can be checked whatever is chosen."""
        return replace(self, **dict.fromkeys(self.autos))


def parse(values: Mapping[str, str]) -> tuple[Properties, tuple[Problem, ...]]:
    """Parse the properties in a mapping from name to text; one with an error is left out and reported as a problem."""
    read: dict[str, Any] = {}
    problems = []
    for name in PROPERTIES:
        text = values.get(name, "")
        if len(text) > MAX_LENGTH:
            what = f"the value has {len(text)} characters"
            problems.append(Problem(name, what, f"the engine stores {MAX_LENGTH} for all properties of a VM together"))
        elif text.strip(" "):
            try:
                read[name] = READERS[name](text)
            except ParseError as error:
                problems.append(Problem(name, error.what, error.fix))
    return Properties(**read), tuple(problems)

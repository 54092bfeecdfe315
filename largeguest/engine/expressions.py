# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's side: the regular expressions that UserDefinedVMProperties needs for the three properties.

The engine checks a value with Java's `String.matches`, its web UI with JavaScript's RegExp. Java recurses for a group
under `*`, so a list cannot be written as `(?:,field)*` (a value of 4,000 characters overflows the stack). Instead, a
lookahead rejects any comma that is not followed by a valid field, and only single characters are repeated.

The web UI shows the whole expression as the error text for a value that does not match. So each begins with valid
values as its first alternatives, which is what people read.
"""

from __future__ import annotations

import shlex

from .. import PROPERTIES
from ..properties import SHAPES

EXAMPLES = {
    "cputune": "all#=cell|0-31#=node0,emulator#node1",
    "numatune": "strict#0-1",
    "guestnuma": "0-31#192G@0,32-63#192G@1",
}
"""Values of each property, with `|` between. As regular expressions they match themselves: they have no special
characters."""

_FIELD_ENDS = "(?![^,])"
"""Before a comma or the end. (`$` would also match before a final newline in Java and Python.)"""

_NO_BAD_FIELD = "(?!.*,(?!"
"""Begins the lookahead that rejects a comma before what is no field."""


def regex(name: str) -> str:
    """The anchored regular expression for values of the property `name`, and for blank ones; examples are first."""
    shape = SHAPES[name]
    good_first = f"(?={shape.first}{_FIELD_ENDS})"
    no_bad_further = f"{_NO_BAD_FIELD}{shape.further}{_FIELD_ENDS}))"
    no_bad_joint = f"(?!.*[{shape.joints}](?!{shape.joined}(?![^,{shape.joints}])))" if shape.joints else ""
    return f"^(?:{EXAMPLES[name]}| *|{good_first}{no_bad_further}{no_bad_joint}{shape.last})$"


def is_ours(expression: str) -> bool:
    """Whether a regular expression is that of some version of this package: no other is likely to look so."""
    return _NO_BAD_FIELD in expression


def user_defined_vm_properties() -> str:
    """The argument of `engine-config -m UserDefinedVMProperties=`: `name=regex` for each property, joined by `;`."""
    return ";".join(f"{name}={regex(name)}" for name in PROPERTIES)


def command(version: str) -> str:
    """The command for the engine's machine that defines the properties for a cluster version, quoted for the shell."""
    return shlex.join(
        ["engine-config", "-m", f"UserDefinedVMProperties={user_defined_vm_properties()}", f"--cver={version}"]
    )

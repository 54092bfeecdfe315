# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's side: the regular expressions that UserDefinedVMProperties needs for the three properties.

The engine checks a value with Java's `String.matches`, its web UI with JavaScript's RegExp. Java recurses for a group
under `*`, so a list cannot be written as `(?:,field)*` (a value of 4,000 characters overflows the stack). Instead, a
lookahead rejects any comma that is not followed by a valid field, and only single characters are repeated.
"""

from __future__ import annotations

import shlex

from .. import PROPERTIES
from ..properties import SHAPES
from ..properties.shape import Shape

_FIELD_ENDS = "(?![^,])"
"""Before a comma or the end. (`$` would also match before a final newline in Java and Python.)"""


def regex(shape: Shape) -> str:
    """The anchored regular expression for values of `shape`, and for blank ones."""
    good_first = f"(?={shape.first}{_FIELD_ENDS})"
    no_bad_further = f"(?!.*,(?!{shape.further}{_FIELD_ENDS}))"
    no_bad_joint = f"(?!.*[{shape.joints}](?!{shape.joined}(?![^,{shape.joints}])))" if shape.joints else ""
    return f"^(?: *|{good_first}{no_bad_further}{no_bad_joint}{shape.last})$"


def user_defined_vm_properties() -> str:
    """The argument of `engine-config -m UserDefinedVMProperties=`: `name=regex` for each property, joined by `;`."""
    return ";".join(f"{name}={regex(SHAPES[name])}" for name in PROPERTIES)


def command(version: str) -> str:
    """The command for the engine's machine that defines the properties for a cluster version, quoted for the shell."""
    return shlex.join(
        ["engine-config", "-m", f"UserDefinedVMProperties={user_defined_vm_properties()}", f"--cver={version}"]
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that an earlier `largeguest engine check --json` has kept, and what has become of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from ..problem import INPUT, Problem, Refused
from ..record import Record
from ..wording import quote, quote_name
from .inventory import SETTABLE, Vm

VERSION = 1
"""Of the JSON: it changes when a name or a meaning does, not when there is more."""


class Kept(Record):
    """A VM as it was then."""

    id: str
    name: str
    values: Mapping[str, str]
    """Those of SETTABLE that it had."""


def read(text: bytes) -> list[Kept]:
    """The VMs in a file; raises Refused."""
    try:
        found = json.loads(text)
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']}")
        return [_vm(vm) for vm in found["vms"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"the file is not what largeguest engine check --json prints: {quote(str(error), 60)}"
        raise Refused([Problem("", what, "keep its output in a file", kind=INPUT)]) from None


def _vm(vm: Mapping[str, Mapping[str, str]]) -> Kept:
    values = {name: str(vm["properties"][name]) for name in SETTABLE if name in vm["properties"]}
    return Kept(str(vm["id"]), str(vm["name"]), values)


def settable(custom: Mapping[str, str]) -> dict[str, str]:
    """Of the custom properties of a VM, those that these commands set."""
    return {name: custom[name] for name in SETTABLE if name in custom}


def compare(kept: Iterable[Kept], now: Mapping[str, Vm]) -> Iterator[Problem]:
    """What is gone since then, and what has changed."""
    for then in kept:
        name = quote_name(then.name)
        if then.id not in now:
            if then.values:
                yield Problem("kept", f"VM {name} no longer exists", "", warning=True)
            continue
        custom = now[then.id].custom
        gone = [one for one in then.values if one not in custom]
        if gone:
            what = f"VM {name} has lost {', '.join(gone)}"
            yield Problem("kept", what, "largeguest engine set --from puts them back")
        changed = [one for one, value in then.values.items() if custom.get(one, value) != value]
        if changed:
            yield Problem("kept", f"VM {name} has another {', '.join(changed)} than then", "", warning=True)

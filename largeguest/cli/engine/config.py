# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine config: what the engine has as definitions of the properties, and the commands that change them."""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING

from ... import PROPERTIES
from ...engine import rest
from ...engine.connection import Engine
from ...engine.definitions import Definitions
from ...wording import plural, printable, quote, shorten
from .. import files, options
from . import connect

if TYPE_CHECKING:
    from ..options import Commands

DEFAULT_LEVEL = "4.7"

THEN = "# then, on the engine: systemctl restart ovirt-engine"
"""A comment, so that it can be pasted with the command."""


def add(commands: Commands) -> None:
    """Add the command."""
    config = options.add_command(
        commands,
        "config",
        "print the command that defines the properties in the engine",
        "Print the engine-config command to run on the engine's machine, quoted for the shell. With an engine to ask,\n"
        "for each cluster level in use what is defined there now, and a command only where there is something to do;\n"
        "it leaves other hooks' properties as they are.",
        "largeguest engine config --cver 4.6",
        "largeguest engine config --url https://engine.example.com --username admin@ovirt@internalsso",
    )
    config.add_argument(
        "--cver", type=level, metavar="V", help="only this cluster compatibility level (default without an engine: 4.7)"
    )
    config.add_argument("--remove", action="store_true", help="print the way back: the command that removes ours")
    config.add_argument("--json", action="store_true", help="print JSON")
    connect.add_options(config)
    config.set_defaults(run=_run)


def level(text: str) -> str:
    """A cluster compatibility level."""
    if not re.fullmatch("[0-9]+[.][0-9]+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a cluster compatibility version such as 4.7")
    return text


def _run(arguments: argparse.Namespace) -> int:
    if not connect.settings_of(arguments).url:
        return _run_alone(arguments)
    with connect.connected(arguments) as engine:
        known, users = _ask(engine, arguments.cver)
    if arguments.json:
        print(json.dumps([_as_json(one, arguments.remove) for one in known], indent=2))
    else:
        print("\n\n".join(_text(one, users.get(one.level, []), arguments.remove) for one in known))
        if any(_command(one, arguments.remove) for one in known):
            print(f"\n{THEN}")
    return 0


def _run_alone(arguments: argparse.Namespace) -> int:
    """Without an engine: the command for a level that has nothing of ours."""
    if arguments.remove:
        fix = "name it with --url or OVIRT_URL"
        raise files.unusable("only the engine knows the list in which other hooks' properties stay", fix)
    nothing = Definitions(arguments.cver or DEFAULT_LEVEL, ())
    if arguments.json:
        unknown = {name: {"state": None, "times": None} for name in PROPERTIES}
        print(json.dumps([{**_as_json(nothing, False), "properties": unknown, "others": None}], indent=2))
    else:
        print(f"{nothing.command()}\n{THEN}")
    return 0


def _ask(engine: Engine, only: str | None) -> tuple[list[Definitions], dict[str, list[str]]]:
    """The definitions of one level or of all in use, and the names of the VMs at each level that have properties."""
    clusters = rest.clusters(engine)
    vms = rest.vms(engine, clusters)
    levels = {vm.id: vm.level or clusters[vm.cluster].level for vm in vms.values()}
    users: dict[str, list[str]] = {}
    for vm in vms.values():
        if vm.ours:
            users.setdefault(levels[vm.id], []).append(vm.name)
    in_use = {cluster.level for cluster in clusters.values()} | {*levels.values()}
    wanted = [only] if only is not None else sorted(in_use, key=rest.by_number)
    found = rest.definitions_of(engine, wanted)
    if only is not None and not found:
        raise files.unusable(f"the engine knows no level {only}", "name one of its clusters' levels")
    return [found[one] for one in wanted if one in found], users


def _text(known: Definitions, users: list[str], remove: bool) -> str:
    lines = [f"level {known.level}", *(f"  {name:<10} {_state(known, name)}" for name in PROPERTIES)]
    others = sorted(known.names - {*PROPERTIES})
    lines += [f"  others     {printable(shorten(', '.join(others), 200))}"] if others else []
    command = _command(known, remove)
    if remove and users and command:
        names = printable(shorten(", ".join(users), 200))
        lines += [f"  first remove them from {plural(len(users), 'VM')}, which then would not start: {names}"]
    return "\n".join([*lines, *([command] if command else ["  nothing to do"])])


def _state(known: Definitions, name: str) -> str:
    times = known.times(name)
    return known.state(name) + (f", defined {times} times: the last one counts" if times > 1 else "")


def _as_json(known: Definitions, remove: bool) -> dict[str, object]:
    return {
        "level": known.level,
        "properties": {name: {"state": known.state(name), "times": known.times(name)} for name in PROPERTIES},
        "others": sorted(known.names - {*PROPERTIES}),
        "command": _command(known, remove),
    }


def _command(known: Definitions, remove: bool) -> str:
    return known.way_back() if remove else known.command()

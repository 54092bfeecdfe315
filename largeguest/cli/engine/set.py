# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine set: set the properties of a virtual machine for its next start, or put back what was kept."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...engine import change, estate, kept, rest
from ...engine.inventory import SETTABLE, Vm
from ...engine.kept import Kept
from ...problem import Problem
from ...wording import quote, quote_name
from .. import files, options
from . import apply, connect

if TYPE_CHECKING:
    from ..options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    command = options.add_command(
        commands,
        "set",
        "set the properties of a VM for its next start",
        "Check values, show the difference, ask, and set them for the next start. Everything else of the VM stays as\n"
        f"it is. The names are {', '.join(SETTABLE)}; an empty value removes the property.",
        "largeguest engine set db01 cputune=all#=cell numatune=strict#0-1 guestnuma='0-7#*@0,8-15#*@1'",
        "largeguest engine set db01 cputune= numatune= guestnuma=",
        "largeguest engine set --from kept.json",
    )
    command.add_argument("vm", metavar="VM", nargs="?", help="name or id of the VM")
    command.add_argument("values", metavar="NAME=VALUE", nargs="*", help="what to set; with --from: more VMs")
    command.add_argument(
        "--from",
        dest="file",
        metavar="FILE",
        help="put back the values in this output of check --json, of all its VMs or of those that are named",
    )
    apply.add_yes(command)
    command.add_argument("--json", action="store_true", help="print JSON")
    connect.add_options(command)
    command.set_defaults(run=_run, parser=command)


def _run(arguments: argparse.Namespace) -> int:
    then = None if arguments.file is None else kept.read(files.document(arguments.file))
    if then is None and not (arguments.vm and arguments.values):
        arguments.parser.error("name a VM and NAME=VALUE, or write --from FILE")
    typed = assignments(arguments.values) if then is None else {}
    with connect.connected(arguments) as engine:
        clusters = rest.clusters(engine)
        vms = rest.vms(engine, clusters)
        if then is None:
            gone: list[Kept] = []
            values = {estate.find_vm(vms, arguments.vm).id: typed}
        else:
            names = [arguments.vm, *arguments.values] if arguments.vm else []
            values, gone = _kept_values(_chosen(then, names), vms)
        changes = [change.of_values(vm, values[vm.id]) for vm in rest.ask_next_runs(engine, values)]
        changes = [one for one in changes if any(one.differences())]
        known = estate.read(engine, clusters, vms, {one.after.cluster for one in changes})
        outcomes = apply.settle(engine, changes, known, arguments)
    for vm in gone:
        print(Problem("kept", f"VM {quote_name(vm.name)} no longer exists", ""), file=sys.stderr)
    if arguments.json:
        print(json.dumps([apply.as_json(outcome) for outcome in outcomes], indent=2))
    elif not changes:
        print("nothing to change")
    return 1 if gone or any(outcome.problems for outcome in outcomes) else 0


def assignments(words: Sequence[str]) -> dict[str, str]:
    """The values in `cputune=0#0 numatune=`; raises Refused."""
    values: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if name not in SETTABLE or not sign:
            fix = f"write one of {', '.join(SETTABLE)} with a value"
            raise files.unusable(f"{quote(word)} does not set a property", fix)
        if name in values:
            raise files.unusable(f"{name} is set more than once", "write it once")
        values[name] = value.strip(" ")
    return values


def _chosen(then: Sequence[Kept], names: Sequence[str]) -> list[Kept]:
    """Those with these names or ids, or all if there are none; raises Refused."""
    for name in names:
        if not any(name in (vm.id, vm.name) for vm in then):
            raise files.unusable(f"the file has no VM {quote_name(name)}", "write a name or an id that is in it")
    return [vm for vm in then if not names or vm.id in names or vm.name in names]


def _kept_values(then: Sequence[Kept], vms: Mapping[str, Vm]) -> tuple[dict[str, dict[str, str]], list[Kept]]:
    """The values by id, with an empty one for what was not set then; and the VMs that no longer exist."""
    values = {vm.id: {name: vm.values.get(name, "") for name in SETTABLE} for vm in then if vm.id in vms}
    return values, [vm for vm in then if vm.id not in vms]

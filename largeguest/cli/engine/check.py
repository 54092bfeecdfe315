# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine check: can each virtual machine with properties start on each host that it may run on?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ...engine import definitions, estate, findings, kept, matrix, rest
from ...engine.connection import Engine
from ...engine.definitions import Definitions
from ...engine.estate import Estate
from ...engine.inventory import Vm
from ...record import Record
from ...view import engine as view
from .. import files, options
from . import connect

if TYPE_CHECKING:
    from ..options import Commands


class _Known(Record):
    """What the engine has answered."""

    estate: Estate
    next: dict[str, Vm]
    """All VMs as they will be at their next start, by id."""
    chosen: list[Vm]
    """Those to check, by name."""
    definitions: dict[str, Definitions]


def add(commands: Commands) -> None:
    """Add the command."""
    check = options.add_command(
        commands,
        "check",
        "check VMs against the hosts that they may run on",
        "Check VMs, as they will be at their next start, on each host that they may run on: a matrix, with the reason\n"
        "of every no. --all checks each VM that has one of the properties, and first hosts, levels and definitions.",
        "largeguest engine check db01 db02",
        "largeguest engine check --all --json >kept.json",
        "largeguest engine check --all --against kept.json",
    )
    check.add_argument("vms", metavar="VM", nargs="*", help="names or ids of VMs")
    check.add_argument("--all", action="store_true", help="each VM that has one of the properties")
    check.add_argument(
        "--against",
        metavar="FILE",
        help="also report what has changed since this output of --json, - for standard input",
    )
    check.add_argument("--json", action="store_true", help="print JSON, with all custom properties of the VMs")
    connect.add_options(check)
    check.set_defaults(run=_run, parser=check)


def _run(arguments: argparse.Namespace) -> int:
    if bool(arguments.vms) == arguments.all:
        arguments.parser.error("name VMs, or write --all")
    before = [] if arguments.against is None else kept.read(files.document(arguments.against))
    with connect.connected(arguments) as engine:
        known = _ask(engine, arguments.vms)
    machines = sorted(known.estate.machines.values(), key=lambda machine: (machine.cluster, machine.name))
    rows = list(matrix.rows(known.estate, known.chosen, known.definitions))
    found = list(findings.find(known.estate, known.chosen, known.definitions)) if arguments.all else []
    if arguments.vms:
        before = [vm for vm in before if vm.id in {chosen.id for chosen in known.chosen}]
    found += kept.compare(before, known.next)
    if arguments.json:
        print(view.check_json(rows, machines, known.definitions, found))
    else:
        names = {cluster.id: cluster.name for cluster in known.estate.clusters.values()}
        text = view.check_text(rows, machines, names)
        print("\n\n".join(filter(None, ["\n".join(map(str, found)), text])))
    return 1 if any(not row.is_fine for row in rows) or any(not one.warning for one in found) else 0


def _ask(engine: Engine, named: list[str]) -> _Known:
    """What is needed for some VMs, or for all that have properties."""
    clusters = rest.clusters(engine)
    vms = rest.vms(engine, clusters)
    if named:
        wanted = {vm.id: vm for vm in (estate.find_vm(vms, name) for name in named)}
        later = rest.next_runs(engine, wanted.values())
        chosen = list(later.values())
        around = {vm.cluster for vm in chosen}
        levels = sorted({vm.level or clusters[vm.cluster].level for vm in chosen}, key=rest.by_number)
    else:
        later = rest.next_runs(engine, vms.values())
        chosen = [vm for vm in later.values() if vm.ours]
        around = {*clusters}
        levels = list(definitions.LEVELS)
    known = estate.read(engine, clusters, vms, around)
    defined = rest.definitions_of(engine, levels)
    return _Known(known, later, sorted(chosen, key=lambda vm: vm.name), defined)

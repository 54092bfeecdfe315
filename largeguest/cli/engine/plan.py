# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine plan: work out the properties for a virtual machine of the engine, on one of its hosts."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ...engine import best, change, estate, rest
from ...engine.best import Planned
from ...engine.connection import Engine
from ...engine.estate import Estate
from ...engine.inventory import Machine, Vm
from ...problem import Refused
from ...record import replace
from ...values import Guest, HugePage
from ...view import json as view_json
from ...view import table
from ...wording import plural, printable, quote_name
from .. import options
from .. import plan as host_plan
from . import apply, connect
from .apply import Outcome

if TYPE_CHECKING:
    from ..options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    plan = options.add_command(
        commands,
        "plan",
        "work out the properties for a VM on one of its hosts",
        "Plan for a VM as it will be at its next start, on the host where it runs or, if it does not run, on the best\n"
        "of those that it may run on; beside the VMs that run there.",
        "largeguest engine plan db01",
        "largeguest engine plan db01 --cluster --reserve node0.core0,node1.core0",
    )
    plan.add_argument("vm", metavar="VM", help="name or id of the VM")
    where = plan.add_mutually_exclusive_group()
    where.add_argument("--host", metavar="HOST", help="on this host: a name or id as the engine has it")
    where.add_argument("--cluster", action="store_true", help="on the best host of the cluster, even if the VM runs")
    plan.add_argument(
        "--hugepages", type=options.page_size, metavar="SIZE", help="with huge pages of this size: 2M, 1G"
    )
    host_plan.add_choice(plan)
    plan.add_argument(
        "--set",
        action="store_true",
        help="show the difference, ask, and set properties and topology for the next start",
    )
    apply.add_yes(plan)
    plan.add_argument("--json", action="store_true", help="print JSON")
    connect.add_options(plan)
    plan.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    host_plan.check_auto(arguments)
    with connect.connected(arguments) as engine:
        known, vm = _read(engine, arguments.vm)
        pci = tuple(rest.pci_devices(engine, vm.id))
        guest = _guest(known, vm, arguments.hugepages)
        machines = _machines(arguments, known, vm)
        plans, refusals = best.on_each(host_plan.request(arguments, guest, pci), known, vm, machines)
        plans = [replace(one, plan=host_plan.as_asked(one.plan, arguments)) for one in plans]
        if not plans:
            raise best.no_plan(vm, refusals)
        if not arguments.json:
            _print(vm, guest, plans, refusals)
            print("\n" * arguments.set, end="")
        changes = [change.of_plan(vm, plans[0].plan)] if arguments.set else []
        outcomes = apply.settle(engine, [one for one in changes if any(one.differences())], known, arguments)
    if arguments.json:
        print(json.dumps(_as_json(vm, plans[0], refusals, outcomes), indent=2))
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _read(engine: Engine, name: str) -> tuple[Estate, Vm]:
    """What the engine knows around a VM, and the VM as it will be at its next start."""
    clusters = rest.clusters(engine)
    vms = rest.vms(engine, clusters)
    vm = estate.find_vm(vms, name)
    return estate.read(engine, clusters, vms, {vm.cluster}), rest.ask_next_runs(engine, [vm.id])[0]


def _guest(known: Estate, vm: Vm, hugepages: int | None) -> Guest:
    guest = known.guest(vm)
    return guest if hugepages is None else replace(guest, pages=(HugePage(hugepages, None),))


def _machines(arguments: argparse.Namespace, known: Estate, vm: Vm) -> list[Machine]:
    """Those to plan on; raises Refused."""
    all_of_them = known.machines_for(vm)
    if arguments.host is not None:
        return [estate.find_machine(all_of_them, arguments.host)]
    here = [machine for machine in all_of_them if machine.id == vm.host]
    return all_of_them if arguments.cluster or not here else here


def _print(vm: Vm, guest: Guest, plans: list[Planned], refusals: list[tuple[Machine, Refused]]) -> None:
    machine, plan = plans[0].machine, plans[0].plan
    among = f", the best of {plural(len(plans), 'host')} with a plan" if len(plans) > 1 else ""
    print(f"{printable(vm.name)} on {printable(machine.name)}{among}\n")
    print(table.plan_text(plan, host_plan.lay_out(plan, guest, machine.host), host_plan.in_colour()))
    for other, refused in refusals:
        print(f"\nno plan on {quote_name(other.name)}: {'; '.join(problem.text for problem in refused.problems)}")


def _as_json(
    vm: Vm, best_plan: Planned, refusals: list[tuple[Machine, Refused]], outcomes: list[Outcome]
) -> dict[str, Any]:
    return {
        "vm": {"id": vm.id, "name": vm.name},
        "host": {"id": best_plan.machine.id, "name": best_plan.machine.name},
        "plan": view_json.plan_value(best_plan.plan, (), best_plan.machine.host),
        "set": [apply.as_json(outcome) for outcome in outcomes],
        "no_plan": {other.name: [problem.text for problem in refused.problems] for other, refused in refusals},
    }

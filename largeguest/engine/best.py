# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan for a virtual machine on the best of some hosts, by what the engine knows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import planner
from ..planner import Plan, Request
from ..problem import Refused
from ..record import Record, replace
from ..wording import plural
from . import rest
from .estate import Estate, no_host
from .inventory import Machine, Vm


class Planned(Record):
    """A plan for a host, beside the VMs that run there."""

    machine: Machine
    plan: Plan


def on_each(
    request: Request, estate: Estate, vm: Vm, machines: Sequence[Machine]
) -> tuple[list[Planned], list[tuple[Machine, Refused]]]:
    """The plans, the best first, and why there is none for other hosts.

    A plan on a host that is up and has the hook is better; then one on fewer nodes, with a better figure, with more
    free memory.
    """
    plans, refusals = [], []
    for machine in machines:
        try:
            rest.require_known(machine)
            near = estate.beside(machine, vm)
            plan = planner.plan(replace(request, guest=replace(request.guest, arch=near.host.arch)), near.host)
            plans.append(Planned(near, replace(plan, notes=(*plan.notes, *_unknown(request, vm, near)))))
        except Refused as refused:
            refusals.append((machine, refused))
    return sorted(plans, key=_rank), refusals


def no_plan(vm: Vm, refusals: Sequence[tuple[Machine, Refused]]) -> Refused:
    """The error for a VM for which there is no plan on any host."""
    if not refusals:
        return no_host(vm)
    return Refused(
        replace(problem, what=f"on {machine.name}: {problem.what}" if len(refusals) > 1 else problem.what)
        for machine, refused in refusals
        for problem in refused.problems
    )


def _rank(planned: Planned) -> tuple[object, ...]:
    machine, plan = planned.machine, planned.plan
    free = sum(node.free or 0 for node in machine.host.nodes.values())
    ready = machine.status == "up" and machine.has_hook
    return not ready, len(plan.nodes), -(plan.figure or 0), -free, machine.name


def _unknown(request: Request, vm: Vm, machine: Machine) -> Iterator[str]:
    """What a plan of this host would take into account, but the engine's API does not have."""
    if vm.host == machine.id:
        yield "the VM itself runs on this host: how much memory will be free without it is not known"
    if request.guest.pages and len(machine.host.nodes) > 1:
        yield "the engine does not know huge pages by node: they count as spread evenly over the nodes"
    if request.pci:
        yield f"the engine does not know the nodes of {plural(len(request.pci), 'passed-through PCI device')}"
    if not machine.has_hook:
        yield "the host does not have the hook: there the VM would start without this layout"
    if machine.status != "up":
        yield f"the host is not up, but {machine.status.replace('_', ' ')}"

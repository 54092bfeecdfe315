# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan for a virtual machine on the best of some hosts, by what the engine knows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import planner
from ..host.topology import Host, Pages
from ..planner import Plan, Request
from ..problem import Refused
from ..record import Record, replace
from ..wording import plural
from . import rest
from .estate import Estate
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
            near = replace(near, host=spread_evenly(near))
            plan = planner.plan(replace(request, guest=replace(request.guest, arch=near.host.arch)), near.host)
            plans.append(Planned(near, replace(plan, notes=(*plan.notes, *_unknown(request, near)))))
        except Refused as refused:
            refusals.append((machine, refused))
    return sorted(plans, key=_rank), refusals


def _rank(planned: Planned) -> tuple[object, ...]:
    machine, plan = planned.machine, planned.plan
    free = sum(node.free or 0 for node in machine.host.nodes.values())
    ready = machine.status == "up" and machine.has_hook
    return not ready, len(plan.nodes), -(plan.figure or 0), -free, machine.name


def spread_evenly(machine: Machine) -> Host:
    """The host with its huge pages spread evenly over its nodes, as the kernel reserves them unless told otherwise."""
    nodes = machine.host.nodes
    count = max(1, sum(node.memory != 0 for node in nodes.values()))
    free_known = all(node.free is not None for node in nodes.values())
    pages = {
        size: Pages(_share(pages.total, count), _share(pages.free, count) if free_known else None)
        for size, pages in machine.pages.items()
    }
    nothing = {size: Pages(0, 0) for size in pages}
    return replace(
        machine.host,
        nodes={number: replace(node, pages=pages if node.memory != 0 else nothing) for number, node in nodes.items()},
    )


def _share(pages: int | None, nodes: int) -> int | None:
    return None if pages is None else pages // nodes


def _unknown(request: Request, machine: Machine) -> Iterator[str]:
    """What a plan of this host would take into account, but the engine's API does not have."""
    if request.guest.pages and len(machine.host.nodes) > 1:
        yield "the engine does not know huge pages by node: they count as spread evenly over the nodes"
    if request.pci:
        yield f"the engine does not know the nodes of {plural(len(request.pci), 'passed-through PCI device')}"
    if not machine.has_hook:
        yield "the host does not have the hook: there the VM would start without this layout"
    if machine.status != "up":
        yield f"the host is not up, but {machine.status.replace('_', ' ')}"

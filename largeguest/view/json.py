# SPDX-License-Identifier: GPL-2.0-or-later
"""A host, a plan for a guest on it, and the status of running VMs, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .. import PROPERTIES
from ..host.topology import Host, Pages
from ..placement import figure as figures
from ..problem import Problem
from .layout import cores_by_socket

if TYPE_CHECKING:
    from typing import Any

    from ..planner import Plan
    from ..planner.alternatives import Alternative
    from ..running.state import Work
    from ..running.status import Status, Unread
    from ..values import Locality

STATUS_VERSION = 1
"""Of the JSON of `status`: it changes when a name or a meaning does, not when there is more."""


def host_json(host: Host) -> str:
    """A JSON object with `nodes`, `sockets` and other `vms`; memory in KiB, null for what is not known."""
    nodes = [
        {
            "id": number,
            "cpus": str(node.cpus),
            "memory_kib": node.memory,
            "free_kib": node.free,
            "hugepages": {size: {"total": page.total, "free": page.free} for size, page in node.pages.items()},
            "distances": dict(node.distances),
        }
        for number, node in host.nodes.items()
    ]
    sockets = [
        {"id": number, "cores": [str(core) for core in cores]} for number, cores in cores_by_socket(host).items()
    ]
    return json.dumps({"nodes": nodes, "sockets": sockets, "vms": _neighbours(host)}, indent=2)


def _neighbours(host: Host) -> list[dict[str, Any]]:
    """What other VMs hold; memory in KiB."""
    return [
        {
            "name": other.name,
            "cpus": str(other.cpus),
            "exclusive": other.is_exclusive,
            "promised": [
                {"nodes": str(part.nodes), "page_kib": part.page or None, "memory_kib": part.memory}
                for part in other.promises
            ],
        }
        for other in host.neighbours
    ]


def plan_json(plan: Plan, others: Iterable[Alternative], host: Host) -> str:
    """The JSON object of `plan_value`."""
    return json.dumps(plan_value(plan, others, host), indent=2)


def plan_value(plan: Plan, others: Iterable[Alternative], host: Host) -> dict[str, Any]:
    """An object with `properties`, `topology`, `nodes` (memory in KiB), `locality`, `length` and `notes`.

    It also has what was left out: what other `vms` hold, and the CPUs `reserved` and `excluded`.
    `properties` are all custom properties to set, because the engine replaces the list of a VM as a whole.
    `alternatives` are the best plans on other numbers of nodes; `left_kib` is what their nodes could still provide.
    `locality` counts the `vcpus` whose memory is bound to nodes, and those `near` it, and has the `figure` for it.
    """
    pins = {} if plan.placement.pins is None else plan.placement.pins.vcpus
    cells = plan.placement.cells or ()
    nodes = [
        {
            "id": number,
            "cell": next((number for number, cell in enumerate(cells) if vcpus & cell.vcpus), 0),
            "vcpus": str(vcpus),
            "cpus": {str(vcpu): str(pins[vcpu]) for vcpu in vcpus},
            "memory_kib": cells[place].memory if len(cells) == len(plan.nodes) else None,
            "free_kib": host.nodes[number].free,
            "page_kib": plan.page or None,
            "free_pages": host.nodes[number].pages.get(plan.page, Pages(0, 0)).free if plan.page else None,
        }
        for place, (number, vcpus) in enumerate(zip(plan.nodes, plan.vcpus))
    ]
    topology, locality = plan.topology, plan.placement.locality
    return {
        "properties": plan.custom_properties,
        "topology": {
            "sockets": topology.sockets,
            "dies": topology.dies,
            "cores": topology.cores,
            "threads": topology.threads,
        },
        "nodes": nodes,
        "locality": None if locality is None else _locality(locality, plan.figure),
        "vms": _neighbours(host),
        "reserved": str(plan.reserved),
        "excluded": str(plan.excluded),
        "length": plan.length,
        "notes": plan.notes,
        "alternatives": [_alternative(other, len(plan.nodes)) for other in others],
    }


def _alternative(other: Alternative, chosen: int) -> dict[str, Any]:
    return {
        "nodes": other.nodes,
        "chosen": other.nodes == chosen,
        "cells": other.cells,
        "vcpus_per_node": list(other.vcpus),
        "sockets": other.sockets,
        "threads": other.threads,
        "distance": round(other.distance, 2),
        "left_kib": other.left,
    }


def _locality(where: Locality, figure: float | None) -> dict[str, Any]:
    return {"figure": figures.rounded(figure), "near": where.near, "vcpus": where.vcpus}


def status_json(vms: Iterable[Status], unread: Iterable[Unread], keeper: bool | None) -> str:
    """A JSON object with `version`, `keeper`, `vms` and `unread`; memory in KiB, null for what is not known."""
    return json.dumps(
        {
            "version": STATUS_VERSION,
            "keeper": keeper,
            "vms": [_status(vm) for vm in vms],
            "unread": [{"name": vm.name, "why": vm.why, "is_fine": vm.is_fine} for vm in unread],
        },
        indent=2,
    )


def _status(vm: Status) -> dict[str, Any]:
    real = dict(vm.pins.real.by_name())
    target = {} if vm.pins.target is None else dict(vm.pins.target.by_name())
    return {
        "name": vm.name,
        "uuid": vm.uuid,
        "as_asked": vm.is_as_asked,
        "properties": {name: vm.values.get(name) for name in PROPERTIES},
        "locality": _locality(vm.locality, vm.figure),
        "memory_kib": _by_node(vm.memory.of_vm),
        "cells": [_cell(vm, number) for number in range(len(vm.locality.homes))],
        "threads": {
            name: {
                "cpus": None if name not in real else str(real[name]),
                "expected": None if name not in target else str(target[name]),
            }
            for name in {**real, **target}
        },
        "devices": dict(vm.devices),
        "keeper": _work(vm.work),
        "problems": [problem_value(problem) for problem in vm.wrong],
        "shared": [{"name": name, "cpus": str(cpus)} for name, cpus in vm.shared],
        "unknown": list(vm.unknown),
        "next_start": {
            "refused": vm.is_refused_next,
            "problems": [problem_value(problem) for problem in vm.next_start],
        },
    }


def _cell(vm: Status, number: int) -> dict[str, Any]:
    """Of a VM without cells there is one, with all its vCPUs."""
    home = vm.locality.homes[number]
    return {
        "vcpus": str(home.vcpus),
        "near": str(home.near),
        "nodes": None if home.nodes is None else str(home.nodes),
        "size_kib": vm.sizes[number],
        "memory_kib": _by_node(vm.memory.of_cells[number]),
    }


def _by_node(memory: Mapping[int, int] | None) -> dict[str, int] | None:
    return None if memory is None else {str(node): kib for node, kib in memory.items()}


def _work(done: Work | None) -> dict[str, Any] | None:
    if done is None:
        return None
    return {
        "corrections": dict(done.corrections),
        "refused": done.refused,
        "last_seconds": done.last,
        "longest_seconds": done.longest,
    }


def problem_value(problem: Problem) -> dict[str, Any]:
    return {"subject": problem.subject, "what": problem.what, "fix": problem.fix, "warning": problem.warning}

# SPDX-License-Identifier: GPL-2.0-or-later
"""A host, and a plan for a guest on it, as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..host.topology import Host
from .layout import cores_by_socket

if TYPE_CHECKING:
    from ..planner import Plan


def host_json(host: Host) -> str:
    """A JSON object with `nodes` and `sockets`; memory in KiB, null for what is not known."""
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
    return json.dumps({"nodes": nodes, "sockets": sockets}, indent=2)


def plan_json(plan: Plan, host: Host) -> str:
    """A JSON object with `properties`, `topology`, `nodes` (memory in KiB), `locality`, `length` and `notes`.

    `properties` are all custom properties to set, because the engine replaces the list of a VM as a whole.
    `locality` counts the `vcpus` whose memory is bound to nodes, and those `near` it.
    """
    pins = {} if plan.placement.pins is None else plan.placement.pins.vcpus
    cells = plan.placement.cells or ()
    nodes = [
        {
            "id": number,
            "cell": next(number for number, cell in enumerate(cells) if vcpus.last in cell.vcpus),
            "vcpus": str(vcpus),
            "cpus": {str(vcpu): str(pins[vcpu]) for vcpu in vcpus},
            "memory_kib": cells[place].memory if len(cells) == len(plan.nodes) else None,
            "free_kib": host.nodes[number].free,
        }
        for place, (number, vcpus) in enumerate(zip(plan.nodes, plan.vcpus))
    ]
    topology, locality = plan.topology, plan.placement.locality
    return json.dumps(
        {
            "properties": plan.custom_properties,
            "topology": {
                "sockets": topology.sockets,
                "dies": topology.dies,
                "cores": topology.cores,
                "threads": topology.threads,
            },
            "nodes": nodes,
            "locality": None if locality is None else {"near": locality.near, "vcpus": locality.vcpus},
            "length": plan.length,
            "notes": plan.notes,
        },
        indent=2,
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hook would report if a running VM were started again on this host with the same properties."""

from __future__ import annotations

from ..cpuset import CpuSet
from ..host.topology import Host, Pages
from ..problem import Problem, Refused
from ..properties import Properties
from ..record import replace
from ..rewrite import place_on
from ..values import Guest, Pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lxml import etree


def check(
    properties: Properties, guest: Guest, host: Host, tree: etree._ElementTree | None = None
) -> tuple[tuple[Problem, ...], CpuSet]:
    """Its problems on an `idle` host, and the CPUs that the vCPUs would be pinned to; the XML has its devices."""
    if properties == Properties():
        return (), CpuSet()
    try:
        placement = place_on(properties, _started_again(guest), host, tree)
    except Refused as refused:
        return refused.problems, CpuSet()
    return placement.warnings, CpuSet.union((placement.pins or Pins()).vcpus.values())


def _started_again(guest: Guest) -> Guest:
    """As the engine starts it the next time: memory that was plugged in is in the cells, and the first vCPUs run."""
    plugged = [device for device in guest.devices if device.model == "dimm"]
    more = [sum(device.size for device in plugged if device.cell == cell) for cell in range(len(guest.cells))]
    return replace(
        guest,
        memory=guest.memory + sum(device.size for device in plugged),
        devices=tuple(device for device in guest.devices if device.model != "dimm"),
        plugged=CpuSet.span(0, len(guest.plugged_vcpus) - 1),
        cells=tuple(replace(cell, memory=cell.memory + size) for cell, size in zip(guest.cells, more)),
        pins=guest.pins if guest.cpu_policy == "manual" else Pins(),
    )


def idle(host: Host) -> Host:
    """The host without what is known of its free memory: that of the VM itself will be free then."""
    return replace(
        host,
        nodes={
            number: replace(
                node, free=None, pages={size: Pages(pages.total, None) for size, pages in node.pages.items()}
            )
            for number, node in host.nodes.items()
        },
    )

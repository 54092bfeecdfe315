# SPDX-License-Identifier: GPL-2.0-or-later
"""One figure for how near a guest's vCPUs are to its memory, on paper and measured.

For a vCPU it is the mean of 10/distance between the CPUs that it may run on and the nodes that hold the memory of its
cell, weighted by bytes; for a guest it is the mean over its vCPUs. 1.00: all is local. A distance is the ACPI SLIT's,
in which 10 is local.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping

from ..cpuset import CpuSet
from ..host.topology import UNKNOWN_DISTANCE, Host
from ..values import Cell, Guest, Locality, Pins, Placement

LOCAL = 10


def mean(vcpus: Iterable[tuple[CpuSet, Mapping[int, int]]], host: Host) -> float | None:
    """The figure of vCPUs: for each the CPUs that it may run on, and how much memory of its cell each node has.

    None if there are none, or if nothing is known about the CPUs or the memory of one.
    """

    @functools.cache
    def of_vcpu(cpus: CpuSet, memory: tuple[tuple[int, int], ...]) -> float | None:
        nodes = [host.node_of[cpu] for cpu in cpus if cpu in host.node_of]
        total = len(nodes) * sum(size for _, size in memory)
        near = sum(size * nearness(node, other) for node in nodes for other, size in memory)
        return near / total if total else None

    @functools.cache
    def nearness(node: int, other: int) -> float:
        distance = host.nodes[node].distances.get(other, UNKNOWN_DISTANCE)
        return 1.0 if node == other else LOCAL / max(distance, LOCAL)

    figures = [of_vcpu(cpus, tuple(memory.items())) for cpus, memory in vcpus]
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(figures) if known and len(known) == len(figures) else None


def of_layout(whole: Placement, guest: Guest, host: Host) -> float | None:
    """The figure of a layout that leaves nothing open; None if the memory of a cell is not bound to nodes of this host.

    Memory that is bound to several nodes counts as spread evenly over them.
    """
    pins = (whole.pins or Pins()).on(host.online)
    cells = whole.cells or (Cell(guest.all_vcpus, guest.memory),)
    memory = [dict.fromkeys(whole.nodes_of(cell) & CpuSet(host.nodes), 1) for cell in cells]
    return mean(
        (
            (pins.vcpus.get(vcpu, host.online), on_nodes)
            for cell, on_nodes in zip(cells, memory)
            for vcpu in cell.vcpus & guest.plugged_vcpus
        ),
        host,
    )


def rounded(figure: float | None, digits: int = 4) -> float | None:
    """Rounded down: only what is all local is 1."""
    return None if figure is None else math.floor(figure * 10**digits + 1e-6) / 10**digits


def text(figure: float | None) -> str:
    """Two digits, rounded down; `?` if it is not known."""
    return "?" if figure is None else f"{rounded(figure, 2):.2f}"


def describe(figure: float | None, where: Locality | None) -> str:
    """`1.00, 8 of 8 vCPUs on the nodes of their cells`; without the count if no memory is bound to nodes."""
    return ", ".join(filter(None, [text(figure), str(where or "")]))


def line(placement: Placement, guest: Guest, host: Host | None) -> str:
    """`locality 1.00, 8 of 8 vCPUs on the nodes of their cells`; empty if no memory is bound to nodes."""
    if host is None or not str(placement.locality or ""):
        return ""
    return f"locality {describe(of_layout(placement.completed(guest), guest, host), placement.locality)}"

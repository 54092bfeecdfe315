# SPDX-License-Identifier: GPL-2.0-or-later
"""A host, a guest on it and a plan, as tables for people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..cpuset import CpuSet
from ..host.topology import Host, Pages
from ..placement import figure
from ..properties import MAX_LENGTH
from ..properties.guestnuma import memory_text
from ..values import Home
from ..wording import amount, name_ids, plural, printable
from .columns import brief, fit, matrix
from .layout import Core, Layout, cores_by_socket

if TYPE_CHECKING:
    from ..planner import Plan
    from ..planner.alternatives import Alternative

MAX_IN_MATRIX = 16
"""The cells whose distances fit a terminal; those of more are those of their nodes, which the host's table has."""

_COLOURS = (214, 75, 36, 227, 33, 202, 176, 250)
"""Of a terminal's 256, close to those of the pictures."""


def host_table(host: Host) -> str:
    """The nodes and the sockets of the host, a line each."""
    sockets = cores_by_socket(host)
    count = sum(len(cores) for cores in sockets.values())
    counts = [(host.nodes, "node"), (sockets, "socket"), (range(count), "core"), (host.cpus, "CPU")]
    sizes = sorted({size for node in host.nodes.values() for size, pages in node.pages.items() if pages.total != 0})
    nodes = [["node", "CPUs", "memory", "free", *(f"free {memory_text(size)} pages" for size in sizes)]]
    for number, node in host.nodes.items():
        pages = [node.pages.get(size, Pages(0, 0)) for size in sizes]
        counts_of_pages = [f"{_known(own.free)} of {_known(own.total)}" for own in pages]
        nodes.append([str(number), brief(node.cpus) or "-", amount(node.memory), amount(node.free), *counts_of_pages])
    lines = [["socket", "CPUs", "cores", "threads per core", "first core"]]
    for number, cores in sockets.items():
        cpus = CpuSet(cpu for core in cores for cpu in core)
        threads = "-".join(map(str, sorted({min(map(len, cores)), max(map(len, cores))})))
        lines.append([str(number), brief(cpus), str(len(cores)), threads, brief(cores[0])])
    head = ", ".join(plural(len(things), noun) for things, noun in counts) + " online"
    tables = [fit(nodes), _distances({number: node.distances for number, node in host.nodes.items()}), fit(lines)]
    return "\n\n".join(["\n".join(own) for own in ([head], *tables, _neighbour_lines(host)) if own])


def _distances(distances: Mapping[int, Mapping[int, int]]) -> list[str]:
    """Nothing, if none is known or there is nothing to be far from."""
    return matrix("distance", distances) if len(distances) > 1 and any(distances.values()) else []


def _neighbour_lines(host: Host) -> list[str]:
    rows = [["VM", "CPUs", "promised memory"]]
    for other in host.neighbours:
        exclusive = " exclusive" if other.is_exclusive else ""
        promises = ", ".join(f"{amount(part.memory)} on {name_ids('node', part.nodes)}" for part in other.promises)
        rows.append([printable(other.name), (brief(other.cpus) or "-") + exclusive, promises or "-"])
    return fit(rows) if len(rows) > 1 else []


def plan_text(plan: Plan, layout: Layout, colour: bool) -> str:
    """The properties to enter, the guest's topology to set, notes, and the table of the layout."""
    topology = plan.topology
    dies = [plural(topology.dies, "die") + " each"] if topology.dies > 1 else []
    shape = ", ".join(
        [
            plural(topology.sockets, "socket"),
            *dies,
            f"{plural(topology.cores, 'core')} each",
            f"{plural(topology.threads, 'thread')} each",
        ]
    )
    lines = [f"{name:<10} {value}" for name, value in plan.custom_properties.items()]
    near = figure.describe(plan.figure, plan.placement.locality)
    lines += ["", f"{'topology':<10} {shape}", f"{'locality':<10} {near}"]
    lines += [f"{'length':<10} {plan.length} of {MAX_LENGTH} characters"]
    lines += [f"{'note':<10} {note}" for note in plan.notes]
    return "\n".join([*lines, "", layout_table(layout, colour)])


def alternatives(plan: Plan, others: Sequence[Alternative]) -> list[str]:
    """A line for each number of nodes, that of the plan with a mark; nothing if there is no other."""
    if not any(other.nodes != len(plan.nodes) for other in others):
        return []
    rows = [["", "nodes", "cells", "vCPUs a node", "sockets", "threads", "distance", "memory left there"]]
    for other in others:
        least, most = other.vcpus
        vcpus = str(most) if least == most else f"{least}-{most}"
        cells = [str(other.nodes), str(other.cells), vcpus, str(other.sockets), str(other.threads)]
        mark = "*" if other.nodes == len(plan.nodes) else ""
        rows.append([mark, *cells, f"{other.distance:.1f}".removesuffix(".0"), amount(other.left)])
    return ["\n".join(fit(rows))]


def layout_table(layout: Layout, colour: bool = False) -> str:
    """Each core with the cell and the vCPUs on its threads, then each cell; on a large host cores share lines."""
    free_of = f"free {memory_text(layout.page)} pages" if layout.page else "free"
    rows = [["node", free_of, "socket", "cores", "CPUs", "cell", "vCPUs", "also here"]]
    cells: list[int | None] = [None]
    fold = layout.is_large
    for numbers in layout.node_groups():
        cores = [core for number in numbers for core in layout.cores[number]]
        free = {_free(layout, number) for number in numbers}
        name = [brief(CpuSet(numbers)), free.pop() if len(free) == 1 else "-"]
        for group in _core_groups(cores, fold):
            rows.append([*name, *_core_row(group)])
            cells.append(group[0].seats[0].cells.last if len(group[0].seats[0].cells) == 1 else None)
            name = ["", ""]
        if not cores:
            rows.append([*name, "-", "-", "-", "-", "-", ""])
            cells.append(None)
    lines = [_coloured(line, cell if colour else None) for line, cell in zip(fit(rows), cells)]
    notes = [f"vCPUs not pinned: {brief(layout.unpinned)}"] if layout.unpinned else []
    notes += [] if layout.cells else map(str, layout.homes)
    if notes:
        lines += ["", *notes]
    if layout.cells:
        lines += ["", *_cell_lines(layout, colour)]
    return "\n".join(lines)


def _free(layout: Layout, node: int) -> str:
    """What a node has free of the memory that backs the guest: pages, if it is in huge pages."""
    return _known(layout.free_pages(node).free) if layout.page else amount(layout.host.nodes[node].free)


def _core_groups(cores: Iterable[Core], fold: bool) -> Iterator[list[Core]]:
    def alike(core: Core) -> object:
        seats = [(str(seat.cells), seat.alone or str(seat.vcpus), seat.others, seat.held) for seat in core.seats]
        return (core.socket, seats) if fold else core

    for _, group in itertools.groupby(cores, alike):
        yield list(group)


def _core_row(cores: list[Core]) -> list[str]:
    seats = [seat for core in cores for seat in core.seats]
    vcpus = CpuSet(vcpu for seat in seats for vcpu in seat.vcpus)
    marks = " floating" if vcpus and not all(seat.alone or not seat.vcpus for seat in seats) else ""
    marks += " far" if any(seat.far for seat in seats) else ""
    return [
        str(cores[0].socket),
        brief(CpuSet(core.number for core in cores)),
        brief(CpuSet(seat.cpu for seat in seats)),
        brief(CpuSet(cell for seat in seats for cell in seat.cells)) or "-",
        brief(vcpus) + marks or "-",
        ", ".join(dict.fromkeys(other for seat in seats for other in (*seat.others, *seat.held))),
    ]


def _cell_lines(layout: Layout, colour: bool) -> list[str]:
    rows = [["cell", "vCPUs", "memory", "on nodes", "vCPUs there"]]
    for number, home in enumerate(layout.homes):
        rows.append([str(number), brief(home.vcpus) or "-", amount(layout.memory_of(number)), *_nodes(home)])
    numbers: list[int | None] = [None, *range(len(layout.cells))]
    lines = [_coloured(line, cell if colour else None) for line, cell in zip(fit(rows), numbers)]
    cells = layout.cells if len(layout.cells) <= MAX_IN_MATRIX else ()
    distances = _distances({number: cell.distances for number, cell in enumerate(cells)})
    return [*lines, *(["", *distances] if distances else [])]


def _nodes(home: Home) -> list[str]:
    """Where its memory is, and how many of its vCPUs are there."""
    if home.nodes is None:
        return ["by numad" if home.by_numad else "any", "-"]
    return [brief(home.nodes), f"{len(home.near)} of {len(home.vcpus)}"]


def _coloured(line: str, cell: int | None) -> str:
    return line if cell is None else f"\x1b[38;5;{_COLOURS[cell % len(_COLOURS)]}m{line}\x1b[0m"


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's topology for people, as a table, and for machines, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from .cpuset import CpuSet
from .errors import plural
from .host import Host


def host_table(host: Host) -> str:
    """The nodes and the sockets of the host, a line each."""
    sockets = _sockets(host)
    cores = sum(len(cores) for cores in sockets.values())
    counts = [(host.nodes, "node"), (sockets, "socket"), (range(cores), "core"), (host.cpus, "CPU")]
    nodes = [["node", "CPUs", "memory", "free", "huge pages (free of all)", "distance to " + _ids(host.nodes)]]
    for number, node in host.nodes.items():
        pages = [f"{_amount(size)}: {_known(page.free)} of {page.total}" for size, page in node.pages.items()]
        distances = " ".join(str(node.distances.get(other, "?")) for other in host.nodes)
        cells = [_amount(node.memory), _amount(node.free), ", ".join(pages) or "-", distances]
        nodes.append([str(number), str(node.cpus) or "-", *cells])
    lines = [["socket", "CPUs", "cores", "threads of a core"]]
    for number, its_cores in sockets.items():
        cpus = CpuSet(cpu for core in its_cores for cpu in core)
        threads = "-".join(map(str, sorted({min(map(len, its_cores)), max(map(len, its_cores))})))
        lines.append([str(number), str(cpus), str(len(its_cores)), threads])
    head = ", ".join(plural(len(things), noun) for things, noun in counts) + " online"
    return "\n".join([head, "", *_columns(nodes), "", *_columns(lines)])


def host_json(host: Host) -> str:
    """The same as a JSON object with `nodes` and `sockets`; memory in KiB, null for what is not known."""
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
    sockets = [{"id": number, "cores": [str(core) for core in cores]} for number, cores in _sockets(host).items()]
    return json.dumps({"nodes": nodes, "sockets": sockets}, indent=2)


def _sockets(host: Host) -> dict[int, list[CpuSet]]:
    """Socket to the threads of each of its cores."""
    sockets: dict[int, dict[CpuSet, None]] = {}
    for cpu in host.cpus.values():
        sockets.setdefault(cpu.socket, {})[cpu.siblings] = None
    return {number: list(sockets[number]) for number in sorted(sockets)}


def _ids(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)


def _amount(kib: int | None) -> str:
    """KiB in the unit that keeps the number short: `31.2 GiB`."""
    if kib is None:
        return "?"
    amount, units = float(kib), ["KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.1f}".removesuffix(".0") + f" {units[0]}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]

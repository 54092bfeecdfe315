# SPDX-License-Identifier: GPL-2.0-or-later
"""Other numbers of nodes than that of a plan: what each would cost and gain."""

from __future__ import annotations

from collections.abc import Iterable

from ..host.topology import Host
from ..record import Record, replace
from .candidates import attempts
from .choice import Choice, choose
from .need import Request, resolve

MAX_SHOWN = 6


class Alternative(Record):
    """The best plan on so many nodes."""

    nodes: int
    cells: int
    vcpus: tuple[int, int]
    """The fewest and the most of a node."""
    sockets: int
    threads: int
    """Of a guest core."""
    distance: float
    """The mean between two of the nodes, 10 for one node."""
    left: int
    """KiB that its nodes could still provide together."""


def alternatives(request: Request, host: Host, chosen: int) -> tuple[Alternative, ...]:
    """The plans on fewer and more nodes than the `chosen` number, and that one, by the number of nodes."""
    need = resolve(replace(request, nodes=None, spread=False), host)
    most = len(need.nodes)
    sizes = [size for size in (*range(1, 9), chosen, chosen + 1, 2 * chosen, 4 * chosen, most) if size <= most]
    by_size: dict[int, Choice] = {}
    for size, candidate in attempts(need):
        if size in sizes and size not in by_size:
            choice = choose(size, candidate)
            if choice is not None:
                by_size[size] = choice
    nearest = sorted(by_size, key=lambda size: (abs(size - chosen), size))[:MAX_SHOWN]
    return tuple(_of_choice(by_size[size]) for size in sorted(nearest))


def _of_choice(choice: Choice) -> Alternative:
    pairs = len(choice.nodes) * (len(choice.nodes) - 1)
    return Alternative(
        len(choice.nodes),
        len(choice.candidate.layout.cells(choice.nodes, choice.vcpus, choice.candidate.capacities)),
        _least_and_most(map(len, choice.vcpus)),
        choice.topology.sockets,
        choice.topology.threads,
        choice.distance / pairs if pairs else 10,
        sum(choice.candidate.memory[node] for node in choice.nodes) - choice.need.memory,
    )


def _least_and_most(numbers: Iterable[int]) -> tuple[int, int]:
    ordered = sorted(numbers)
    return ordered[0], ordered[-1]

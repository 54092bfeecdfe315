# SPDX-License-Identifier: GPL-2.0-or-later
"""From a VM's shape and a host to the three properties: which nodes, which cells, which CPU for which vCPU."""

from __future__ import annotations

from ..cpuset import CpuSet
from ..host.topology import Host
from ..properties import Properties
from ..record import Record
from ..values import Placement, Topology
from .advice import missing, notes
from .choice import MAX_SOCKETS, best_choice, stored_length, texts
from .need import MODES, Request, resolve

__all__ = ["MAX_SOCKETS", "MODES", "Plan", "Request", "plan"]


class Plan(Record):
    """The three properties, and the placement that results on the host."""

    properties: Properties
    placement: Placement
    """As the hook would resolve it: a cell for each of `nodes`, in this order; with the mode interleave one for all."""
    topology: Topology
    """The guest's: each cell has whole sockets of it, except for a socket that is only partly plugged in."""
    nodes: tuple[int, ...]
    vcpus: tuple[CpuSet, ...]
    """The vCPUs on each of the nodes."""
    notes: tuple[str, ...]
    """What a user of the plan should know, one sentence each."""

    @property
    def values(self) -> dict[str, str]:
        """The text to enter for each property."""
        return texts(self.properties)

    @property
    def length(self) -> int:
        """How many characters the engine stores for them."""
        return stored_length(self.properties)


def plan(request: Request, host: Host) -> Plan:
    """The plan with the fewest nodes, then the most devices near, the smallest distances and the most free memory.

    It passes the hook's checks for this guest on this host. Raises Refused, with what is missing and the nearest plan
    that would fit.
    """
    host.check_nodes_apart()
    need = resolve(request, host)
    choice = best_choice(need)
    if choice is None:
        raise missing(need)
    placement, warnings = choice.carry_out()
    sentences = (*notes(choice), *map(str, warnings))
    return Plan(choice.properties, placement, choice.topology, choice.nodes, choice.vcpus, sentences)

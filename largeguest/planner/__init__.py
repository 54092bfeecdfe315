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
    """The three properties, and what they come to on the host."""

    properties: Properties
    placement: Placement
    """As the hook would make it, for `nodes` in this order a cell each; with the mode interleave one for all."""
    topology: Topology
    """The guest's: each cell is whole sockets of it, but for CPUs that are plugged in only half."""
    nodes: tuple[int, ...]
    vcpus: tuple[CpuSet, ...]
    """The vCPUs on each of the nodes."""
    notes: tuple[str, ...]
    """What a user of the plan should know, a sentence each."""

    @property
    def values(self) -> dict[str, str]:
        """The text to type for each property."""
        return texts(self.properties)

    @property
    def length(self) -> int:
        """How many characters the engine stores for them."""
        return stored_length(self.properties)


def plan(request: Request, host: Host) -> Plan:
    """The plan with the fewest nodes, then most of the devices near, the smallest distances and most free memory.

    It passes the checks of the hook for this guest on this host. Raises Refused, with what is missing and the nearest
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

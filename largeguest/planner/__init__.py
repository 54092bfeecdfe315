# SPDX-License-Identifier: GPL-2.0-or-later
"""From a VM's shape and a host to the three properties: which nodes, which cells, which CPU for which vCPU."""

from __future__ import annotations

from ..cpuset import CpuSet
from ..host.topology import NO_HUGE_PAGE, Host
from ..placement import figure
from ..properties import Properties
from ..record import Record
from ..values import Placement, Topology
from .advice import missing, notes, partial_cores, too_long
from .choice import best_choice, stored_length, texts
from .need import MODES, Request, resolve
from .sockets import MAX_SOCKETS

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
    figure: float | None
    """Of its locality, see placement.figure; None if the memory is not bound to nodes."""
    notes: tuple[str, ...]
    """What a user of the plan should know, one sentence each."""
    reserved: CpuSet = CpuSet()
    excluded: CpuSet = CpuSet()
    page: int = NO_HUGE_PAGE
    """KiB of the huge pages that back the guest."""

    @property
    def values(self) -> dict[str, str]:
        """The text to enter for each property."""
        return texts(self.properties)

    @property
    def custom_properties(self) -> dict[str, str]:
        """All that the VM needs in the engine: the three, and `hugepages`, which is predefined there, in KiB."""
        return {**self.values, **({"hugepages": str(self.page)} if self.page != NO_HUGE_PAGE else {})}

    @property
    def length(self) -> int:
        """How many characters the engine stores for the three; `hugepages` is stored apart, as all that is predefined.

        So it does not count against the limit.
        """
        return stored_length(self.properties)


def plan(request: Request, host: Host) -> Plan:
    """The plan with the fewest nodes, then the most devices near, the smallest distances and the most free memory.

    It passes the hook's checks for this guest on this host. Raises Refused, with what is missing and the nearest plan
    that would fit.
    """
    host.check_nodes_apart()
    need = resolve(request, host)
    if not need.has_whole_cores:
        raise partial_cores(need)
    choice = best_choice(need)
    if choice is None:
        raise missing(need)
    if not choice.is_storable:
        raise too_long(choice)
    placement, warnings = choice.carry_out()
    sentences = (*notes(choice), *map(str, warnings))
    near = figure.of_layout(placement.completed(need.guest), need.guest, host)
    return Plan(
        choice.properties,
        placement,
        choice.topology,
        choice.nodes,
        choice.vcpus,
        near,
        sentences,
        need.reserved | need.kept,
        need.excluded,
        need.page,
    )

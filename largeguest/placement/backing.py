# SPDX-License-Identifier: GPL-2.0-or-later
"""The host nodes behind the memory of a guest's cells, which the place `cell` of cputune stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..cpuset import CpuSet
from ..record import Record
from ..values import Cell, Guest, Policy


class Backing(Record):
    """The vCPUs of each cell and the nodes that back it; no nodes: its memory is not bound, or numad binds it."""

    cells: tuple[tuple[CpuSet, CpuSet], ...]
    others: CpuSet
    """The nodes of a vCPU that is in no cell; libvirt adds it to the first one."""

    @property
    def nodes(self) -> CpuSet:
        """Those of all cells."""
        return CpuSet.union([self.others, *(nodes for _, nodes in self.cells)])

    def groups(self, vcpus: CpuSet) -> Iterator[tuple[CpuSet, CpuSet]]:
        """These vCPUs by the nodes of their cells."""
        by_nodes: dict[CpuSet, CpuSet] = {}
        for own, nodes in (*self.cells, (vcpus, self.others)):
            if own & vcpus:
                by_nodes[nodes] = by_nodes.get(nodes, CpuSet()) | own & vcpus
                vcpus -= own
        yield from ((own, nodes) for nodes, own in by_nodes.items())


NO_BACKING = Backing((), CpuSet())


def of(guest: Guest, policy: Policy | None, cells: tuple[Cell, ...] | None) -> Backing:
    """What backs the cells of a guest with the policy and the cells of its properties; None for one that is not set.

    guestnuma replaces the engine's cells, numatune its policy and the nodes of its cells.
    """
    if cells is not None:
        return _of(cells, policy or guest.policy)
    return _of(guest.cells, guest.policy) if policy is None else _of((), policy)


def _of(cells: Iterable[Cell], policy: Policy | None) -> Backing:
    bound = CpuSet() if policy is None or policy.nodeset is None else policy.nodeset
    backed = tuple((cell.vcpus, bound if cell.nodes is None else cell.nodes) for cell in cells)
    return Backing(backed, backed[0][1] if backed else bound)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The host nodes behind the memory of a guest's cells, which the place `cell` of cputune stands for."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..record import Record
from ..values import Cell, Placement


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


def of(whole: Placement) -> Backing:
    """What backs the cells of a guest, by a placement that leaves nothing open."""
    cells = tuple((cell.vcpus, whole.nodes_of(cell)) for cell in whole.cells or ())
    return Backing(cells, cells[0][1] if cells else whole.nodes_of(Cell(CpuSet(), 0)))

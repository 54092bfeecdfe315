# SPDX-License-Identifier: GPL-2.0-or-later
"""The host as values: its NUMA nodes with CPUs and memory, and where each CPU is."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..cpuset import CpuSet
from ..problem import INPUT, Problem, Refused
from ..record import Record
from ..values import Neighbour

NO_HUGE_PAGE = 0
"""The size that represents pages that are not huge."""

BASE_PAGES = (4, 8, 16, 64)
"""KiB of pages that are not huge, depending on the architecture; the kernel counts all memory in them too."""

UNKNOWN_DISTANCE = 255
"""Farther than any node: the ACPI SLIT's word for not reachable."""

UNKNOWN_MEMORY = 2**53 - 1
"""KiB that represent an unknown amount of memory: the most that libvirt can count."""


class Pages(Record):
    """The huge pages of one size on a node: how many exist, and how many are free; None if that is not known."""

    total: int | None
    free: int | None

    def room(self, size: int) -> Room:
        """The room in these pages, of `size` KiB each. What is not known does not limit it."""
        total = UNKNOWN_MEMORY if self.total is None else self.total * size
        return Room(total, total if self.free is None else self.free * size)


class Room(Record):
    """KiB in pages of one size that a node has in total, and that are free."""

    total: int
    free: int


class Node(Record):
    """One NUMA node of the host."""

    cpus: CpuSet
    """Its online CPUs; a node can have none."""
    memory: int | None
    """KiB in total, huge pages included; a node can have none. None if that is not known."""
    free: int | None
    """KiB that programs can still allocate (huge pages are counted separately), None if that is not known."""
    pages: Mapping[int, Pages]
    """Size of a huge page in KiB to its pages."""
    distances: Mapping[int, int]
    """Node to the distance from here, as in the ACPI SLIT: 10 is local."""

    def room(self, page: int) -> Room:
        """The room in pages of that size in KiB, or of NO_HUGE_PAGE. What is not known does not limit it."""
        if page != NO_HUGE_PAGE:
            return self.pages.get(page, Pages(0, 0)).room(page)
        if self.memory is None:
            return Room(UNKNOWN_MEMORY, UNKNOWN_MEMORY)
        total = max(0, self.memory - sum(size * (pages.total or 0) for size, pages in self.pages.items()))
        return Room(total, total if self.free is None else self.free)


class Cpu(Record):
    """Where an online CPU is, in the kernel's numbers: a core's is unique in its die, a die's in its socket."""

    socket: int
    die: int
    core: int
    siblings: CpuSet
    """The online threads of its core, itself included."""


class Host(Record):
    """The online nodes and CPUs by their ids. Two hosts are equal when these are."""

    nodes: Mapping[int, Node]
    cpus: Mapping[int, Cpu]

    boot: str | None = None
    """The UUID of this boot of this machine; None for a host that this is not. CPU numbers hold as long as it runs."""
    arch: str | None = None
    """The processor's architecture, as the kernel and libvirt name it; None if that is not known."""
    numad: bool | None = None
    """Whether numad, which libvirt asks for `placement='auto'`, is installed; None if that is not known."""
    pci_node: Callable[[str], int | None] = lambda _: None
    """The node a PCI device such as `0000:3b:00.0` is attached to; None if that is not known."""
    neighbours: tuple[Neighbour, ...] = ()
    """What other VMs hold on it."""
    neighbours_unknown: str = ""
    """Why that is not known; empty: it is, or nobody has asked."""
    sharing: tuple[Callable[[int], Iterable[int]], ...] = ()
    """What gives the CPUs that share a CPU's L3 cache, and its cluster; none of a CPU for which that is not known."""
    siblings: Callable[[int], Iterable[int]] | None = None
    """A CPU's siblings, without reading the rest of its topology; None: take `cpus[...].siblings`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Host) and (self.nodes, self.cpus) == (other.nodes, other.cpus)

    @functools.cached_property
    def online(self) -> CpuSet:
        return CpuSet(self.cpus)

    @functools.cached_property
    def node_of(self) -> dict[int, int]:
        """CPU to its node."""
        return {cpu: number for number, node in self.nodes.items() for cpu in node.cpus}

    @functools.cached_property
    def held(self) -> CpuSet:
        """The CPUs of other VMs."""
        return CpuSet.union(neighbour.cpus for neighbour in self.neighbours)

    @functools.cached_property
    def local_nodes(self) -> CpuSet:
        """The nodes that have both CPUs and memory; a coherent GPU's own memory is a node without CPUs."""
        return CpuSet(number for number, node in self.nodes.items() if node.cpus and node.memory != 0)

    def nodes_with(self, cpus: CpuSet) -> CpuSet:
        """The nodes that have any of these CPUs."""
        return CpuSet(number for number, node in self.nodes.items() if node.cpus & cpus)

    def nodes_near(self, nodes: Iterable[int]) -> CpuSet:
        """The nodes; for one without CPUs the nearest that has some, of several equally near the first."""
        return CpuSet(node if self.nodes[node].cpus else self._nearest_with_cpus(node) for node in nodes)

    def _nearest_with_cpus(self, node: int) -> int:
        distances = self.nodes[node].distances
        others = (number for number, other in self.nodes.items() if other.cpus)
        return min(others, key=lambda other: (distances.get(other, UNKNOWN_DISTANCE), other), default=node)

    def cpus_near(self, nodes: Iterable[int]) -> CpuSet:
        """The online CPUs of the nodes near these."""
        return CpuSet.union(self.nodes[node].cpus for node in self.nodes_near(nodes))

    def huge_page(self, size: int, nodes: Iterable[int]) -> int:
        """`size`, or NO_HUGE_PAGE if it is that of these nodes' base pages, which libvirt also accepts in <page>."""
        is_base = size in BASE_PAGES and not any(size in self.nodes[node].pages for node in nodes)
        return NO_HUGE_PAGE if is_base else size

    def check_nodes_apart(self) -> None:
        """Raise Refused if nodes share CPUs, as with numa=fake: which CPU is near which memory is not known."""
        seen: dict[int, int] = {}
        for number, node in self.nodes.items():
            for cpu in node.cpus:
                if seen.setdefault(cpu, number) != number:
                    what = f"CPU {cpu} is in node {seen[cpu]} and in node {number}"
                    fix = "boot the host without numa=fake, or update its firmware"
                    raise Refused([Problem("host", what, fix, kind=INPUT)])

    def core_of(self, cpu: int) -> Iterable[int]:
        """The online threads of the core of an online CPU, itself included."""
        return self.cpus[cpu].siblings if self.siblings is None else self.siblings(cpu)

    def groups(self, cpus: CpuSet) -> list[CpuSet]:
        """These CPUs by the L3 cache that they share, else by their cluster; all together if neither divides them."""
        for shared_by in self.sharing:
            groups, left = [], cpus
            while left:
                groups.append(CpuSet(shared_by(left.first)) & left | CpuSet([left.first]))
                left -= groups[-1]
            if len(groups) > 1 and any(group - CpuSet(self.core_of(group.first)) for group in groups):
                return groups
        return [cpus]

    def cores(self, cpus: CpuSet) -> Iterator[list[int]]:
        """The CPUs of each core, by its lowest CPU. A core is read when its turn comes.

        Each CPU comes once, even if CPUs contradict each other about their siblings.
        """
        left = dict.fromkeys(cpus)
        for cpu in cpus:
            if cpu in left:
                core = [thread for thread in self.core_of(cpu) if thread in left]
                if cpu not in core:
                    core = [cpu]
                for thread in core:
                    del left[thread]
                yield core

    def by_core(self, cpus: CpuSet) -> Iterator[int]:
        """The CPUs core by core, the threads of a core next to each other."""
        return itertools.chain.from_iterable(self.cores(cpus))

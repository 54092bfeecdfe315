# SPDX-License-Identifier: GPL-2.0-or-later
"""The pins of a plan as text of cputune, by places or by numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping

from ..cpuset import CpuSet
from ..properties.cpulist import CpuList, Item, Place, spans
from ..properties.cputune import All, Cputune, Emulator, Iothread, Pin, Vcpus
from ..record import Record
from . import portable
from .candidates import Candidate, CellPerNode


class Pinned(Record):
    """The vCPUs on each of some nodes, and the CPUs for them."""

    candidate: Candidate
    nodes: tuple[int, ...]
    vcpus: tuple[CpuSet, ...]
    cpus: Mapping[int, list[int]]
    """By node those that its vCPUs have, and then those that they could have, in the order of the vCPUs."""

    @property
    def _used(self) -> list[tuple[int, CpuSet]]:
        """The nodes that run vCPUs, and these."""
        return [(node, own) for node, own in zip(self.nodes, self.vcpus) if own]

    def ways(self) -> Iterator[Cputune]:
        """The pins with places, which fit other hosts of the same model; and with numbers, which can be shorter."""
        by_place, by_number = tuple(self._vcpu_pins()), tuple(self._vcpu_pins_by_number())
        places, numbers = tuple(self._other_places()), spans(self._other_cpus)
        for vcpus, others in ((by_place, places), (by_place, numbers), (by_number, numbers)):
            yield Cputune((*vcpus, *self._other_pins(others)))

    def _vcpu_pins(self) -> Iterator[Pin]:
        """One CPU each; what is left of a place is what the guest could have, too."""
        ways = [self._describe(node, self.cpus[node]) for node, _ in self._used]
        everywhere = [way for way in set.intersection(*ways) if self._is_dealt_by_cell(way)]
        if everywhere:
            yield Pin(All(), CpuList(portable.shortest(everywhere)), each=True)
            return
        for (node, vcpus), own in zip(self._used, ways):
            cpus = CpuList(portable.on_node(portable.shortest(own), node))
            yield Pin(Vcpus(vcpus.first, vcpus.last), cpus, each=True)

    def _is_dealt_by_cell(self, way: portable.Items) -> bool:
        """Whether `all#=` deals these items of the place `cell` in the order of the nodes."""
        if isinstance(self.candidate.layout, CellPerNode):
            return True
        # one cell for all nodes: each must be full before the next one has its turn
        full = all(len(own) == len(self.candidate.cpus[node]) for node, own in self._used[:-1])
        used = [node for node, _ in self._used]
        in_turn = used == sorted(self.nodes)[: len(used)]
        # the nodes that run no vCPUs may lack a core that is named
        is_whole = way == (Item(Place("cell", None)),)
        return full and in_turn and (is_whole or len(used) == len(self.nodes)) and all(item.out for item in way[1:])

    def _describe(self, node: int, cpus: Iterable[int]) -> set[portable.Items]:
        return portable.describe(self.candidate.need.all_cores[node], list(cpus))

    def _vcpu_pins_by_number(self) -> Iterator[Pin]:
        """The same with the numbers of CPUs."""
        for node, vcpus in self._used:
            cores = self.candidate.need.all_cores[node]
            items = tuple(portable.by_number(cores, node, self.cpus[node][: len(vcpus)]))
            yield Pin(Vcpus(vcpus.first, vcpus.last), CpuList(items), each=True)

    @functools.cached_property
    def _other_cpus(self) -> CpuSet:
        """For emulator and iothreads: what is reserved for them, else all of the nodes."""
        need, here = self.candidate.need, self.candidate.need.cpus(self.nodes)
        return need.reserved | need.kept & here or here - need.unusable

    def _other_places(self) -> Iterator[Item]:
        """The same as places."""
        host, left = self.candidate.need.host, self._other_cpus
        by_node = {number: node.cpus & left for number, node in host.nodes.items() if node.cpus & left}
        ways = {number: self._describe(number, host.by_core(cpus)) for number, cpus in by_node.items()}
        if by_node.keys() == {*self.nodes}:
            everywhere = set.intersection(*ways.values())
            if everywhere:
                by_node, left = {}, left - CpuSet.union(by_node.values())
                yield from portable.shortest(everywhere)
        for number, cpus in by_node.items():
            yield from portable.on_node(portable.shortest(ways[number]), number)
            left -= cpus
        yield from spans(left)  # CPUs of no node

    def _other_pins(self, items: Iterable[Item]) -> Iterator[Pin]:
        cpus = CpuList(tuple(items))
        yield Pin(Emulator(), cpus)
        for number in self.candidate.need.guest.iothreads:
            yield Pin(Iothread(number), cpus)

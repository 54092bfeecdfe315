# SPDX-License-Identifier: GPL-2.0-or-later
"""What to try for a need: how the guest's memory is divided into cells, shapes of cores, and counts of nodes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence

from ..cpuset import CpuSet
from ..placement.check_guest import MAX_CELLS
from ..placement.deal import memory_of_cells
from ..properties.guestnuma import CellSpec, Guestnuma
from ..record import Record, replace
from ..wording import name_ids
from .choose import Capacity, least_size
from .need import Need, Shape, refused


class _InSteps(Record):
    """A layout for which a node provides any number of steps of memory."""

    need: Need

    @property
    def step(self) -> int:
        """The KiB that a node provides are a multiple of this."""
        return self.need.step

    def min_share(self, _: int) -> int:
        """KiB that each of so many nodes must provide at least."""
        return self.step

    def total(self, memory: Sequence[int]) -> int:
        """KiB that nodes with so much memory can provide together."""
        return sum(memory)


class CellPerNode(_InSteps):
    """Each node used backs one cell of the guest, with the vCPUs that run there."""

    need: Need

    each_has_vcpus = True
    """Whether each node used runs some of the vCPUs."""
    cells_are_sockets = True
    """Whether guest sockets are kept whole on a node: a cell has whole sockets."""
    also_needed = ""
    """What each node must provide besides vCPUs, as part of a message."""

    @property
    def max_nodes(self) -> int:
        """Nodes that can be used, as far as memory goes."""
        return min(MAX_CELLS, self.need.guest.memory // self.need.step)

    def order(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> tuple[int, ...] | None:
        """The nodes by cell, so that the memory devices of each cell also fit on its node; None if they do not."""
        if self._fits(nodes, capacities):
            return nodes
        by_memory = sorted(nodes, key=lambda node: -capacities[node].memory)
        by_devices = sorted(range(len(nodes)), key=lambda cell: -self.need.devices.get(cell, 0))
        node_of = dict(zip(by_devices, by_memory))
        order = tuple(node_of[cell] for cell in range(len(nodes)))
        return order if self._fits(order, capacities) else None

    def deal(self, units: int, limits: Sequence[int]) -> list[int]:
        """So many units to nodes with these limits: evenly as far as there is room."""
        return divide(units, limits, [1] * len(limits))

    def cells(
        self, nodes: tuple[int, ...], vcpus: tuple[CpuSet, ...], capacities: Mapping[int, Capacity]
    ) -> tuple[CellSpec, ...]:
        """With equal memory if the vCPUs are even, else in proportion; the last gets what is added to the VM later."""
        need = self.need
        cells = tuple(CellSpec(own, None, CpuSet([node])) for own, node in zip(vcpus, nodes))
        shares = memory_of_cells(Guestnuma(cells), need.guest)
        steps = self._steps(nodes, capacities)
        even = len({len(own) for own in vcpus}) == 1
        if even and all(0 < share <= limit * need.step for share, limit in zip(shares, steps)):
            return cells
        uneven = divide(need.guest.memory // need.step, steps, [len(own) for own in vcpus])
        named = [replace(cell, memory=share * need.step) for cell, share in zip(cells[:-1], uneven)]
        return (*named, cells[-1])

    def _fits(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> bool:
        steps = self._steps(nodes, capacities)
        return min(steps) > 0 and sum(steps) >= self.need.guest.memory // self.need.step

    def _steps(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> list[int]:
        """The steps of memory that each node has for its cell besides the memory devices of that cell."""
        devices, step = self.need.devices, self.need.step
        return [(capacities[node].memory - devices.get(cell, 0)) // step for cell, node in enumerate(nodes)]


class OneCell(Record):
    """One cell for all vCPUs: interleaved memory is the same everywhere, and the guest must see no difference."""

    need: Need

    each_has_vcpus = True
    cells_are_sockets = False
    also_needed = " and an equal share of the memory"
    step = 1

    @property
    def max_nodes(self) -> int:
        return len(self.need.nodes)

    def min_share(self, nodes: int) -> int:
        return -(-self.need.memory // nodes)

    def total(self, memory: Sequence[int]) -> int:
        return min(memory) * len(memory)

    def order(self, nodes: tuple[int, ...], _: Mapping[int, Capacity]) -> tuple[int, ...]:
        return nodes

    def deal(self, units: int, limits: Sequence[int]) -> list[int]:
        return divide(units, limits, [1] * len(limits))

    def cells(self, _: tuple[int, ...], vcpus: tuple[CpuSet, ...], __: Mapping[int, Capacity]) -> tuple[CellSpec, ...]:
        return (CellSpec(CpuSet.union(vcpus), None),)


class CellOverNodes(_InSteps):
    """One cell whose memory is on several nodes, for fewer guest cores than nodes that the memory needs."""

    need: Need

    each_has_vcpus = False
    cells_are_sockets = False
    also_needed = ""

    @property
    def max_nodes(self) -> int:
        return len(self.need.nodes)

    def order(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> tuple[int, ...]:
        """Those that run most of the vCPUs first, of these the nearest to all of the memory."""

        def best_first(node: int) -> tuple[int, int, int]:
            far = sum(self.need.distance(node, other) for other in nodes)
            return -min(capacities[node].units, self.need.vcpus), far, node

        return tuple(sorted(nodes, key=best_first))

    def deal(self, units: int, limits: Sequence[int]) -> list[int]:
        """On as few nodes as hold them."""
        dealt = []
        for limit in limits:
            dealt.append(min(limit, units))
            units -= dealt[-1]
        return dealt

    def cells(
        self, nodes: tuple[int, ...], vcpus: tuple[CpuSet, ...], _: Mapping[int, Capacity]
    ) -> tuple[CellSpec, ...]:
        return (CellSpec(CpuSet.union(vcpus), None, CpuSet(nodes)),)


class Candidate(Record):
    """A shape, and what the nodes of the host can provide for guest cores of it."""

    need: Need
    layout: CellPerNode | OneCell | CellOverNodes
    shape: Shape

    @property
    def units(self) -> int:
        """Units of the shape that the guest has; the last one may be partial."""
        return self.shape.units(self.need.vcpus)

    @property
    def keeps_topology(self) -> bool:
        """Whether the guest's own topology fits the cells: they have whole sockets of it, or there is only one cell."""
        socket = self.need.socket
        return socket is not None and (self.shape == socket or not self.layout.cells_are_sockets)

    @functools.cached_property
    def cpus(self) -> dict[int, list[int]]:
        """The CPUs of each node for guest cores of this shape, core by core."""
        return {node: [cpu for core in own for cpu in core] for node, own in self.cores.items()}

    @functools.cached_property
    def cores(self) -> dict[int, list[list[int]]]:
        """The CPUs of each node for guest cores of this shape by core, without leftover parts of cores.

        A guest core with more threads than a core of the host has takes some of the next one.
        """
        threads = self.shape.threads
        cores = self.need.cores
        if self.need.request.one_thread_per_core:
            whole = self.need.all_cores
            cores = {node: [core[:1] for core in own if core in whole[node]] for node, own in cores.items()}
        elif threads <= self.need.host_threads:
            cores = {node: [core[: len(core) // threads * threads] for core in own] for node, own in cores.items()}
        return {node: [core for core in own if core] for node, own in cores.items()}

    def groups(self, node: int) -> list[list[list[int]]]:
        """The same cores by the cache or cluster that they share."""
        shared = self.need.groups(node)
        cores = self.cores[node]
        return [cores] if len(shared) < 2 else [[core for core in cores if core[0] in own] for own in shared]

    @functools.cached_property
    def memory(self) -> dict[int, int]:
        """KiB that each node can provide."""
        need, step = self.need, self.layout.step
        rooms = {node: need.host.nodes[node].room(need.page) for node in need.nodes}
        left = {
            node: min(room.total - need.promised.get(node, 0), room.free - need.untouched.get(node, 0))
            for node, room in rooms.items()
        }
        return {node: max(0, memory - need.kept_memory(node)) // step * step for node, memory in left.items()}

    @functools.cached_property
    def capacities(self) -> dict[int, Capacity]:
        """The capacities of the nodes that have both CPUs and memory."""
        devices = self.need.pci_devices
        units = {node: len(cpus) // self.shape.vcpus for node, cpus in self.cpus.items()}
        return {
            node: Capacity(units[node], memory, devices.get(node, 0))
            for node, memory in self.memory.items()
            if memory and (units[node] or not self.layout.each_has_vcpus)
        }

    @functools.cached_property
    def least_size(self) -> int:
        """At least so many nodes are needed, perhaps more."""
        return least_size(self.capacities.values(), self.units, self.need.memory)

    def can_have(self, size: int) -> bool:
        """Whether a plan on so many nodes may be possible."""
        if not self.least_size <= size <= len(self.capacities):
            return False
        if self.layout.each_has_vcpus:
            return size <= self.units
        largest = sorted(self.memory.values())[-self.units :]
        return sum(largest) < self.need.memory

    def hold(self, nodes: tuple[int, ...]) -> bool:
        """Whether these nodes, which hold a smaller shape, also hold the guest in this one."""
        rooms = [self.capacities[node].units for node in nodes if node in self.capacities]
        return len(rooms) == len(nodes) and sum(rooms) >= self.units

    def nearest(self, size: int, spare: int = 0) -> tuple[int, ...] | None:
        """The best `size` nodes that hold the guest and `spare` units, in the order of its cells; None if none do."""
        need, layout = self.need, self.layout
        if not self.can_have(size):
            return None
        share = layout.min_share(size)
        capacities = {node: room for node, room in self.capacities.items() if room.memory >= share}

        def fits(nodes: tuple[int, ...]) -> bool:
            return layout.order(nodes, capacities) is not None

        accept = fits if need.device_memory else None
        nodes = need.find_nodes(capacities, size, self.units + spare, need.memory, need.distance, accept)
        return None if nodes is None else layout.order(nodes, capacities)


def candidates(need: Need) -> list[Candidate]:
    """The shapes to try, the best first; raises Refused for a contradictory request."""
    layout = _layout(need)
    return [Candidate(need, layout, shape) for shape in _shapes(need)]


def attempts(need: Need) -> Iterator[tuple[int, Candidate]]:
    """How many nodes to try, and with which shape, the best first."""
    shapes = candidates(need)
    sizes = _sizes(need, shapes[0].layout)
    over_nodes = [replace(candidate, layout=CellOverNodes(need)) for candidate in shapes]
    at_last = itertools.product(sizes, over_nodes if can_be_over_nodes(need) else [])
    if not need.request.spread:
        return itertools.chain(itertools.product(sizes, shapes), at_last)
    by_threads = itertools.groupby(shapes, key=lambda candidate: candidate.shape.threads)
    alike = [list(some) for _, some in by_threads]
    return itertools.chain(*(itertools.product(reversed(sizes), some) for some in alike), at_last)


def can_be_over_nodes(need: Need) -> bool:
    """Whether one cell may be on several nodes; in the mode preferred older QEMU (7.2) would use only the first."""
    return need.request.mode == "strict" and need.min_cells == 1


def divide(total: int, limits: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Parts of `total` in proportion to the weights, but each at least 1 and at most its limit.

    The excess over a limit is given to the others; `total` must be at least their number and at most the sum of limits.
    """
    parts = [0] * len(limits)
    rest, weight, room, places = total, sum(weights), sum(limits), len(limits)
    for place in sorted(range(len(limits)), key=lambda place: (limits[place] / weights[place], -place)):
        room -= limits[place]
        places -= 1
        share = max(rest * weights[place] // weight, rest - room, 1)
        parts[place] = min(share, limits[place], rest - places)
        rest -= parts[place]
        weight -= weights[place]
    return parts


def _layout(need: Need) -> CellPerNode | OneCell:
    """The layout of cells for the memory mode; raises Refused for memory devices in cells that would not exist."""
    if need.request.mode != "interleave":
        return CellPerNode(need)
    far = CpuSet(cell for cell in need.devices if cell)
    if far:
        what = f"with interleave the guest has one cell, but a memory device is in {name_ids('guest node', far)}"
        raise refused(what, "unplug it, or plan with another mode")
    return OneCell(need)


def _shapes(need: Need) -> list[Shape]:
    threads, socket = need.threads, need.socket
    if socket is not None:
        return list(dict.fromkeys([socket, Shape(socket.threads, 1)]))
    if threads is None:
        return [Shape(number, 1) for number in range(need.host_threads, 0, -1) if need.vcpus % number == 0]
    return [Shape(threads, 1)]


def _sizes(need: Need, layout: CellPerNode | OneCell | CellOverNodes) -> range:
    """How many nodes can be used."""
    least, most = need.min_cells, min(len(need.nodes), layout.max_nodes)
    if need.request.nodes is None:
        return range(least, most + 1)
    return range(max(least, need.request.nodes), min(most, need.request.nodes) + 1)

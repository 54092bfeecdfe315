# SPDX-License-Identifier: GPL-2.0-or-later
"""A placement from the host's point of view: which vCPUs may run on each CPU, core by core."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from ..cpuset import CpuSet
from ..host.topology import NO_HUGE_PAGE, Host, Pages
from ..placement import locality
from ..record import Record, replace
from ..values import Cell, Guest, Home, Pins, Placement
from ..wording import quote_name

FOLD_FROM = 64
"""A host with this many CPUs or more is large."""


class Seat(Record):
    """A CPU of the host."""

    cpu: int
    vcpus: CpuSet
    """Those that may run on it."""
    cells: CpuSet
    """The cells of these vCPUs."""
    alone: bool
    """Whether it has exactly one vCPU, which has no other CPU."""
    others: tuple[str, ...]
    """Other threads that are pinned to it, by libvirt's names: emulator, iothread1."""
    far: CpuSet = CpuSet()
    """The vCPUs whose memory is on other nodes."""
    held: tuple[str, ...] = ()
    """Why the guest should leave it alone: `VM "db02"`, `reserved`, `excluded`."""


class Core(Record):
    """A core of a node, with its online threads."""

    node: int
    socket: int
    number: int
    """Of its node, counted from 0, as in the place `node1.core0`."""
    seats: tuple[Seat, ...]


class Layout(Record):
    """A host, and the guest on it."""

    host: Host
    cores: Mapping[int, tuple[Core, ...]]
    """Node to its cores."""
    cells: tuple[Cell, ...]
    vcpus: CpuSet
    """Those that are plugged in; none: the picture is of the host alone."""
    unpinned: CpuSet
    """Those plugged in that may run anywhere."""
    memory: int | None
    """KiB of the guest; None: it is unknown, or the picture is of the host alone."""
    shares: CpuSet = CpuSet()
    """The cells whose share of the memory is unknown."""
    homes: tuple[Home, ...] = ()
    """Those of the cells, or one of a guest without cells; none: the picture is of the host alone."""
    page: int = NO_HUGE_PAGE
    """KiB of the huge pages that back the guest: of these it matters how many are free."""
    has_all_nodes: bool = False
    """Whether all nodes are shown, used or not."""

    @property
    def is_large(self) -> bool:
        """Whether cores that are used the same way share a line, and nodes that are not used are folded."""
        return len(self.host.cpus) >= FOLD_FROM

    def node_groups(self) -> Iterator[list[int]]:
        """The nodes; on a large host, consecutive ones without any of the guest in one group."""

        folds = self.is_large and bool(self.vcpus) and not self.has_all_nodes

        def used(number: int) -> int | None:
            others = any(seat.others or seat.held for core in self.cores[number] for seat in core.seats)
            return number if not folds or self.cells_on(number) or others else None

        for _, group in itertools.groupby(self.host.nodes, used):
            yield list(group)

    def free_pages(self, node: int) -> Pages:
        """The huge pages of a node that could back the guest."""
        return self.host.nodes[node].pages.get(self.page, Pages(0, 0))

    def memory_of(self, cell: int) -> int | None:
        """KiB of a cell; None if that is unknown."""
        return None if cell in self.shares else self.cells[cell].memory

    def cells_on(self, node: int) -> list[int]:
        """The cells that have their own memory on a node, or vCPUs there."""
        near = {cell for core in self.cores[node] for seat in core.seats for cell in seat.cells}
        near |= {number for number, cell in enumerate(self.cells) if cell.nodes is not None and node in cell.nodes}
        return sorted(near)


def lay_out(
    host: Host,
    placement: Placement | None = None,
    guest: Guest | None = None,
    shares: Iterable[int] = (),
    left_out: Mapping[str, CpuSet] = MappingProxyType({}),
) -> Layout:
    """The guest on the host: by the placement, and what that leaves open, by its XML.

    Without a placement or a guest: the host alone. `shares` are cells whose memory, like the guest's, is unknown.
    `left_out` are CPUs that are left out beside those of other VMs, and why.
    """
    held = {**{f"VM {quote_name(other.name)}": other.cpus for other in host.neighbours}, **left_out}
    if placement is None or guest is None:
        return Layout(host, _cores(host, Pins(), (), (), held), (), CpuSet(), CpuSet(), None)
    whole = placement.completed(guest)
    cells, pins = whole.cells or (), whole.pins or Pins()
    pins = replace(pins, vcpus={vcpu: pins.vcpus[vcpu] for vcpu in guest.plugged_vcpus if vcpu in pins.vcpus})
    unpinned = guest.plugged_vcpus - CpuSet(pins.vcpus)
    memory = None if shares else guest.total_memory
    # a placement without properties has none: the whole layout is that of the XML
    homes = (placement.locality or locality.measure(whole, guest, host)).homes
    cores = _cores(host, pins, cells, homes, held)
    page = _page(guest, host)
    return Layout(host, cores, cells, guest.plugged_vcpus, unpinned, memory, CpuSet(shares), homes, page)


def _page(guest: Guest, host: Host) -> int:
    """KiB of its huge pages; NO_HUGE_PAGE also if they are of several sizes, or of one that the XML does not say."""
    sizes = {page.size for page in guest.pages}
    size = sizes.pop() if len(sizes) == 1 else None
    return NO_HUGE_PAGE if size is None else host.huge_page(size, host.nodes)


def _cores(
    host: Host, pins: Pins, cells: tuple[Cell, ...], homes: tuple[Home, ...], held: Mapping[str, CpuSet]
) -> dict[int, tuple[Core, ...]]:
    cell_of = {vcpu: number for number, cell in enumerate(cells) for vcpu in cell.vcpus}
    far_of = {vcpu: home.far for home in homes for vcpu in home.vcpus}
    vcpus: dict[int, list[int]] = {}
    for vcpu, cpus in pins.vcpus.items():
        for cpu in cpus:
            vcpus.setdefault(cpu, []).append(vcpu)
    others = list(replace(pins, vcpus={}).by_name())

    def seat(cpu: int) -> Seat:
        here = vcpus.get(cpu, [])
        return Seat(
            cpu,
            CpuSet(here),
            CpuSet(cell_of[vcpu] for vcpu in here if vcpu in cell_of),
            len(here) == 1 and len(pins.vcpus[here[0]]) == 1,
            tuple(name for name, cpus in others if cpu in cpus),
            CpuSet(vcpu for vcpu in here if cpu in far_of.get(vcpu, ())),
            tuple(name for name, cpus in held.items() if cpu in cpus),
        )

    def core(node: int, number: int, threads: list[int]) -> Core:
        return Core(node, host.cpus[threads[0]].socket, number, tuple(map(seat, threads)))

    return {
        node: tuple(core(node, number, threads) for number, threads in enumerate(host.cores(host.nodes[node].cpus)))
        for node in host.nodes
    }


def cores_by_socket(host: Host) -> dict[int, list[CpuSet]]:
    """Socket to the threads of each of its cores."""
    sockets: dict[int, dict[CpuSet, None]] = {}
    for cpu in host.cpus.values():
        sockets.setdefault(cpu.socket, {})[cpu.siblings] = None
    return {number: list(sockets[number]) for number in sorted(sockets)}

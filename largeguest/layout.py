# SPDX-License-Identifier: GPL-2.0-or-later
"""A placement seen from the host: who may run on each CPU, core by core."""

from __future__ import annotations

from collections.abc import Mapping

from .cpuset import CpuSet
from .guest import Guest, Pins
from .host import Host
from .placement import PlacedCell, Placement
from .records import record


@record
class Seat:
    """A CPU of the host."""

    cpu: int
    vcpus: CpuSet
    """Those that may run here."""
    cells: CpuSet
    """The cells of these vCPUs."""
    alone: bool
    """The vCPU here has this CPU for itself."""
    others: tuple[str, ...]
    """Who else is pinned to it, by libvirt's names: emulator, iothread1."""


@record
class Core:
    """A core of a node, with its online threads."""

    node: int
    socket: int
    number: int
    seats: tuple[Seat, ...]


@record
class Layout:
    """A host, and the guest on it."""

    host: Host
    cores: Mapping[int, tuple[Core, ...]]
    """Node to its cores."""
    cells: tuple[PlacedCell, ...]
    vcpus: CpuSet
    """Those that are plugged in; none: the picture is of the bare host."""
    unpinned: CpuSet
    """Those of them that may run anywhere."""
    memory: int
    """KiB of the guest."""

    def cells_on(self, node: int) -> list[int]:
        """The cells that have memory on a node for themselves, or vCPUs there."""
        near = {cell for core in self.cores[node] for seat in core.seats for cell in seat.cells}
        near |= {number for number, cell in enumerate(self.cells) if cell.nodes is not None and node in cell.nodes}
        return sorted(near)


def lay_out(host: Host, placed: Placement | None = None, guest: Guest | None = None) -> Layout:
    """The guest as `placed` on the host, or as its XML had it already; the bare host without."""
    if placed is None or guest is None:
        return Layout(host, _cores(host, Pins(), ()), (), CpuSet(), CpuSet(), 0)
    cells = placed.cells
    if cells is None:
        cells = tuple(PlacedCell(cell.vcpus, cell.memory, cell.nodes, cell.mode) for cell in guest.cells)
    pins = guest.pins
    if placed.pins is not None:
        emulator = pins.emulator if placed.pins.emulator is None else placed.pins.emulator
        vcpus, iothreads = {**pins.vcpus, **placed.pins.vcpus}, {**pins.iothreads, **placed.pins.iothreads}
        pins = Pins(vcpus, iothreads, emulator)
    pins = Pins(
        {vcpu: pins.vcpus[vcpu] for vcpu in guest.plugged_vcpus if vcpu in pins.vcpus}, pins.iothreads, pins.emulator
    )
    unpinned = guest.plugged_vcpus - CpuSet(pins.vcpus)
    return Layout(host, _cores(host, pins, cells), cells, guest.plugged_vcpus, unpinned, guest.total_memory)


def _cores(host: Host, pins: Pins, cells: tuple[PlacedCell, ...]) -> dict[int, tuple[Core, ...]]:
    cell_of = {vcpu: number for number, cell in enumerate(cells) for vcpu in cell.vcpus}
    vcpus: dict[int, list[int]] = {}
    for vcpu, cpus in pins.vcpus.items():
        for cpu in cpus:
            vcpus.setdefault(cpu, []).append(vcpu)
    named = [("emulator", pins.emulator or CpuSet())]
    named += [(f"iothread{number}", cpus) for number, cpus in sorted(pins.iothreads.items())]

    def seat(cpu: int) -> Seat:
        here = vcpus.get(cpu, [])
        return Seat(
            cpu,
            CpuSet(here),
            CpuSet(cell_of[vcpu] for vcpu in here if vcpu in cell_of),
            len(here) == 1 and len(pins.vcpus[here[0]]) == 1,
            tuple(name for name, cpus in named if cpu in cpus),
        )

    cores = {}
    for number, node in host.nodes.items():
        threads: dict[CpuSet, list[int]] = {}
        for cpu in host.by_core(node.cpus):
            threads.setdefault(host.cpus[cpu].siblings, []).append(cpu)
        cores[number] = tuple(
            Core(number, host.cpus[cpus[0]].socket, host.cpus[cpus[0]].core, tuple(map(seat, cpus)))
            for cpus in threads.values()
        )
    return cores

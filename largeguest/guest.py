# SPDX-License-Identifier: GPL-2.0-or-later
"""What a domain XML says about a VM, as far as a placement depends on it. Values only, no XML."""

from __future__ import annotations

from dataclasses import dataclass, field

from .cpuset import CpuSet


@dataclass(frozen=True)
class Topology:
    """How the guest's vCPUs sit in sockets, dies, cores and threads; vCPU ids run through a socket first."""

    sockets: int
    dies: int
    cores: int
    threads: int

    @property
    def vcpus_per_socket(self) -> int:
        return self.dies * self.cores * self.threads


@dataclass(frozen=True)
class MemoryDevice:
    """A memory device that `<memory>` of the domain includes: KiB, the guest node it is plugged to, and its model."""

    model: str
    size: int
    node: int | None


@dataclass(frozen=True)
class HugePage:
    """`<page>` of `<hugepages>`: KiB (None: the host's default) and the cells it is for (None: those without own)."""

    size: int | None
    cells: CpuSet | None


@dataclass(frozen=True)
class GuestCell:
    """A cell that stands in the domain XML."""

    vcpus: CpuSet
    memory: int
    """KiB"""
    shared: bool


@dataclass(frozen=True)
class GuestPolicy:
    """The memory policy of the whole guest that stands in the domain XML."""

    mode: str
    auto: bool
    """numad chooses the nodes."""


@dataclass(frozen=True)
class Guest:
    """What the domain XML says about the VM."""

    max_vcpus: int
    """vCPUs that the VM can have, those that are not plugged in included."""
    total_memory: int
    """KiB, the memory devices included."""
    vcpus: int | None = None
    """vCPUs that are plugged in: the first ones; None: all."""
    devices: tuple[MemoryDevice, ...] = ()
    pages: tuple[HugePage, ...] = ()
    topology: Topology | None = None
    """None where the XML has none: every vCPU is a socket then."""
    cells: tuple[GuestCell, ...] = ()
    policy: GuestPolicy | None = None
    iothreads: CpuSet = field(default_factory=CpuSet)
    arch: str | None = None
    cpu_policy: str | None = None
    """oVirt's CPU pinning policy; None: an engine that knows none."""
    ran: bool = False
    """The XML of a VM that ran already: it is resumed or migrated, not started."""

    @property
    def all_vcpus(self) -> CpuSet:
        return CpuSet.span(0, self.max_vcpus - 1)

    @property
    def plugged_vcpus(self) -> CpuSet:
        return CpuSet.span(0, (self.max_vcpus if self.vcpus is None else self.vcpus) - 1)

    @property
    def memory(self) -> int:
        """KiB that the cells hold: all but the memory devices."""
        return self.total_memory - sum(device.size for device in self.devices)

    @property
    def memory_by_cell(self) -> dict[int, int]:
        """Cell to the KiB that it has now, the devices plugged to it included."""
        memory = {number: cell.memory for number, cell in enumerate(self.cells)}
        for device in self.devices:
            if device.node in memory:
                memory[device.node] += device.size
        return memory

    @property
    def vcpus_per_socket(self) -> int:
        return 1 if self.topology is None else self.topology.vcpus_per_socket

    def page_of(self, cell: int) -> HugePage | None:
        """The huge page that backs a cell; None for the base pages."""
        for page in self.pages:
            if page.cells is not None and cell in page.cells:
                return page
        return next((page for page in self.pages if page.cells is None), None)

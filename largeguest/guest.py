# SPDX-License-Identifier: GPL-2.0-or-later
"""What a domain XML says about a VM, as far as a placement depends on it. Values only, no XML."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType

from .cpuset import CpuSet
from .errors import plural
from .records import record


@record
class Topology:
    """How the guest's vCPUs sit in sockets, dies, cores and threads; vCPU ids run through a socket first."""

    sockets: int
    dies: int
    """Of a socket, the clusters of each counted."""
    cores: int
    threads: int

    @property
    def vcpus_per_socket(self) -> int:
        return self.dies * self.cores * self.threads


@record
class MemoryDevice:
    """A memory device that `<memory>` of the domain includes: its model, and the guest node it is plugged to."""

    model: str
    size: int
    """KiB"""
    node: int | None

    @property
    def cell(self) -> int:
        """The cell it is plugged to, the first where the XML names none."""
        return self.node or 0

    @property
    def host_memory(self) -> int:
        """KiB that it takes of the host's memory: an nvdimm is a file's."""
        return 0 if self.model == "nvdimm" else self.size


@record
class HugePage:
    """`<page>` of `<hugepages>`: KiB (None: the host's default) and the cells it is for (None: those without own)."""

    size: int | None
    cells: CpuSet | None


@record
class GuestCell:
    """A cell that stands in the domain XML."""

    vcpus: CpuSet
    memory: int
    """KiB"""
    shared: bool
    nodes: CpuSet | None = None
    """The host nodes that a memnode gives it."""
    mode: str = "strict"
    """The memory mode on these nodes."""


@record
class Pins:
    """Who may run on which host CPUs."""

    vcpus: Mapping[int, CpuSet] = MappingProxyType({})
    iothreads: Mapping[int, CpuSet] = MappingProxyType({})
    emulator: CpuSet | None = None

    def __bool__(self) -> bool:
        """Whether anybody is pinned."""
        return bool(self.vcpus or self.iothreads or self.emulator)

    def __str__(self) -> str:
        pinned = [plural(len(self.vcpus), "vCPU")] if self.vcpus else []
        pinned += [plural(len(self.iothreads), "iothread")] if self.iothreads else []
        pinned += ["the emulator"] if self.emulator else []
        return f"{', '.join(pinned)} pinned"

    def by_name(self) -> Iterator[tuple[str, CpuSet]]:
        """Who is pinned, by libvirt's names, and where: `vcpu0`, `emulator`, `iothread1`."""
        for vcpu, cpus in sorted(self.vcpus.items()):
            yield f"vcpu{vcpu}", cpus
        if self.emulator is not None:
            yield "emulator", self.emulator
        for number, cpus in sorted(self.iothreads.items()):
            yield f"iothread{number}", cpus

    def without(self, names: Container[str]) -> Pins:
        """All but those of these names."""
        return Pins(
            {vcpu: cpus for vcpu, cpus in self.vcpus.items() if f"vcpu{vcpu}" not in names},
            {number: cpus for number, cpus in self.iothreads.items() if f"iothread{number}" not in names},
            None if "emulator" in names else self.emulator,
        )

    def cpus(self) -> CpuSet:
        """The host CPUs that anybody is pinned to."""
        return CpuSet.union(cpus for _, cpus in self.by_name())


@record
class GuestPolicy:
    """The memory policy of the whole guest that stands in the domain XML."""

    mode: str
    auto: bool
    """numad chooses the nodes."""
    nodeset: CpuSet | None = None


@record
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
    pins: Pins = Pins()
    iothreads: CpuSet = CpuSet()
    arch: str | None = None
    cpu_policy: str | None = None
    """oVirt's CPU pinning policy; None: an engine that knows none."""

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
    def vcpus_per_socket(self) -> int:
        return 1 if self.topology is None else self.topology.vcpus_per_socket

    def page_of(self, cell: int) -> HugePage | None:
        """The huge page that backs a cell; None for the base pages."""
        for page in self.pages:
            if page.cells is not None and cell in page.cells:
                return page
        return next((page for page in self.pages if page.cells is None), None)

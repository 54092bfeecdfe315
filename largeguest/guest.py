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
    """A `<memory>` device: its model, and the guest node it is plugged to."""

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
        """KiB that it takes of the host's memory; behind other models are a file or the processor's enclaves."""
        return self.size if self.model in ("dimm", "virtio-mem") else 0


@record
class HugePage:
    """`<page>` of `<hugepages>`: KiB (None: the host's default) and the cells it is for (None: those without own)."""

    size: int | None
    cells: CpuSet | None


@record
class Reference:
    """A device, other than memory, that names cells of the guest: what it is, as in a message, and which cells."""

    device: str
    cells: CpuSet


@record
class GuestCell:
    """A cell that stands in the domain XML."""

    vcpus: CpuSet
    memory: int
    """KiB"""
    nodes: CpuSet | None = None
    """The host nodes that a memnode gives it."""
    mode: str = "strict"
    """The memory mode on these nodes."""
    mem_access: str | None = None
    discard: str | None = None
    """libvirt's memAccess and discard; None where the XML does not say."""


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
    memory: int
    """KiB that the cells hold: all but the memory devices."""
    plugged: CpuSet | None = None
    """vCPUs that are plugged in; None: all."""
    devices: tuple[MemoryDevice, ...] = ()
    pages: tuple[HugePage, ...] = ()
    topology: Topology | None = None
    """None where the XML has none: every vCPU is a socket then."""
    cells: tuple[GuestCell, ...] = ()
    policy: GuestPolicy | None = None
    pins: Pins = Pins()
    iothreads: CpuSet = CpuSet()
    references: tuple[Reference, ...] = ()
    arch: str | None = None
    cpu_policy: str | None = None
    """oVirt's CPU pinning policy; None: an engine that knows none."""

    @property
    def all_vcpus(self) -> CpuSet:
        return CpuSet.span(0, self.max_vcpus - 1)

    @property
    def plugged_vcpus(self) -> CpuSet:
        return self.all_vcpus if self.plugged is None else self.plugged

    @property
    def total_memory(self) -> int:
        """KiB, the memory devices included."""
        return self.memory + sum(device.size for device in self.devices)

    @property
    def vcpus_per_socket(self) -> int:
        return 1 if self.topology is None else self.topology.vcpus_per_socket

    def page_of(self, cell: int) -> HugePage | None:
        """The huge page that backs a cell; None for the base pages."""
        for page in self.pages:
            if page.cells is not None and cell in page.cells:
                return page
        return next((page for page in self.pages if page.cells is None), None)

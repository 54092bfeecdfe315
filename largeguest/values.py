# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that the modules share: a guest, and where its vCPUs and memory are or will be on a host."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType

from .cpuset import CpuSet, range_text
from .problem import Problem
from .record import Record, replace
from .wording import exactly, name_ids, plural

MODES = ("strict", "preferred", "interleave", "restrictive")
"""The memory modes, as libvirt knows them."""

DEFAULT_MODE = "strict"


class Topology(Record):
    """How the guest's vCPUs form sockets, dies, cores and threads; vCPU ids are consecutive within a socket."""

    sockets: int
    dies: int
    """Of a socket, each cluster counted as a die."""
    cores: int
    threads: int

    @property
    def vcpus_per_socket(self) -> int:
        return self.dies * self.cores * self.threads


class MemoryDevice(Record):
    """A `<memory>` device: its model, and the guest node it is plugged into."""

    model: str
    size: int
    """KiB"""
    node: int | None

    @property
    def cell(self) -> int:
        """The cell it is plugged into, the first if the XML names none."""
        return self.node or 0

    @property
    def host_memory(self) -> int:
        """KiB of the host's memory that it uses; other models are backed by a file or the processor's enclaves."""
        return self.size if self.model in ("dimm", "virtio-mem") else 0


class HugePage(Record):
    """`<page>` of `<hugepages>`: KiB (None: the host's default) and its cells (None: those of no other page)."""

    size: int | None
    cells: CpuSet | None


class Reference(Record):
    """A device, other than memory, that refers to cells of the guest: its name in messages, and the cells."""

    device: str
    cells: CpuSet


class Cell(Record):
    """A cell of the guest, as in its present or future domain XML."""

    vcpus: CpuSet
    """Including those that can be plugged in."""
    memory: int
    """KiB"""
    nodes: CpuSet | None = None
    """The host nodes that back it; None: the policy of the whole guest applies."""
    mode: str = DEFAULT_MODE
    """The memory mode on these nodes."""
    distances: Mapping[int, int] = MappingProxyType({})
    """Cell to the distance from this one; empty: the guest gets none."""
    mem_access: str | None = None
    discard: str | None = None
    """libvirt's memAccess and discard; None if the XML does not say."""


class Policy(Record):
    """The memory policy of the whole guest; nodeset None: numad chooses, empty: the XML names none."""

    mode: str
    nodeset: CpuSet | None

    def __str__(self) -> str:
        return f"memory {self.mode} on " + (
            "the nodes that numad advises" if self.nodeset is None else f"host {name_ids('node', self.nodeset)}"
        )


class Pins(Record):
    """The host CPUs on which vCPUs, iothreads and the emulator may run."""

    vcpus: Mapping[int, CpuSet] = MappingProxyType({})
    iothreads: Mapping[int, CpuSet] = MappingProxyType({})
    emulator: CpuSet | None = None

    def __bool__(self) -> bool:
        """Whether anything is pinned."""
        return bool(self.vcpus or self.iothreads or self.emulator)

    def __str__(self) -> str:
        pinned = [plural(len(self.vcpus), "vCPU")] if self.vcpus else []
        pinned += [plural(len(self.iothreads), "iothread")] if self.iothreads else []
        pinned += ["the emulator"] if self.emulator else []
        return f"{', '.join(pinned)} pinned"

    def by_name(self) -> Iterator[tuple[str, CpuSet]]:
        """The pinned threads, by libvirt's names, and their CPUs: `vcpu0`, `emulator`, `iothread1`."""
        for vcpu, cpus in sorted(self.vcpus.items()):
            yield f"vcpu{vcpu}", cpus
        if self.emulator is not None:
            yield "emulator", self.emulator
        for number, cpus in sorted(self.iothreads.items()):
            yield f"iothread{number}", cpus

    def replaced(self, new: Pins) -> Pins:
        """These, but those that `new` has instead of their own."""
        return Pins({**self.vcpus, **new.vcpus}, {**self.iothreads, **new.iothreads}, new.emulator or self.emulator)

    def without(self, names: Container[str]) -> Pins:
        """All except those with these names."""
        return Pins(
            {vcpu: cpus for vcpu, cpus in self.vcpus.items() if f"vcpu{vcpu}" not in names},
            {number: cpus for number, cpus in self.iothreads.items() if f"iothread{number}" not in names},
            None if "emulator" in names else self.emulator,
        )

    def on(self, online: CpuSet) -> Pins:
        """Their CPUs that are online; a thread without any is not pinned."""
        return Pins(
            {vcpu: cpus & online for vcpu, cpus in self.vcpus.items() if cpus & online},
            {number: cpus & online for number, cpus in self.iothreads.items() if cpus & online},
            None if self.emulator is None else self.emulator & online or None,
        )

    def numbers(self) -> str:
        """As a value of cputune that needs no host to be resolved: `0#0,1-3#4-7,emulator#8`."""
        entries: list[tuple[int, int, CpuSet]] = []
        for vcpu, cpus in sorted(self.vcpus.items()):
            if entries and entries[-1][1:] == (vcpu - 1, cpus):
                entries[-1] = (entries[-1][0], vcpu, cpus)
            else:
                entries.append((vcpu, vcpu, cpus))
        texts = [f"{range_text(first, last)}#{cpus}" for first, last, cpus in entries]
        return ",".join([*texts, *(f"{name}#{cpus}" for name, cpus in replace(self, vcpus={}).by_name())])

    @property
    def floating(self) -> CpuSet:
        """The vCPUs that may run on several CPUs."""
        return CpuSet(vcpu for vcpu, cpus in self.vcpus.items() if len(cpus) > 1)

    def cpus(self) -> CpuSet:
        """The host CPUs that anything is pinned to."""
        return CpuSet.union(cpus for _, cpus in self.by_name())


class Layout(Record):
    """What cputune was resolved to, as the domain XML's metadata has it."""

    boot: str
    """The boot of the host for which it holds."""
    cputune: str
    """The pins in numbers, as a value of the property."""


class Promise(Record):
    """Memory of a VM that can come only from some nodes, whether the VM has touched it yet or not."""

    nodes: CpuSet
    page: int
    """KiB of its huge pages; 0: other pages."""
    memory: int
    """KiB"""


class Neighbour(Record):
    """What another VM holds on a host."""

    name: str
    cpus: CpuSet = CpuSet()
    """Those that its vCPUs are pinned to; none if they may run on all, or wherever VDSM's pool of shared CPUs is."""
    is_exclusive: bool = False
    """Whether it has them alone, by a CPU pinning policy of the engine."""
    promises: tuple[Promise, ...] = ()
    is_starting: bool = False
    """Whether it is about to run, and has not used anything yet."""

    def __bool__(self) -> bool:
        """Whether it holds anything."""
        return bool(self.cpus or self.promises)


class Guest(Record):
    """What the domain XML says about the VM."""

    max_vcpus: int
    """vCPUs that the VM can have, including those that are not plugged in."""
    memory: int
    """KiB of the cells: all memory except the memory devices."""
    plugged: CpuSet | None = None
    """vCPUs that are plugged in; None: all."""
    devices: tuple[MemoryDevice, ...] = ()
    pages: tuple[HugePage, ...] = ()
    topology: Topology | None = None
    """None if the XML has none: then every vCPU is a socket."""
    cells: tuple[Cell, ...] = ()
    policy: Policy | None = None
    pins: Pins = Pins()
    iothreads: CpuSet = CpuSet()
    references: tuple[Reference, ...] = ()
    arch: str | None = None
    cpu_policy: str | None = None
    """oVirt's CPU pinning policy; None: the engine does not have these policies."""

    @property
    def all_vcpus(self) -> CpuSet:
        return CpuSet.span(0, self.max_vcpus - 1)

    @property
    def plugged_vcpus(self) -> CpuSet:
        return self.all_vcpus if self.plugged is None else self.plugged

    @property
    def total_memory(self) -> int:
        """KiB, including the memory devices."""
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


class Home(Record):
    """A cell, or the guest if it has none, and which of its vCPUs are near its memory."""

    vcpus: CpuSet
    """Those that are plugged in."""
    nodes: CpuSet | None
    """The host nodes that hold its memory; None: any node may, or numad chooses."""
    near: CpuSet
    """The vCPUs that can run only on CPUs of these nodes."""
    far: CpuSet
    """The CPUs of other nodes on which those of the rest that are pinned may run."""
    elsewhere: CpuSet
    """The nodes of these CPUs."""
    by_numad: bool = False
    """Whether numad chooses the nodes when the VM starts."""

    def __str__(self) -> str:
        """`memory on nodes 0-1, 8 of 8 vCPUs there`."""
        if self.nodes is not None:
            there = f"{len(self.near)} of {plural(len(self.vcpus), 'vCPU')} there"
            return f"memory on {name_ids('node', self.nodes)}, {there}"
        return "memory on the nodes that numad advises" if self.by_numad else "memory on any node: it is not bound"


class Locality(Record):
    """The homes of a guest's vCPUs; `of_cells` if these are its cells."""

    homes: tuple[Home, ...]
    of_cells: bool

    @property
    def vcpus(self) -> int:
        """How many vCPUs have memory that is bound to nodes."""
        return sum(len(home.vcpus) for home in self.homes if home.nodes is not None)

    @property
    def near(self) -> int:
        """How many of these are near it."""
        return sum(len(home.near) for home in self.homes)

    def __str__(self) -> str:
        """`112 of 112 vCPUs on the nodes of their cells`; empty if the memory is not bound to nodes."""
        if all(home.nodes is None for home in self.homes):
            return ""
        where = f"on the nodes of their {'cells' if self.of_cells else 'memory'}"
        return f"{self.near} of {plural(self.vcpus, 'vCPU')} {where}"


class Placement(Record):
    """Where everything is on the host; None for what was not requested."""

    pins: Pins | None = None
    policy: Policy | None = None
    cells: tuple[Cell, ...] | None = None
    """Every vCPU that the VM can have is in one of them."""
    warnings: tuple[Problem, ...] = ()
    locality: Locality | None = None
    """Where the vCPUs are, seen from their memory; None without a host."""

    def completed(self, guest: Guest) -> Placement:
        """The whole layout of the VM: what was not requested is as in its XML.

        A policy also replaces the nodes of the old cells, as domxml.write does.
        """
        cells = guest.cells
        if self.policy is not None:
            cells = tuple(replace(cell, nodes=None) for cell in cells)
        return Placement(
            guest.pins.replaced(self.pins or Pins()),
            self.policy or guest.policy,
            cells if self.cells is None else self.cells,
        )

    def nodes_of(self, cell: Cell) -> CpuSet:
        """The host nodes that back a cell of a completed placement; none: it is not bound, or numad binds it."""
        bound = None if self.policy is None else self.policy.nodeset
        return cell.nodes or bound or CpuSet()

    def __str__(self) -> str:
        """What the placement does, in counts and nodesets: `cputune: 2 vCPUs pinned; numatune: ...`."""
        parts = []
        if self.pins is not None:
            parts.append(f"cputune: {self.pins}")
        if self.policy is not None:
            parts.append(f"numatune: {self.policy}")
        if self.cells is not None:
            vcpus = sum(len(cell.vcpus) for cell in self.cells)
            memory = sum(cell.memory for cell in self.cells)
            nodes = CpuSet.union(cell.nodes for cell in self.cells if cell.nodes is not None)
            where = f" on host {name_ids('node', nodes)}" if nodes else ""
            counts = f"{plural(len(self.cells), 'cell')}{where}, {plural(vcpus, 'vCPU')}"
            parts.append(f"guestnuma: {counts}, {exactly(memory)}")
        return "; ".join(parts) or "nothing requested"

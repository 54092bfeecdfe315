# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest needs from a host: a request, resolved once in the numbers of the host."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from ..cpuset import CpuSet
from ..host.topology import NO_HUGE_PAGE, Host
from ..placement import lookup, neighbours
from ..placement.check_guest import engines_layout
from ..placement.deal import memory_step
from ..placement.lookup import NotThereError
from ..problem import Problem, Refused
from ..properties.cpulist import CpuList, Place
from ..record import Record, replace
from ..values import Guest
from ..wording import exactly, ids_are, name_ids, shorten, verb
from .choose import nearest

HOST_MEMORY, HOST_SHARE = 256 * 1024, 100
"""What a host needs on each node to live: 256 MiB, which VDSM reserves, too (host_mem_reserve), and a hundredth.

Of that hundredth 0.2 % are the kernel's watermarks (watermark_scale_factor: below them it starts to reclaim), up to
0.4 % the page tables of a guest in pages of 4 KiB (8 bytes a page, for QEMU and once more for the processor), and the
rest is for QEMU's buffers and the host's own programs. (KiB, and the part of a node's memory.)"""

MODES = ("strict", "preferred", "interleave")
"""The memory modes that a plan can have."""


class Request(Record):
    """What to plan for; memory, huge pages and topology are those of the guest."""

    guest: Guest
    """If it has no topology, one is chosen."""
    threads: int | None = None
    """Threads of a guest core; None: the topology's or, without one, as many as a host core has, if that fits."""
    nodes: int | None = None
    """How many nodes of the host to use; None: the fewest that hold the guest."""
    spread: bool = False
    """If `nodes` is None: use the most nodes, each with a guest core or more."""
    mode: str = "strict"
    """One of MODES."""
    reserve: CpuList | None = None
    """CPUs that are left to the host, and to emulator and iothreads."""
    exclude: CpuList | None = None
    """CPUs that nothing of the guest may run on."""
    pci: tuple[str, ...] = ()
    """Addresses of the PCI devices that are passed through: the nodes with the most of them come first."""
    reserve_cores: int = 0
    """How many cores of each node are left to the host, and on the nodes of the guest to emulator and iothreads."""
    reserve_memory: int | None = None
    """KiB of free memory on each node that are left to the host; None: HOST_MEMORY and a HOST_SHARE-th."""
    on: CpuList | None = None
    """The nodes of the host that may be used, as places; None: all."""
    one_thread_per_core: bool = False
    """Whether each vCPU has a core of the host to itself; then the guest's cores have one thread."""


FindNodes = Callable[..., "tuple[int, ...] | None"]
"""Chooses nodes: choose.nearest, or choose.some if the question is only whether there are nodes that hold the guest."""


class Shape(Record):
    """A unit that is kept together on a node: so many guest cores of so many threads."""

    threads: int
    cores: int

    @property
    def vcpus(self) -> int:
        return self.threads * self.cores

    def units(self, vcpus: int) -> int:
        """How many units of this shape hold so many vCPUs."""
        return -(-vcpus // self.vcpus)


class Need(Record):
    """A request in the numbers of the host."""

    request: Request
    host: Host
    page: int
    """KiB of the pages that back the guest, or NO_HUGE_PAGE."""
    step: int
    """KiB that the memory of a cell is a multiple of."""
    reserved: CpuSet
    excluded: CpuSet
    promised: Mapping[int, int]
    """Node to KiB in pages of this size that are promised to other VMs."""
    devices: Mapping[int, int]
    """Cell to KiB of its memory devices; 0 if these use none of the host's memory, such as an nvdimm."""
    pci_devices: Mapping[int | None, int]
    """Node to the number of PCI devices attached to it."""
    nodes: CpuSet
    """Those that may be used; they have both CPUs and memory."""
    find_nodes: FindNodes = nearest

    @property
    def guest(self) -> Guest:
        return self.request.guest

    @functools.cached_property
    def vcpus(self) -> int:
        """How many are plugged in."""
        return len(self.guest.plugged_vcpus)

    @property
    def device_memory(self) -> int:
        """KiB of the host's memory that the memory devices use."""
        return sum(self.devices.values())

    @property
    def memory(self) -> int:
        """KiB of the host's memory that the guest uses."""
        return self.guest.memory + self.device_memory

    @property
    def min_cells(self) -> int:
        """The fewest cells with which every memory device has its cell."""
        return max(self.devices, default=0) + 1

    @property
    def threads(self) -> int | None:
        """Those of a guest core that are asked for."""
        return 1 if self.request.one_thread_per_core else self.request.threads

    @property
    def socket(self) -> Shape | None:
        """The guest's own, unless the request asks for a different number of threads."""
        topology = self.guest.topology
        if topology is None or self.threads not in (None, topology.threads):
            return None
        return Shape(topology.threads, topology.dies * topology.cores)

    @property
    def has_whole_cores(self) -> bool:
        """Whether the vCPUs are whole cores of the threads that are asked for."""
        return self.threads is None or self.socket is not None or self.vcpus % self.threads == 0

    @functools.cached_property
    def host_threads(self) -> int:
        """The most threads that a core of the host has."""
        return max((len(cpu.siblings) for cpu in self.host.cpus.values()), default=1)

    @property
    def unusable(self) -> CpuSet:
        """The CPUs on which nothing of the guest may run."""
        return self.excluded | self.host.held

    @functools.cached_property
    def untouched(self) -> Mapping[int, int]:
        """Node to KiB that are promised to VMs that have not started to use them: they are free no more."""
        starting = tuple(neighbour for neighbour in self.host.neighbours if neighbour.is_starting)
        return neighbours.promised(self.page, replace(self.host, neighbours=starting)) if starting else {}

    @functools.cached_property
    def kept(self) -> CpuSet:
        """The CPUs of the cores that each node keeps for the host: the first ones that nothing else is kept from."""
        whole = ([core for core in cores if not self.unusable & CpuSet(core)] for cores in self.all_cores.values())
        return CpuSet(
            itertools.chain.from_iterable(core for own in whole for core in own[: self.request.reserve_cores])
        )

    def kept_memory(self, node: int) -> int:
        """KiB of a node that the host keeps; none of its huge pages, which are of no use to it."""
        if self.page != NO_HUGE_PAGE:
            return 0
        own = self.request.reserve_memory
        return HOST_MEMORY + (self.host.nodes[node].memory or 0) // HOST_SHARE if own is None else own

    @functools.cached_property
    def all_cores(self) -> dict[int, list[list[int]]]:
        """The online CPUs by node and core."""
        return {number: list(self.host.cores(node.cpus)) for number, node in self.host.nodes.items()}

    @functools.cached_property
    def cores(self) -> dict[int, list[list[int]]]:
        """The CPUs available to the guest's vCPUs, by node and core; a core can have none."""
        unusable = self.reserved | self.kept | self.unusable
        return {
            node: [[cpu for cpu in core if cpu not in unusable] for core in self.all_cores[node]] for node in self.nodes
        }

    def groups(self, node: int) -> list[CpuSet]:
        """The CPUs of a node by the cache or cluster that they share."""
        if node not in self._groups:
            self._groups[node] = self.host.groups(self.host.nodes[node].cpus)
        return self._groups[node]

    @functools.cached_property
    def _groups(self) -> dict[int, list[CpuSet]]:
        """Of the nodes that were asked for: they are read when they are needed."""
        return {}

    def cpus(self, nodes: Iterable[int]) -> CpuSet:
        """The online CPUs of these nodes."""
        return CpuSet.union(self.host.nodes[node].cpus for node in nodes)

    def distance(self, one: int, two: int) -> int:
        """From node `one` to node `two`; the kernel's defaults if the host does not say."""
        return self.host.nodes[one].distances.get(two, 10 if one == two else 20)


def resolve(request: Request, host: Host) -> Need:
    """What the request needs from this host; raises Refused if no plan is possible."""
    guest = request.guest
    _check_guest(guest)
    page = _page_size(guest, host)
    step = memory_step(guest, 0)
    excluded = _look_up("--exclude", request.exclude, host)
    reserved = _look_up("--reserve", request.reserve, host)
    both = reserved & excluded
    if both:
        raise refused(f"--reserve and --exclude both name {name_ids('CPU', both)}", "name each in only one of them")
    _check_memory(guest.memory, step)
    promised = neighbours.promised(page, host) if host.neighbours else {}
    devices: Counter[int] = Counter()
    for device in guest.devices:
        devices[device.cell] += device.host_memory
    pci_devices = Counter(host.pci_node(address) for address in request.pci)
    nodes = host.local_nodes if request.on is None else _nodes_on(request.on, host)
    return Need(request, host, page, step, reserved, excluded, promised, devices, pci_devices, nodes)


def refused(what: str, fix: str) -> Refused:
    """The error for a request without a possible plan."""
    return Refused([Problem("plan", what, fix)])


def _check_guest(guest: Guest) -> None:
    what = engines_layout(guest)
    if what is not None:
        raise refused(what, "choose the policy None or Manual")
    if guest.arch == "s390x":
        raise refused("a guest on s390x has no NUMA", "pin its vCPUs by hand, and omit guestnuma")


def _check_memory(memory: int, step: int) -> None:
    if memory <= 0 or memory % step:
        below = memory // step * step
        what = f"{exactly(memory)} of memory is not a multiple of {exactly(step)}"
        nearest = f"give the VM {exactly(below)} or {exactly(below + step)}"
        raise refused(what, nearest if below > 0 else "give the VM more")


def _page_size(guest: Guest, host: Host) -> int:
    if any(page.cells is not None for page in guest.pages):
        raise refused("the VM has huge pages for individual cells, but a plan makes new ones", "write one <page>")
    size = guest.pages[0].size if guest.pages else NO_HUGE_PAGE
    if size is None:
        raise refused("the VM's <hugepages> does not give their size", "write <page size=...>")
    return host.huge_page(size, host.nodes)


def _nodes_on(places: CpuList, host: Host) -> CpuSet:
    """The nodes that --on names."""
    if any(not isinstance(item.what, Place) or item.what.cores is not None for item in places.items):
        what = f"--on {shorten(str(places))} does not name whole nodes"
        raise refused(what, "write for example node2,node3, a number is a CPU")
    nodes = host.nodes_with(_look_up("--on", places, host))
    without = nodes - host.local_nodes
    if without:
        has = verb(without, "has", "have")
        raise refused(f"--on {shorten(str(places))}: {name_ids('node', without)} {has} no memory", "name others")
    return nodes


def _look_up(option: str, cpus: CpuList | None, host: Host) -> CpuSet:
    """The online CPUs that an option names."""
    if cpus is None:
        return CpuSet()
    text = f"{option} {shorten(str(cpus))}"
    if cpus.of_cell:
        raise refused(f"{text}: a cell is that of a vCPU", "name nodes of the host")
    try:
        cpuset = lookup.look_up(cpus, host).cpus
    except NotThereError as error:
        raise refused(f"{text}: {error}", "name CPUs that exist") from None
    if not cpuset:
        raise refused(f"{text} leaves no CPU on this host", "name one that no later ^ removes")
    offline = cpuset - host.online
    if offline:
        fix = f"name CPUs that are online, which are {shorten(str(host.online))}"
        raise refused(f"{text}: {ids_are('CPU', offline)} not available", fix)
    return cpuset

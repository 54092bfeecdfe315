# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's topology, from `/sys` (or a saved tree of any machine) or from libvirt's capabilities XML.

From `/sys` a node or a CPU is read when it is looked at, so that a question about two nodes reads a handful of files
also on a host with 2,048 CPUs.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from . import cpuset
from .cpuset import MAX_ID, CpuSet
from .errors import Problem, Refused, quote
from .records import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Value = TypeVar("Value")

SYS = "/sys"

NO_HUGE_PAGE = 0
"""Stands for the size of pages that are not huge."""

_BASE_PAGES = (4, 8, 16, 64)
"""KiB of pages that are not huge, on one architecture or the other; all memory is counted in them, too."""

UNKNOWN_MEMORY = 2**53 - 1
"""KiB that stand for memory of an amount that is not known: the most that libvirt can count."""


@record
class Pages:
    """The huge pages of one size on a node: how many there are, and are free; None where that is not known."""

    total: int | None
    free: int | None

    def room(self, size: int) -> Room:
        """What there is, in pages of so many KiB. What is not known does not limit."""
        total = UNKNOWN_MEMORY if self.total is None else self.total * size
        return Room(total, total if self.free is None else self.free * size)


@record
class Room:
    """KiB in pages of one size that a node has in all, and can still give."""

    total: int
    free: int


@record
class Node:
    """One NUMA node of the host."""

    cpus: CpuSet
    """Its online CPUs; a node can have none."""
    memory: int | None
    """KiB in all, huge pages included; a node can have none. None where that is not known."""
    free: int | None
    """KiB that it can still give to programs (huge pages are counted apart), None where that is not known."""
    pages: Mapping[int, Pages]
    """Size of a huge page in KiB to its pages."""
    distances: Mapping[int, int]
    """Node to the distance from here, as in the ACPI SLIT: 10 is local."""

    def room(self, page: int) -> Room:
        """What there is in pages of that size in KiB, or of NO_HUGE_PAGE. What is not known does not limit."""
        if page != NO_HUGE_PAGE:
            return self.pages.get(page, Pages(0, 0)).room(page)
        if self.memory is None:
            return Room(UNKNOWN_MEMORY, UNKNOWN_MEMORY)
        total = max(0, self.memory - sum(size * (pages.total or 0) for size, pages in self.pages.items()))
        return Room(total, total if self.free is None else self.free)


@record
class Cpu:
    """Where an online CPU sits, in the kernel's numbers: a core's is unique in its die, a die's in its socket."""

    socket: int
    die: int
    core: int
    siblings: CpuSet
    """The online threads of its core, itself included."""


@record
class Host:
    """The online nodes and CPUs by their ids. Two hosts are equal when these are."""

    nodes: Mapping[int, Node]
    cpus: Mapping[int, Cpu]

    arch: str | None = None
    """The processor's architecture, as the kernel and libvirt name it; None where that is not known."""
    numad: bool | None = None
    """Whether numad, which libvirt asks for `placement='auto'`, is installed; None where that is not known."""
    pci_node: Callable[[str], int | None] = lambda _: None
    """The node a PCI device such as `0000:3b:00.0` is attached to; None where that is not known."""
    siblings: Callable[[int], Iterable[int]] | None = None
    """A CPU's siblings without the rest of what is known of it; None: take `cpus[...].siblings`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Host) and (self.nodes, self.cpus) == (other.nodes, other.cpus)

    @functools.cached_property
    def online(self) -> CpuSet:
        return CpuSet(self.cpus)

    @functools.cached_property
    def local_nodes(self) -> CpuSet:
        """The nodes that have both CPUs and memory; a coherent GPU's own memory is a node without CPUs."""
        return CpuSet(number for number, node in self.nodes.items() if node.cpus and node.memory != 0)

    def huge_page(self, size: int, nodes: Iterable[int]) -> int:
        """`size`, or NO_HUGE_PAGE where it is that of these nodes' base pages: libvirt takes <page> with it, too."""
        is_base = size in _BASE_PAGES and not any(size in self.nodes[node].pages for node in nodes)
        return NO_HUGE_PAGE if is_base else size

    def check_nodes_apart(self) -> None:
        """Raise Refused where nodes share CPUs, as fake ones do (numa=fake): which CPU is near to what is not known."""
        seen: dict[int, int] = {}
        for number, node in self.nodes.items():
            for cpu in node.cpus:
                if seen.setdefault(cpu, number) != number:
                    what = f"CPU {cpu} is in node {seen[cpu]} and in node {number}"
                    raise Refused([Problem("host", what, "start the host without numa=fake, or update its firmware")])

    def cores(self, cpus: CpuSet) -> Iterator[list[int]]:
        """The CPUs of each core; the core with the lowest CPU comes first. A core is looked at when its turn comes.

        Each CPU comes once, also where CPUs contradict each other about whose siblings they are.
        """
        left = dict.fromkeys(cpus)
        for cpu in cpus:
            if cpu in left:
                threads = self.cpus[cpu].siblings if self.siblings is None else self.siblings(cpu)
                core = [thread for thread in threads if thread in left]
                if cpu not in core:
                    core = [cpu]
                for thread in core:
                    del left[thread]
                yield core

    def by_core(self, cpus: CpuSet) -> Iterator[int]:
        """The CPUs core by core, the threads of a core next to each other."""
        return itertools.chain.from_iterable(self.cores(cpus))


class _Lazy(Mapping[int, "Value"]):
    """A mapping that calls `load` for a key when it is looked at first."""

    def __init__(self, keys: Iterable[int], load: Callable[[int], Value]) -> None:
        self._keys = dict.fromkeys(keys)
        self._load = load
        self._values: dict[int, Value] = {}

    def __getitem__(self, key: int) -> Value:
        if key not in self._values:
            if key not in self._keys:
                raise KeyError(key)
            self._values[key] = self._load(key)
        return self._values[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def from_sys(root: str = SYS) -> Host:
    """The host whose `/sys` is at `root`; raises Refused where no such tree is.

    A kernel without NUMA has one node, 0, with all there is. Of a tree that was saved in part, or from an old kernel,
    what is there is used.
    """
    system = os.path.join(root, "devices", "system")
    online = _online_cpus(os.path.join(system, "cpu"))
    if not online:
        fix = "name a folder like /sys, or a file with the output of virsh capabilities (--host caps.xml)"
        raise Refused([Problem("host", f"{quote(root, 200)} is not the /sys of a Linux host", fix)])
    nodes = _online_nodes(os.path.join(system, "node"))
    if nodes and not os.path.isdir(os.path.join(system, "node", f"node{nodes.first}")):
        what = f"{quote(root, 200)} has no node{nodes.first}, which it says is online"
        raise Refused([Problem("host", what, "save the whole tree again")])

    def node(number: int) -> Node:
        folder = os.path.join(system, "node", f"node{number}")
        row = re.findall("[0-9]+", _read(os.path.join(folder, "distance")) or "")
        return _node(
            CpuSet(_list_or_mask(os.path.join(folder, "cpulist"), os.path.join(folder, "cpumap"))) & online,
            _read(os.path.join(folder, "meminfo")) or "",
            os.path.join(folder, "hugepages"),
            dict(zip(nodes or (), map(int, row))),
        )

    def only_node(number: int) -> Node:
        meminfo = _read(os.path.join(root, os.pardir, "proc", "meminfo")) or ""
        return _node(online, meminfo, os.path.join(root, "kernel", "mm", "hugepages"), {number: 10})

    online_ids = frozenset(online)

    def siblings(number: int) -> list[int]:
        folder = f"{system}/cpu/cpu{number}/topology"
        listed = _list_or_mask(f"{folder}/thread_siblings_list", f"{folder}/thread_siblings")
        return [thread for thread in listed if thread in online_ids] or [number]

    def cpu(number: int) -> Cpu:
        folder = os.path.join(system, "cpu", f"cpu{number}", "topology")
        return Cpu(
            socket=_number(os.path.join(folder, "physical_package_id")) or 0,
            die=_number(os.path.join(folder, "die_id")) or 0,
            core=_known_or(_number(os.path.join(folder, "core_id")), number),
            siblings=CpuSet(siblings(number)),
        )

    usr = os.path.join(root, os.pardir, "usr")
    return Host(
        nodes=_Lazy([0], only_node) if not nodes else _Lazy(nodes, node),
        cpus=_Lazy(online, cpu),
        arch=os.uname().machine if root == SYS else None,
        numad=os.path.exists(os.path.join(usr, "bin", "numad")) if os.path.isdir(usr) else None,
        pci_node=lambda address: _number(os.path.join(root, "bus", "pci", "devices", address, "numa_node")),
        siblings=siblings,
    )


def _online_cpus(folder: str) -> CpuSet:
    """Those in `online`; without that file those with a topology, which the kernel shows of online CPUs only."""
    listed = _list(os.path.join(folder, "online"))
    if listed is None:
        listed = [cpu for cpu in _numbered(folder, "cpu") if os.path.isdir(f"{folder}/cpu{cpu}/topology")]
    return CpuSet(listed)


def _online_nodes(folder: str) -> CpuSet:
    """Those in `online`; without that file those that are there."""
    listed = _list(os.path.join(folder, "online"))
    return CpuSet(_numbered(folder, "node") if listed is None else listed)


def _numbered(folder: str, name: str) -> Iterator[int]:
    """The numbers of the entries such as `cpu7` in a folder."""
    for entry in _entries(folder):
        found = re.fullmatch(f"{name}([0-9]{{1,5}})", entry)
        if found and int(found[1]) <= MAX_ID:
            yield int(found[1])


_NO_TOPOLOGY = Problem(
    "host", "the capabilities hold no topology that can be read", "take them from virsh capabilities"
)


def from_capabilities(document: bytes) -> Host:
    """The host of `virsh capabilities`; free memory and pages are not known from that. Raises Refused."""
    from . import safexml

    root = safexml.parse(document, "host", "capabilities", _NO_TOPOLOGY.mend).getroot()
    nodes, cpus = {}, {}
    try:
        for cell in root.iterfind("host/topology/cells/cell"):
            # CPUs that are offline have an id only
            online = {_id(cpu.get("id")): cpu for cpu in cell.iterfind("cpus/cpu") if cpu.get("siblings")}
            for number, cpu in online.items():
                cpus[number] = Cpu(
                    socket=_number_of(cpu.get("socket_id", "0"), MAX_ID),
                    die=_number_of(cpu.get("die_id", "0"), MAX_ID),
                    core=_number_of(cpu.get("core_id", "0"), MAX_ID),
                    siblings=cpuset.parse(cpu.get("siblings", "")),
                )
            nodes[_id(cell.get("id"))] = Node(
                cpus=CpuSet(online),
                memory=_memory_of(cell.findtext("memory")),
                free=None,
                pages={
                    int(pages.get("size", "")): Pages(int(pages.text or ""), None)
                    for pages in cell.iterfind("pages")
                    if int(pages.get("size", "")) not in _BASE_PAGES
                },
                distances={
                    int(sibling.get("id", "")): _number_of(sibling.get("value"), 255)
                    for sibling in cell.iterfind("distances/sibling")
                },
            )
    except ValueError:
        raise Refused([_NO_TOPOLOGY]) from None
    if not nodes or not cpus:
        raise Refused([_NO_TOPOLOGY])
    return Host(nodes, cpus, arch=root.findtext("host/cpu/arch"))


def _memory_of(text: str | None) -> int | None:
    """KiB; raises ValueError."""
    return None if text is None else _number_of(text, UNKNOWN_MEMORY)


def _number_of(text: str | None, most: int) -> int:
    """A number from 0 (also for -1, which is the kernel's "not known") to `most`; raises ValueError."""
    number = max(0, int((text or "")[:20]))
    if number > most:
        raise ValueError(number)
    return number


def _id(text: str | None) -> int:
    """Raises ValueError for what is no id."""
    number = int(text or "")
    if not 0 <= number <= MAX_ID:
        raise ValueError(number)
    return number


_MEMINFO = re.compile(
    r"^(?:Node \d+ )?(MemTotal|MemFree|Active\(file\)|Inactive\(file\)|SReclaimable): +(\d+)", re.MULTILINE
)


def _node(cpus: CpuSet, meminfo: str, hugepages: str, distances: Mapping[int, int]) -> Node:
    fields = {name: int(kib) for name, kib in _MEMINFO.findall(meminfo)}
    given_back = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
    return Node(
        cpus=cpus,
        memory=fields.get("MemTotal"),
        free=sum(fields.get(name, 0) for name in given_back) if "MemFree" in fields else None,
        pages=dict(sorted(_pages(hugepages))),
        distances=distances,
    )


def _pages(folder: str) -> Iterator[tuple[int, Pages]]:
    for name in _entries(folder):
        size = re.fullmatch("hugepages-([0-9]+)kB", name)
        if size:
            total = _number(f"{folder}/{name}/nr_hugepages")
            yield int(size[1]), Pages(total, 0 if total == 0 else _number(f"{folder}/{name}/free_hugepages"))


def _entries(folder: str) -> list[str]:
    """The names in a folder; none where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str | None:
    """The text of a file of the kernel's; opened without Python's layers, which cost more than the kernel's answer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = piece = os.read(descriptor, 65536)
        while len(piece) == 65536:
            piece = os.read(descriptor, 65536)
            content += piece
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return content.decode("utf-8", "replace").strip("\0 \n")  # some saved trees end a file with a NUL


def _list(path: str) -> list[int] | None:
    """The ids that the kernel lists in a file, such as `0-3,8`, in order; None where there is no such file."""
    text = _read(path)
    if not text:
        return None if text is None else []
    ids: list[int] = []
    try:
        for item in text.split(","):
            first, _, last = item.partition("-")
            low, high = int(first), int(last or first)
            if high > MAX_ID:
                raise ValueError(high)
            ids += range(low, high + 1)
    except ValueError:
        what, mend = f"{quote(path, 200)} holds no list of ids", "take the tree from a Linux host again"
        raise Refused([Problem("host", what, mend)]) from None
    return ids


def _list_or_mask(path: str, mask_path: str) -> list[int]:
    """The ids in a list or, where there is no such file, in a mask such as `00000001,000000ff`; none without either."""
    listed = _list(path)
    if listed is not None:
        return listed
    words = (_read(mask_path) or "").split(",")
    try:
        bits = int("".join(f"{int(word, 16):08x}" for word in words), 16)
    except ValueError:
        return []
    return [number for number in range(min(bits.bit_length(), MAX_ID + 1)) if bits >> number & 1]


def _number(path: str) -> int | None:
    """The number in a file; None where there is none, or the kernel says -1 for "not known"."""
    text = _read(path) or ""
    return int(text) if text.isdigit() else None


def _known_or(number: int | None, default: int) -> int:
    return default if number is None else number

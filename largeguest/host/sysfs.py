# SPDX-License-Identifier: GPL-2.0-or-later
"""The host from `/sys`, or from a saved tree of any machine.

Nodes and CPUs are read on demand, so that a question about two nodes reads a handful of files even on a host with 2,048
CPUs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..cpuset import MAX_ID, CpuSet, read_ids
from ..problem import INPUT, Problem, Refused
from ..wording import quote
from .topology import Cpu, Host, Node, Pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Value = TypeVar("Value")

SYS = "/sys"

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""Unlike a machine's own UUID, every user may read it, and no two machines share it because they were cloned."""


class _Lazy(Mapping[int, "Value"]):
    """A mapping that calls `load` for a key when it is first looked up."""

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
    """The host whose `/sys` is at `root`; raises Refused if there is no such tree.

    A kernel without NUMA has one node, 0, with everything. Of a tree that was saved in part, or from an old kernel,
    whatever is there is used.
    """
    tree = _Tree(root)
    return Host(
        nodes=_Lazy(tree.nodes, tree.node) if tree.nodes else _Lazy([0], tree.only_node),
        cpus=_Lazy(tree.online, tree.cpu),
        boot=read(BOOT_ID) if root == SYS else None,
        arch=os.uname().machine if root == SYS else None,
        numad=tree.numad(),
        pci_node=tree.pci_node,
        sharing=(tree.sharing_l3, tree.in_cluster),
        siblings=tree.siblings,
    )


class _Tree:
    """A folder like `/sys`."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._system = os.path.join(root, "devices", "system")
        self.online = _online_cpus(os.path.join(self._system, "cpu"))
        if not self.online:
            fix = "name a folder like /sys, or a file with the output of virsh capabilities (--host caps.xml)"
            raise _unusable(f"{quote(root, 200)} is not the /sys of a Linux host", fix)
        self._online_ids = frozenset(self.online)
        self._siblings: dict[int, list[int]] = {}
        self.nodes = _online_nodes(os.path.join(self._system, "node"))
        if self.nodes and not os.path.isdir(os.path.join(self._system, "node", f"node{self.nodes.first}")):
            what = f"{quote(root, 200)} has no node{self.nodes.first}, although it lists it as online"
            raise _unusable(what, "save the whole tree again")

    def node(self, number: int) -> Node:
        folder = os.path.join(self._system, "node", f"node{number}")
        row = re.findall("[0-9]+", read(os.path.join(folder, "distance")) or "")
        return _node(
            CpuSet(_list_or_mask(os.path.join(folder, "cpulist"), os.path.join(folder, "cpumap"))) & self.online,
            read(os.path.join(folder, "meminfo")) or "",
            os.path.join(folder, "hugepages"),
            dict(zip(self.nodes, map(int, row))),
        )

    def only_node(self, number: int) -> Node:
        """The node of a kernel without NUMA."""
        meminfo = read(os.path.join(self._root, os.pardir, "proc", "meminfo")) or ""
        return _node(self.online, meminfo, os.path.join(self._root, "kernel", "mm", "hugepages"), {number: 10})

    def cpu(self, number: int) -> Cpu:
        folder = os.path.join(self._system, "cpu", f"cpu{number}", "topology")
        core = _id(os.path.join(folder, "core_id"))
        return Cpu(
            socket=_id(os.path.join(folder, "physical_package_id")) or 0,
            die=_id(os.path.join(folder, "die_id")) or 0,
            core=number if core is None else core,
            siblings=CpuSet(self.siblings(number)),
        )

    def siblings(self, number: int) -> list[int]:
        """Read once, however many places of a cputune count the cores."""
        if number not in self._siblings:
            folder = f"{self._system}/cpu/cpu{number}/topology"
            listed = _list_or_mask(f"{folder}/thread_siblings_list", f"{folder}/thread_siblings")
            self._siblings[number] = [thread for thread in listed if thread in self._online_ids] or [number]
        return self._siblings[number]

    def sharing_l3(self, number: int) -> list[int]:
        """The CPUs that share its L3; none if it has none."""
        folder = f"{self._system}/cpu/cpu{number}/cache"
        for index in sorted(entries(folder)):
            if _number(f"{folder}/{index}/level") == 3:
                return _list_or_mask(f"{folder}/{index}/shared_cpu_list", f"{folder}/{index}/shared_cpu_map")
        return []

    def in_cluster(self, number: int) -> list[int]:
        """The CPUs of its cluster, which have an L2 in common; none if the kernel (before 5.16) does not say."""
        folder = f"{self._system}/cpu/cpu{number}/topology"
        return _list_or_mask(f"{folder}/cluster_cpus_list", f"{folder}/cluster_cpus")

    def pci_node(self, address: str) -> int | None:
        return _number(os.path.join(self._root, "bus", "pci", "devices", address, "numa_node"))

    def numad(self) -> bool | None:
        """Whether the machine of the tree has it; None if its programs were not saved."""
        usr = os.path.join(self._root, os.pardir, "usr")
        return os.path.exists(os.path.join(usr, "bin", "numad")) if os.path.isdir(usr) else None


def _online_cpus(folder: str) -> CpuSet:
    """Those in `online`; without that file those with a topology, which only online CPUs have."""
    listed = _list(os.path.join(folder, "online"))
    if listed is None:
        listed = [cpu for cpu in _numbered(folder, "cpu") if os.path.isdir(f"{folder}/cpu{cpu}/topology")]
    return CpuSet(listed)


def _online_nodes(folder: str) -> CpuSet:
    """Those in `online`; without that file those that have a folder."""
    listed = _list(os.path.join(folder, "online"))
    return CpuSet(_numbered(folder, "node") if listed is None else listed)


def _numbered(folder: str, name: str) -> Iterator[int]:
    """The numbers of the entries such as `cpu7` in a folder."""
    for entry in entries(folder):
        found = re.fullmatch(f"{name}([0-9]{{1,5}})", entry)
        if found and int(found[1]) <= MAX_ID:
            yield int(found[1])


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
    for name in entries(folder):
        size = re.fullmatch("hugepages-([0-9]+)kB", name)
        if size:
            total = _number(f"{folder}/{name}/nr_hugepages")
            yield int(size[1]), Pages(total, 0 if total == 0 else _number(f"{folder}/{name}/free_hugepages"))


def entries(folder: str) -> list[str]:
    """The names in a folder; none if it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def read(path: str) -> str | None:
    """The text of a file in /sys, read without Python's I/O layers, which take longer than the kernel."""
    return _text(path, 65536)


def read_in_pieces(path: str) -> str | None:
    """The text of a file in /proc that the kernel gives a page at a time, whatever the size of the buffer."""
    return _text(path, 1)


def _text(path: str, full: int) -> str | None:
    """The text up to the first piece with fewer than `full` bytes; None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = piece = os.read(descriptor, 65536)
        while len(piece) >= full:
            piece = os.read(descriptor, 65536)
            content += piece
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return content.decode("utf-8", "replace").strip("\0 \n")  # some saved trees end a file with a NUL


def _list(path: str) -> list[int] | None:
    """The ids that the kernel lists in a file, such as `0-3,8`, in order; None if there is no such file."""
    text = read(path)
    if not text:
        return None if text is None else []
    try:
        return read_ids(text)
    except ValueError:
        what, fix = f"{quote(path, 200)} contains no list of ids", "save the tree of the host again"
        raise _unusable(what, fix) from None


def _list_or_mask(path: str, mask_path: str) -> list[int]:
    """The ids in a list or, without that file, in a mask such as `00000001,000000ff`; none without either."""
    listed = _list(path)
    if listed is not None:
        return listed
    words = (read(mask_path) or "").split(",")
    try:
        bits = int("".join(f"{int(word, 16):08x}" for word in words), 16)
    except ValueError:
        return []
    return [number for number in range(min(bits.bit_length(), MAX_ID + 1)) if bits >> number & 1]


def _number(path: str) -> int | None:
    """The number in a file; None if there is none, or the kernel has -1 for "not known"."""
    text = read(path) or ""
    return int(text) if text.isascii() and text.isdigit() else None


def _id(path: str) -> int | None:
    """The id in a file; None also for one above MAX_ID, of which no set can be made."""
    number = _number(path)
    return None if number is None or number > MAX_ID else number


def _unusable(what: str, fix: str) -> Refused:
    return Refused([Problem("host", what, fix, kind=INPUT)])

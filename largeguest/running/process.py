# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel knows of a running VM: the CPUs of its threads, and the nodes of its memory.

All but `mappings` may be read by every user. `root` is the folder with `proc`, `run` and `sys`: `/`, or a saved tree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from .. import cpuset
from ..host.neighbours import PID_FILES
from ..host.sysfs import entries, read, read_in_pieces
from ..host.topology import BASE_PAGES
from ..problem import ParseError
from ..record import Record
from ..values import Pins

MAX_BASE_PAGE = max(BASE_PAGES)


class Mapped(Record):
    """A mapping of a process with pages that could be the guest's: those of a file on a disk are left out."""

    policy: str
    """The kernel's memory policy for it, such as `bind:0-1`."""
    file: str
    """Empty for anonymous memory."""
    nodes: Mapping[int, int]
    """Node to KiB."""
    page: int = 4
    """KiB of its pages."""


def pid_of(domain: str, root: str = "/") -> int | None:
    """The process of a running domain of the system's QEMU driver; None if there is none here."""
    text = read(os.path.join(root, PID_FILES, f"{domain}.pid")) or ""
    return int(text) if re.fullmatch("[0-9]{1,10}", text) and os.path.isdir(_proc(root, int(text))) else None


def threads(pid: int, root: str = "/") -> Pins:
    """The CPUs that each thread of a QEMU process may run on; no threads if they cannot be read.

    libvirt has QEMU name them (`debug-threads=on`): `CPU 3/KVM`, `IO iothread1`. The emulator is the first thread.
    """
    vcpus, iothreads, emulator = {}, {}, None
    folder = os.path.join(_proc(root, pid), "task")
    for thread in entries(folder):
        status = read(os.path.join(folder, thread, "status")) or ""
        name, allowed = _field(status, "Name"), _field(status, "Cpus_allowed_list")
        try:
            cpus = cpuset.parse(allowed)
        except ParseError:
            continue
        vcpu, iothread = re.fullmatch(r"CPU ([0-9]+)/.*", name), re.fullmatch(r"IO iothread([0-9]+)", name)
        if vcpu:
            vcpus[int(vcpu[1])] = cpus
        elif iothread:
            iothreads[int(iothread[1])] = cpus
        elif int(thread) == pid:
            emulator = cpus
    return Pins(vcpus, iothreads, emulator)


def memory(pid: int, root: str = "/") -> dict[int, int] | None:
    """Node to KiB of the memory of a VM, QEMU's own included, huge pages excluded; None if it is not known.

    It is that of the control group (version 2) that libvirt makes for each VM.
    """
    found = re.findall("^(?:anon|shmem) (.*)", _numa_stat(pid, root) or "", re.MULTILINE)
    return add(_by_node(line, 1 / 1024) for line in found) if found else None


def _numa_stat(pid: int, root: str) -> str | None:
    """The file of a VM's control group; None if it has none of its own, as without a controller for memory."""
    found = re.search("^0::/(.*)", read(os.path.join(_proc(root, pid), "cgroup")) or "", re.MULTILINE)
    parts = found[1].split("/") if found else []
    own = (number for number, part in enumerate(parts, 1) if re.fullmatch(_OWN_GROUP, part))
    depth = next(own, None)
    if depth is None:
        return None
    return read_in_pieces(os.path.join(root, "sys/fs/cgroup", *parts[:depth], "memory.numa_stat"))


def mappings(pid: int, root: str = "/") -> list[Mapped] | None:
    """The mappings with memory, which only root and the process's own user may read; None if that is not allowed.

    The kernel walks every page for it, so this takes long for a large guest without huge pages.
    """
    text = read_in_pieces(os.path.join(_proc(root, pid), "numa_maps"))
    return list(filter(None, map(_mapping, text.splitlines()))) if text else None


def huge_pages(pid: int, root: str = "/") -> dict[tuple[int, int], int]:
    """Size in KiB and node to the number of huge pages that a process has, if `mappings` may be read.

    They are not read if it has none: the walk over all other pages would be in vain.
    """
    found: dict[tuple[int, int], int] = {}
    if _field(read(os.path.join(_proc(root, pid), "status")) or "", "HugetlbPages") == "0 kB":
        return found
    for mapped in mappings(pid, root) or ():
        if mapped.page > MAX_BASE_PAGE:
            for node, kib in mapped.nodes.items():
                found[mapped.page, node] = found.get((mapped.page, node), 0) + kib // mapped.page
    return found


_OWN_GROUP = r"machine-qemu.*\.scope|.*\.libvirt-qemu"
"""The folder of a VM below that of all machines, with systemd and without."""

_GUESTS_FILES = re.compile(r"/dev/(hugepages|shm)|/memfd:|.*\bram-node[0-9]|.*/libvirt/qemu/")
"""Files that can hold a guest's memory, other than QEMU's program and libraries."""


def _mapping(line: str) -> Mapped | None:
    words = re.fullmatch(r"[0-9a-f]+ ((?:weighted )?[a-z]+(?: \(many\))?(?:[:=]\S+)?)(?: file=(\S+))?(.*)", line)
    if words is None:
        return None
    policy, file, rest = words[1], words[2] or "", words[3]
    size = re.search(r" kernelpagesize_kB=([0-9]+)", rest)
    if size is None or (file and not _GUESTS_FILES.match(file)):
        return None
    return Mapped(policy, file, _by_node(rest, int(size[1])), int(size[1]))


def _by_node(text: str, factor: float) -> dict[int, int]:
    """`N0=12 N1=7` as node to KiB; nodes without any are left out."""
    found = ((int(node), int(int(count) * factor)) for node, count in re.findall(r"\bN([0-9]+)=([0-9]+)", text))
    return {node: kib for node, kib in found if kib}


def add(amounts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The sum for each node."""
    total: dict[int, int] = {}
    for by_node in amounts:
        for node, kib in by_node.items():
            total[node] = total.get(node, 0) + kib
    return dict(sorted(total.items()))


def _field(status: str, name: str) -> str:
    found = re.search(rf"^{name}:\t(.*)$", status, re.MULTILINE)
    return found[1].strip() if found else ""


def _proc(root: str, pid: int) -> str:
    return os.path.join(root, "proc", str(pid))

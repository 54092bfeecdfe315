# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for what the kernel and libvirt's daemon show of running VMs in /proc, /run and /sys/fs/cgroup.

The files have the form of those of Linux 6.1 and QEMU 7.2; tests/numa has the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from largeguest.cpuset import CpuSet

KIB_PER_PAGE = 4


def show(
    root: Path,
    name: str,
    pid: int,
    threads: Mapping[str, str],
    memory: Mapping[int, int] | None = None,
    mappings: str | None = None,
) -> None:
    """Show a VM. `threads` are cpusets by libvirt's names; `memory` is node to KiB, None: it has no control group.

    `mappings` are lines of numa_maps, None: the user may not read them.
    """
    (root / "run/libvirt/qemu").mkdir(parents=True, exist_ok=True)
    (root / f"run/libvirt/qemu/{name}.pid").write_text(f"{pid}\n")
    process = root / f"proc/{pid}"
    names = {"emulator": "qemu-system-x86", **{thread: _comm(thread) for thread in threads if thread != "emulator"}}
    everywhere = "0-1023"
    for number, (thread, comm) in enumerate(names.items()):
        folder = process / f"task/{pid + number}"
        folder.mkdir(parents=True, exist_ok=True)
        cpus = threads.get(thread, everywhere)
        (folder / "status").write_text(
            f"Name:\t{comm}\nUmask:\t0002\nState:\tS (sleeping)\nCpus_allowed:\tffff\nCpus_allowed_list:\t{cpus}\n"
        )
    helper = process / f"task/{pid + len(names)}"
    helper.mkdir(exist_ok=True)
    (helper / "status").write_text(f"Name:\tcall_rcu\nCpus_allowed_list:\t{everywhere}\n")
    group = f"machine.slice/machine-qemu\\x2d7\\x2d{name}.scope"
    (process / "cgroup").write_text(f"0::/{group}/libvirt/emulator\n" if memory is not None else "0::/user.slice\n")
    if memory is not None:
        folder = root / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        halves = {node: kib * 1024 // 2 for node, kib in memory.items()}
        line = " ".join(f"N{node}={size}" for node, size in halves.items())
        # a file's pages are not the guest's
        (folder / "memory.numa_stat").write_text(
            f"anon {line}\nfile N0=7000000000 N1=0\nkernel_stack N0=1\nshmem {line}\nanon_thp N0=999\n"
        )
    if mappings is not None:
        (process / "numa_maps").write_text(mappings)


def _comm(thread: str) -> str:
    return f"CPU {thread[4:]}/KVM" if thread.startswith("vcpu") else f"IO {thread}"


def mapping(policy: str, pages: Mapping[int, int], file: str = "", size: int = KIB_PER_PAGE) -> str:
    """A line of numa_maps; `pages` is node to number."""
    counts = " ".join(f"N{node}={count}" for node, count in pages.items())
    name = f" file={file}" if file else ""
    huge = " huge" if size > KIB_PER_PAGE else ""
    return f"7f2c40000000 {policy}{name}{huge} anon=9 dirty=9 active=0 {counts} kernelpagesize_kB={size}\n"


QEMUS_OWN = (
    mapping("default", {0: 1000}, "/usr/libexec/qemu-kvm")
    + "55d0c8a00000 default heap anon=500 dirty=500 N0=500 kernelpagesize_kB=4\n"
    + "7ffd1b000000 default stack anon=3 dirty=3 N0=3 kernelpagesize_kB=4\n"
    + "7f2c50000000 default\n"
)
"""The mappings of a QEMU beside its guest's memory: its program, heap and stack, and one that has not been used."""


def all_cpus(vcpus: int, cpus: CpuSet) -> dict[str, str]:
    """Threads that may run on all these CPUs."""
    return {**{f"vcpu{vcpu}": str(cpus) for vcpu in range(vcpus)}, "emulator": str(cpus), "iothread1": str(cpus)}

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel shows of a process, read from files like its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from largeguest.cpuset import CpuSet
from largeguest.running import process
from largeguest.running.process import Mapped
from largeguest.values import Pins

from .fake_kernel import QEMUS_OWN, mapping, show


def test_a_vm(tmp_path: Path) -> None:
    threads = {"vcpu0": "0", "vcpu11": "4-5,7", "emulator": "0-1", "iothread2": "3"}
    show(tmp_path, "db01", 4711, threads, {0: 2048, 3: 4096}, QEMUS_OWN)
    root = str(tmp_path)
    assert process.pid_of("db01", root) == 4711
    assert process.threads(4711, root) == Pins(
        {0: CpuSet([0]), 11: CpuSet([4, 5, 7])}, {2: CpuSet([3])}, CpuSet([0, 1])
    )
    assert process.memory(4711, root) == {0: 2048, 3: 4096}
    assert process.mappings(4711, root) == [
        Mapped("default", "", {0: 2000}),
        Mapped("default", "", {0: 12}),
    ]


def test_what_is_not_there(tmp_path: Path) -> None:
    root = str(tmp_path)
    show(tmp_path, "db01", 4711, {})
    assert process.memory(4711, root) is None  # that of all the user's processes is not the VM's
    assert process.mappings(4711, root) is None
    assert process.pid_of("db02", root) is None
    (tmp_path / "run/libvirt/qemu/db02.pid").write_text("4712\n")  # left over: it has ended
    (tmp_path / "run/libvirt/qemu/db03.pid").write_text("")
    assert [process.pid_of(name, root) for name in ("db02", "db03")] == [None, None]
    assert process.threads(4712, root) == Pins()
    assert process.memory(4712, root) is None
    assert process.mappings(4712, root) is None


@pytest.mark.parametrize(
    "group",
    [
        "machine.slice/machine-qemu\\x2d7\\x2ddb01.scope/libvirt/emulator",
        "machine.slice/machine-qemu\\x2d7\\x2ddb01.scope",
        "machine/qemu-1-db01.libvirt-qemu/libvirt/emulator",  # without systemd
    ],
)
def test_the_control_group(group: str, tmp_path: Path) -> None:
    show(tmp_path, "db01", 4711, {})
    (tmp_path / "proc/4711/cgroup").write_text(f"0::/{group}\n")
    folder = tmp_path / "sys/fs/cgroup" / "/".join(group.split("/")[:2])
    folder.mkdir(parents=True)
    (folder / "memory.numa_stat").write_text("anon N0=4096 N1=0\nfile N0=4096 N1=4096\nshmem N0=4096 N1=8192\n")
    assert process.memory(4711, str(tmp_path)) == {0: 8, 1: 8}


@pytest.mark.parametrize(
    ("line", "mapped"),
    [
        (mapping("bind:2", {2: 10, 3: 1}), Mapped("bind:2", "", {2: 40, 3: 4})),
        (mapping("prefer (many):0-1", {0: 5}), Mapped("prefer (many):0-1", "", {0: 20})),
        (mapping("bind=static:0-1", {0: 5}), Mapped("bind=static:0-1", "", {0: 20})),
        (mapping("weighted interleave:0-1", {1: 5}), Mapped("weighted interleave:0-1", "", {1: 20})),
        (
            mapping(
                "bind:1", {1: 3}, "/dev/hugepages/libvirt/qemu/1-db01/qemu_back_mem.ram-node1.x\\040(deleted)", 2**20
            ),
            Mapped(
                "bind:1",
                "/dev/hugepages/libvirt/qemu/1-db01/qemu_back_mem.ram-node1.x\\040(deleted)",
                {1: 3 * 2**20},
                2**20,
            ),
        ),
        (
            mapping("bind:1", {1: 3}, "/memfd:memory-backend-memfd\\040(deleted)"),
            Mapped("bind:1", "/memfd:memory-backend-memfd\\040(deleted)", {1: 12}),
        ),
        (
            mapping("bind:0", {0: 3}, "/var/lib/libvirt/qemu/ram/1-db01/ram-node0"),
            Mapped("bind:0", "/var/lib/libvirt/qemu/ram/1-db01/ram-node0", {0: 12}),
        ),
        (mapping("default", {0: 3}, "/usr/lib64/libc.so.6"), None),
        ("7f2c50000000 default\n", None),
        ("7f2c50000000 default anon=1 N0=1\n", None),
        ("what is this\n", None),
    ],
)
def test_mappings(line: str, mapped: Mapped | None, tmp_path: Path) -> None:
    show(tmp_path, "db01", 4711, {}, mappings=line)
    assert process.mappings(4711, str(tmp_path)) == ([] if mapped is None else [mapped])


def test_the_mappings_are_not_walked_for_huge_pages_of_a_process_without_any(tmp_path: Path) -> None:
    huge = mapping("bind:1", {1: 3}, "/dev/hugepages/libvirt/qemu/1-db01/ram-node0", 2048)
    show(tmp_path, "db01", 4711, {"vcpu0": "0"}, {0: 2048}, QEMUS_OWN + huge)
    status = tmp_path / "proc/4711/status"
    status.write_text("Name:\tqemu-system-x86\nHugetlbPages:\t    6144 kB\n")
    assert process.huge_pages(4711, str(tmp_path)) == {(2048, 1): 3}
    status.write_text("Name:\tqemu-system-x86\nHugetlbPages:\t       0 kB\n")
    assert process.huge_pages(4711, str(tmp_path)) == {}

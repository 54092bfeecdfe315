# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine on real libvirt and QEMU (emulated, no KVM), whose Linux prints the NUMA nodes that it sees."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from largeguest.cpuset import CpuSet
from tests import ROOT

KERNEL = ROOT / ".cache" / "vmlinuz"
BUSYBOX = Path(shutil.which("busybox") or "/bin/busybox")
NOBODY = 65534

# loglevel: the kernel's own messages would break up the guest's lines. The second line saves half of an emulated boot,
# most of it lpj: without it each CPU measures its speed.
CMDLINE = (
    "console=ttyS0 loglevel=1 panic=-1 mitigations=off nokaslr tsc=reliable "
    "lpj=4000000 cryptomgr.notests init_on_alloc=0 ipv6.disable=1"
)

# The first process of the guest: prints which CPUs its kernel can ever have, brings online what is plugged in, prints
# its nodes whenever they change, and counts on the console if its command line says so.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /dev /proc /sys
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
echo "GUEST-POSSIBLE $(cat /sys/devices/system/cpu/possible)"
echo online_movable >/sys/devices/system/memory/auto_online_blocks
if grep -q count /proc/cmdline; then
    (count=0; while :; do count=$((count + 1)); echo "GUEST-COUNT $count"; sleep 0.2; done) &
fi
while :; do
    for cpu in /sys/devices/system/cpu/cpu[0-9]*/online; do
        [ "$(cat $cpu)" = 1 ] || echo 1 >$cpu
    done
    nodes=$(for node in /sys/devices/system/node/node[0-9]*; do
        echo "GUEST-NODE ${node##*/node} $(awk '/MemTotal/ { print $4 }' $node/meminfo) $(cat $node/cpulist)" \\
            "$(cat $node/distance)"
    done)
    [ "$nodes" = "$before" ] || printf '%s\\nGUEST-READY\\n' "$nodes"
    before=$nodes
    sleep 0.3
done
"""


@dataclass(frozen=True)
class Node:
    """A NUMA node as the guest's kernel shows it."""

    cpus: str
    memory: int
    """KiB that the kernel reports, which is less than the cell has: it keeps some for itself."""
    distances: tuple[int, ...]


@dataclass(frozen=True)
class Thread:
    """A vCPU's thread on the host."""

    pid: int
    cpus_allowed: str


@dataclass(frozen=True)
class Ram:
    """A mapping with RAM of the guest: the kernel's memory policy for it, KiB, and the nodes of its pages."""

    policy: str
    memory: int
    nodes: CpuSet


class Libvirt:
    """A connection to a libvirt daemon through virsh, with the files of its guests in the folder `home`."""

    def __init__(self, home: Path, uri: str, user: int = 0, boot_seconds: float = 180) -> None:
        self.home, self._uri, self._user, self._boot_seconds = home, uri, user, boot_seconds
        self.console = home / "console"
        self.more_cmdline = ""
        home.chmod(0o755)
        os.chown(home, user, user)
        shutil.copyfile(KERNEL, home / "vmlinuz")
        make_initrd(home)

    def virsh(self, *arguments: str) -> str:
        """What virsh prints; raises RuntimeError with its complaint."""
        names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        result = subprocess.run(
            ["virsh", "-q", "-c", self._uri, *arguments],
            env={**os.environ, "LC_ALL": "C", **dict.fromkeys(names, str(self.home))},
            cwd=self.home,
            user=self._user,
            group=self._user,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"virsh {arguments[0]}: {result.stderr.strip() or result.returncode}")
        return result.stdout

    def live(self, name: str) -> etree._Element:
        """The XML of a running domain."""
        return etree.fromstring(self.virsh("dumpxml", name))

    def threads(self, name: str) -> dict[int, Thread]:
        """vCPU to its thread."""
        return {
            cpu["cpu-index"]: Thread(cpu["thread-id"], _status(cpu["thread-id"], "Cpus_allowed_list"))
            for cpu in self._cpus(name)
        }

    def cells(self, name: str) -> dict[int, str]:
        """The plugged-in CPUs of each cell, as QEMU has them."""
        found: dict[int, set[int]] = {}
        for cpu in self._cpus(name):
            found.setdefault(cpu["props"]["node-id"], set()).add(cpu["cpu-index"])
        return {cell: str(CpuSet(cpus)) for cell, cpus in found.items()}

    def _cpus(self, name: str) -> list[dict[str, Any]]:
        answer = json.loads(self.virsh("qemu-monitor-command", name, '{"execute": "query-cpus-fast"}'))
        return list(answer["return"])

    def ram(self, name: str) -> list[Ram]:
        """The mappings that hold the guest's RAM, from `/proc/<pid>/numa_maps`."""
        process = Path(f"/proc/{self.pid(name)}")
        sizes = {}
        for line in (process / "maps").read_text().splitlines():
            start, end = line.split()[0].split("-")
            sizes[start.lstrip("0")] = (int(end, 16) - int(start, 16)) // 1024
        cell_sizes = {int(cell.get("memory", "")) for cell in self.live(name).iterfind("cpu/numa/cell")}
        found = []
        for line in (process / "numa_maps").read_text().splitlines():
            address, policy, *_ = line.split()
            if sizes.get(address) in cell_sizes:
                nodes = CpuSet(map(int, re.findall(r" N(\d+)=", line)))
                found.append(Ram(policy, sizes[address], nodes))
        return found

    def pid(self, name: str) -> int:
        """The process of the running domain."""
        return int(_status(self.threads(name)[0].pid, "Tgid"))

    @contextlib.contextmanager
    def running(self, document: bytes, *options: str) -> Iterator[str]:
        """Run the domain, adapted to this machine, during the block; gives its name. `options` are virsh's."""
        root = etree.fromstring(document)
        self._fit(root)
        self.console.write_text("")
        self.console.chmod(0o666)
        domain = self.file("domain.xml", etree.tostring(root))
        self.virsh("create", domain, *options)
        name = root.findtext("name", "")
        try:
            if not options:
                self._boot(name, domain)
            yield name
        finally:
            with contextlib.suppress(RuntimeError):  # it may have migrated
                self.virsh("destroy", name)

    def _boot(self, name: str, domain: str, tries: int = 3) -> None:
        """Wait until the guest is up. An emulated kernel now and then hangs, or panics, which ends QEMU: boot again."""
        for left in reversed(range(tries)):
            end = time.monotonic() + self._boot_seconds
            while self._is_running(name) and time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    self.seen_by_guest(seconds=5)
                    return
            if not left:
                text = self.console.read_text(errors="replace")
                raise TimeoutError(f"the guest did not boot in {tries} tries, its console ends with {text[-500:]!r}")
            self.virsh(*(("reset", name) if self._is_running(name) else ("create", domain)))

    def _is_running(self, name: str) -> bool:
        return name in self.virsh("list", "--name").split()

    def file(self, name: str, content: bytes) -> str:
        """Write a file for virsh; gives its path."""
        path = self.home / name
        path.write_bytes(content)
        return str(path)

    def _fit(self, root: etree._Element) -> None:
        """Change the domain into one that can start here: QEMU's emulator, a kernel instead of a disk, no CPU model."""
        root.set("type", "qemu")
        for cpu in root.iterfind("cpu"):
            cpu.attrib.clear()
        for parent, names in (("cpu", ("model", "feature")), ("os", ("boot",)), ("cputune", ("shares",))):
            for name in names:
                _remove(root.findall(f"{parent}/{name}"))
        for devices in root.iterfind("devices"):
            _remove([device for device in devices if device.tag not in ("controller", "memory")])
            serial = etree.SubElement(devices, "serial", {"type": "file"})
            etree.SubElement(serial, "source", {"path": str(self.console), "append": "on"})
            etree.SubElement(devices, "memballoon", {"model": "none"})
        for os_element in root.iterfind("os"):
            etree.SubElement(os_element, "kernel").text = str(self.home / "vmlinuz")
            etree.SubElement(os_element, "initrd").text = str(self.home / "initrd.img")
            etree.SubElement(os_element, "cmdline").text = f"{CMDLINE} {self.more_cmdline}".strip()

    def seen_by_guest(
        self, until: Callable[[dict[int, Node]], bool] = lambda nodes: bool(nodes), seconds: float = 120
    ) -> dict[int, Node]:
        """The guest's NUMA nodes, as soon as `until` accepts them; raises TimeoutError."""
        end = time.monotonic() + seconds
        while True:
            text = self.console.read_text(errors="replace")
            *complete, _ = text.split("GUEST-READY")
            lines = re.findall(r"GUEST-NODE (\d+) (\d+) (\S*) ([\d ]+)", complete[-1]) if complete else []
            nodes = {
                int(number): Node(cpus, int(kib), tuple(map(int, row.split()))) for number, kib, cpus, row in lines
            }
            if until(nodes):
                return nodes
            if time.monotonic() > end:
                raise TimeoutError(f"after {seconds} s the guest sees {nodes}, its console ends with {text[-500:]!r}")
            time.sleep(0.1)


@contextlib.contextmanager
def session() -> Iterator[Libvirt]:
    """A separate `qemu:///session`, as the user nobody: it starts on demand, and is ended with everything it left."""
    with tempfile.TemporaryDirectory(prefix="largeguest-") as home:
        libvirt = Libvirt(Path(home), "qemu:///session", NOBODY)
        libvirt.virsh("uri")
        try:
            yield libvirt
        finally:
            for daemon in (Path(home) / "libvirt").glob("*d.pid"):  # libvirtd, or virtqemud and others
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends when unused for a while
                    end_process(int(daemon.read_text()))


def end_process(pid: int) -> None:
    """Terminate a process, and wait until it has ended."""
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    select.select([descriptor], [], [], 30)
    os.close(descriptor)


def make_initrd(folder: Path) -> None:
    """Create `initrd.img` in `folder`: an initramfs with busybox and INIT."""
    files = folder / "initrd"
    (files / "bin").mkdir(parents=True)
    (files / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (files / "init").write_text(INIT)
    for name in ("bin/busybox", "init"):
        (files / name).chmod(0o755)
    (folder / "initrd.img").write_bytes(pack(files))


def pack(files: Path) -> bytes:
    """An initramfs with what is in a folder."""
    names = "".join(f"{path.relative_to(files)}\n" for path in sorted(files.rglob("*")))
    command = ["cpio", "--create", "--format=newc", "--quiet"]
    return subprocess.run(command, cwd=files, input=names.encode(), capture_output=True, check=True).stdout


def _remove(elements: list[etree._Element]) -> None:
    for element in elements:
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)


def _status(pid: int | str, field: str) -> str:
    found = re.search(rf"^{field}:\s*(\S+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found, f"/proc/{pid}/status has no {field}"
    return found[1]

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from tests import ROOT

KERNEL = ROOT / ".cache" / "vmlinuz"
BUSYBOX = Path("/bin/busybox")
NOBODY = 65534

# The first process of the guest. It stays, so that the guest's threads and memory can be looked at.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
for node in /sys/devices/system/node/node[0-9]*; do
    kib=$(/bin/busybox awk '/MemTotal/ { print $4 }' $node/meminfo)
    echo "GUEST-NODE ${node##*/node} $kib $(/bin/busybox cat $node/cpulist)"
done
echo GUEST-READY
/bin/busybox sleep 86400
"""


@dataclass(frozen=True)
class Node:
    """A NUMA node as the guest's kernel shows it."""

    cpus: str
    memory: int
    """KiB that the kernel counts, which is less than the cell has: it keeps some for itself."""


@dataclass(frozen=True)
class Thread:
    """A vCPU's thread on the host."""

    pid: int
    cpus_allowed: str


class Libvirt:
    """A libvirt daemon of its own (`qemu:///session`), run as `nobody` with all its files under `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.console = home / "console"
        home.chmod(0o755)
        os.chown(home, NOBODY, NOBODY)
        shutil.copyfile(KERNEL, home / "vmlinuz")
        make_initrd(home)

    def virsh(self, *arguments: str) -> str:
        """What virsh prints; raises RuntimeError with its complaint."""
        names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        result = subprocess.run(
            ["virsh", "-q", "-c", "qemu:///session", *arguments],
            env={**os.environ, "LC_ALL": "C", **dict.fromkeys(names, str(self.home))},
            cwd=self.home,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"virsh {arguments[0]}: {result.stderr.strip()}")
        return result.stdout

    def threads(self, name: str) -> dict[int, Thread]:
        """vCPU to its thread."""
        answer = json.loads(self.virsh("qemu-monitor-command", name, '{"execute": "query-cpus-fast"}'))
        return {
            cpu["cpu-index"]: Thread(cpu["thread-id"], _status(cpu["thread-id"], "Cpus_allowed_list"))
            for cpu in answer["return"]
        }

    def memory_policies(self, name: str) -> list[tuple[str, int]]:
        """The policy and the KiB of each mapping that holds the guest's RAM, from `/proc/<pid>/numa_maps`."""
        pid = _status(self.threads(name)[0].pid, "Tgid")
        sizes = {}
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = line.split()[0].split("-")
            sizes[start.lstrip("0")] = (int(end, 16) - int(start, 16)) // 1024
        cells = {int(cell.get("memory", "")) for cell in self._live(name).iterfind("cpu/numa/cell")}
        policies = []
        for line in Path(f"/proc/{pid}/numa_maps").read_text().splitlines():
            address, policy = line.split()[:2]
            if sizes.get(address) in cells:
                policies.append((policy, sizes[address]))
        return policies

    def _live(self, name: str) -> etree._Element:
        return etree.fromstring(self.virsh("dumpxml", name))

    @contextlib.contextmanager
    def running(self, document: bytes) -> Iterator[str]:
        """Run the domain, made fit for here, until the end of the block; gives its name."""
        root = etree.fromstring(document)
        self._fit(root)
        self.console.write_text("")
        self.console.chmod(0o666)
        path = self.home / "domain.xml"
        path.write_bytes(etree.tostring(root))
        self.virsh("create", str(path))
        name = root.findtext("name", "")
        try:
            yield name
        finally:
            self.virsh("destroy", name)

    def _fit(self, root: etree._Element) -> None:
        """Change the domain to what can start here: QEMU's emulator, a kernel instead of a disk, no CPU model."""
        root.set("type", "qemu")
        for cpu in root.iterfind("cpu"):
            cpu.attrib.clear()
        for parent, names in (("cpu", ("model", "feature")), ("os", ("boot",)), ("cputune", ("shares",))):
            for name in names:
                _remove(root.findall(f"{parent}/{name}"))
        for devices in root.iterfind("devices"):
            _remove([device for device in devices if device.tag not in ("controller", "memory")])
            serial = etree.SubElement(devices, "serial", {"type": "file"})
            etree.SubElement(serial, "source", {"path": str(self.console)})
            etree.SubElement(devices, "memballoon", {"model": "none"})
        for os_element in root.iterfind("os"):
            etree.SubElement(os_element, "kernel").text = str(self.home / "vmlinuz")
            etree.SubElement(os_element, "initrd").text = str(self.home / "initrd.img")
            etree.SubElement(os_element, "cmdline").text = "console=ttyS0 panic=-1 mitigations=off nokaslr tsc=reliable"

    def seen_by_guest(self, seconds: float = 120) -> dict[int, Node]:
        """The guest's NUMA nodes, as soon as it has told them on its console."""
        end = time.monotonic() + seconds
        while "GUEST-READY" not in (text := self.console.read_text(errors="replace")):
            if time.monotonic() > end:
                raise TimeoutError(f"the guest told nothing in {seconds} s, its console ends with {text[-500:]!r}")
            time.sleep(0.1)
        found = re.findall(r"GUEST-NODE (\d+) (\d+) (\S+)", text)
        return {int(number): Node(cpus, int(kib)) for number, kib, cpus in found}


@contextlib.contextmanager
def libvirt() -> Iterator[Libvirt]:
    """Start a daemon, and end it with all that it left."""
    with tempfile.TemporaryDirectory(prefix="largeguest-") as home:
        session = Libvirt(Path(home))
        session.virsh("uri")
        try:
            yield session
        finally:
            daemon = os.pidfd_open(int((Path(home) / "libvirt/libvirtd.pid").read_text()))
            signal.pidfd_send_signal(daemon, signal.SIGTERM)
            select.select([daemon], [], [], 30)
            os.close(daemon)


def make_initrd(folder: Path) -> None:
    """Make `initrd.img` in `folder`: an initramfs with busybox and INIT."""
    files = folder / "initrd"
    (files / "bin").mkdir(parents=True)
    (files / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (files / "init").write_text(INIT)
    for name in ("bin/busybox", "init"):
        (files / name).chmod(0o755)
    names = "".join(f"{path.relative_to(files)}\n" for path in sorted(files.rglob("*")))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=files, input=names.encode(), capture_output=True, check=True
    )
    (folder / "initrd.img").write_bytes(archive.stdout)


def _remove(elements: list[etree._Element]) -> None:
    for element in elements:
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)


def _status(pid: int | str, field: str) -> str:
    found = re.search(rf"^{field}:\s*(\S+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found, f"/proc/{pid}/status has no {field}"
    return found[1]

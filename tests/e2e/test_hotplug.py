# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs and memory that are plugged into a running guest are in the right cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from largeguest import VERSION
from tests import DATA

from . import daemon
from .daemon import Daemon
from .guest import Libvirt, Node
from .host import Host

HOTPLUG = (DATA / "hotplug.xml").read_text(encoding="utf-8")
UUID = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01"
TYPED = {"guestnuma": "0-1#262144,2-3#262144"}


@pytest.fixture(scope="module")
def system(workplace: Path, ovirt_host: Host) -> Iterator[Daemon]:
    with daemon.system(workplace / "system", 1, ovirt_host) as running:
        yield running


def cpus(nodes: dict[int, Node]) -> dict[int, str]:
    return {number: node.cpus for number, node in nodes.items()}


def assert_cpus(libvirt: Libvirt, name: str, cells: dict[int, str]) -> None:
    """QEMU has them in these cells, and the guest too.

    But kernels from late 2025 on count CPUs that can be plugged in only under a hypervisor that they know. Emulation
    is none, so there they see only those that they booted with.
    """
    assert libvirt.cells(name) == cells
    if "GUEST-POSSIBLE 0-7" in libvirt.console.read_text(errors="replace"):
        libvirt.seen_by_guest(lambda nodes: cpus(nodes) == cells)


def test_a_plugged_socket_is_whole_in_a_cell(ovirt_host: Host, libvirt: Libvirt) -> None:
    domxml, said = ovirt_host.run_hooks("before_vm_start", HOTPLUG, TYPED)
    assert said == f"largeguest {VERSION}: guestnuma: 2 cells, 8 vCPUs, 512 MiB; replaced 1 cell\n"
    with libvirt.running(domxml.encode()) as name:
        assert_cpus(libvirt, name, {0: "0-1", 1: "2-3"})
        libvirt.virsh("setvcpus", name, "6", "--live")
        assert_cpus(libvirt, name, {0: "0-1,4-5", 1: "2-3"})
        libvirt.virsh("setvcpus", name, "8", "--live")
        assert_cpus(libvirt, name, {0: "0-1,4-5", 1: "2-3,6-7"})


def test_the_next_start_with_more_cpus_has_the_same_cells(ovirt_host: Host, libvirt: Libvirt) -> None:
    """As after a CPU hot-plug and a crash: the engine sends the new number, but the property is the old one."""
    domxml, said = ovirt_host.run_hooks("before_vm_start", HOTPLUG.replace('current="4"', 'current="6"'), TYPED)
    assert said == (
        f"largeguest {VERSION}: guestnuma: 2 cells, 8 vCPUs, 512 MiB; replaced 1 cell; "
        "largeguest: warning: guestnuma: vCPUs 4-5 are plugged in but not named, and distributed over the cells by "
        "guest socket: name them if they should be elsewhere\n"
    )
    with libvirt.running(domxml.encode()):
        assert cpus(libvirt.seen_by_guest()) == {0: "0-1,4-5", 1: "2-3"}


def dimm(mebibytes: int) -> str:
    """A memory device as the engine defines it: always for guest node 0."""
    return (
        f"<memory model='dimm'><target><size unit='MiB'>{mebibytes}</size><node>0</node></target>"
        f"<alias name='ua-{mebibytes}'/></memory>"
    )


def test_plugged_memory_is_in_the_cell_that_has_the_least(system: Daemon) -> None:
    libvirt, host = system.libvirt, system.host
    typed = {"guestnuma": "0-1#393216,2-3#131072"}
    domxml, _ = host.run_hooks("before_vm_start", HOTPLUG, typed)
    with libvirt.running(domxml.encode()) as name:
        before = libvirt.seen_by_guest()
        for mebibytes, node in ((128, 1), (256, 1), (384, 0)):
            device, said = host.run_hooks("before_memory_hotplug", dimm(mebibytes), {**typed, "vmId": UUID})
            assert (f"<node>{node}</node>" in device, said) == (True, "")
            libvirt.virsh("attach-device", name, libvirt.file("device.xml", device.encode()), "--live")
        after = libvirt.seen_by_guest(lambda nodes: nodes[0].memory - before[0].memory == 384 * 1024)
        assert after[1].memory - before[1].memory == (128 + 256) * 1024

        # VDSM unplugs with the XML that libvirt reports
        reported = [
            device
            for device in libvirt.live(name).iterfind("devices/memory")
            if device.findtext("target/size") == str(256 * 1024)
        ]
        assert [device.findtext("target/node") for device in reported] == ["1"]
        libvirt.virsh("detach-device", name, libvirt.file("unplug.xml", etree.tostring(reported[0])), "--live")
        libvirt.seen_by_guest(lambda nodes: nodes[1].memory - before[1].memory == 128 * 1024)


def test_without_a_running_vm_the_device_is_unchanged(ovirt_host: Host) -> None:
    """No daemon has this VM."""
    assert ovirt_host.run_hooks("before_memory_hotplug", dimm(128), TYPED) == (dimm(128), "")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad layouts: the hook refuses each; and what libvirt does with those that it silently accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lxml import etree

from tests import DATA
from tests.vdsm import HookError

from .guest import Libvirt
from .host import Host

PLAIN = (DATA / "plain.xml").read_text(encoding="utf-8")
HOTPLUG = (DATA / "hotplug.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({"guestnuma": "0-1#262144,2-3#327680"}, "the cells have 576 MiB, but the VM has 512 MiB"),
        ({"guestnuma": "0-1#262144,2-3#131072"}, "the cells have 384 MiB, but the VM has 512 MiB"),
        ({"cputune": "0#0,9#0"}, "vCPU 9 does not exist"),
        ({"guestnuma": "0#262144,2-3#262144"}, "vCPU 1 is in no cell"),
        ({"cputune": "0#4711"}, "CPU 4711 is not online on this host"),
        ({"numatune": "strict#77"}, "node 77 is not on this host"),
        ({"numatune": "preferred#0-1"}, "preferred names nodes 0-1"),
        ({"guestnuma": "0-1#262656,2-3#261632"}, "cell 0 has 262656 KiB, which is not a multiple of 1 MiB"),
        ({"guestnuma": "0-1#524288,2-3#0"}, "cell 1 has 0 KiB"),
        ({"cputune": "iothread9#0"}, "iothread 9 does not exist"),
        ({"guestnuma": "0-1#*@0,2-3#*@0", "numatune": "auto"}, "@ cannot be combined with numatune's auto"),
        ({"cputune": "0#0,0#1"}, "vCPU 0 is pinned more than once"),
        ({"guestnuma": "0-2#262144,2-3#262144"}, "vCPU 2 is in more than one cell"),
        ({"guestnuma": "0-1#262144,2-4#262144"}, "vCPU 4 does not exist"),
        ({"cputune": "0#1,^1"}, '"1,^1" leaves nothing'),
    ],
)
def test_a_bad_layout_is_refused_before_libvirt_sees_it(ovirt_host: Host, typed: dict[str, str], why: str) -> None:
    with pytest.raises(HookError) as caught:
        ovirt_host.run_hooks("before_vm_start", PLAIN, typed)
    assert why in str(caught.value)


@pytest.mark.parametrize("policy", ['mode="restrictive" nodeset="0"', 'placement="auto"'])
def test_memnodes_with_a_policy_that_libvirt_does_not_combine_with_them(ovirt_host: Host, policy: str) -> None:
    document = PLAIN.replace("<devices>", f"<numatune><memory {policy}/></numatune><devices>")
    with pytest.raises(HookError) as caught:
        ovirt_host.run_hooks("before_vm_start", document, {"guestnuma": "0-1#*@0,2-3#*@0"})
    assert "that the VM already has: set numatune too" in str(caught.value)


def test_memnodes_of_cells_that_are_gone_never_reach_libvirt(ovirt_host: Host) -> None:
    vnuma = (DATA / "vnuma.xml").read_text(encoding="utf-8").replace('<page size="1048576"></page>', "")
    domxml, _ = ovirt_host.run_hooks("before_vm_start", vnuma, {"guestnuma": "0-15#20971520"})
    define(domxml)
    with pytest.raises(subprocess.CalledProcessError):
        define(vnuma.replace('cellid="2"', 'cellid="3"'))


def define(domxml: str) -> None:
    """Define the domain on libvirt's test driver, which knows no other types than its own."""
    root = etree.fromstring(domxml.encode())
    root.set("type", "test")
    root.find("os/type").set("arch", "i686")  # type: ignore[union-attr]
    command = ["virsh", "-c", "test:///default", "define", "/dev/stdin"]
    subprocess.run(command, input=etree.tostring(root), capture_output=True, check=True)


@pytest.mark.parametrize(
    ("source", "typed"),
    [
        (PLAIN, {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}),
        (HOTPLUG, {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}),
    ],
)
def test_the_result_defines(ovirt_host: Host, source: str, typed: dict[str, str]) -> None:
    define(ovirt_host.run_hooks("before_vm_start", source, typed)[0])


def without_hook(libvirt: Libvirt, cputune: str = "", numa: str = "") -> etree._Element:
    """libvirt's XML of a domain that was changed by hand; it stays paused."""
    domxml = PLAIN.replace("<cputune>", f"<cputune>{cputune}").replace(
        "</cpu>", f"<numa>{numa}</numa></cpu>" if numa else "</cpu>"
    )
    with libvirt.running(domxml.encode(), "--paused") as name:
        return libvirt.live(name)


def cell(number: int, cpus: str, memory: int) -> str:
    return f"<cell id='{number}' cpus='{cpus}' memory='{memory}'/>"


def test_libvirt_changes_the_vms_memory_to_the_sum_of_the_cells(libvirt: Libvirt) -> None:
    assert without_hook(libvirt, numa=cell(0, "0-3", 589824)).findtext("memory") == "589824"


def test_libvirt_drops_a_pin_of_a_vcpu_that_does_not_exist(libvirt: Libvirt) -> None:
    pins = "<vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='9' cpuset='0'/>"
    assert [pin.get("vcpu") for pin in without_hook(libvirt, pins).iterfind("cputune/vcpupin")] == ["0"]


def test_libvirt_puts_vcpus_without_a_cell_into_the_first(libvirt: Libvirt) -> None:
    root = without_hook(libvirt, numa=cell(0, "0", 262144) + cell(1, "2", 262144))
    assert [found.get("cpus") for found in root.iterfind("cpu/numa/cell")] == ["0-1,3", "2"]


def test_libvirt_rounds_a_cell_up(libvirt: Libvirt) -> None:
    root = without_hook(libvirt, numa=cell(0, "0-1", 262145) + cell(1, "2-3", 262143))
    assert root.findtext("memory") == str(524288 + 1024)


def test_a_vm_that_has_run_is_left_alone(ovirt_host: Host, libvirt: Libvirt, tmp_path: Path) -> None:  # noqa: ARG001
    with libvirt.running(PLAIN.encode(), "--paused") as name:
        ran = libvirt.virsh("dumpxml", name)
    assert ovirt_host.run_hooks("before_vm_start", ran, {"cputune": "77#77"})[0] == ran

# SPDX-License-Identifier: GPL-2.0-or-later
"""What cputune was resolved to is recorded in the VM's metadata, and held from then on."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from largeguest.cpuset import CpuSet
from largeguest.domxml import NAMESPACE
from largeguest.host import sysfs
from largeguest.host.topology import Host
from largeguest.record import replace
from tests import hosts

from .fake_libvirt import CONSTANTS, Domain, World, libvirtError
from .test_keeper import keeper, vm, world  # noqa: F401 (fixtures)

BOOT = Path(sysfs.BOOT_ID).read_text(encoding="ascii").strip()
"""The saved tree counts as this machine's /sys, so this is the host's boot."""

ELSEWHERE = "11111111-2222-4333-8444-555555555555"

CORES = "0-3#=node1.core0-1"
"""On CPUs 4 to 7, while all of them are online."""

OF_CORES = {"vcpu0": "4", "vcpu1": "5", "vcpu2": "6", "vcpu3": "7"}


def layout(host: str, cputune: str, prefix: str = "largeguest") -> dict[str, str]:
    text = f"<{prefix}:layout xmlns:{prefix}='{NAMESPACE}' host='{host}' cputune='{cputune}'/>"
    return {NAMESPACE: text}


def recorded(domain: Domain) -> tuple[str, str]:
    found = re.search(r'host="(.*?)" cputune="(.*?)"', domain.metadata[NAMESPACE])
    assert found
    return found[1], found[2]


def without(host: Host, cpu: int) -> Host:
    """The host after a CPU has been switched off."""
    gone = CpuSet([cpu])
    nodes = {number: replace(node, cpus=node.cpus - gone) for number, node in host.nodes.items()}
    cpus = {number: replace(own, siblings=own.siblings - gone) for number, own in host.cpus.items() if number != cpu}
    return replace(host, nodes=nodes, cpus=cpus)


def test_what_has_no_record_is_resolved_and_recorded(world: World, keeper: ModuleType) -> None:  # noqa: F811
    domain = vm(world, f"{CORES},emulator#0-1")
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.pins == {**OF_CORES, "emulator": "0,1"}
    assert recorded(domain) == (BOOT, "0#4,1#5,2#6,3#7,emulator#0-1")


def test_the_cpus_stay_while_others_go_offline(
    world: World,  # noqa: F811
    keeper: ModuleType,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The cores of a node are counted by their online CPUs, so all names but the record move."""
    host = hosts.build(cores_per_node=4)
    monkeypatch.setattr(sysfs, "SYS", hosts.save(host, tmp_path / "all"))
    domain = vm(world, "0-1#=node0.core2")

    def switch_off_core_0() -> None:
        monkeypatch.setattr(sysfs, "SYS", hosts.save(without(without(host, 0), 1), tmp_path / "fewer"))
        domain.move("vcpu0", "2-15")

    world.after(1, switch_off_core_0)
    world.stop_after(3)
    keeper.keep("qemu:///system")
    assert {domain.pins["vcpu0"], domain.pins["vcpu1"]} == {"4", "5"}


@pytest.mark.parametrize("prefix", ["largeguest", "ns1"])
def test_a_keeper_that_starts_later_holds_the_record(world: World, keeper: ModuleType, prefix: str) -> None:  # noqa: F811
    """VDSM rewrites the metadata with prefixes of its own."""
    domain = vm(world, CORES, metadata=layout(BOOT, "0#8,1#9,2#10,3#11", prefix))
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.pins == {"vcpu0": "8", "vcpu1": "9", "vcpu2": "10", "vcpu3": "11"}


@pytest.mark.parametrize(
    "metadata",
    [
        {},  # lost, as after a memory snapshot
        layout(ELSEWHERE, "0#8,1#9,2#10,3#11"),  # arrived, or resumed after a boot
        layout(BOOT, "0#8,1#"),  # not ours
        layout(BOOT, "0-3#node7"),
        layout(BOOT, ""),
        {NAMESPACE: f"<x:layout xmlns:x='{NAMESPACE}'/>"},
    ],
    ids=["lost", "elsewhere", "broken", "place", "empty", "bare"],
)
def test_a_record_that_does_not_hold_here_is_made_again(
    world: World,  # noqa: F811
    keeper: ModuleType,  # noqa: F811
    metadata: dict[str, str],
) -> None:
    domain = vm(world, CORES, metadata=metadata)
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.pins == OF_CORES
    assert recorded(domain) == (BOOT, "0#4,1#5,2#6,3#7")


def test_what_is_plugged_in_later_is_added(
    world: World,  # noqa: F811
    keeper: ModuleType,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The iothread took the CPU after the vCPUs: it keeps that, and the next vCPU takes the next free one."""
    domain = vm(world, "all#=node0,iothread1#=node0", vcpus=2)

    def plug(vcpus: int) -> None:
        domain.vcpus = vcpus
        domain.move(f"vcpu{vcpus - 1}", "0-15")

    world.after(1, lambda: plug(3))
    world.after(2, lambda: plug(4))
    world.after(3, lambda: domain.move("vcpu0", "0-15"))
    world.stop_after(4)
    keeper.keep("qemu:///system")
    assert domain.pins == {"vcpu0": "0", "vcpu1": "1", "iothread1": "2", "vcpu2": "3", "vcpu3": "0,1,2,3"}
    assert recorded(domain) == (BOOT, "0#0,1#1,2#3,3#0-3,iothread1#2")
    said = capfd.readouterr().err
    assert said.count("has no CPU left for vCPU 3, plugged in later: it floats over CPUs 0-3") == 1
    assert "left as they are" not in said


def test_the_record_is_written_when_libvirt_can(world: World, keeper: ModuleType) -> None:  # noqa: F811
    domain = vm(world, CORES)
    domain.unwritable = libvirtError("cannot acquire state change lock", CONSTANTS["VIR_ERR_OPERATION_TIMEOUT"])

    def recover() -> None:
        domain.unwritable = None

    world.after(1, recover)
    world.stop_after(60)
    keeper.keep("qemu:///system")
    assert domain.pins == OF_CORES
    assert recorded(domain) == (BOOT, "0#4,1#5,2#6,3#7")


def test_a_cpu_that_goes_offline_takes_no_other_pin_away(
    world: World,  # noqa: F811
    keeper: ModuleType,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What floats uses the CPUs that are left, what has none is left alone; all is as before when they are back."""
    domain = vm(world, "0-1#node0,2#4,3#=node1.core1")
    everything, fewer = sysfs.SYS, without(without(hosts.FOUR_NODES, 3), 4)

    def look_at(sys: str) -> None:
        monkeypatch.setattr(sysfs, "SYS", sys)
        for vcpu in range(4):
            domain.move(f"vcpu{vcpu}", "8-15")

    world.after(1, lambda: look_at(hosts.save(fewer, tmp_path / "fewer")))
    world.after(2, lambda: seen.append(dict(domain.pins)))
    world.after(3, lambda: look_at(everything))
    world.stop_after(4)
    seen: list[dict[str, str]] = []
    keeper.keep("qemu:///system")
    assert seen == [{"vcpu0": "0,1,2", "vcpu1": "0,1,2", "vcpu2": "8-15", "vcpu3": "6"}]
    assert domain.pins == {"vcpu0": "0,1,2,3", "vcpu1": "0,1,2,3", "vcpu2": "4", "vcpu3": "6"}
    assert recorded(domain) == (BOOT, "0-1#0-3,2#4,3#6")
    said = capfd.readouterr().err
    assert said.count("vcpu2 is pinned to CPU 4, which is not online") == 1
    assert "left as they are" not in said


def test_what_is_wrong_with_one_thread_takes_no_other_pin_away(
    world: World,  # noqa: F811
    keeper: ModuleType,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A place that is gone by the time that a vCPU is plugged in."""
    domain = vm(world, "all#=node1.core7", vcpus=3, metadata=layout(BOOT, "0#14,1#15"))
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.pins == {"vcpu0": "14", "vcpu1": "15"}
    assert 'warning: cputune: VM "db01": node1 has no core 7' in capfd.readouterr().err

# SPDX-License-Identifier: GPL-2.0-or-later
"""A real live migration between libvirt daemons; a host that cannot hold the layout refuses while the VM runs on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from lxml import etree

from largeguest.cpuset import CpuSet
from largeguest.domxml import read
from largeguest.host.topology import Host as Topology
from largeguest.record import replace
from largeguest.values import Layout
from tests import DATA, hosts
from tests.vdsm import HookError

from . import daemon
from .daemon import Daemon
from .host import Host
from .keeping import keeping, wait_until

PLAIN = (DATA / "plain.xml").read_text(encoding="utf-8")
UUID = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01"
TYPED = {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}


@pytest.fixture(scope="module")
def source(workplace: Path, ovirt_host: Host) -> Iterator[Daemon]:
    with daemon.system(workplace / "source", 1, ovirt_host) as running:
        yield running


@pytest.fixture(scope="module")
def same(workplace: Path, ovirt_host: Host) -> Iterator[Daemon]:
    with daemon.system(workplace / "same", 2, ovirt_host) as running:
        yield running


@pytest.fixture(scope="module")
def without_node_0(workplace: Path, ovirt_host: Host) -> Iterator[Daemon]:
    """A host whose only node is node 1."""
    one = hosts.build(sockets=1, nodes_per_socket=1)
    tree = hosts.save(Topology({1: replace(one.nodes[0], distances={1: 10})}, one.cpus), workplace / "tree_of_node_1")
    with daemon.system(workplace / "other", 3, ovirt_host, f"{tree}/devices/system/node") as running:
        yield running


def migrate(
    name: str, source: Daemon, destination: Daemon, *options: str, typed: Mapping[str, str] = MappingProxyType(TYPED)
) -> str:
    """Migrate as VDSM does: the destination's hooks first get the source's XML, and the vCPUs' pins are removed.

    Returns what the hooks said. The options are virsh's.
    """
    domxml = source.libvirt.virsh("dumpxml", name, "--migratable", "--security-info")
    unchanged, said = destination.host.run_hooks(
        "before_vm_migrate_destination", source.libvirt.virsh("dumpxml", name), dict(typed)
    )
    assert unchanged == source.libvirt.virsh("dumpxml", name)
    root = etree.fromstring(domxml)
    cputune = root.find("cputune")
    assert cputune is not None
    for pin in cputune.findall("vcpupin"):
        cputune.remove(pin)
    without_pins = source.libvirt.file("without-pins.xml", etree.tostring(root))
    to = (destination.uri, "--migrateuri", "tcp://127.0.0.1", "--xml", without_pins)
    source.libvirt.virsh("migrate", name, *to, *options)
    return said


def vcpu_pins(where: Daemon, name: str) -> dict[str, str]:
    found = where.libvirt.live(name).iterfind("cputune/vcpupin")
    return {pin.get("vcpu", ""): pin.get("cpuset", "") for pin in found}


def recorded(where: Daemon, name: str) -> Layout | None:
    return read.layout(where.libvirt.live(name).getroottree())


def started(typed: dict[str, str]) -> str:
    """What the engine sends: the properties are also in the metadata."""
    custom = "".join(f"<ovirt-vm:{name}>{value}</ovirt-vm:{name}>" for name, value in typed.items())
    return PLAIN.replace("<ovirt-vm:custom>", f"<ovirt-vm:custom>{custom}")


def test_migration(source: Daemon, same: Daemon, without_node_0: Daemon) -> None:
    domxml, _ = source.host.run_hooks("before_vm_start", started(TYPED), TYPED)
    with source.libvirt.running(domxml.encode()) as name:
        source.libvirt.seen_by_guest()
        assert recorded(source, name) == Layout((source.folder / "boot_id").read_text().strip(), "0#0,1#1")

        with pytest.raises(HookError) as caught:
            migrate(name, source, without_node_0, "--live")
        assert str(caught.value) == (
            "largeguest: numatune: node 0 is not on this host, which has node 1: name nodes of this host\n"
        )
        assert source.libvirt.virsh("domstate", name).strip() == "running"

        assert migrate(name, source, same, "--live") == ""
        try:
            assert vcpu_pins(same, name) == {}
            assert same.libvirt.virsh("domstate", name).strip() == "running"
            # the hook's job if no keeper runs
            environ = {"cputune": TYPED["cputune"], "vmId": UUID}
            assert same.host.run_hooks("after_vm_migrate_destination", "", environ)[1] == ""
            assert vcpu_pins(same, name) == {"0": "0", "1": "1"}
            assert recorded(same, name) == Layout((same.folder / "boot_id").read_text().strip(), "0#0,1#1")
            cells = [cell.get("cpus") for cell in same.libvirt.live(name).iterfind("cpu/numa/cell")]
            assert cells == ["0-1", "2-3"]
            with pytest.raises(RuntimeError):
                source.libvirt.virsh("domstate", name)
        finally:
            same.libvirt.virsh("destroy", name)


@pytest.fixture(scope="module")
def crossed(workplace: Path, ovirt_host: Host) -> Iterator[Daemon]:
    """A host with other nodes: CPU 1 is in node 0, CPU 0 in node 1."""
    one = hosts.build(sockets=1, nodes_per_socket=1).nodes[0]
    nodes = {n: replace(one, cpus=CpuSet([1 - n]), distances={n: 10, 1 - n: 20}) for n in (0, 1)}
    tree = hosts.save(Topology(nodes, hosts.build().cpus), workplace / "tree_of_two_nodes")
    with daemon.system(workplace / "crossed", 4, ovirt_host, f"{tree}/devices/system/node") as running:
        yield running


def test_auto_there_and_back(source: Daemon, crossed: Daemon) -> None:
    """The cell stays on node 0, and the vCPU is on a CPU of that node on both hosts, whatever its number."""
    typed = {"cputune": "auto", "guestnuma": "auto"}
    document = started(typed).replace('<vcpu current="4">4</vcpu>', "<vcpu>1</vcpu>")
    document = document.replace('cores="1" threads="2" sockets="2"', 'cores="1" threads="1" sockets="1"')
    domxml, said = source.host.run_hooks("before_vm_start", document, typed)
    assert "auto: cputune: 1 vCPU, 1 iothread, the emulator pinned; numatune: memory strict on host node 0" in said
    with keeping(source) as at_source, keeping(crossed) as at_crossed, source.libvirt.running(domxml.encode()) as name:
        wait_until(lambda: vcpu_pins(source, name) == {"0": "0"}, at_source.said)
        seconds = []
        for here, there, keeper, cpu in ((source, crossed, at_crossed, "1"), (crossed, source, at_source, "0")) * 3:
            migrate(name, here, there, typed=typed)
            seconds.append(wait_until(lambda at=there, cpu=cpu: vcpu_pins(at, name) == {"0": cpu}, keeper.said))  # type: ignore[misc]
            (bound,) = there.libvirt.live(name).iterfind("numatune/memnode")
            assert bound.get("nodeset") == "0"
            assert recorded(there, name) is not None
        print(f"pinned {max(seconds):.3f} s after an arrival at the latest")


@pytest.fixture
def counting(source: Daemon) -> Iterator[None]:
    source.libvirt.more_cmdline = "count"
    yield
    source.libvirt.more_cmdline = ""


def test_pins_are_back_after_each_of_twenty_migrations(source: Daemon, same: Daemon, counting: None) -> None:  # noqa: ARG001
    """Back and forth ten times, with a keeper on both hosts; the guest keeps counting as if nothing had happened.

    It is paused while its memory is copied: QEMU 10 loses writes of an emulated guest that runs meanwhile.
    """

    def counted() -> list[int]:
        text = source.libvirt.console.read_text(errors="replace")
        return [int(number) for number in re.findall(r"^GUEST-COUNT (\d+)\r?$", text, re.MULTILINE)]

    target = {"0": "0", "1": "1"}
    domxml, _ = source.host.run_hooks("before_vm_start", started(TYPED), TYPED)
    with keeping(source) as at_source, keeping(same) as at_same, source.libvirt.running(domxml.encode()) as name:
        wait_until(lambda: vcpu_pins(source, name) == target, at_source.said)
        here, there = source, same
        seconds = []
        try:
            for _ in range(20):
                migrate(name, here, there)
                here, there = there, here
                keeper = at_source if here is source else at_same
                seconds.append(wait_until(lambda at=here: vcpu_pins(at, name) == target, keeper.said))  # type: ignore[misc]
            last = counted()[-1]
            wait_until(lambda: counted()[-1] > last, counted)
            numbers = counted()
            lost = [pair for pair in zip([0, *numbers], numbers) if pair[1] != pair[0] + 1]
            assert not lost, source.libvirt.console.read_text(errors="replace")
        finally:
            if here is same:
                here.libvirt.virsh("destroy", name)
        print(
            f"pinned again {max(seconds):.3f} s after an arrival at the latest; the guest counted to {len(counted())}"
        )
        assert (at_source.said() + at_same.said()).count("vCPUs pinned\n") == 20  # each host's first

# SPDX-License-Identifier: GPL-2.0-or-later
"""A real live migration between libvirt daemons; a host that cannot hold the layout refuses while the VM runs on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from largeguest.host import Host as Topology
from tests import DATA, hosts

from . import daemon
from .daemon import Daemon
from .host import HookError, Host

PLAIN = (DATA / "plain.xml").read_text(encoding="utf-8")
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


def migrate(name: str, source: Daemon, destination: Daemon) -> str:
    """As VDSM does it: the destination's hooks get the source's XML first. Gives what they said."""
    domxml = source.libvirt.virsh("dumpxml", name)
    unchanged, said = destination.host.run_hooks("before_vm_migrate_destination", domxml, TYPED)
    assert unchanged == domxml
    source.libvirt.virsh("migrate", "--live", name, destination.uri, "--migrateuri", "tcp://127.0.0.1")
    return said


def test_migration(source: Daemon, same: Daemon, without_node_0: Daemon) -> None:
    domxml, _ = source.host.run_hooks("before_vm_start", PLAIN, TYPED)
    with source.libvirt.running(domxml.encode()) as name:
        source.libvirt.seen_by_guest()

        with pytest.raises(HookError) as caught:
            migrate(name, source, without_node_0)
        assert str(caught.value) == (
            "largeguest: numatune: node 0 is not on this host, which has node 1: name nodes of this host\n"
        )
        assert source.libvirt.virsh("domstate", name).strip() == "running"

        assert migrate(name, source, same) == "largeguest: this host can hold the layout\n"
        try:
            assert same.libvirt.virsh("domstate", name).strip() == "running"
            cells = [cell.get("cpus") for cell in same.libvirt.live(name).iterfind("cpu/numa/cell")]
            assert cells == ["0-1", "2-3"]
            with pytest.raises(RuntimeError):
                source.libvirt.virsh("domstate", name)
        finally:
            same.libvirt.virsh("destroy", name)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What running VMs hold, and from where that is known."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from largeguest.cpuset import CpuSet
from largeguest.host import neighbours as published
from largeguest.host import reservations
from largeguest.host.topology import Host
from largeguest.record import replace
from largeguest.running import neighbours, pins, state
from largeguest.running.state import Work
from largeguest.values import Neighbour, Promise
from tests import vdsm
from tests.hosts import FOUR_NODES, GIB

from . import fake_kernel
from .fake_libvirt import Domain, World, libvirtError

HELD = Neighbour("db01", CpuSet([1, 2, 3, 9]), True, (Promise(CpuSet([0, 1]), 2048, GIB), Promise(CpuSet([2]), 0, 7)))


@pytest.mark.parametrize(
    ("cputune", "policy", "real", "cpus", "exclusive"),
    [
        ("0-1#=4,5,emulator#node0", "none", {}, "4-5", False),
        ("all#node1", "none", {"vcpu0": "0-15"}, "4-7", False),
        ("all#0-15", "none", {}, "", False),
        # VDSM's pool of shared CPUs
        ("", "none", {"vcpu0": "0-11", "vcpu1": "0-11"}, "", False),
        # pins of the engine
        ("", "manual", {"vcpu0": "3", "vcpu1": "0-15", "emulator": "7"}, "3", False),
        ("", "dedicated", {"vcpu0": "2", "vcpu1": "4"}, "2,4", True),
        ("", "isolate-threads", {"vcpu0": "2"}, "2-3", True),
        # one that is refused
        ("0#x", "none", {"vcpu0": "3"}, "", False),
        ("0#99", "none", {"vcpu0": "3"}, "", False),
    ],
)
def test_cpus(cputune: str, policy: str, real: dict[str, str], cpus: str, exclusive: bool) -> None:
    domain = Domain(World(), "db01", cputune, policy, pins=real)
    held = pins.read(domain.XMLDesc().encode(), FOUR_NODES).holds
    assert (held.name, str(held.cpus), held.is_exclusive, held.promises) == ("db01", cpus, exclusive, ())


def test_what_is_published_can_be_read(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert published.published(folder) is None
    vms = {"a": (HELD, Work()), "b": (Neighbour("db02"), Work({"moved": 1})), "c": (None, Work(refused=1))}
    state.publish(folder, True, vms)
    assert published.published(folder) == {"a": HELD, "b": Neighbour("db02")}
    state.publish(folder, False, vms)
    assert published.published(folder) is None


@pytest.mark.parametrize(
    "vms",
    [
        [],
        {"a": 1},
        {"a": {"cpus": "0"}},
        {"a": {"name": "x", "cpus": "0-", "exclusive": False, "promises": []}},
        {"a": {"name": "x", "cpus": "0", "exclusive": False, "promises": [["0", 1]]}},
        {"a": {"name": "x", "cpus": "0", "exclusive": False, "promises": [["", 0, 1]]}},
        {"a": {"name": "x", "cpus": "0", "exclusive": False, "promises": [["0", 0, "much"]]}},
    ],
)
def test_what_no_keeper_has_written_is_not_believed(vms: object, tmp_path: Path) -> None:
    (tmp_path / published.NAME).write_text(json.dumps({"version": 1, "connected": True, "vms": vms}))
    assert published.published(str(tmp_path)) is None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setitem(sys.modules, "libvirt", world.module())
    world.domains += [
        Domain(world, "db01", "0-1#4"),
        Domain(world, "broken", "0#1"),
        Domain(world, "plain"),
    ]
    world.domains[1].XMLDesc = lambda: "<domain"  # type: ignore[method-assign]
    return world


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host on which a VM runs."""
    vdsm.make_run_folder(tmp_path / "root")
    running = tmp_path / "root" / published.PID_FILES / "db01.pid"
    running.parent.mkdir(parents=True)
    running.touch()
    return tmp_path / "root"


@pytest.fixture
def beside(root: Path) -> Callable[..., Host]:
    def ask(keeper: str | None, itself: str = "") -> Host:
        return neighbours.beside(FOUR_NODES, keeper, str(root), lambda uuid, other: itself in (uuid, other.name))

    return ask


def test_libvirt_is_asked_if_no_keeper_knows(beside: Callable[..., Host], world: World, tmp_path: Path) -> None:
    world.domains[0].status = (3, 11)  # it is starting
    found = (Neighbour("db01", CpuSet([4])),)
    assert beside(None).neighbours == found
    assert beside(None, "db01").neighbours == beside(None, "uuid-of-db01").neighbours == ()
    state.publish(str(tmp_path), False, {})
    assert beside(str(tmp_path)).neighbours == found
    state.publish(str(tmp_path), True, {"a": (HELD, Work()), "b": (Neighbour("plain"), Work())})
    assert beside(str(tmp_path)).neighbours == (HELD,)
    assert beside(str(tmp_path)).neighbours_unknown == ""


def test_a_libvirt_that_cannot_be_asked(
    beside: Callable[..., Host], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.unreachable = True
    assert beside(None).neighbours_unknown == '"Failed to connect socket"'
    monkeypatch.setitem(sys.modules, "libvirt", None)
    assert beside(None).neighbours_unknown == '"libvirt\'s Python binding is missing"'
    assert beside(None).neighbours == ()


def test_what_is_reserved_counts_until_libvirt_knows_the_vm(
    beside: Callable[..., Host], world: World, root: Path
) -> None:
    uuid = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a02"
    reservations.reserve(str(root), uuid, replace(HELD, name="db02"))
    reserved = replace(HELD, name="db02", is_starting=True)
    assert beside(None).neighbours == (reserved, Neighbour("db01", CpuSet([4])))
    assert beside(None, "db02").neighbours == beside(None, uuid).neighbours == (Neighbour("db01", CpuSet([4])),)
    world.domains.append(Domain(world, "db02"))
    world.domains[-1].UUIDString = lambda: uuid  # type: ignore[method-assign]
    assert beside(None).neighbours == (Neighbour("db01", CpuSet([4])),)  # it runs, and has been resumed without pins
    world.unreachable = True
    assert beside(None).neighbours == (reserved,)


def test_a_libvirt_that_hangs_is_not_waited_for(
    beside: Callable[..., Host], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang() -> str:
        asked.set()
        answer.wait()
        raise libvirtError("too late")

    world.domains[0].XMLDesc = hang  # type: ignore[method-assign]
    monkeypatch.setattr(neighbours, "MAX_SECONDS", 0.1)
    assert beside(None).neighbours_unknown == '"libvirt does not answer within 0 seconds"'
    assert asked.wait(10)
    answer.set()


def test_the_memory_of_a_vm_that_will_be_restarted_is_free(tmp_path: Path) -> None:
    huge = fake_kernel.mapping("bind:1", {1: 3}, "/dev/hugepages/libvirt/qemu/1-db01/ram-node0", 2048)
    fake_kernel.show(tmp_path, "db01", 4711, {"vcpu0": "0"}, {0: GIB, 2: 2048}, fake_kernel.QEMUS_OWN + huge)
    root = str(tmp_path)
    free = neighbours.without(FOUR_NODES, "db01", root)
    gained = {n: (node.free or 0) - (FOUR_NODES.nodes[n].free or 0) for n, node in free.nodes.items()}
    assert gained == {0: GIB, 1: 0, 2: 2048, 3: 0}
    assert [node.pages[2048].free for node in free.nodes.values()] == [0, 3, 0, 0]
    assert neighbours.without(FOUR_NODES, "db02", root) == FOUR_NODES
    unknown = replace(FOUR_NODES, nodes={n: replace(node, free=None) for n, node in FOUR_NODES.nodes.items()})
    assert all(node.free is None for node in neighbours.without(unknown, "db01", root).nodes.values())

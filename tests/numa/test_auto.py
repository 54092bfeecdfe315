# SPDX-License-Identifier: GPL-2.0-or-later
"""auto on real libvirt: what is free is chosen, as other VMs come and go, and the VM is local there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from largeguest import cpuset
from largeguest.cpuset import CpuSet
from largeguest.host import neighbours, sysfs
from largeguest.host.topology import Host as Topology
from tests.e2e.guest import Libvirt
from tests.e2e.host import Host
from tests.e2e.keeping import wait_until
from tests.vdsm import HookError

from .test_others import FOLDER, MIB, start, untouched
from .test_status import look

AUTO = {"cputune": "auto", "guestnuma": "auto"}
SMALL = 256 * MIB

pytestmark = pytest.mark.usefixtures("kept")


@contextlib.contextmanager
def running(document: str) -> Iterator[None]:
    """Paused: the guest has done nothing."""
    with (
        tempfile.TemporaryDirectory(prefix="largeguest-") as home,
        Libvirt(Path(home), "qemu:///system").running(document.encode(), "--paused"),
    ):
        yield


@contextlib.contextmanager
def another(this_host: Host, cpus: str) -> Iterator[None]:
    """A VM that holds these CPUs, and no memory; the keeper knows it."""
    with running(untouched(start(this_host, "db09", {"cputune": f"all#{cpus}"}, 9, SMALL))):
        wait_until(lambda: bool(neighbours.published(FOLDER)), lambda: neighbours.published(FOLDER))
        yield
    wait_until(lambda: not neighbours.published(FOLDER), lambda: neighbours.published(FOLDER))


def chosen(name: str) -> tuple[CpuSet, set[str]]:
    """The CPUs on which its vCPUs run, one each, and the nodes of its cells; all of its memory is there."""
    vm = look(name)
    assert (vm["locality"]["figure"], vm["problems"]) == (1.0, []), vm
    cpus = [cpuset.parse(vm["threads"][f"vcpu{vcpu}"]["cpus"]) for vcpu in range(4)]
    assert [len(own) for own in cpus] == [1] * 4
    return CpuSet.union(cpus), {str(cell["nodes"]) for cell in vm["cells"]}


@pytest.fixture
def four_by_four() -> Topology:
    """The host, if it has four nodes with four CPUs each."""
    host = sysfs.from_sys()
    if sorted(host.nodes) != [0, 1, 2, 3] or any(len(node.cpus) != 4 for node in host.nodes.values()):
        pytest.skip("needs four nodes with four CPUs each")
    return host


@pytest.mark.parametrize(("taken", "free"), [("node0,node1", {2, 3}), ("node2,node3", {0, 1})])
def test_a_node_that_is_free(this_host: Host, four_by_four: Topology, taken: str, free: set[int]) -> None:
    with another(this_host, taken), running(start(this_host, "db01", AUTO, 1, SMALL)):
        cpus, cells = chosen("db01")
    (node,) = four_by_four.nodes_with(cpus)
    assert node in free
    assert (cpus, cells) == (four_by_four.nodes[node].cpus, {str(node)})


def test_cores_that_are_free_on_each_node(this_host: Host, libvirt: Libvirt, four_by_four: Topology) -> None:
    """The guest sees two nodes, as far from each other as on the host."""
    cores = [next(iter(four_by_four.cores(node.cpus))) for node in four_by_four.nodes.values()]
    first_cores = ",".join(str(cpu) for core in cores for cpu in core)
    with another(this_host, first_cores), libvirt.running(start(this_host, "db01", AUTO, 1, SMALL).encode()):
        cpus, cells = chosen("db01")
        seen = libvirt.seen_by_guest()
    assert not cpus & cpuset.parse(first_cores)
    assert cells == {str(node) for node in four_by_four.nodes_with(cpus)}
    one, two = map(int, sorted(cells))
    far = four_by_four.nodes[one].distances[two]
    assert {number: (node.cpus, node.distances) for number, node in seen.items()} == {
        0: ("0-1", (10, far)),
        1: ("2-3", (far, 10)),
    }


def test_nothing_is_free(this_host: Host, four_by_four: Topology) -> None:
    # a VM that may run on every CPU holds none
    all_but_one = f"{','.join(f'node{node}' for node in four_by_four.nodes)},^{four_by_four.online.last}"
    with another(this_host, all_but_one), pytest.raises(HookError) as caught:
        start(this_host, "db01", AUTO, 1, SMALL)
    assert "guestnuma: auto: 4 vCPUs and 256 MiB do not fit: the host has 4 nodes with " in str(caught.value)


def test_four_at_once(this_host: Host, four_by_four: Topology) -> None:
    """As VDSM creates them: never on the same CPUs, nor on the same memory twice."""
    with contextlib.ExitStack() as all_running, ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(lambda number: start(this_host, f"db1{number}", AUTO, 10 + number, SMALL), range(4)))
        for document in documents:
            all_running.enter_context(running(document))
        taken = [chosen(f"db1{number}") for number in range(4)]
        wait_until(lambda: len(neighbours.published(FOLDER) or ()) == 4, lambda: neighbours.published(FOLDER))
        left = Path("/run/vdsm-largeguest/reservations")
        wait_until(lambda: not list(left.iterdir()), lambda: list(left.iterdir()))
    assert {(cpus, frozenset(cells)) for cpus, cells in taken} == {
        (node.cpus, frozenset([str(number)])) for number, node in four_by_four.nodes.items()
    }

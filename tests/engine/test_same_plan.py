# SPDX-License-Identifier: GPL-2.0-or-later
"""A plan from REST and one from the /sys of the same host are the same where REST knows enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from largeguest import planner
from largeguest.cpuset import CpuSet
from largeguest.engine import best, connection, estate, rest
from largeguest.engine.settings import Settings
from largeguest.host import sysfs
from largeguest.host.topology import Host, Node, Pages
from largeguest.problem import Refused
from largeguest.record import replace
from tests import books, hosts
from tests.hosts import GIB

from . import standin
from .standin import Config, Engine


def with_pages(host: Host, *by_node: int) -> Host:
    nodes = {
        number: replace(node, pages={GIB: Pages(count, count)})
        for (number, node), count in zip(host.nodes.items(), by_node)
    }
    return replace(host, nodes=nodes)


def with_high_memory(host: Host) -> Host:
    """With a node that has memory only."""
    far = dict.fromkeys(host.nodes, 30)
    nodes = {n: replace(node, distances={**node.distances, 4: far[n]}) for n, node in host.nodes.items()}
    return replace(host, nodes={**nodes, 4: Node(CpuSet(), 8 * GIB, 8 * GIB, {}, {**far, 4: 10})})


HOSTS = {
    "four nodes": hosts.FOUR_NODES,
    "large": books.large_host(),
    "threads apart": hosts.build(cores_per_node=8, memory=64 * GIB, siblings_apart=True),
    "one node": hosts.build(sockets=1, nodes_per_socket=1, cores_per_node=8, memory=64 * GIB),
    "no threads": hosts.build(cores_per_node=4, threads=1, memory=16 * GIB),
    "memory without CPUs": with_high_memory(hosts.build(memory=16 * GIB)),
    "even pages": with_pages(hosts.build(memory=16 * GIB), 4, 4, 4, 4),
    "uneven pages": with_pages(hosts.build(memory=16 * GIB), 8, 0, 4, 4),
}
VMS = {
    "small": Config(topology=(1, 2, 1), memory=1024),
    "two nodes": Config(topology=(2, 2, 2), memory=4096),
    "four nodes": Config(topology=(4, 2, 2), memory=6 * 1024, iothreads=2),
    "pages": Config(topology=(2, 2, 2), memory=8 * 1024, custom={"hugepages": str(GIB)}),
}


def plans(engine: Engine, url: str, folder: Path, host: Host, config: Config) -> tuple[object, object, tuple[str, ...]]:
    """The values or the refusal from REST and from /sys, and the notes of the first."""
    engine.machine("host1", host, "a" * 32)
    engine.vm("db01", config=config)
    with connection.connect(Settings(url=url, username="a", password=standin.PASSWORD, insecure=True)) as opened:
        vms = rest.vms(opened, {"blue"})
        vm = estate.find_vm(vms, "db01")
        known = estate.read(opened, rest.clusters(opened), vms, {"blue"})
    request = planner.Request(guest=known.guest(vm))
    found, refused = best.on_each(request, known, vm, known.machines_for(vm))
    local = sysfs.from_sys(hosts.save(host, folder))
    try:
        there: object = planner.plan(request, local)
    except Refused as error:
        there = error
    here: object = found[0].plan if found else refused[0][1]
    values = [one.custom_properties if isinstance(one, planner.Plan) else str(one) for one in (here, there)]
    return (*values, found[0].plan.notes if found else ())  # type: ignore[return-value]


@pytest.mark.parametrize("config", VMS.values(), ids=VMS)
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_the_same_plan(engine: Engine, url: str, tmp_path: Path, host: Host, config: Config) -> None:
    host = standin.as_the_engine_sees(host)
    here, there, notes = plans(engine, url, tmp_path, host, config)
    if host.nodes[0].pages == {GIB: Pages(8, 8)} and config.custom:
        assert here != there  # what differs is said
        assert "the engine does not know huge pages by node: they count as spread evenly over the nodes" in notes
    else:
        assert here == there

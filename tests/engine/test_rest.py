# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made of the engine's answers about a host."""

from __future__ import annotations

from types import SimpleNamespace as Answer
from typing import Any

from largeguest.cpuset import CpuSet
from largeguest.engine import rest
from largeguest.engine.inventory import Machine
from largeguest.host.topology import Pages, Room

GIB = 2**20


def node(index: int, cpus: range, free: int | None = None) -> Any:
    value = Answer(datum=None if free is None else float(free))
    statistics = [
        Answer(name="memory.total", values=[Answer(datum=4096.0)]),
        Answer(name="memory.free", values=[value]),
    ]
    cores = Answer(cores=[Answer(index=cpu) for cpu in cpus])
    return Answer(index=index, memory=4096, cpu=cores, node_distance="10 21", statistics=statistics)


def unit(cpu: int, core: int, socket: int = 0) -> Any:
    return Answer(cpu_id=cpu, core_id=core, socket_id=socket, vms=None)


def test_memory_is_in_mib_and_cores_are_cpus() -> None:
    host = rest.host_of([node(1, range(2, 4)), node(0, range(2), free=1000)], [unit(cpu, cpu) for cpu in range(4)], {})
    assert [(one.memory, one.free) for _, one in sorted(host.nodes.items())] == [
        (4 * GIB, 1000 * 1024),
        (4 * GIB, None),
    ]
    assert [str(one.cpus) for _, one in sorted(host.nodes.items())] == ["0-1", "2-3"]
    assert dict(host.nodes[1].distances) == {0: 10, 1: 21}


def test_a_core_number_of_another_die_is_another_core() -> None:
    units = [unit(0, 0), unit(1, 1), unit(2, 0), unit(3, 1), unit(4, 0), unit(5, 1), unit(6, 0), unit(7, 1)]
    nodes = [node(0, range(2)), node(1, range(2, 4))]
    nodes[0].cpu.cores += [Answer(index=4), Answer(index=5)]
    nodes[1].cpu.cores += [Answer(index=6), Answer(index=7)]
    host = rest.host_of(nodes, units, {})
    assert [str(host.cpus[cpu].siblings) for cpu in range(4)] == ["0,4", "1,5", "2,6", "3,7"]


def test_cpus_that_are_offline_are_in_no_node() -> None:
    host = rest.host_of([node(0, range(4))], [unit(0, 0), unit(2, 1)], {})
    assert host.nodes[0].cpus == host.online == CpuSet([0, 2])


def test_huge_pages_count_as_spread_evenly_over_the_nodes_with_memory() -> None:
    nodes = [node(0, range(1)), node(1, range(1, 2)), node(2, range(0))]
    nodes[2].memory = 0
    host = rest.host_of(nodes, [unit(0, 0), unit(1, 1)], {GIB: Pages(6, 3), 2048: Pages(8, None)})
    assert [host.nodes[n].pages[GIB] for n in range(3)] == [Pages(3, 1), Pages(3, 1), Pages(0, 0)]
    assert [host.nodes[n].pages[2048] for n in range(3)] == [Pages(4, None), Pages(4, None), Pages(0, 0)]


def test_what_room_a_node_may_have_at_most() -> None:
    host = rest.host_of([node(0, range(1)), node(1, range(1, 2))], [unit(0, 0), unit(1, 1)], {GIB: Pages(6, 3)})
    machine = Machine("1", "host1", "blue", "up", host, {GIB: Pages(6, 3)}, {}, {})
    assert machine.roomiest(GIB).nodes[0].room(GIB) == Room(4 * GIB, 3 * GIB)  # all that fit there
    assert machine.roomiest(None).nodes[0].room(0).total == 2 * GIB  # 2 of the 6 do not fit on the other node


def test_a_host_that_was_never_up() -> None:
    assert rest.host_of([], [], {}).nodes == {}


def test_a_pin_that_libvirt_would_not_take_is_none() -> None:
    pins = [Answer(vcpu=0, cpu_set="0-3,^1"), Answer(vcpu=1, cpu_set="x"), Answer(vcpu=2, cpu_set=None)]
    known = dict.fromkeys(
        ("name", "cluster", "status", "host", "custom_compatibility_version", "custom_properties", "memory", "io")
    )
    unknown = dict.fromkeys(("placement_policy", "cpu_pinning_policy", "next_run_configuration_exists"))
    vm = Answer(id="1", cpu=Answer(topology=None, cpu_tune=Answer(vcpu_pins=pins)), **known, **unknown)
    assert {vcpu: str(cpus) for vcpu, cpus in rest.vm_of(vm).pins.items()} == {0: "0,2-3", 1: "", 2: ""}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts for the tests: as values, saved as trees like /sys, and as libvirt's capabilities XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lxml import etree

from largeguest.cpuset import CpuSet
from largeguest.host.topology import Cpu, Host, Node, Pages
from largeguest.record import replace

GIB = 2**20


def build(
    sockets: int = 2,
    nodes_per_socket: int = 2,
    cores_per_node: int = 2,
    threads: int = 2,
    memory: int = 4 * GIB,
    siblings_apart: bool = False,
    cores_per_l3: int = 0,
    cores_per_cluster: int = 0,
) -> Host:
    """A regular host; a core's threads have consecutive numbers, or are apart by the number of all cores.

    Its caches and clusters have so many consecutive cores; 0: it has none.
    """
    nodes: dict[int, Node] = {}
    cpus: dict[int, Cpu] = {}
    cores = sockets * nodes_per_socket * cores_per_node
    for node in range(sockets * nodes_per_socket):
        its_cpus: list[int] = []
        for core in range(node * cores_per_node, (node + 1) * cores_per_node):
            ids = [core + thread * cores if siblings_apart else core * threads + thread for thread in range(threads)]
            socket = node // nodes_per_socket
            in_socket = core - socket * nodes_per_socket * cores_per_node
            cpus.update(dict.fromkeys(ids, Cpu(socket, 0, in_socket, CpuSet(ids))))
            its_cpus += ids
        near = range(node // nodes_per_socket * nodes_per_socket, (node // nodes_per_socket + 1) * nodes_per_socket)
        distances = {
            other: 10 if other == node else 12 if other in near else 21 for other in range(sockets * nodes_per_socket)
        }
        pages = {2048: Pages(0, 0), GIB: Pages(0, 0)}
        nodes[node] = Node(CpuSet(its_cpus), memory, memory // 2, pages, distances)
    host = Host(nodes, dict(sorted(cpus.items())))
    own_cores = list(dict.fromkeys(own.siblings for own in host.cpus.values()))
    return replace(host, sharing=(in_groups(own_cores, cores_per_l3), in_groups(own_cores, cores_per_cluster)))


NOTHING_SHARED: tuple[Callable[[int], CpuSet], ...] = (lambda _: CpuSet(), lambda _: CpuSet())


def in_groups(cores: list[CpuSet], size: int) -> Callable[[int], CpuSet]:
    """What gives the CPUs of a CPU's group of so many consecutive cores; none if that is 0."""
    groups = [CpuSet.union(cores[first : first + size]) for first in range(0, len(cores), size)] if size else []
    return lambda cpu: next((group for group in groups if cpu in group), CpuSet())


FOUR_NODES = build()

HIGH = replace(
    FOUR_NODES, nodes={**FOUR_NODES.nodes, 4: Node(CpuSet(), 8 * GIB, 8 * GIB, {}, {0: 30, 1: 14, 2: 30, 3: 30})}
)
"""Node 4 is memory without CPUs, nearest to node 1."""


def save(host: Host, root: Path) -> str:
    """Write the tree that the kernel of `host` would show in /sys below `root`/sys; gives its path.

    Free memory is spread over all fields that count as free, so that code which misses one of them fails.
    """
    system = root / "sys/devices/system"
    _write(system / "cpu/online", str(host.online))
    _write(system / "node/online", str(CpuSet(host.nodes)))
    for number, node in host.nodes.items():
        folder = system / f"node/node{number}"
        _write(folder / "cpulist", str(node.cpus))
        _write(folder / "cpumap", _mask(node.cpus))
        _write(folder / "distance", " ".join(str(node.distances[other]) for other in host.nodes))
        quarter, rest = divmod(node.free or 0, 4)
        fields = {
            "MemTotal": node.memory,
            "MemFree": quarter + rest,
            "Active": 2 * quarter + 77,
            "Active(anon)": 77,
            "Active(file)": quarter,
            "Inactive(anon)": 99,
            "Inactive(file)": quarter,
            "SReclaimable": quarter,
        }
        _write(folder / "meminfo", "\n".join(f"Node {number} {name}: {kib:>8} kB" for name, kib in fields.items()))
        for size, pages in node.pages.items():
            _write(folder / f"hugepages/hugepages-{size}kB/nr_hugepages", str(pages.total))
            _write(folder / f"hugepages/hugepages-{size}kB/free_hugepages", str(pages.free))
    sockets = {
        socket: _mask(CpuSet(number for number, cpu in host.cpus.items() if cpu.socket == socket))
        for socket in {cpu.socket for cpu in host.cpus.values()}
    }
    for number, cpu in host.cpus.items():
        folder = system / f"cpu/cpu{number}/topology"
        _write(folder / "physical_package_id", str(cpu.socket))
        _write(folder / "die_id", str(cpu.die))
        _write(folder / "core_id", str(cpu.core))
        _write(folder / "thread_siblings_list", str(cpu.siblings))
        _write(folder / "thread_siblings", _mask(cpu.siblings))
        _write(folder / "core_siblings", sockets[cpu.socket])
        l3, cluster = (CpuSet(shared_by(number)) for shared_by in host.sharing or NOTHING_SHARED)
        if cluster:
            _write(folder / "cluster_cpus_list", str(cluster))
        for index, (level, shared) in enumerate([(1, cpu.siblings), (1, cpu.siblings), (2, cpu.siblings), (3, l3)]):
            if l3:
                _write(folder.parent / f"cache/index{index}/level", str(level))
                _write(folder.parent / f"cache/index{index}/shared_cpu_list", str(shared))
    return str(root / "sys")


def capabilities(host: Host) -> bytes:
    """What `virsh capabilities` prints of the topology."""
    l3, in_cluster = (
        {cpu: CpuSet(shared_by(cpu)) for cpu in host.cpus} for shared_by in host.sharing or NOTHING_SHARED
    )
    clusters = list(dict.fromkeys(in_cluster.values()))
    root = etree.Element("capabilities")
    host_element = etree.SubElement(root, "host")
    topology = etree.SubElement(host_element, "topology")
    cells = etree.SubElement(topology, "cells", num=str(len(host.nodes)))
    for number, node in host.nodes.items():
        cell = etree.SubElement(cells, "cell", id=str(number))
        etree.SubElement(cell, "memory", unit="KiB").text = str(node.memory)
        etree.SubElement(cell, "pages", unit="KiB", size="4").text = "1000"
        for size, pages in node.pages.items():
            etree.SubElement(cell, "pages", unit="KiB", size=str(size)).text = str(pages.total)
        distances = etree.SubElement(cell, "distances")
        for other, value in node.distances.items():
            etree.SubElement(distances, "sibling", id=str(other), value=str(value))
        cpus = etree.SubElement(cell, "cpus", num=str(len(node.cpus)))
        for cpu_number in node.cpus:
            cpu = host.cpus[cpu_number]
            cluster = in_cluster[cpu_number]
            etree.SubElement(
                cpus,
                "cpu",
                {"cluster_id": str(clusters.index(cluster))} if cluster else {},
                id=str(cpu_number),
                socket_id=str(cpu.socket),
                die_id=str(cpu.die),
                core_id=str(cpu.core),
                siblings=str(cpu.siblings),
            )
    cache = etree.SubElement(host_element, "cache")
    for number, shared in enumerate(dict.fromkeys(filter(None, l3.values()))):
        etree.SubElement(cache, "bank", id=str(number), level="3", type="both", cpus=str(shared))
    return etree.tostring(root)


def _mask(ids: CpuSet) -> str:
    """As the kernel prints a bitmap: words of 32 bits in hex, with commas between; hwloc reads these."""
    bits = sum(1 << number for number in ids)
    words = [f"{bits >> shift & 0xFFFFFFFF:08x}" for shift in range(0, max(1, bits.bit_length()), 32)]
    return ",".join(reversed(words))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")

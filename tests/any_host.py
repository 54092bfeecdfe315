# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts of all kinds, and the same host with other CPU numbers, for hypothesis."""

from __future__ import annotations

import itertools

from hypothesis import assume
from hypothesis import strategies as st

from largeguest.cpuset import CpuSet
from largeguest.host.topology import Cpu, Host, Node
from largeguest.record import replace

MIB = 1024


@st.composite
def any_hosts(draw: st.DrawFn) -> Host:
    numbers = sorted(draw(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True)))
    free_ids = iter(draw(st.permutations(range(96))))
    nodes, all_cpus = {}, {}
    threads = draw(st.sampled_from([1, 2, 2, 4]))
    for socket, number in enumerate(numbers):
        own: list[int] = []
        for core in range(draw(st.integers(0, 4))):
            siblings = CpuSet(itertools.islice(free_ids, draw(st.integers(max(1, threads - 1), threads))))
            all_cpus.update({cpu: Cpu(socket, 0, core, siblings) for cpu in siblings})
            own += siblings
        memory = draw(st.integers(0, 40)) * 100
        free = draw(st.integers(0, memory)) if memory else 0
        distances = {other: 10 if other == number else draw(st.integers(11, 14)) for other in numbers}
        nodes[number] = Node(CpuSet(own), memory * MIB, free * MIB, {}, distances)
    assume(all_cpus)
    return Host(nodes, dict(sorted(all_cpus.items())))


def renumber(host: Host, numbers: list[int]) -> Host:
    """The host whose CPUs have these numbers instead, in the order of the old ones."""
    new = dict(zip(host.cpus, numbers))

    def renumbered(cpus: CpuSet) -> CpuSet:
        return CpuSet(new[cpu] for cpu in cpus)

    nodes = {number: replace(node, cpus=renumbered(node.cpus)) for number, node in host.nodes.items()}
    cpus = {new[number]: replace(cpu, siblings=renumbered(cpu.siblings)) for number, cpu in host.cpus.items()}
    return Host(nodes, dict(sorted(cpus.items())))

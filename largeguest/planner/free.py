# SPDX-License-Identifier: GPL-2.0-or-later
"""Pins for a VM whose cells have their nodes already, on CPUs that no other VM is pinned to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ..cpuset import CpuSet
from ..host.topology import Host
from ..placement.backing import Backing, of
from ..placement.capacity import Bound, Flow
from ..problem import Problem, Refused
from ..properties.cpulist import CpuList, Item, Span, spans
from ..properties.cputune import Cputune, Emulator, Iothread, Pin, Vcpus
from ..values import Guest, Pins, Placement
from ..wording import name_ids, plural, verb

NOWHERE = "choose another host, or make room on this one"
_NO_PINS = Pins()


def pin_again(guest: Guest, host: Host, held: Pins = _NO_PINS) -> Cputune:
    """The pins of a VM that has its cells and its memory by its XML, as when it arrives; see pin_near."""
    return pin_near(of(Placement().completed(guest)), guest, host, held)


def pin_near(memory: Backing, guest: Guest, host: Host, held: Pins = _NO_PINS) -> Cputune:
    """Each vCPU on a CPU near its memory that no other VM has, whole cores first; emulator and iothreads beside them.

    vCPUs that are `held` already keep their CPUs. Of those that have been plugged in since, the ones for which there is
    no CPU float over all that are near. Raises Refused if there are too few CPUs for a VM that holds none.
    """
    free = host.online - CpuSet.union([*(neighbour.cpus for neighbour in host.neighbours), *held.vcpus.values()])
    pins = [Pin(Vcpus(vcpu, vcpu), CpuList(spans(cpus))) for vcpu, cpus in held.vcpus.items()]
    groups = list(memory.groups(guest.plugged_vcpus - CpuSet(held.vcpus)))
    for vcpus, nodes in groups:
        _check_nodes(vcpus, nodes, host)
    near = [(vcpus, host.nodes_near(nodes)) for vcpus, nodes in groups]
    dealt = _deal(near, free, guest, host, partly=bool(held))
    for vcpus, nodes in near:
        pins += _pins(vcpus, dealt[nodes], host.cpus_near(nodes))
    around = host.cpus_near(memory.nodes)
    beside = CpuList(spans(around & free or around))
    return Cputune((*pins, Pin(Emulator(), beside), *(Pin(Iothread(number), beside) for number in guest.iothreads)))


def _deal(
    near: Sequence[tuple[CpuSet, CpuSet]], free: CpuSet, guest: Guest, host: Host, partly: bool
) -> dict[CpuSet, Iterator[int]]:
    """Nodes to the CPUs for the vCPUs that are near them; raises Refused if there are too few, unless `partly`.

    vCPUs near one node and those near several are dealt so that all have one if that is possible (maximum flow).
    """
    cores = {node: _in_order(host.nodes[node].cpus, free, guest, host) for _, nodes in near for node in nodes}
    flow = Flow([Bound("", nodes, 0, 0) for _, nodes in near], {node: len(cpus) for node, cpus in cores.items()})
    for vcpus, nodes in near:
        if flow.add(Bound("", nodes, 0, len(vcpus))) and not partly:
            raise _too_few(vcpus, nodes, sum(flow.on(nodes).values()))
    return {nodes: iter(list(_take(flow.on(nodes), cores))) for nodes in dict.fromkeys(nodes for _, nodes in near)}


def _take(counts: dict[int, int], cores: dict[int, list[int]]) -> Iterator[int]:
    """So many CPUs of each node, which then has them no more."""
    for node in sorted(counts):
        yield from cores[node][: counts[node]]
        del cores[node][: counts[node]]


def _in_order(cpus: CpuSet, free: CpuSet, guest: Guest, host: Host) -> list[int]:
    """The free CPUs of a node: first those of cores that are free as a whole.

    If the guest knows of no threads, the first thread of every core comes before the second one of any.
    """
    cores = list(host.cores(cpus))
    whole = [core for core in cores if all(cpu in free for cpu in core)]
    others = [[cpu for cpu in core if cpu in free] for core in cores if core not in whole]
    knows_threads = guest.topology is not None and guest.topology.threads > 1
    return [cpu for some in (whole, others) for cpu in (itertools.chain(*some) if knows_threads else _by_thread(some))]


def _by_thread(cores: Sequence[Sequence[int]]) -> Iterator[int]:
    for thread in itertools.zip_longest(*cores):
        yield from (cpu for cpu in thread if cpu is not None)


def _pins(vcpus: CpuSet, dealt: Iterator[int], around: CpuSet) -> Iterator[Pin]:
    """A CPU each, as far as there are any; the others float over all around."""
    for first, last in vcpus.ranges():
        own = [Item(Span(cpu, cpu)) for cpu in itertools.islice(dealt, last - first + 1)]
        if own:
            yield Pin(Vcpus(first, first + len(own) - 1), CpuList(tuple(own)), each=True)
        if first + len(own) <= last:
            yield Pin(Vcpus(first + len(own), last), CpuList(spans(around)))


def _check_nodes(vcpus: CpuSet, nodes: CpuSet, host: Host) -> None:
    if not nodes:
        what = f"auto: the memory of {name_ids('vCPU', vcpus)} is not bound to nodes"
        raise Refused([Problem("cputune", what, "write guestnuma=auto, or name the nodes in guestnuma or numatune")])
    absent = nodes - CpuSet(host.nodes)
    if absent:
        what = f"auto: the memory is on {name_ids('node', absent)}, which {verb(absent, 'is', 'are')} not on this host"
        raise Refused([Problem("cputune", what, "choose another host")])


def _too_few(vcpus: CpuSet, nodes: CpuSet, available: int) -> Refused:
    cpus = f"{name_ids('vCPU', vcpus)} {verb(vcpus, 'needs', 'need')} {plural(len(vcpus), 'CPU')} of their own"
    left = f"only {available}" if available else "none"
    there = f"{name_ids('node', nodes)} {verb(nodes, 'has', 'have')} {left}"
    return Refused([Problem("cputune", f"auto: {cpus}, but {there} that no other VM is pinned to", NOWHERE)])

# SPDX-License-Identifier: GPL-2.0-or-later
"""Pins for a VM whose cells have their nodes already, on CPUs that no other VM is pinned to."""

from __future__ import annotations

import itertools
from collections import Counter
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
from .dealing import Cores, by_turns, in_full_groups

NOWHERE = "choose another host, or make room on this one"
_NO_PINS = Pins()
_NONE = CpuSet()


def pin_again(guest: Guest, host: Host, held: Pins = _NO_PINS, before: Pins = _NO_PINS) -> Cputune:
    """The pins of a VM that has its cells and its memory by its XML; see pin_near.

    What has been plugged in beside what is `held`, or floated where the pins were as in `before`, may float.
    """
    late = guest.plugged_vcpus - CpuSet(held.vcpus) if held else before.floating
    return pin_near(of(Placement().completed(guest)), guest, host, held, late & guest.plugged_vcpus)


def pin_near(memory: Backing, guest: Guest, host: Host, held: Pins = _NO_PINS, late: CpuSet = _NONE) -> Cputune:
    """Each vCPU on a CPU near its memory that no other VM has, whole cores first; emulator and iothreads beside them.

    vCPUs that are `held` already keep their CPUs. Those that are `late` get what is left; for the ones that have none,
    the pin names too few CPUs, so that they float over those. Raises Refused if there are too few for the others.
    """
    own = CpuSet.union(held.vcpus.values())
    free = host.online - host.held - own
    groups = [
        (vcpus, nodes)
        for some in (guest.plugged_vcpus - CpuSet(held.vcpus) - late, late)
        for vcpus, nodes in memory.groups(some)
    ]
    for vcpus, nodes in groups:
        _check_nodes(vcpus, nodes, host)
    if memory.nodes:  # also of cells whose vCPUs can only be plugged in
        _check_nodes(guest.plugged_vcpus, memory.nodes, host)
    near = [(vcpus, host.nodes_near(nodes)) for vcpus, nodes in groups]
    dealt = _deal(near, free, guest, host, late)
    pins = [Pin(Vcpus(vcpu, vcpu), CpuList(spans(cpus)), each=len(cpus) == 1) for vcpu, cpus in held.vcpus.items()]
    for vcpus, nodes in near:
        around = host.cpus_near(nodes)
        pins += _pins(vcpus, dealt[nodes], around - (host.held - own) or around)
    around = host.cpus_near(memory.nodes)
    beside = CpuList(spans(around & free or around))
    return Cputune((*pins, Pin(Emulator(), beside), *(Pin(Iothread(number), beside) for number in guest.iothreads)))


def _deal(
    near: Sequence[tuple[CpuSet, CpuSet]], free: CpuSet, guest: Guest, host: Host, late: CpuSet
) -> dict[CpuSet, Iterator[int]]:
    """Nodes to the CPUs for the vCPUs that are near them; raises Refused if there are too few for any but the late.

    vCPUs near one node and those near several are dealt so that all have one if that is possible (maximum flow).
    """
    room = {node: len(host.nodes[node].cpus & free) for _, nodes in near for node in nodes}
    flow = Flow([Bound("", nodes, 0, 0) for _, nodes in near], room)
    for vcpus, nodes in near:
        others = sum(flow.on(nodes).values())
        if flow.add(Bound("", nodes, 0, len(vcpus))) and vcpus - late:
            raise _too_few(vcpus, nodes, sum(flow.on(nodes).values()) - others)
    dealt = {nodes: flow.on(nodes) for nodes in dict.fromkeys(nodes for _, nodes in near)}
    totals = Counter[int]()
    for counts in dealt.values():
        totals.update(counts)
    cpus = {node: _in_order(node, total, free, guest, host) for node, total in totals.items()}
    return {
        nodes: iter([cpu for node in sorted(counts) for cpu in itertools.islice(cpus[node], counts[node])])
        for nodes, counts in dealt.items()
    }


def _in_order(node: int, count: int, free: CpuSet, guest: Guest, host: Host) -> Iterator[int]:
    """The free CPUs of a node, of which so many are needed: first those of cores that are free as a whole.

    Of these as few caches are begun as possible. If the guest knows of no threads, the first thread of every core comes
    before the second one of any.
    """
    cores = list(host.cores(host.nodes[node].cpus))
    whole: Cores = [core for core in cores if all(cpu in free for cpu in core)]
    others = [[cpu for cpu in core if cpu in free] for core in cores if core not in whole]
    knows_threads = guest.topology is not None and guest.topology.threads > 1
    if count < sum(map(len, whole)):
        groups = [[core for core in whole if core[0] in group] for group in host.groups(host.nodes[node].cpus)]
        sizes = [sum(map(len, group)) if knows_threads else len(group) for group in groups]
        whole = in_full_groups(groups, sizes, count)
    for some in (whole, others):
        yield from itertools.chain(*some) if knows_threads else by_turns(some, 1)


def _pins(vcpus: CpuSet, dealt: Iterator[int], around: CpuSet) -> Iterator[Pin]:
    """A CPU each, as far as there are any; for the others all around, which are taken."""
    for vcpu in vcpus:
        cpu = next(dealt, None)
        cpus = spans(around) if cpu is None else (Item(Span(cpu, cpu)),)
        yield Pin(Vcpus(vcpu, vcpu), CpuList(cpus), each=True)


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

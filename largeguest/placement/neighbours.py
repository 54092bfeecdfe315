# SPDX-License-Identifier: GPL-2.0-or-later
"""What other VMs hold on the host, and what of that a placement takes as well."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import Problem
from ..record import replace
from ..values import Guest, Neighbour, Pins, Placement, Promise
from ..wording import exactly, ids_are, quote
from .capacity import Bound, Flow, all_overfull, bound_memory, bound_to

_PLAN_AGAIN = "largeguest plan leaves out what other VMs hold"


def of(name: str, guest: Guest, cpus: CpuSet, is_exclusive: bool, host: Host) -> Neighbour:
    """What a VM that is as its XML says holds besides these CPUs: the memory that can come only from some nodes."""
    return Neighbour(name, cpus, is_exclusive, _promises(Placement().completed(guest), guest, host))


def of_placement(name: str, placement: Placement, guest: Guest, host: Host) -> Neighbour:
    """What a VM will hold that starts, or goes on, with this placement."""
    engines = guest.pins if guest.cpu_policy == "manual" else Pins()
    cpus = held(engines if placement.pins is None else placement.pins, host)
    return Neighbour(name, cpus, False, _promises(placement.completed(guest), guest, host))


def _promises(whole: Placement, guest: Guest, host: Host) -> tuple[Promise, ...]:
    parts = bound_memory(replace(whole, cells=whole.cells or None), guest, host)
    return tuple(Promise(part.nodeset, part.page, part.memory) for part in parts)


def held(pins: Pins, host: Host) -> CpuSet:
    """The CPUs that vCPUs are pinned to; emulator and iothreads share them with others."""
    return CpuSet.union(cpus for cpus in pins.vcpus.values() if host.online - cpus)


def promised(page: int, host: Host) -> dict[int, int]:
    """Node to KiB in pages of this size that are promised to other VMs.

    What may come from several nodes counts as spread evenly over them, as far as there is room.
    """
    left = {number: node.room(page).total for number, node in host.nodes.items()}
    total = dict(left)
    for part in sorted(_parts(page, host), key=lambda part: len(part.nodeset)):
        rest, nodes = part.memory, sorted(part.nodeset, key=lambda node: left[node])
        for place, node in enumerate(nodes):
            here = min(left[node], -(-rest // (len(nodes) - place)))
            left[node] -= here
            rest -= here
    return {node: total[node] - left[node] for node in total if total[node] != left[node]}


def check(placement: Placement, guest: Guest, host: Host) -> Iterator[Problem]:
    """CPUs that other VMs are pinned to, and memory that is promised to them, as warnings."""
    if host.neighbours_unknown:
        what = f"what other VMs hold is not known: {host.neighbours_unknown}"
        yield Problem("host", what, "start the keeper: systemctl enable --now vdsm-largeguest-keeper", warning=True)
    if not host.neighbours:
        return
    yield from _check_cpus(placement, guest, host)
    bound = bound_memory(placement, guest, host)
    for page in sorted({part.page for part in bound}):
        yield from _check_memory([part for part in bound if part.page == page], page, host)


def _check_cpus(placement: Placement, guest: Guest, host: Host) -> Iterator[Problem]:
    pins = {} if placement.pins is None else placement.pins.vcpus
    ours = CpuSet.union(cpus for vcpu, cpus in pins.items() if vcpu in guest.plugged_vcpus)
    yield from filter(None, (check_overlap(ours, neighbour) for neighbour in host.neighbours))


def check_overlap(cpus: CpuSet, neighbour: Neighbour) -> Problem | None:
    """A warning if a VM that is pinned to these CPUs would share any with another one."""
    shared = cpus & neighbour.cpus
    if not shared:
        return None
    name = quote(neighbour.name)
    how = f"exclusive to VM {name}" if neighbour.is_exclusive else f"also pinned by VM {name}"
    return Problem("cputune", f"{ids_are('CPU', shared)} {how}", _PLAN_AGAIN, warning=True)


def _check_memory(parts: list[Bound], page: int, host: Host) -> Iterator[Problem]:
    """Whether it all fits beside what is promised, of which the other VMs may not have touched everything yet."""
    others = _parts(page, host)
    nodes = CpuSet.union(part.nodeset for part in (*others, *parts))
    flow = Flow([*others, *parts], {number: host.nodes[number].room(page).total for number in nodes})
    for part in others:
        flow.add(part)
    full = next(filter(None, map(flow.add, parts)), CpuSet())
    if not full:
        return
    inside = [part for part in others if not part.nodeset - full]
    names = ", ".join(dict.fromkeys(quote(part.name) for part in inside))
    if not names:
        return  # without the others it does not fit either
    name, what = bound_to(parts, page, CpuSet.union(part.nodeset for part in parts if part.nodeset & full))
    promised_there = f"{what} {exactly(sum(part.memory for part in inside))} is promised to VM {names}"
    yield Problem(name, promised_there, _PLAN_AGAIN, warning=True)


def crowded(host: Host) -> frozenset[str]:
    """The names of the VMs that have been promised memory which cannot all be there."""
    names: set[str] = set()
    for page in {promise.page for neighbour in host.neighbours for promise in neighbour.promises}:
        parts = _parts(page, host)
        room = {number: node.room(page).total for number, node in host.nodes.items()}
        for full, among in all_overfull(parts, room):
            names.update(part.name for part in among if not part.nodeset - full)
    return frozenset(names)


def check_promises(own: Neighbour, subject: str, host: Host) -> Iterator[Problem]:
    """Warnings if what a VM has been promised does not fit beside what the others of the host have been."""
    for page in sorted({promise.page for promise in own.promises}):
        same = (promise for promise in own.promises if promise.page == page)
        yield from _check_memory([Bound(subject, part.nodes, page, part.memory) for part in same], page, host)


def _parts(page: int, host: Host) -> list[Bound]:
    """The promises in pages of this size; `name` is the VM's."""
    return [
        Bound(neighbour.name, promise.nodes & CpuSet(host.nodes), page, promise.memory)
        for neighbour in host.neighbours
        for promise in neighbour.promises
        if promise.page == page and promise.nodes & CpuSet(host.nodes)
    ]

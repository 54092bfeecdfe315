# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether each vCPU runs near the memory of its cell: layouts that are valid, but slow.

CPUs and nodes that the host does not have, which the engine may have written, are left out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import Problem
from ..properties import Properties
from ..properties.cpulist import Span
from ..properties.cputune import All, Cputune, Vcpus
from ..record import replace
from ..values import Cell, Guest, Home, Locality, Pins, Placement
from ..wording import ids_are, name_ids, plural, verb


def measure(whole: Placement, guest: Guest, host: Host) -> Locality:
    """Where the vCPUs of a guest are, by a placement that leaves nothing open."""
    pins = (whole.pins or Pins()).on(host.online)
    cells = whole.cells or (Cell(guest.all_vcpus, guest.memory),)
    return Locality(tuple(_home(cell, whole, pins, guest, host) for cell in cells), bool(whole.cells))


def _home(cell: Cell, whole: Placement, pins: Pins, guest: Guest, host: Host) -> Home:
    vcpus = cell.vcpus & guest.plugged_vcpus
    nodes = whole.nodes_of(cell) & CpuSet(host.nodes)
    if not nodes:
        by_numad = whole.policy is not None and whole.policy.nodeset is None
        return Home(vcpus, None, CpuSet(), CpuSet(), CpuSet(), by_numad)
    cpus = host.cpus_near(nodes)
    near = CpuSet(vcpu for vcpu in vcpus if not pins.vcpus.get(vcpu, host.online) - cpus)
    far = CpuSet.union(pins.vcpus[vcpu] for vcpu in vcpus - near if vcpu in pins.vcpus) - cpus
    # the other nodes of the host are read only if they are needed
    return Home(vcpus, nodes, near, far, host.nodes_with(far) if far else far)


def check(locality: Locality, whole: Placement, guest: Guest, host: Host, properties: Properties) -> Iterator[Problem]:
    """What makes a layout slow, as warnings; `whole` and the `locality` are those of this guest on this host."""
    pins, cputune = (whole.pins or Pins()).on(host.online), properties.cputune
    pins = replace(pins, vcpus={vcpu: cpus for vcpu, cpus in pins.vcpus.items() if vcpu in guest.plugged_vcpus})
    subject = "cputune" if cputune is not None else "numatune" if properties.guestnuma is None else "guestnuma"
    yield from _check_homes(locality, pins, host, subject, cputune)
    if cputune is not None:
        yield from _check_unpinned(whole.pins or Pins(), guest)
        yield from _check_shared_cpus(pins)
        yield from _check_threads(pins, guest, host)
        yield from _check_others(locality, pins, cputune, host)


def _check_homes(
    locality: Locality, pins: Pins, host: Host, subject: str, cputune: Cputune | None
) -> Iterator[Problem]:
    for number, home in enumerate(locality.homes):
        far = home.vcpus - home.near
        if cputune is not None and pins.vcpus:
            far &= CpuSet(pins.vcpus)  # the others are reported as not pinned
        if not far or home.nodes is None:
            continue
        whose = f"the memory of cell {number}" if locality.of_cells else "the memory"
        place = f"{whose} is on {name_ids('node', home.nodes)}"
        if not far & CpuSet(pins.vcpus):
            fix = "write cputune=all#cell" if cputune is None else "add all#cell"
            yield _warning(subject, f"{place}, but its vCPUs may run anywhere", fix)
        else:
            count = f"{len(far)} of its {plural(len(home.vcpus), 'vCPU')}"
            there = host.cpus_near(home.nodes)
            only = all(not pins.vcpus.get(vcpu, host.online) & there for vcpu in far)
            run = verb(far, "runs", "run") if only else "may run"
            what = f"{place}, but {count} {run} on {name_ids('node', home.elsewhere)}"
            yield _warning(subject, what, _write_cell(cputune))


def _write_cell(cputune: Cputune | None) -> str:
    if cputune is None:
        return "write cputune=all#cell"
    of_vcpus = [pin for pin in cputune.pins if isinstance(pin.threads, (All, Vcpus))]
    if any(isinstance(item.what, Span) for pin in of_vcpus for item in pin.cpus.items):
        return "were the CPUs renumbered? write cell instead of numbers"
    return "write cell, as in all#=cell"


def _check_unpinned(pins: Pins, guest: Guest) -> Iterator[Problem]:
    unpinned = guest.plugged_vcpus - CpuSet(pins.vcpus)
    if pins.vcpus and unpinned:
        what = f"{ids_are('vCPU', unpinned)} not pinned, and may run on the CPUs of the others"
        yield _warning("cputune", what, "pin all vCPUs, as in all#=cell")


def _check_shared_cpus(pins: Pins) -> Iterator[Problem]:
    """More vCPUs than CPUs: some wait while others run."""
    sets: dict[CpuSet, list[int]] = {}
    for vcpu, cpus in pins.vcpus.items():
        sets.setdefault(cpus, []).append(vcpu)
    single = {cpus.first: vcpus for cpus, vcpus in sets.items() if len(cpus) == 1}
    several = sorted((cpus for cpus in sets if len(cpus) > 1), key=lambda cpus: cpus.first)
    firsts = [cpus.first for cpus in several]
    of_one = CpuSet(single)
    reported: list[CpuSet] = []
    for cpus in sorted((cpus for cpus in sets if len(cpus) > 1 or len(sets[cpus]) > 1), key=len):
        if any(not part - cpus for part in reported):
            continue
        inside = [vcpu for cpu in cpus & of_one for vcpu in single[cpu]]
        candidates = several[bisect_left(firsts, cpus.first) : bisect_right(firsts, cpus.last)]
        inside += [vcpu for other in candidates if not other - cpus for vcpu in sets[other]]
        if len(inside) > len(cpus):
            reported.append(cpus)
            what = f"{name_ids('vCPU', CpuSet(inside))} share {name_ids('CPU', cpus)}"
            yield _warning(
                "cputune", what, "name a CPU for each, as in all#=cell" if len(cpus) == 1 else "name more CPUs"
            )


def _check_threads(pins: Pins, guest: Guest, host: Host) -> Iterator[Problem]:
    """The guest's scheduler relies on threads of a core sharing its caches."""
    threads = 1 if guest.topology is None else guest.topology.threads
    single = {vcpu: cpus.first for vcpu, cpus in pins.vcpus.items() if len(cpus) == 1}
    starts = range(0, guest.max_vcpus - threads + 1, threads) if threads > 1 else ()
    cores = [own for own in (range(start, start + threads) for start in starts) if all(vcpu in single for vcpu in own)]
    split = [own for own in cores if _are_apart({single[vcpu] for vcpu in own}, threads, host)]
    if split:
        of_all = f"{len(split)} of {plural(len(cores), 'guest core')}"
        what = (
            f"the threads of {of_all} are on different host cores, first those of {name_ids('vCPU', CpuSet(split[0]))}"
        )
        yield _warning("cputune", what, "write a place after #=, as in all#=cell, or leave out whole cores")


def _are_apart(cpus: set[int], threads: int, host: Host) -> bool:
    """Whether the threads of a guest core, on these CPUs, would also fit on some of their host cores."""
    cores = []
    while cpus:
        cores.append(CpuSet(host.core_of(min(cpus))))
        cpus = cpus - set(cores[-1]) - {min(cpus)}
    sizes = [*map(len, cores)]
    return sum(sizes) - min(sizes) >= threads


def _check_others(locality: Locality, pins: Pins, cputune: Cputune, host: Host) -> Iterator[Problem]:
    """QEMU's other threads copy what the guest reads and writes."""
    nodes = [home.nodes for home in locality.homes if home.nodes is not None]
    if len(nodes) < len(locality.homes):
        return
    near = host.cpus_near(CpuSet.union(nodes))
    typed = {str(pin.threads) for pin in cputune.pins}
    for name, cpus in replace(pins, vcpus={}).by_name():
        if name in typed and not cpus & near:
            where = name_ids("node", host.nodes_with(cpus))
            what = f"{name} runs on {where}, but the memory is on {name_ids('node', CpuSet.union(nodes))}"
            yield _warning("cputune", what, f"write {name}#cell")


def _warning(subject: str, what: str, fix: str) -> Problem:
    return Problem(subject, what, fix, warning=True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Notes about a plan or, if there is none, what is missing and what would fit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import Refused
from ..properties.guestnuma import memory_text
from ..record import replace
from ..values import HugePage
from ..wording import amount, exactly, plural, quote_name, shorten, verb
from . import sockets
from .candidates import Candidate, attempts, can_be_over_nodes, candidates
from .choice import Choice, best_choice, choose, too_many_sockets
from .choose import some
from .need import Need, Request, refused, resolve
from .sockets import MAX_CORES, MAX_SOCKETS

_MAX_TRIES = 4
"""Larger numbers of vCPUs to try: a guest that needs more than that is another guest."""


MANY_SIZES = 32
Size = TypeVar("Size")


def notes(choice: Choice) -> Iterator[str]:
    """What a user of the plan should know, one sentence each."""
    need, topology, threads = choice.need, choice.topology, choice.candidate.shape.threads
    own = need.guest.topology
    if own is not None and replace(own, sockets=0) != replace(topology, sockets=0):
        yield "the VM has a different topology: give it this one, so that each cell has whole sockets"
    if threads > need.host_threads:
        host_threads = plural(need.host_threads, "thread")
        yield f"the threads of a guest core run on different cores: those of the host have {host_threads}"
    if threads < need.host_threads and need.threads is None and choice.is_shared:
        yield from _whole_cores(need)
    if need.page and need.request.mode == "strict" and need.reserved - need.cpus(choice.nodes):
        yield "libvirt before 9.3 cannot start a VM with strict huge pages and its emulator elsewhere (rhbz#2185039)"
    if not any(not CpuSet(core) - choice.idle for cores in need.all_cores.values() for core in cores):
        yield "the plan leaves the host no core of its own: --reserve-cores 1 keeps one on each node"
    unknown = [address for address in need.request.pci if need.host.pci_node(address) is None]
    if unknown and len(need.nodes) > 1:
        devices = f"{'node' if len(unknown) == 1 else 'nodes'} of PCI {', '.join(unknown)}"
        yield f"the {shorten(devices, 200)} {verb(unknown, 'is', 'are')} not known here, and not considered"
    if not choice.candidate.layout.each_has_vcpus:
        yield "the memory needs more nodes than there are guest cores: one cell is on all of them, so some of it is far"
    if need.host.neighbours:
        yield _beside(need)
    if any(need.host.nodes[node].free is None for node in choice.nodes):
        yield "the host's free memory is not known: all of it was assumed to be free"


def _beside(need: Need) -> str:
    names = sorted(neighbour.name for neighbour in need.host.neighbours)
    promised = sum(need.promised.values())
    held = [plural(len(need.held), "CPU")] if need.held else []
    held += [f"{amount(promised)} promised"] if promised else []
    these = shorten(", ".join(map(quote_name, names)), 200)
    return f"left to {plural(len(names), 'other VM')} ({these}): {' and '.join(held) or 'nothing'}"


def missing(need: Need) -> Refused:
    """What is missing, in numbers, and the nearest plan that would fit."""
    choice = too_many_sockets(replace(need, find_nodes=some))
    if choice is not None:
        return refused(_too_many_sockets(choice), next(_other_vcpus(choice)))
    smallest = candidates(need)[-1]
    return refused(shortage(need), next(_alternatives(smallest)))


def _too_many_sockets(choice: Choice) -> str:
    limit = "" if choice.need.request.nodes is None else f" on {plural(choice.need.request.nodes, 'node')}"
    threads = choice.candidate.shape.threads
    cores = f" in cores of {threads} threads" if threads > 1 else ""
    return (
        f"{plural(choice.need.vcpus, 'vCPU')}{cores} cannot be divided evenly{limit} into sockets as the engine takes "
        f"them, at most {MAX_SOCKETS} of {MAX_CORES} cores (MaxNumOfVmSockets, MaxNumOfCpuPerSocket)"
    )


def _other_vcpus(choice: Choice) -> Iterator[str]:
    """What would fit where only the number of sockets is too large: the nearest numbers of vCPUs, below and above."""
    need, step = choice.need, choice.candidate.shape.threads
    yield from _other_sizes(need.request, need.host)
    rooms = sorted((room.units for room in choice.candidate.capacities.values()), reverse=True)
    counts = _thinned(list(range(len(rooms), 0, -1)))
    fewer = {sockets.most_cores(rooms[:count], choice.candidate.units - 1) for count in counts}
    more = range(choice.candidate.units + 1, min(choice.candidate.units + _MAX_TRIES, len(need.host.cpus)) + 1)
    below = _first_that_fits((cores * step for cores in sorted(fewer - {0}, reverse=True)), need)
    above = _first_that_fits((cores * step for cores in more if sockets.counts(cores, 1)), need)
    sizes = [f"{vcpus} vCPUs, on {plural(nodes, 'node')}" for vcpus, nodes in (*below, *above)]
    if sizes:
        yield f"the nearest that fits is {' or '.join(sizes)}"
    yield from _smaller_guests(choice.candidate, "")
    yield "choose another host"


def _thinned(sizes: list[Size]) -> list[Size]:
    """Of many sizes, the nearest first, ever fewer: a refusal has to be as fast as a plan."""
    if len(sizes) <= MANY_SIZES:
        return sizes
    return [sizes[0], *(sizes[2**power] for power in range(len(sizes).bit_length() - 1)), sizes[-1]]


def _first_that_fits(numbers: Iterable[int], need: Need) -> list[tuple[int, int]]:
    """The first of these numbers of vCPUs that fits, and the nodes it needs; none if none does."""
    for vcpus in numbers:
        choice = _try(_resized(need, vcpus, need.guest.memory), need.host)
        if choice is not None:
            return [(vcpus, len(choice.nodes))]
    return []


def _resized(need: Need, vcpus: int, memory: int) -> Request:
    """The request for a guest of this size; KiB of memory without its devices."""
    most = max(need.guest.max_vcpus, vcpus)
    guest = replace(need.guest, max_vcpus=most, plugged=CpuSet.span(0, vcpus - 1), memory=memory)
    return replace(need.request, guest=guest, spread=False)


def _whole_cores(need: Need) -> Iterator[str]:
    threads = need.host_threads
    choice = _try(replace(need.request, threads=threads), need.host)
    if choice is not None:
        nodes = plural(len(choice.nodes), "node")
        yield f"with --threads {threads}, on {nodes}, the guest would know which vCPUs share a core of the host"


def _try(request: Request, host: Host) -> Choice | None:
    """The choice for a changed request; None if there is none that can be carried out."""
    try:
        choice = best_choice(replace(resolve(request, host), find_nodes=some))
        if choice is not None:
            choice.carry_out()
    except Refused:
        return None
    return choice


def shortage(need: Need) -> str:
    """What the host lacks, in numbers."""
    candidate = candidates(need)[-1]
    limit = "" if need.request.nodes is None else f" on {plural(need.request.nodes, 'node')}"
    cpus, memory = _supply(candidate)
    cores = f" in whole cores of {candidate.shape.threads} threads" if candidate.shape.threads > 1 else ""
    cores = " on a core of their own" if need.request.one_thread_per_core else cores
    unusable = (("reserved", need.reserved | need.kept), ("excluded", need.excluded), ("of other VMs", need.held))
    without = ", ".join(f"{len(these)} {reason}" for reason, these in unusable if these)
    without = without and f" ({without})"
    kind = f"huge pages of {exactly(need.page)}" if need.page else "memory"
    kept = sum(map(need.kept_memory, need.nodes))
    kind += f" besides {amount(kept)} for the host" if kept else ""
    nodes, both = len(need.nodes), len(candidate.capacities)
    named = "" if need.request.on is None else " that --on names"
    with_both = f", {plural(both, 'node')} with both" if both < nodes else ""
    return (
        f"{plural(need.vcpus, 'vCPU')} and {exactly(need.memory)} do not fit{limit}: "
        f"the host has {plural(nodes, 'node')}{named} with {plural(cpus, 'CPU')}{cores}{without} "
        f"and {exactly(memory)} of free {kind}{with_both}{_obstacle(candidate)}"
    )


def _supply(candidate: Candidate) -> tuple[int, int]:
    """CPUs and KiB that all nodes together have to offer."""
    size = candidate.shape.vcpus
    units = sum(len(cpus) // size for cpus in candidate.cpus.values())
    return units * size, sum(candidate.memory.values())


def _obstacle(candidate: Candidate) -> str:
    """What prevents a plan besides the totals."""
    need, nodes = candidate.need, len(candidate.need.nodes)
    if not nodes:
        return ", but no node has both CPUs and memory"
    if need.devices and need.min_cells > min(nodes, need.request.nodes or nodes):
        return f", but a memory device in guest node {need.min_cells - 1} needs {plural(need.min_cells, 'node')}"
    cpus, memory = _supply(candidate)
    if cpus >= need.vcpus and memory >= need.memory and need.request.nodes is None:
        vcpus = plural(candidate.shape.vcpus, "vCPU")
        return f", but each node used needs {vcpus} or more{candidate.layout.also_needed}"
    return ""


def _alternatives(smallest: Candidate) -> Iterator[str]:
    """What would fit, the nearest first."""
    need = smallest.need
    request, host = need.request, need.host
    yield from _other_sizes(request, host)
    if request.on is not None and _try(replace(request, on=None), host):
        yield "it fits without --on"
    if request.one_thread_per_core and _try(replace(request, one_thread_per_core=False), host):
        yield "it fits without --one-thread-per-core"
    one_thread = replace(request, threads=1)
    if smallest.shape.threads > 1 and _try(one_thread, host):
        yield "it fits with --threads 1"
    if not need.page:
        yield from _in_huge_pages(need)
    if need.page and _try(replace(request, guest=replace(need.guest, pages=())), host):
        yield "it fits if they are reserved on the nodes, or without huge pages"
    yield from _smaller_guests(smallest, "")
    if smallest.shape.threads > 1:
        yield from _smaller_guests(candidates(resolve(one_thread, host))[-1], " and --threads 1")
    if need.host.neighbours and _try(request, replace(host, neighbours=())):
        yield "it fits with --share, together with the other VMs"
    yield "reserve more of them on the nodes, or choose another host" if need.page else "choose another host"


def _in_huge_pages(need: Need) -> Iterator[str]:
    """The sizes of huge pages with which it fits: their memory is not free for anything else."""
    sizes = {size for node in need.nodes for size, pages in need.host.nodes[node].pages.items() if pages.total}
    for size in sorted(sizes, reverse=True):
        guest = replace(need.guest, pages=(HugePage(size, None),))
        if _try(replace(need.request, guest=guest), need.host):
            yield (
                f"{exactly(size)} pages are free, plan with --hugepages {memory_text(size)} "
                "(in the engine the property hugepages)"
            )


def _other_sizes(request: Request, host: Host) -> Iterator[str]:
    limit = request.nodes
    if limit is not None:
        need = replace(resolve(replace(request, nodes=None), host), find_nodes=some)
        by_size: dict[int, list[Candidate]] = {}
        for size, candidate in attempts(need):
            by_size.setdefault(size, []).append(candidate)
        too_many = len(need.nodes) + 1
        for size in sorted(by_size, key=lambda size: (abs(size - limit), size)):
            if size < too_many and any(choose(size, candidate) for candidate in by_size[size]):
                if _try(replace(request, nodes=size), host):
                    yield f"it fits on {plural(size, 'node')}"
                else:
                    too_many = size  # the text for so many is longer than the engine stores


def _smaller_guests(candidate: Candidate, also: str) -> Iterator[str]:
    """Smaller guests that fit, with what has to be done `also`."""
    need = candidate.need
    too_many = len(candidate.capacities) + 1
    for count, vcpus, memory in _thinned(_smaller_sizes(candidate)):
        if count >= too_many:
            continue
        choice = _try(replace(_resized(need, vcpus, memory), nodes=None), need.host)
        if choice is None:
            too_many = count - count // 16  # the text for so many is longer than the engine stores
        else:
            size = f"{plural(vcpus, 'vCPU')} and {exactly(memory + need.device_memory)}{also}"
            yield f"the nearest that fits is {size}, on {plural(len(choice.nodes), 'node')}"


def _smaller_sizes(candidate: Candidate) -> list[tuple[int, int, int]]:
    """Nodes, vCPUs, and KiB without memory devices to try, the nearest first."""
    need, layout = candidate.need, candidate.layout
    rooms = list(candidate.capacities.values())
    sizes: dict[tuple[int, int], int] = {}
    # the nodes that have the most memory, or the most CPUs; each gets at least a unit of vCPUs and a step of memory
    for count, order in itertools.product(range(1, len(rooms) + 1), ("memory", "units")):
        largest = sorted(rooms, key=lambda room: (getattr(room, order), room.memory, room.units))[-count:]
        units = min(candidate.units, sum(room.units for room in largest))
        over_nodes = count > units and can_be_over_nodes(need)
        if not over_nodes and layout.cells_are_sockets and not candidate.keeps_topology:
            units = sockets.most_cores([room.units for room in largest], units)
        memory = layout.total([room.memory for room in largest]) - need.device_memory
        memory = min(need.guest.memory, memory // need.step * need.step)
        if count <= memory // need.step and units and (count <= units or over_nodes):
            sizes.setdefault((min(need.vcpus, units * candidate.shape.vcpus), memory), count)
    distances = {
        (count, *size): 2 - size[0] / need.vcpus - size[1] / need.guest.memory for size, count in sizes.items()
    }
    return sorted(distances, key=lambda size: (distances[size], size[1:]))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Notes about a plan or, if there is none, what is missing and what would fit."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..problem import Refused
from ..properties import MAX_LENGTH
from ..record import replace
from ..wording import amount, exactly, plural, quote_name, shorten, verb
from . import fitting
from .candidates import Candidate, candidates
from .choice import Choice, stored_length, too_many_sockets
from .choose import some
from .need import Need, refused
from .sockets import MAX_CORES, MAX_SOCKETS


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
    held = [plural(len(need.host.held), "CPU")] if need.host.held else []
    held += [f"{amount(promised)} promised"] if promised else []
    these = shorten(", ".join(map(quote_name, names)), 200)
    return f"left to {plural(len(names), 'other VM')} ({these}): {' and '.join(held) or 'nothing'}"


def missing(need: Need) -> Refused:
    """What is missing, in numbers, and the nearest plan that would fit."""
    choice = too_many_sockets(replace(need, find_nodes=some))
    if choice is not None:
        return refused(_too_many_sockets(choice), next(fitting.other_vcpus(choice)))
    smallest = candidates(need)[-1]
    return refused(shortage(need), next(fitting.requests(smallest)))


def partial_cores(need: Need) -> Refused:
    """That the vCPUs are not whole cores of the threads asked for, and the nearest numbers that would fit."""
    what = f"{plural(need.vcpus, 'vCPU')} cannot be divided into cores of {need.threads} threads"
    return refused(what, next(fitting.whole_cores(need)))


def too_long(choice: Choice) -> Refused:
    """That the text of the choice is longer than the engine stores, and what would need less."""
    what = f"the properties have {stored_length(choice.properties)} characters, but the engine stores {MAX_LENGTH}"
    return refused(what, next(fitting.shorter(choice)))


def _too_many_sockets(choice: Choice) -> str:
    limit = "" if choice.need.request.nodes is None else f" on {plural(choice.need.request.nodes, 'node')}"
    threads = choice.candidate.shape.threads
    cores = f" in cores of {threads} threads" if threads > 1 else ""
    return (
        f"{plural(choice.need.vcpus, 'vCPU')}{cores} cannot be divided evenly{limit} into sockets as the engine takes "
        f"them, at most {MAX_SOCKETS} of {MAX_CORES} cores (MaxNumOfVmSockets, MaxNumOfCpuPerSocket)"
    )


def _whole_cores(need: Need) -> Iterator[str]:
    threads = need.host_threads
    choice = fitting.attempt(replace(need.request, threads=threads), need.host)
    if choice is not None:
        nodes = plural(len(choice.nodes), "node")
        yield f"with --threads {threads}, on {nodes}, the guest would know which vCPUs share a core of the host"


def shortage(need: Need) -> str:
    """What the host lacks, in numbers."""
    candidate = candidates(need)[-1]
    limit = "" if need.request.nodes is None else f" on {plural(need.request.nodes, 'node')}"
    cpus, memory = _supply(candidate)
    cores = f" in whole cores of {candidate.shape.threads} threads" if candidate.shape.threads > 1 else ""
    cores = " on a core of their own" if need.request.one_thread_per_core else cores
    unusable = (("reserved", need.reserved | need.kept), ("excluded", need.excluded), ("of other VMs", need.host.held))
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a placement on the guest: libvirt accepts many contradictory layouts and changes the VM.

It drops a pin of a vCPU that does not exist, puts vCPUs without a cell into cell 0, and makes the cells' sum the VM's
memory. That is why all this is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import PROPERTIES
from ..cpuset import CpuSet
from ..problem import Problem
from ..properties import Properties
from ..properties.cpulist import Span
from ..properties.cputune import All, Cputune, Emulator, Iothread, Vcpus
from ..properties.guestnuma import Guestnuma, memory_text
from ..properties.numatune import Numatune
from ..values import Cell, Guest, Placement, Policy
from ..wording import exactly, ids_are, name_ids, plural, shorten, verb
from . import deal
from .capacity import LIMITING_MODES

_EXCLUSIVE_POLICIES = ("dedicated", "siblings", "isolate-threads")
"""oVirt's CPU pinning policies under which the engine sets pins and nodes, and VDSM rewrites them on migration."""

MAX_CELLS = 128
"""QEMU's limit (MAX_NODES)."""


def engines_layout(guest: Guest) -> str | None:
    """A sentence if the engine sets pins and nodes under the CPU pinning policy; None if the properties do."""
    if guest.cpu_policy not in _EXCLUSIVE_POLICIES:
        return None
    return f"the VM has the CPU pinning policy {guest.cpu_policy}, under which the engine sets the layout"


def check(properties: Properties, guest: Guest, placement: Placement) -> Iterator[Problem]:
    """What is wrong with the properties, and with their placement, on this VM."""
    yield from check_cpu_policy(properties, guest)
    if properties.cputune is not None:
        yield from check_pins(properties.cputune, guest)
    if properties.guestnuma is not None:
        yield from _check_cells(properties.guestnuma, guest, placement.cells or ())
        yield from _check_nodes_of_cells(properties.guestnuma, properties.numatune, guest)


def check_policy(placement: Placement, guest: Guest) -> Iterator[Problem]:
    """What is wrong with the memory policy, apart from that of the cells."""
    if placement.policy is not None and placement.policy.nodeset is not None:
        yield from _check_preferred(placement.policy.mode, placement.policy.nodeset)
    policy = placement.policy or guest.policy
    if policy is not None:
        yield from _check_cells_in_policy(placement.cells or (), policy)


def check_cpu_policy(properties: Properties, guest: Guest) -> Iterator[Problem]:
    """Under some CPU pinning policies no property can be used."""
    what = engines_layout(guest)
    if what is not None:
        for name in PROPERTIES:
            if getattr(properties, name) is not None:
                yield Problem(name, what, "choose the policy None or Manual, or remove the property")


def check_pins(cputune: Cputune, guest: Guest) -> Iterator[Problem]:
    """What is wrong with the pins on this VM, which libvirt would drop, or apply in part."""
    sets = [_vcpus_of(pin.threads, guest) for pin in cputune.pins if isinstance(pin.threads, (All, Vcpus))]
    vcpus = CpuSet.union(sets)
    yield from _check_vcpus_exist("cputune", vcpus, guest, _remove_pins(vcpus - guest.all_vcpus))
    twice = _named_twice(sets)
    if twice:
        yield Problem("cputune", f"{ids_are('vCPU', twice)} pinned more than once", "write one pin for each vCPU")
    iothreads = [CpuSet([pin.threads.number]) for pin in cputune.pins if isinstance(pin.threads, Iothread)]
    unknown = CpuSet.union(iothreads) - guest.iothreads
    if unknown:
        has = name_ids("iothread", guest.iothreads) if guest.iothreads else "none"
        what = f"{name_ids('iothread', unknown)} {verb(unknown)} not exist, the VM has {has}"
        counted = ", iothreads are counted from 1" if 0 in unknown else ""
        yield Problem("cputune", what, _remove_pins(unknown) + counted)
    others = [str(Emulator())] * (sum(isinstance(pin.threads, Emulator) for pin in cputune.pins) > 1)
    others += [str(Iothread(number)) for number in _named_twice(iothreads)]
    for other in others:
        yield Problem("cputune", f"{other} is pinned more than once", "write one pin for it")
    yield from _check_lone_numbers(cputune, vcpus, guest)


def _vcpus_of(threads: All | Vcpus, guest: Guest) -> CpuSet:
    """What a pin names; `all` includes what is plugged in later."""
    return guest.all_vcpus if isinstance(threads, All) else CpuSet.span(threads.first, threads.last)


def _remove_pins(ids: CpuSet) -> str:
    return f"remove {verb(ids, 'its pin', 'their pins')}"


def _check_preferred(mode: str, nodeset: CpuSet) -> Iterator[Problem]:
    """QEMU 7.2 with libvirt 9.0 starts a VM that prefers several nodes, but uses only the first.

    QEMU 10 with libvirt 11.3 honours it (both measured); which QEMU a host has is not known here.
    """
    if mode == "preferred" and len(nodeset) > 1:
        what = f"preferred names {name_ids('node', nodeset)}, but older QEMU (7.2) silently uses only the first"
        yield Problem("numatune", what, "name one node, or write interleave#")


def _check_cells_in_policy(cells: Iterable[Cell], policy: Policy) -> Iterator[Problem]:
    """Under a limiting mode the guest's policy limits its cgroup: a cell on other nodes could allocate nothing."""
    if policy.mode not in LIMITING_MODES or not policy.nodeset:
        return
    for number, cell in enumerate(cells):
        if cell.nodes is not None and cell.nodes - policy.nodeset:
            allowed = shorten(str(policy.nodeset))
            what = f"cell {number} is on {name_ids('node', cell.nodes)}, but numatune allows only {allowed}"
            yield Problem("guestnuma", what, "name these nodes in numatune too")


def _check_lone_numbers(cputune: Cputune, pinned: CpuSet, guest: Guest) -> Iterator[Problem]:
    """In `0#1,3,5#2` the 3 is a CPU of vCPU 0, but may be meant as a vCPU whose `#...` is missing."""
    of_vcpus = [pin.cpus.items for pin in cputune.pins if isinstance(pin.threads, (All, Vcpus))]
    after_a_comma = [item.what for items in of_vcpus for item in items[1:] if not item.out]
    numbers = CpuSet(what.first for what in after_a_comma if isinstance(what, Span) and what.first == what.last)
    doubtful = numbers & (guest.all_vcpus - pinned)
    if doubtful:
        taken = verb(doubtful, "is taken as a host CPU", "are taken as host CPUs")
        what = f"{shorten(str(doubtful))} {taken}, but {ids_are('vCPU', doubtful)} unpinned"
        yield Problem("cputune", what, f"write {doubtful.first}#... if the vCPU is meant", warning=True)


def _check_cells(guestnuma: Guestnuma, guest: Guest, cells: tuple[Cell, ...]) -> Iterator[Problem]:
    if guest.arch == "s390x":
        yield Problem("guestnuma", "a guest on s390x has no NUMA", "remove the property")
        return
    if len(guestnuma.cells) > MAX_CELLS:
        yield Problem("guestnuma", f"there are {len(guestnuma.cells)} cells, QEMU allows {MAX_CELLS}", "write fewer")
    yield from _check_vcpus_of_cells(guestnuma, guest)
    yield from _check_memory_of_cells(guestnuma, guest, cells)
    yield from _check_references_to_cells(guestnuma, guest)


def _check_vcpus_of_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    sets = [cell.vcpus for cell in guestnuma.cells]
    all_named = CpuSet.union(sets)
    last = all_named.last
    yield from _check_vcpus_exist("guestnuma", all_named, guest, f"name no vCPU above {guest.max_vcpus - 1}")
    twice = _named_twice(sets)
    if twice:
        follow = any(cell.nodes and twice & after for cell, after in zip(guestnuma.cells, sets[1:]))
        nodes = ", or join several nodes after @ with +" if follow else ""  # 0-3#*@0,1,4-7#* has vCPU 1 in both
        yield Problem("guestnuma", f"{ids_are('vCPU', twice)} in more than one cell", f"name each vCPU once{nodes}")
    left_out = CpuSet.span(0, last) - all_named
    if left_out:
        yield Problem("guestnuma", f"{ids_are('vCPU', left_out)} in no cell", f"name all of 0-{last}")
    unnamed = guest.plugged_vcpus - CpuSet.span(0, last)
    if unnamed:
        what = f"{ids_are('vCPU', unnamed)} plugged in but not named, and distributed over the cells by guest socket"
        yield Problem("guestnuma", what, "name them if they should be elsewhere", warning=True)
    if not twice:
        yield from _check_sockets(sets, guest.vcpus_per_socket)


def _check_sockets(sets: list[CpuSet], size: int) -> Iterator[Problem]:
    sockets = [CpuSet(vcpu // size for vcpu in vcpus) for vcpus in sets]
    # several whole cells in a socket are as with sub-NUMA clusters
    cut = _named_twice(sockets) & CpuSet.union(own for own in sockets if len(own) > 1)
    if cut:
        what = f"{ids_are('guest socket', cut)} cut by a cell boundary (a socket has {size} vCPUs)"
        yield Problem("guestnuma", what, "give each cell whole sockets, or change the VM's sockets", warning=True)


def _check_memory_of_cells(guestnuma: Guestnuma, guest: Guest, cells: tuple[Cell, ...]) -> Iterator[Problem]:
    memory = [cell.memory for cell in cells]
    shares = guestnuma.shares
    total = sum(cell.memory or 0 for cell in guestnuma.cells)
    devices = " without its memory devices" if guest.devices else ""
    if shares and min(memory[number] for number in shares) <= 0:
        yield _nothing_left(shares, guest.memory - total, guest)
        memory = [cell.memory or deal.memory_step(guest, n) for n, cell in enumerate(guestnuma.cells)]
    yield from _check_steps(memory, shares, guest)
    if not shares and total != guest.memory:
        what = f"the cells have {exactly(total)}, but the VM has {exactly(guest.memory)}{devices}"
        yield Problem("guestnuma", what, _right_sum(total, guestnuma, guest))


def _right_sum(total: int, guestnuma: Guestnuma, guest: Guest) -> str:
    """The fix for cells that sum up to `total`; a number without a unit may be meant as MiB."""
    if total * 1024 == guest.memory:
        return f"did you mean {guestnuma.cells[0].memory}M?"
    change, where = ("remove", "from") if total > guest.memory else ("add", "to")
    return f"{change} {exactly(abs(total - guest.memory))} {where} a cell, or write * for one cell's memory"


def _nothing_left(shares: list[int], left: int, guest: Guest) -> Problem:
    """The problem of the cells with `*` if the others leave only `left` KiB."""
    if not guest.memory:
        what = "nothing is left for *: the VM has no memory besides its memory devices"
        return Problem("guestnuma", what, "give the VM more memory")
    if left <= 0:
        others, whole = exactly(guest.memory - left), exactly(guest.memory)
        what = f"nothing is left for *: the other cells have {others} of the VM's {whole}"
        return Problem("guestnuma", what, "give the other cells less")
    step = deal.memory_step(guest, shares[0])
    page = guest.page_of(shares[0])
    piece = "huge page" if page is not None and page.size == step else "piece"
    what = f"{len(shares)} cells share {exactly(left)}, only {plural(left // step, piece)} of {exactly(step)}"
    return Problem("guestnuma", what, "write fewer cells, or give the VM more memory")


def _check_steps(memory: list[int], shares: list[int], guest: Guest) -> Iterator[Problem]:
    wrong: dict[tuple[int, int, bool], list[int]] = {}
    for number, amount in enumerate(memory):
        step = deal.memory_step(guest, number)
        if amount == 0 or amount % step:
            wrong.setdefault((amount, step, number in shares), []).append(number)
    for (amount, step, shared), numbers in wrong.items():
        cells = name_ids("cell", CpuSet(numbers))
        below = amount // step * step
        above = memory_text(below + step)
        nearest = f"write {memory_text(below)} or {above}" if below else f"write at least {above}"
        has = verb(numbers, "has", "have")
        if amount == 0:
            yield Problem("guestnuma", f"{cells} {has} 0 KiB", nearest)
        elif shared:
            what = f"{cells} would have {exactly(amount)} for *, which is not a multiple of {exactly(step)}"
            yield Problem("guestnuma", what, "change the VM's memory, or write the amounts out")
        else:
            what = f"{cells} {has} {exactly(amount)}, which is not a multiple of {exactly(step)}"
            yield Problem("guestnuma", what, nearest)


def _check_nodes_of_cells(guestnuma: Guestnuma, numatune: Numatune | None, guest: Guest) -> Iterator[Problem]:
    nodes = {number: cell.nodes for number, cell in enumerate(guestnuma.cells) if cell.nodes is not None}
    if not nodes:
        return
    policy = guest.policy
    if numatune is None and policy is not None and (policy.nodeset is None or policy.mode == "restrictive"):
        name = "auto" if policy.nodeset is None else policy.mode
        what = f"@ cannot be combined with the memory policy {name} that the VM already has"
        yield Problem("guestnuma", what, "set numatune too")
    if numatune is None:
        return
    if numatune.nodeset is None:
        what = "@ cannot be combined with numatune's auto, where numad chooses"
        yield Problem("guestnuma", what, "remove one of them")
    several = CpuSet(number for number, own in nodes.items() if len(own) > 1)
    if numatune.mode == "preferred" and several:
        has = verb(several, "has", "have")
        what = f"{name_ids('cell', several)} {has} several nodes, but older QEMU (7.2) silently prefers only the first"
        yield Problem("guestnuma", what, "name one node after @, or write interleave# in numatune")


def _check_references_to_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    cells = CpuSet.span(0, len(guestnuma.cells) - 1)
    only = f"but only {name_ids('cell', cells)} {verb(cells, 'exists', 'exist')}"
    plugged = CpuSet(device.node for device in guest.devices if device.node is not None) - cells
    if plugged:
        what = f"the VM has a memory device in {name_ids('guest node', plugged)}, {only}"
        yield Problem("guestnuma", what, "write more cells, or unplug the device")
    for reference in guest.references:
        absent = reference.cells - cells
        if absent:
            what = f"the VM has {reference.device} in {name_ids('guest node', absent)}, {only}"
            yield Problem("guestnuma", what, "write more cells, or remove the device")
    for page in guest.pages:
        strange = (page.cells or cells) - cells
        if strange:
            what = f"the VM has huge pages for {name_ids('cell', strange)}, {only}"
            yield Problem("guestnuma", what, "write more cells")


def _check_vcpus_exist(name: str, vcpus: CpuSet, guest: Guest, fix: str) -> Iterator[Problem]:
    unknown = vcpus - guest.all_vcpus
    if unknown:
        there = name_ids("vCPU", guest.all_vcpus)
        yield Problem(name, f"{name_ids('vCPU', unknown)} {verb(unknown)} not exist, the VM has {there}", fix)


def _named_twice(sets: Iterable[CpuSet]) -> CpuSet:
    """The ids that are in more than one of `sets`."""
    seen = twice = CpuSet()
    for ids in sets:
        twice |= seen & ids
        seen |= ids
    return twice

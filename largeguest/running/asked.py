# SPDX-License-Identifier: GPL-2.0-or-later
"""What a running VM was asked to be, compared with what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..cpuset import CpuSet
from ..host.topology import Host
from ..placement.place import place
from ..problem import DOMAIN_XML, Problem, Refused
from ..properties import Properties
from ..record import replace
from ..values import Cell, Guest, Home, Placement, Policy
from ..wording import amount, exactly, name_ids, plural
from . import memory
from .memory import Memory
from .pins import Running

START_AGAIN = "shut the VM down and start it on a host with the hook (a reboot is not enough)"
START_KEEPER = "systemctl enable --now vdsm-largeguest-keeper"


def check_threads(running: Running, online: CpuSet, keeper: bool | None) -> Iterator[Problem]:
    """The threads that do not run on the CPUs of cputune."""
    moved: dict[str, tuple[list[CpuSet], list[CpuSet]]] = {}
    vcpus = CpuSet(int(thread[4:]) for thread, cpus, now in running.rows() if thread[:4] == "vcpu" and cpus != now)
    for thread, cpus, now in running.rows():
        if cpus != now:
            name = name_ids("vCPU", vcpus) if thread.startswith("vcpu") else thread
            asked, real = moved.setdefault(name, ([], []))
            asked.append(cpus)
            real.append(now or online)
    if not moved:
        return
    parts = (f"{name} on {_cpus(real)} instead of {_cpus(asked)}" for name, (asked, real) in moved.items())
    what = "may run elsewhere: " + ", ".join(parts)
    start = f"start the keeper, which puts them back: {START_KEEPER}"
    fix = start if keeper is False else "look at the journal of the keeper"
    yield Problem("cputune", what, fix)


def _cpus(sets: Sequence[CpuSet]) -> str:
    return name_ids("CPU", CpuSet.union(sets))


def check_keeper(properties: Properties, guest: Guest, keeper: bool | None) -> Iterator[Problem]:
    """VDSM moves the pins of a VM with the CPU pinning policy None; engines before 4.5 have no policies."""
    if keeper is False and properties.cputune is not None and guest.cpu_policy == "none":
        yield Problem("keeper", "it does not run here, so nothing puts back the pins that VDSM moves", START_KEEPER)


def check_layout(properties: Properties, guest: Guest, host: Host) -> list[Problem] | None:
    """The cells and the memory policy that the XML has instead of those that the properties ask for.

    None if they cannot be carried out here, which the next start would report.
    """
    if "guestnuma" in properties.autos:
        return list(_check_chosen(guest))
    wanted = replace(properties, cputune=None)
    if wanted == Properties():
        return []
    try:
        return list(_compare(place(wanted, guest, host), guest))
    except Refused:
        return None


def _check_chosen(guest: Guest) -> Iterator[Problem]:
    """Whichever cells auto has chosen, the VM must have some on nodes of the host."""
    if guest.policy is None and all(cell.nodes is None for cell in guest.cells):
        yield Problem("guestnuma", "it asks for auto, but the VM has no cells on nodes of the host", START_AGAIN)


def _compare(asked: Placement, guest: Guest) -> Iterator[Problem]:
    if asked.policy is not None and not _is_same_policy(asked.policy, guest.policy):
        now = "the memory is not bound" if guest.policy is None else f"the VM has {guest.policy}"
        yield Problem("numatune", f"it asks for {asked.policy}, but {now}", START_AGAIN)
    if asked.cells is not None:
        yield from _check_cells(asked.cells, guest.cells)


def _is_same_policy(asked: Policy, has: Policy | None) -> bool:
    return has is not None and (asked.mode, asked.nodeset) == (has.mode, has.nodeset)


def _check_cells(asked: Sequence[Cell], has: Sequence[Cell]) -> Iterator[Problem]:
    if len(asked) != len(has):
        what = f"it asks for {plural(len(asked), 'cell')}, but the VM has {len(has) or 'none'}"
        yield Problem("guestnuma", what, START_AGAIN)
        return
    for number, (want, cell) in enumerate(zip(asked, has)):
        differences = [
            (f"vCPUs {want.vcpus}", f"vCPUs {cell.vcpus}", want.vcpus == cell.vcpus),
            (exactly(want.memory), exactly(cell.memory), want.memory == cell.memory),
            (_binding(want), _binding(cell), (want.nodes, want.mode) == (cell.nodes, cell.mode)),
        ]
        for wanted, now, same in differences:
            if not same:
                yield Problem("guestnuma", f"cell {number} should have {wanted}, but has {now}", START_AGAIN)


def _binding(cell: Cell) -> str:
    return "no nodes" if cell.nodes is None else f"{cell.mode} memory on {name_ids('node', cell.nodes)}"


def check_memory(
    name: str, properties: Properties, guest: Guest, homes: Sequence[Home], held: Memory, pid: int | None
) -> Iterator[Problem]:
    """Memory that is on other nodes than those that it is bound to; the mode preferred allows that."""
    subject = "guestnuma" if properties.guestnuma else "numatune" if properties.numatune else DOMAIN_XML
    look = f"see which cell's it is, as root: largeguest status {name}"
    for cell, away in held.away(homes).items():
        if cell is None:
            nodes = CpuSet.union(home.nodes for home in homes if home.nodes is not None)
            yield _misplaced(subject, "the memory", away, nodes, look)
            continue
        bound = memory.mode_of(guest, cell)
        if bound is not None and bound[0] != "preferred":
            which = f"cell {cell}" if len(homes) > 1 else "the memory"
            yield _misplaced(subject, which, away, bound[1], _way_back(cell, away, bound[1], homes, pid))
    if None in held.of_cells:
        for cell, kib in memory.surplus(guest, homes, held).items():
            what = f"{amount(kib)} is on the nodes of cell {cell}, which can have {amount(memory.size_of(guest, cell))}"
            yield Problem(subject, what, look)


def _way_back(cell: int, away: Mapping[int, int], nodes: CpuSet, homes: Sequence[Home], pid: int | None) -> str:
    """migratepages(8) moves all pages that a process has on a node, whichever cell they belong to."""
    others = [home.nodes for number, home in enumerate(homes) if number != cell and home.nodes is not None]
    if CpuSet(away) & CpuSet.union(others):
        return START_AGAIN
    return f"as root: migratepages {pid} {CpuSet(away)} {nodes}"


def _misplaced(subject: str, which: str, away: dict[int, int], nodes: CpuSet, fix: str) -> Problem:
    what = f"{amount(sum(away.values()))} of {which} is on {name_ids('node', CpuSet(away))}"
    return Problem(subject, f"{what} instead of {name_ids('node', nodes)}", fix)

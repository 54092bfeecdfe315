# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was asked for and what the VM is to a placement in which every number is concrete, or to a refusal.

libvirt takes many contradictory layouts and starts another VM than was asked for: it drops a pin of a vCPU that does
not exist, puts vCPUs without a cell into cell 0 and makes the cells' sum the VM's memory. So they are refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cpuset import CpuSet
from .errors import Problem, Refused, plural
from .properties import Cell, Cputune, Guestnuma, Numatune, Properties

if TYPE_CHECKING:
    from .domxml import Guest

CELL_KIB = 1024
"""A cell's memory is a multiple of this: libvirt rounds it up to 1 MiB, and the VM would get more than it has."""


@dataclass(frozen=True)
class Placement:
    """What is written into the domain XML; None for what was not asked for."""

    pins: dict[int, CpuSet] | None
    """vCPU to the host CPUs it may run on."""
    memory: Numatune | None
    cells: tuple[Cell, ...] | None

    def __str__(self) -> str:
        """What the placement does, in counts and nodesets: `cputune: 2 vCPUs pinned; numatune: ...`."""
        done = []
        if self.pins is not None:
            done.append(f"cputune: {plural(len(self.pins), 'vCPU')} pinned")
        if self.memory is not None:
            done.append(f"numatune: memory {self.memory.mode} on host {_name('node', self.memory.nodeset)}")
        if self.cells is not None:
            vcpus = sum(len(cell.vcpus) for cell in self.cells)
            memory = sum(cell.memory for cell in self.cells)
            done.append(f"guestnuma: {plural(len(self.cells), 'cell')}, {plural(vcpus, 'vCPU')}, {memory} KiB")
        return "; ".join(done)


def place(wanted: Properties, guest: Guest) -> Placement:
    """Carry `wanted` out for `guest`; raises Refused with everything that is wrong."""
    problems: list[Problem] = []
    if wanted.cputune is not None:
        problems += _check_pins(wanted.cputune, guest)
    if wanted.numatune is not None:
        problems += _check_policy(wanted.numatune)
    if wanted.guestnuma is not None:
        problems += _check_cells(wanted.guestnuma, guest)
    if problems:
        raise Refused(problems)
    return Placement(
        pins=None if wanted.cputune is None else {pin.vcpu: pin.cpuset for pin in wanted.cputune.pins},
        memory=wanted.numatune,
        cells=None if wanted.guestnuma is None else wanted.guestnuma.cells,
    )


def _check_pins(cputune: Cputune, guest: Guest) -> Iterator[Problem]:
    pinned = CpuSet(pin.vcpu for pin in cputune.pins)
    yield from _check_vcpus_exist("cputune", pinned, guest, "take their pins out")
    twice = _named_twice(CpuSet([pin.vcpu]) for pin in cputune.pins)
    if twice:
        yield Problem("cputune", f"{_are('vCPU', twice)} pinned more than once", "write one pin for each vCPU")


def _check_policy(numatune: Numatune) -> Iterator[Problem]:
    count = len(numatune.nodeset)
    if numatune.mode == "preferred" and count > 1:
        yield Problem(
            "numatune", f"preferred takes one node but {numatune.nodeset} are {count}", "name one, or write interleave#"
        )


def _check_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    cells = guestnuma.cells
    named = CpuSet(vcpu for cell in cells for vcpu in cell.vcpus)
    last = guest.max_vcpus - 1
    yield from _check_vcpus_exist("guestnuma", named, guest, f"let the cells end with vCPU {last}")
    twice = _named_twice(cell.vcpus for cell in cells)
    if twice:
        yield Problem("guestnuma", f"{_are('vCPU', twice)} in more than one cell", "name each vCPU once")
    left_out = guest.all_vcpus - named
    if left_out:
        yield Problem("guestnuma", f"{_are('vCPU', left_out)} in no cell", f"name all of 0-{last}")
    for number, cell in enumerate(cells):
        if cell.memory == 0 or cell.memory % CELL_KIB:
            below = cell.memory // CELL_KIB * CELL_KIB
            nearest = f"{below} or {below + CELL_KIB}" if below else f"at least {CELL_KIB}"
            yield Problem(
                "guestnuma", f"cell {number} has {cell.memory} KiB, which is no multiple of 1 MiB", f"write {nearest}"
            )
    total = sum(cell.memory for cell in cells)
    if total != guest.memory:
        mend = f"take {total - guest.memory} KiB away" if total > guest.memory else f"add {guest.memory - total} KiB"
        yield Problem("guestnuma", f"the cells hold {total} KiB but the VM has {guest.memory} KiB", mend)


def _check_vcpus_exist(name: str, vcpus: CpuSet, guest: Guest, mend: str) -> Iterator[Problem]:
    unknown = vcpus - guest.all_vcpus
    if unknown:
        verb = "does" if len(unknown) == 1 else "do"
        yield Problem(
            name, f"{_name('vCPU', unknown)} {verb} not exist, the VM has {_name('vCPU', guest.all_vcpus)}", mend
        )


def _named_twice(sets: Iterable[CpuSet]) -> CpuSet:
    """The ids that are in more than one of `sets`."""
    seen = twice = CpuSet()
    for ids in sets:
        twice |= seen & ids
        seen |= ids
    return twice


def _name(noun: str, ids: CpuSet) -> str:
    """`node 0`, `nodes 0-1`."""
    return f"{noun} {ids}" if len(ids) == 1 else f"{noun}s {ids}"


def _are(noun: str, ids: CpuSet) -> str:
    """`vCPU 2 is`, `vCPUs 2-3 are`."""
    return f"{_name(noun, ids)} {'is' if len(ids) == 1 else 'are'}"

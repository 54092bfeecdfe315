# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was asked for, what the VM is and what the host is to a placement in which every number is concrete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import checks
from .cpuset import CpuSet
from .errors import Problem, Refused, name_ids, plural
from .guest import Guest
from .host import Host
from .properties import Cell, Numatune, Properties


@dataclass(frozen=True)
class Placement:
    """What is written into the domain XML; None for what was not asked for."""

    pins: Mapping[int, CpuSet] | None
    """vCPU to the host CPUs it may run on."""
    memory: Numatune | None
    cells: tuple[Cell, ...] | None
    """Every vCPU that the VM can have is in one of them."""
    warnings: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        """What the placement does, in counts and nodesets: `cputune: 2 vCPUs pinned; numatune: ...`."""
        done = []
        if self.pins is not None:
            done.append(f"cputune: {plural(len(self.pins), 'vCPU')} pinned")
        if self.memory is not None:
            done.append(f"numatune: memory {self.memory.mode} on host {name_ids('node', self.memory.nodeset)}")
        if self.cells is not None:
            vcpus = sum(len(cell.vcpus) for cell in self.cells)
            memory = sum(cell.memory for cell in self.cells)
            done.append(f"guestnuma: {plural(len(self.cells), 'cell')}, {plural(vcpus, 'vCPU')}, {memory} KiB")
        return "; ".join(done) or "nothing asked for"


def place(wanted: Properties, guest: Guest, host: Host | None) -> Placement:
    """Carry `wanted` out for `guest`, on `host` if one is given; raises Refused with everything that is wrong."""
    problems = [*checks.check_guest(wanted, guest), *(checks.check_host(wanted, guest, host) if host else ())]
    fatal = [problem for problem in problems if not problem.warning]
    if fatal:
        raise Refused(fatal)
    return Placement(
        pins=None if wanted.cputune is None else {pin.vcpu: pin.cpuset for pin in wanted.cputune.pins},
        memory=wanted.numatune,
        cells=None if wanted.guestnuma is None else deal(wanted.guestnuma.cells, guest),
        warnings=tuple(problems),
    )


def deal(cells: tuple[Cell, ...], guest: Guest) -> tuple[Cell, ...]:
    """Give the vCPUs behind the last one named to the cells, by whole guest sockets and in turn.

    So a socket that is hot-plugged lands whole in a cell, and the cells fill evenly. A socket that a cell has begun is
    filled up first. The cells stay the same from start to start, however many vCPUs are plugged in.
    """
    vcpus = [cell.vcpus for cell in cells]
    last = max(named.last for named in vcpus)
    size = guest.vcpus_per_socket
    whole = min((last // size + 1) * size, guest.max_vcpus)
    home = next(number for number, named in enumerate(vcpus) if last in named)
    vcpus[home] |= CpuSet.span(last + 1, whole - 1)
    for turn, first in enumerate(range(whole, guest.max_vcpus, size)):
        vcpus[turn % len(cells)] |= CpuSet.span(first, min(first + size, guest.max_vcpus) - 1)
    return tuple(replace(cell, vcpus=all_of_it) for cell, all_of_it in zip(cells, vcpus))

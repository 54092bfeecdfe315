# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest check: run all of the hook's checks."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .. import properties
from ..cpuset import MAX_ID, CpuSet
from ..placement import deal
from ..placement.place import place
from ..problem import Refused
from ..properties import Properties
from ..properties.cputune import Vcpus
from ..record import replace
from ..values import Guest
from ..view import layout
from ..wording import plural
from . import files, options

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    check = options.add_command(
        commands,
        "check",
        "check properties against a host and a VM",
        "Run all of the hook's checks; without a VM, those that do not need one.",
        "largeguest check --cputune 0#0,1#1 --numatune strict#0 --host caps.xml vm.xml",
    )
    options.add_properties(check)
    options.add_host(check, none=True)
    check.add_argument(
        "domain", metavar="DOMAIN.xml", nargs="?", help="the libvirt domain XML of the VM, - for standard input"
    )
    options.add_svg(check)
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    request, found = properties.parse(options.values(arguments))
    host = files.require_host(arguments) if arguments.svg is not None else files.host(arguments.host)
    if arguments.domain is None:
        guest = _guest_that_fits(request, None if host is None else host.arch)
        drawn, shares = replace(guest, plugged=None), _shares(request)
    else:
        drawn = guest = files.guest(arguments.domain, found)
        shares = []
    placement = None
    try:
        placement = place(request, guest, host)
        found += placement.warnings
    except Refused as refused:
        found += refused.problems
    for problem in found:
        print(problem)
    fatal = sum(not problem.warning for problem in found)
    print(f"{plural(fatal, 'error')}, {plural(len(found) - fatal, 'warning')}")
    if arguments.svg is not None and host is not None:
        if fatal:
            print("largeguest: no picture written: the layout is refused", file=sys.stderr)
        else:
            files.draw(arguments.svg, layout.lay_out(host, placement, drawn, shares))
    return 1 if fatal else 0


def _guest_that_fits(request: Properties, arch: str | None) -> Guest:
    """The smallest VM on which no checks fail but those of the properties themselves."""
    cells = () if request.guestnuma is None else request.guestnuma.cells
    pins = () if request.cputune is None else request.cputune.pins
    pinned = CpuSet.union(
        CpuSet.span(pin.threads.first, pin.threads.last) for pin in pins if isinstance(pin.threads, Vcpus)
    )
    in_cells = CpuSet.union(cell.vcpus for cell in cells)
    guest = Guest(
        max_vcpus=max(pinned.last, in_cells.last, 0) + 1,
        memory=sum(cell.memory or 0 for cell in cells),
        plugged=(pinned & in_cells if pinned and in_cells else pinned | in_cells) or CpuSet([0]),
        iothreads=CpuSet.span(1, MAX_ID),
        arch=arch,
    )
    return replace(guest, memory=guest.memory + len(_shares(request)) * deal.memory_step(guest, 0))


def _shares(request: Properties) -> list[int]:
    return [] if request.guestnuma is None else request.guestnuma.shares

# SPDX-License-Identifier: GPL-2.0-or-later
"""Distribute over the cells what guestnuma does not name: vCPUs that can be plugged in, and memory for `*`."""

from __future__ import annotations

from ..cpuset import CpuSet
from ..properties.guestnuma import CellSpec, Guestnuma
from ..values import Guest

_MIB = 1024


def vcpus_of_cells(cells: tuple[CellSpec, ...], guest: Guest) -> list[CpuSet]:
    """The vCPUs of each cell, with those after the last one named distributed in whole guest sockets, in turn.

    So a hot-plugged socket is whole in one cell, and the cells fill evenly. A socket that is named in part is completed
    first. The cells stay the same from start to start, however many vCPUs are plugged in.
    """
    vcpus = [cell.vcpus for cell in cells]
    last = max(own.last for own in vcpus)
    size = guest.vcpus_per_socket
    whole = min((last // size + 1) * size, guest.max_vcpus)
    home = next(number for number, own in enumerate(vcpus) if last in own)
    vcpus[home] |= CpuSet.span(last + 1, whole - 1)
    for turn, first in enumerate(range(whole, guest.max_vcpus, size)):
        vcpus[turn % len(cells)] |= CpuSet.span(first, min(first + size, guest.max_vcpus) - 1)
    return vcpus


def memory_of_cells(guestnuma: Guestnuma, guest: Guest) -> list[int]:
    """KiB of each cell: `*` is an equal share of what the others leave, in whole steps; the last one gets the rest.

    If too little is left, or nothing, some are 0, negative, or not a multiple of their step.
    """
    memory = [cell.memory for cell in guestnuma.cells]
    shares = guestnuma.shares
    left = rest = guest.memory - sum(amount or 0 for amount in memory)
    for number in shares[:-1]:
        step = memory_step(guest, number)
        share = left // len(shares) // step * step
        memory[number] = share
        rest -= share
    if shares:
        memory[shares[-1]] = rest
    return [amount or 0 for amount in memory]


def memory_step(guest: Guest, cell: int) -> int:
    """KiB that the memory of a cell is a multiple of.

    libvirt rounds a cell up to 1 MiB, and the VM would get more memory than configured; QEMU's pseries machine needs
    256 MiB, huge pages need whole pages.
    """
    machine = 256 * _MIB if (guest.arch or "").startswith("ppc64") else _MIB
    page = guest.page_of(cell)
    return max(machine, (page and page.size) or 0)

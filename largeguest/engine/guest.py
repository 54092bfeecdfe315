# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine of the engine as the guest that its next start would have."""

from __future__ import annotations

from collections.abc import Sequence

from ..cpuset import CpuSet
from ..record import replace
from ..values import Cell, Guest, HugePage, Pins
from .inventory import HUGEPAGES, VirtualCell, Vm

_SOCKETS, _MIN_VCPUS, _MAX_VCPUS = 16, 32, 710


def guest_of(vm: Vm, level: str, arch: str | None, cells: Sequence[VirtualCell]) -> Guest:
    """What the hook will find in the domain XML, as far as the engine's API has it; the memory is without NVDIMMs."""
    most = max_vcpus(vm, level)
    topology = replace(vm.topology, sockets=-(-most // vm.topology.vcpus_per_socket))
    size = vm.custom.get(HUGEPAGES, "").strip()
    return Guest(
        max_vcpus=most,
        memory=vm.memory,
        plugged=CpuSet.span(0, vm.vcpus - 1),
        pages=(HugePage(int(size), None),) if size.isascii() and size.isdigit() and int(size) else (),
        topology=topology,
        cells=tuple(_virtual_cells(cells, vm.vcpus, most)) if cells else (Cell(CpuSet.span(0, most - 1), vm.memory),),
        pins=Pins(dict(vm.pins)) if vm.policy == "manual" else Pins(),
        iothreads=CpuSet.span(1, vm.iothreads) if vm.iothreads else CpuSet(),
        arch=arch,
        cpu_policy="manual" if vm.policy == "none" and any(cell.nodes for cell in cells) else vm.policy,
    )


def max_vcpus(vm: Vm, level: str) -> int:
    """About the maximum to which vCPUs can be plugged in, in whole sockets; the API does not have it.

    From level 4.6 on it is twice the number and at least 32, before that 16 sockets.
    """
    size = vm.topology.vcpus_per_socket
    is_new = tuple(map(int, level.split("."))) >= (4, 6) if level else True
    most = max(2 * vm.vcpus, _MIN_VCPUS) if is_new else _SOCKETS * size
    return max(vm.vcpus, min(most, _MAX_VCPUS) // size * size)


def _virtual_cells(cells: Sequence[VirtualCell], vcpus: int, most: int) -> list[Cell]:
    """vNUMA as the engine sends it: what can be plugged in is dealt to the cells one by one, the smallest first."""
    own = [[*cell.vcpus] for cell in cells]
    by_size = sorted(range(len(cells)), key=lambda number: len(own[number]))
    for turn, vcpu in enumerate(range(vcpus, most)):
        own[by_size[turn % len(cells)]].append(vcpu)
    return [Cell(CpuSet(ids), cell.memory, cell.nodes or None, cell.mode) for ids, cell in zip(own, cells)]

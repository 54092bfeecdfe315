# SPDX-License-Identifier: GPL-2.0-or-later
"""Which cell of a running VM the memory on each node of the host belongs to, as far as that can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..cpuset import CpuSet
from ..record import Record
from ..values import Guest, Home
from . import process
from .process import Mapped

MAX_OWN_MEMORY = 256 * 1024
"""KiB that QEMU itself may use, for its heap and stacks. Only what is more than that is known to be the guest's."""

MERGED = 1000
"""The kernel may merge equal pages across nodes (KSM): one in so many elsewhere means nothing."""


class Memory(Record):
    """Node to KiB. What is not known is None."""

    of_vm: Mapping[int, int] | None
    of_cells: tuple[Mapping[int, int] | None, ...]
    """As the homes: of a VM without cells there is one."""
    slack: int = 0
    """KiB of this that may be QEMU's own: so much elsewhere means nothing."""

    def away(self, homes: Sequence[Home]) -> dict[int | None, dict[int, int]]:
        """Cell to what it has on nodes that it is not bound to; None stands for all, if it is not known by cell."""
        found: dict[int | None, dict[int, int]] = {
            cell: self._outside(held, home.nodes) for cell, (held, home) in enumerate(zip(self.of_cells, homes))
        }
        if None in self.of_cells:
            found[None] = self._outside(self.of_vm, _nodes_of_all(homes))
        return {cell: outside for cell, outside in found.items() if outside}

    def in_place(self, cell: int, home: Home) -> Mapping[int, int]:
        """What a cell has, without what may be QEMU's own on other nodes; empty if it is not known."""
        held = self.of_cells[cell] or {}
        if home.nodes is None or self._outside(held, home.nodes):
            return held
        return {node: kib for node, kib in held.items() if node in home.nodes}

    def _outside(self, held: Mapping[int, int] | None, nodes: CpuSet | None) -> dict[int, int]:
        if held is None or nodes is None:
            return {}
        outside = {node: kib for node, kib in held.items() if node not in nodes}
        total = sum(held.values())
        away = sum(outside.values())
        return outside if away > max(min(self.slack, total - away), total // MERGED) else {}


def _nodes_of_all(homes: Sequence[Home]) -> CpuSet | None:
    nodes = [home.nodes for home in homes if home.nodes is not None]
    return CpuSet.union(nodes) if len(nodes) == len(homes) else None


def by_group(guest: Guest, homes: Sequence[Home], of_vm: Mapping[int, int] | None) -> Memory:
    """From the memory of the whole control group.

    Cells on nodes of their own have what is there, unless there is more than they can have.
    """
    slack = _slack(guest)
    if of_vm is None:
        return Memory(None, (None,) * len(homes))
    if len(homes) == 1:
        return Memory(of_vm, (of_vm,), slack)
    unknown = Memory(of_vm, (None,) * len(homes), slack)
    if not _are_apart(homes) or unknown.away(homes) or surplus(guest, homes, unknown):
        return unknown
    return Memory(of_vm, tuple(_on_own_nodes(of_vm, homes)), slack)


def _on_own_nodes(of_vm: Mapping[int, int], homes: Sequence[Home]) -> list[dict[int, int]]:
    """What is on the nodes of each home."""
    return [{node: kib for node, kib in of_vm.items() if node in (home.nodes or ())} for home in homes]


def by_mapping(guest: Guest, homes: Sequence[Home], mappings: Sequence[Mapped]) -> Memory | None:
    """From the mappings: those of a cell have its name, or a memory policy that only this cell has.

    None if the memory of no cell is found.
    """
    policies = [_policies(guest, cell) for cell in range(len(homes))]
    found: list[Mapping[int, int] | None] = []
    for cell, own in enumerate(policies):
        unique = bool(own) and sum(own == other for other in policies) == 1
        plugged = any(device.host_memory and device.cell == cell for device in guest.devices)
        named = [mapped for mapped in mappings if _is_named(mapped.file, cell)]
        bound = [mapped for mapped in mappings if unique and mapped.policy in own and mapped not in named]
        known = unique or not plugged  # a device has a mapping of its own, which only the policy shows
        found.append(process.add(mapped.nodes for mapped in (*named, *bound)) if (named or bound) and known else None)
    if all(held is not None for held in found):
        return Memory(process.add(filter(None, found)), tuple(found))
    of_vm = process.add(mapped.nodes for mapped in mappings)
    if len(homes) == 1:
        return Memory(of_vm, (of_vm,), _slack(guest))
    return Memory(of_vm, tuple(found), _slack(guest)) if any(found) else None


def surplus(guest: Guest, homes: Sequence[Home], memory: Memory) -> dict[int, int]:
    """Cell to the KiB on its nodes, where that is more than it can have: some of it is another cell's."""
    if memory.of_vm is None or not _are_apart(homes):
        return {}
    held = (sum(own.values()) for own in _on_own_nodes(memory.of_vm, homes))
    return {cell: kib for cell, kib in enumerate(held) if kib > size_of(guest, cell) + memory.slack}


def _are_apart(homes: Sequence[Home]) -> bool:
    """Whether each home has nodes of its own."""
    nodes = [home.nodes or CpuSet() for home in homes]
    return all(nodes) and sum(map(len, nodes)) == len(CpuSet.union(nodes))


def size_of(guest: Guest, cell: int) -> int:
    """KiB of the host's memory that a cell can have, with what is plugged into it; without cells: that of the VM."""
    if not guest.cells:
        return guest.memory + sum(device.host_memory for device in guest.devices)
    return guest.cells[cell].memory + sum(device.host_memory for device in guest.devices if device.cell == cell)


def mode_of(guest: Guest, cell: int) -> tuple[str, CpuSet] | None:
    """The memory mode of a cell and its nodes; None if it is not bound, or numad binds it."""
    if guest.cells and guest.cells[cell].nodes:
        return guest.cells[cell].mode, guest.cells[cell].nodes or CpuSet()
    policy = guest.policy
    return None if policy is None or not policy.nodeset else (policy.mode, policy.nodeset)


def _slack(guest: Guest) -> int:
    return min(MAX_OWN_MEMORY, guest.memory // 4)


def _is_named(file: str, cell: int) -> bool:
    """QEMU names a file after the memory: `ram-node0`, `qemu_back_mem.ram-node0.XXXXXX`."""
    return re.search(rf"(?:^|\.)ram-node{cell}(?:\.|\\|$)", file.rpartition("/")[2]) is not None


def _policies(guest: Guest, cell: int) -> tuple[str, ...]:
    """The kernel's texts for the policy with which QEMU maps a cell; none if it maps it without one.

    QEMU asks for MPOL_PREFERRED_MANY where the kernel has it, also for one node.
    """
    bound = mode_of(guest, cell)
    words = {"strict": ("bind",), "interleave": ("interleave",), "preferred": ("prefer", "prefer (many)")}
    return () if bound is None else tuple(f"{word}:{bound[1]}" for word in words.get(bound[0], ()))

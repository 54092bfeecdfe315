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


class Memory(Record):
    """Node to KiB. What is not known is None."""

    of_vm: Mapping[int, int] | None
    of_cells: tuple[Mapping[int, int] | None, ...]
    """As the homes: of a VM without cells there is one."""
    slack: int
    """KiB of this that may be QEMU's own: so much elsewhere means nothing."""

    def elsewhere(self, cell: int, home: Home) -> dict[int, int]:
        """What a cell has on nodes to which it is not bound; nothing if that is not more than the slack."""
        return self._outside(self.of_cells[cell], home.nodes)

    def elsewhere_of_vm(self, homes: Sequence[Home]) -> dict[int, int]:
        """What the VM has on nodes to which none of its cells is bound; nothing if one is not bound."""
        return self._outside(self.of_vm, _nodes_of_all(homes))

    def _outside(self, held: Mapping[int, int] | None, nodes: CpuSet | None) -> dict[int, int]:
        if held is None or nodes is None:
            return {}
        outside = {node: kib for node, kib in held.items() if node not in nodes}
        return outside if sum(outside.values()) > self.slack else {}


def _nodes_of_all(homes: Sequence[Home]) -> CpuSet | None:
    nodes = [home.nodes for home in homes if home.nodes is not None]
    return CpuSet.union(nodes) if len(nodes) == len(homes) else None


def by_group(guest: Guest, homes: Sequence[Home], of_vm: Mapping[int, int] | None) -> Memory:
    """From the memory of the whole control group, which has no huge pages.

    Cells on nodes of their own have what is there, unless there is more than they can have.
    """
    slack = min(MAX_OWN_MEMORY, guest.memory // 4)
    if of_vm is None or guest.pages:
        return Memory(None, (None,) * len(homes), slack)
    whole = Memory(of_vm, (of_vm,), slack)
    if len(homes) == 1:
        return whole
    nodes = [home.nodes or CpuSet() for home in homes]
    apart = all(nodes) and sum(map(len, nodes)) == len(CpuSet.union(nodes))
    held = [{node: kib for node, kib in of_vm.items() if node in own} for own in nodes]
    fits = all(sum(own.values()) <= size_of(guest, cell) + slack for cell, own in enumerate(held))
    known = apart and fits and not whole.elsewhere_of_vm(homes)
    return Memory(of_vm, tuple(held) if known else (None,) * len(homes), slack)


def by_mapping(guest: Guest, homes: Sequence[Home], mappings: Sequence[Mapped]) -> Memory:
    """From the mappings: that of a cell has its name, or a memory policy that only this cell has."""
    policies = [_policy(guest, cell) for cell in range(len(homes))]
    found: list[Mapping[int, int] | None] = []
    for cell, policy in enumerate(policies):
        named = [mapped for mapped in mappings if re.search(rf"\bram-node{cell}\b", mapped.file)]
        own = named or [mapped for mapped in mappings if mapped.policy == policy]
        unique = named or (policy is not None and policies.count(policy) == 1)
        found.append(process.add(mapped.nodes for mapped in own) if own and unique else None)
    if all(held is not None for held in found):
        return Memory(process.add(filter(None, found)), tuple(found), 0)
    slack = min(MAX_OWN_MEMORY, guest.memory // 4)
    of_vm = process.add(mapped.nodes for mapped in mappings)
    return Memory(of_vm, (of_vm,) if len(homes) == 1 else tuple(found), slack)


def size_of(guest: Guest, cell: int) -> int:
    """KiB of the host's memory that a cell can have, with what is plugged into it; without cells: that of the VM."""
    if not guest.cells:
        return guest.memory + sum(device.host_memory for device in guest.devices)
    return guest.cells[cell].memory + sum(device.host_memory for device in guest.devices if device.cell == cell)


def _policy(guest: Guest, cell: int) -> str | None:
    """The kernel's text for the policy with which QEMU has mapped a cell; None if it has none."""
    policy = guest.policy
    mode, nodes = (None, None) if policy is None else (policy.mode, policy.nodeset)
    if guest.cells and guest.cells[cell].nodes:
        mode, nodes = guest.cells[cell].mode, guest.cells[cell].nodes
    if not nodes or mode is None:
        return None
    words = {
        "strict": "bind",
        "interleave": "interleave",
        "preferred": "prefer" if len(nodes) == 1 else "prefer (many)",
    }
    return f"{words[mode]}:{nodes}" if mode in words else None

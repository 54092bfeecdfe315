# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the memory that is bound to some nodes fits on them: a maximum flow."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..host.topology import NO_HUGE_PAGE, Host
from ..problem import Problem
from ..record import Record, replace
from ..values import Guest, Placement
from ..wording import exactly, name_ids, plural

LIMITING_MODES = ("strict", "restrictive")
"""The modes under which memory cannot come from other nodes."""


class Bound(Record):
    """KiB in pages of one size that can come only from some nodes, and the property that says so."""

    name: str
    nodeset: CpuSet
    page: int
    memory: int


def check(placement: Placement, guest: Guest, host: Host) -> Iterator[Problem]:
    """Memory that can come only from some nodes must fit there, together with what is bound to a part of them."""
    bound = bound_memory(placement, guest, host)
    for size in sorted({part.page for part in bound}):
        parts = [part for part in bound if part.page == size]
        rooms = {number: host.nodes[number].room(size) for number in CpuSet.union(part.nodeset for part in parts)}
        for problem_of, room in (
            (_too_much, {number: room.total for number, room in rooms.items()}),
            (_too_much_now, {number: room.free for number, room in rooms.items()}),
        ):
            for full, among in all_overfull(parts, room):
                yield problem_of(among, size, full, sum(room[number] for number in full))
                parts = [part for part in parts if not part.nodeset & full]


def bound_memory(placement: Placement, guest: Guest, host: Host) -> list[Bound]:
    """The memory that can come only from some nodes, which this host has, in pages as it has them."""
    bound = [
        part
        for part in _bound_memory(placement, guest)
        if not part.nodeset - CpuSet(host.nodes) and any(host.nodes[node].memory != 0 for node in part.nodeset)
    ]
    return [replace(part, page=host.huge_page(part.page, part.nodeset)) for part in bound]


def overfull(parts: list[Bound], room: dict[int, int]) -> CpuSet:
    """Nodes on which the memory bound to them, or to a part of them, does not fit; empty if all fits (maximum flow)."""
    flow = Flow(parts, room)
    return next(filter(None, map(flow.add, parts)), CpuSet())


def all_overfull(parts: list[Bound], room: dict[int, int]) -> Iterator[tuple[CpuSet, list[Bound]]]:
    """Such nodes, set by set, each with the parts that remain without what is bound to the sets before."""
    while full := overfull(parts, room):
        yield full, parts
        parts = [part for part in parts if not part.nodeset & full]


class Flow:
    """How much memory of each nodeset is on which node, while parts are added."""

    def __init__(self, parts: list[Bound], room: dict[int, int]) -> None:
        self._left = dict(room)
        self._on: dict[CpuSet, dict[int, int]] = {part.nodeset: {} for part in parts}

    def add(self, part: Bound) -> CpuSet:
        """Put the memory of a part on its nodes; returns those that are full if that is not possible."""
        need = part.memory
        while need:
            reached: dict[int, tuple[CpuSet, int | None]] = {}
            end = self._search(part.nodeset, reached)
            if end is None:
                return CpuSet(reached)
            need -= self._move(end, reached, need)
        return CpuSet()

    def on(self, nodeset: CpuSet) -> dict[int, int]:
        """Node to how much of what was added for this nodeset is there."""
        return self._on[nodeset]

    def _search(self, nodeset: CpuSet, reached: dict[int, tuple[CpuSet, int | None]]) -> int | None:
        """A node with room that this set can reach, perhaps by moving what another set has put on a node.

        `reached` gets each node that was visited, with the set whose memory moves there and the node it comes from.
        """
        queue: list[tuple[CpuSet, int | None]] = [(nodeset, None)]
        for source, through in queue:
            for node in source:
                if node not in reached:
                    reached[node] = (source, through)
                    if self._left[node]:
                        return node
                    queue += [(other, node) for other, on in self._on.items() if on.get(node)]
        return None

    def _move(self, end: int, reached: dict[int, tuple[CpuSet, int | None]], need: int) -> int:
        """Move memory along the path to `end`; returns how much."""
        steps = [(end, *reached[end])]
        while steps[-1][2] is not None:
            through = steps[-1][2]
            steps.append((through, *reached[through]))
        amount = min([need, self._left[end], *(self._on[source][old] for _, source, old in steps if old is not None)])
        for node, source, old in steps:
            self._on[source][node] = self._on[source].get(node, 0) + amount
            if old is not None:
                self._on[source][old] -= amount
        self._left[end] -= amount
        return amount


def _too_much(parts: list[Bound], size: int, full: CpuSet, room: int) -> Problem:
    name, what = bound_to(parts, size, full)
    if size == NO_HUGE_PAGE:
        return Problem(name, f"{what} only {exactly(room)} fits", "name more nodes, or write interleave# or preferred#")
    return Problem(name, f"{what} the pool has only {room // size}", "reserve more on these nodes, or name others")


def _too_much_now(parts: list[Bound], size: int, full: CpuSet, room: int) -> Problem:
    name, what = bound_to(parts, size, full)
    if size == NO_HUGE_PAGE:
        fix = "free memory there, or the VM may be killed when it uses all of its memory"
        return Problem(name, f"{what} only {exactly(room)} is free now", fix, warning=True)
    fix = "free more there, or the VM will not start"
    return Problem(name, f"{what} only {room // size} are free now", fix, warning=True)


def bound_to(parts: list[Bound], size: int, full: CpuSet) -> tuple[str, str]:
    """The property to blame, and how much is bound to the nodes."""
    inside = [part for part in parts if not part.nodeset - full]
    name = next((part.name for part in inside if part.nodeset == full), inside[0].name)
    need = sum(part.memory for part in inside)
    pages = 0 if size == NO_HUGE_PAGE else -(-need // size)
    amount = f"{plural(pages, 'huge page')} of {exactly(size)}" if pages else exactly(need)
    return name, f"{amount} {'are' if pages > 1 else 'is'} bound to {name_ids('node', full)}, where"


def _bound_memory(placement: Placement, guest: Guest) -> Iterator[Bound]:
    policy = placement.policy
    limited = policy.nodeset if policy is not None and policy.mode in LIMITING_MODES else None
    cells: list[tuple[int, CpuSet | None]] = [
        (cell.memory, cell.nodes if cell.mode in LIMITING_MODES else None) for cell in placement.cells or ()
    ]
    cells = cells or [(cell.memory, None) for cell in guest.cells] or [(guest.memory, None)]
    parts = [(number, memory, nodes) for number, (memory, nodes) in enumerate(cells)]
    for device in guest.devices:
        if device.host_memory:
            nodes = cells[device.cell][1] if device.cell < len(cells) else None
            parts.append((device.cell, device.host_memory, nodes))
    for number, memory, nodes in parts:
        page = guest.page_of(number)
        size = NO_HUGE_PAGE if page is None else page.size
        nodeset = nodes or limited
        if nodeset and size is not None:  # None is the host's default size, which only its boot parameters show
            yield Bound("guestnuma" if nodes else "numatune", nodeset, size, memory)

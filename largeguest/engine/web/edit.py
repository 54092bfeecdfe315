# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dialog's buttons and a click on a node do to the form."""

from __future__ import annotations

from ...cpuset import CpuSet, parse
from ...host.topology import Host
from ...problem import ParseError
from ...properties import guestnuma
from ...properties.guestnuma import memory_text
from ...record import replace
from ...values import Topology
from .form import AUTO, CHOSEN, EACH, MANUAL, NONE, Form, Row


class NotPossibleError(ValueError):
    """The edit does not fit the form: the text says why."""


def choose(form: Form, affinity: str) -> Form:
    """Another affinity. None forgets everything; automatic keeps the policy, and leaves the rest to the host."""
    if affinity == NONE:
        return Form()
    if affinity == AUTO:
        return Form(AUTO, form.mode, form.nodes, (), CHOSEN)
    is_new = form.pinning == CHOSEN or form == Form()
    return replace(form, affinity=MANUAL, pinning=EACH if is_new else form.pinning)


def toggle(form: Form, node: int, cell: int | None, topology: Topology) -> Form:
    """Put a node of the host in or out: of one cell, or of the guest, whose vCPUs are then dealt evenly."""
    if form.affinity == AUTO:
        return replace(form, nodes=str(_flipped(_ids("" if form.nodes == "auto" else form.nodes), node)))
    if cell is not None:
        row = _row(form, cell)
        row = replace(row, nodes=str(_flipped(_ids(row.nodes), node)))
        return _with_rows(form, [*form.cells[:cell], row, *form.cells[cell + 1 :]])
    nodes = _flipped(used(form), node)
    if len(nodes) > topology.sockets * topology.vcpus_per_socket:
        raise NotPossibleError("there are more nodes than vCPUs")
    pinning = EACH if form.affinity == NONE else form.pinning
    return replace(form, affinity=MANUAL, nodes=str(nodes), cells=_dealt(topology, nodes), pinning=pinning)


def used(form: Form) -> CpuSet:
    """The nodes behind the cells or, if they name none, those of the policy."""
    of_cells = CpuSet.union(_ids(row.nodes) for row in form.cells)
    return of_cells or _ids("" if form.nodes == "auto" or "^" in form.nodes else form.nodes)


def split(form: Form, cell: int) -> Form:
    """Make two cells of one, with half of the vCPUs and of the memory each."""
    row = _row(form, cell)
    vcpus = [*_ids(row.vcpus)]
    if len(vcpus) < 2:
        raise NotPossibleError(f"cell {cell} has no two vCPUs")
    half = len(vcpus) // 2
    first, second = (CpuSet(part) for part in (vcpus[:half], vcpus[half:]))
    memory = _memory(row)
    one, other = (None, None) if memory is None else (memory - memory // 2, memory // 2)
    rows = [Row(str(first), memory_text(one), row.nodes), Row(str(second), memory_text(other), row.nodes)]
    return _with_rows(form, [*form.cells[:cell], *rows, *form.cells[cell + 1 :]])


def add(form: Form, host: Host) -> Form:
    """Split the cell with the most vCPUs, and put the new one on the first node that is not used yet."""
    if not form.cells:
        raise NotPossibleError("there is no cell to split: click a node")
    sizes = [len(_ids(row.vcpus)) for row in form.cells]
    largest = sizes.index(max(sizes))
    free = [node for node in host.local_nodes if node not in used(form)]
    new = split(form, largest)
    rows = [*new.cells]
    if free and rows[largest].nodes:
        rows[largest + 1] = replace(rows[largest + 1], nodes=str(free[0]))
    return _with_rows(new, rows)


def join(form: Form, cell: int) -> Form:
    """Make one cell of this one and the next."""
    row, other = _row(form, cell), _row(form, cell + 1)
    memory = [_memory(row), _memory(other)]
    amount = None if None in memory else sum(filter(None, memory))
    nodes = _ids(row.nodes) | _ids(other.nodes)
    joined = Row(str(_ids(row.vcpus) | _ids(other.vcpus)), memory_text(amount), str(nodes))
    return _with_rows(form, [*form.cells[:cell], joined, *form.cells[cell + 2 :]])


def _with_rows(form: Form, rows: list[Row]) -> Form:
    """With these cells; a policy that names nodes names theirs, too, for with strict they have to be within it."""
    new = replace(form, cells=tuple(rows))
    if form.nodes == "auto" or "^" in form.nodes or not form.nodes:
        return new
    before, after = used(form), used(new)
    return replace(new, nodes=str((_ids(form.nodes) - before) | after)) if after else new


def _row(form: Form, cell: int) -> Row:
    if not 0 <= cell < len(form.cells):
        raise NotPossibleError(f"there is no cell {cell}")
    return form.cells[cell]


def _flipped(nodes: CpuSet, node: int) -> CpuSet:
    one = CpuSet([node])
    return nodes - one if node in nodes else nodes | one


def _dealt(topology: Topology, nodes: CpuSet) -> tuple[Row, ...]:
    """A cell for each node, with consecutive vCPUs: whole sockets, or if there are too few, cores, or threads."""
    vcpus = topology.sockets * topology.vcpus_per_socket
    sizes = (topology.vcpus_per_socket, topology.threads, 1)
    unit = next(size for size in sizes if vcpus // size >= len(nodes))
    units = vcpus // unit
    bounds = [unit * -(-units * turn // len(nodes)) for turn in range(len(nodes) + 1)] if nodes else []
    spans = [CpuSet.span(first, end - 1) for first, end in zip(bounds, bounds[1:])]
    return tuple(Row(str(span), "*", str(node)) for span, node in zip(spans, nodes))


def _ids(text: str) -> CpuSet:
    try:
        return parse(text) if text.strip(" ") else CpuSet()
    except ParseError as error:
        raise NotPossibleError(str(error)) from None


def _memory(row: Row) -> int | None:
    """KiB; None for `*`."""
    try:
        (cell,) = guestnuma.parse(f"0#{row.memory}").cells
        return cell.memory
    except ValueError:
        raise NotPossibleError("the memory of the cell is not an amount") from None

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dialog's buttons and a click on a node do to the form."""

from __future__ import annotations

from ...cpuset import CpuSet, parse
from ...host.topology import Host
from ...placement import lookup
from ...placement.place import resolve_policy
from ...problem import ParseError
from ...properties import cputune, guestnuma, numatune
from ...properties.cputune import All, Pin, Vcpus
from ...properties.guestnuma import memory_text
from ...record import replace
from ...values import Topology
from .form import AUTO, CHOSEN, EACH, MANUAL, NONE, TYPED, Form, Row


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


def toggle(form: Form, node: int, cell: int | None, topology: Topology, host: Host) -> Form:
    """Put a node of the host in or out: of one cell, or of the guest, whose vCPUs are then dealt evenly."""
    if form.affinity == AUTO:
        return replace(form, nodes=str(_flipped(used(form, host), node)))
    if cell is not None:
        row = _row(form, cell)
        nodes = _ids(row.nodes) or _of_policy(form.nodes, host)
        row = replace(row, nodes=str(_flipped(nodes, node)))
        return _with_rows(form, [*form.cells[:cell], row, *form.cells[cell + 1 :]])
    nodes = _flipped(used(form, host), node)
    if len(nodes) > topology.sockets * topology.vcpus_per_socket:
        raise NotPossibleError("there are more nodes than vCPUs")
    stays = form.affinity == MANUAL and all(pin.cpus.of_cell for pin in _typed_pins(form))
    pinning = form.pinning if stays and (nodes or form.pinning not in (CHOSEN, TYPED)) else EACH
    cells = _dealt(topology, nodes)
    return replace(form, affinity=MANUAL, nodes=_policy(form.mode, nodes), cells=cells, pinning=pinning)


def _policy(mode: str, nodes: CpuSet) -> str:
    """What numatune names for cells on these nodes; with preferred only one is allowed, and each cell has its own."""
    return str(nodes.first) if mode == "preferred" and nodes else str(nodes)


def used(form: Form, host: Host) -> CpuSet:
    """The nodes that a click starts from: those behind the cells, else of the policy, else of the vCPUs' pins.

    If the nodes are chosen where the VM starts: those that it may choose from, none for all.
    """
    of_policy = _of_policy(form.nodes, host)
    if form.affinity == AUTO:
        return of_policy
    return _of_rows(form) or of_policy or host.nodes_with(_pinned(form, host))


def _of_rows(form: Form) -> CpuSet:
    return CpuSet.union(_ids(row.nodes) for row in form.cells)


def _of_policy(nodes: str, host: Host) -> CpuSet:
    """Those that numatune names; none if numad chooses them."""
    try:
        policy = resolve_policy(numatune.parse(nodes), host)[0] if nodes.strip(" ") else None
    except ParseError as error:
        raise NotPossibleError(str(error)) from None
    return (policy and policy.nodeset) or CpuSet()


def _typed_pins(form: Form) -> list[Pin]:
    """The pins of vCPUs in the text."""
    try:
        pins = cputune.parse(form.cputune).pins if form.pinning == TYPED and form.cputune.strip(" ") else ()
    except ParseError as error:
        raise NotPossibleError(str(error)) from None
    return [pin for pin in pins if isinstance(pin.threads, (All, Vcpus))]


def _pinned(form: Form, host: Host) -> CpuSet:
    """The CPUs of the host that the text names for vCPUs; none if it does not have them all."""
    try:
        return CpuSet.union(lookup.look_up(pin.cpus, host).cpus for pin in _typed_pins(form) if not pin.cpus.of_cell)
    except lookup.NotThereError:
        return CpuSet()


def split(form: Form, cell: int, topology: Topology, step: int) -> Form:
    """Make two cells of one, each with half of the vCPUs and of the memory, as far as sockets and cores stay whole.

    The memory of each is a multiple of `step` KiB; a `*` stays one, so that each of the two has an equal share.
    """
    row = _row(form, cell)
    vcpus = [*_ids(row.vcpus)]
    if len(vcpus) < 2:
        raise NotPossibleError(f"cell {cell} has no two vCPUs")
    half = len(vcpus) // 2
    unit = next(size for size in (topology.vcpus_per_socket, topology.threads, 1) if half >= size)
    first, second = (CpuSet(part) for part in (vcpus[: half // unit * unit], vcpus[half // unit * unit :]))
    memory = _memory(row)
    one = other = None
    if memory is not None:
        other = memory // 2 // step * step
        one = memory - other
        if not other:
            raise NotPossibleError(f"cell {cell} has too little memory for two")
    rows = [Row(str(first), memory_text(one), row.nodes), Row(str(second), memory_text(other), row.nodes)]
    return _with_rows(form, [*form.cells[:cell], *rows, *form.cells[cell + 1 :]])


def add(form: Form, topology: Topology, step: int, host: Host) -> Form:
    """Split the cell with the most vCPUs, and put the new one on the first node that is not used yet."""
    if not form.cells:
        raise NotPossibleError("there is no cell to split: click a node")
    sizes = [len(_ids(row.vcpus)) for row in form.cells]
    largest = sizes.index(max(sizes))
    free = [node for node in host.local_nodes if node not in used(form, host)]
    new = split(form, largest, topology, step)
    rows = [*new.cells]
    if free and rows[largest].nodes:
        rows[largest + 1] = replace(rows[largest + 1], nodes=str(free[0]))
    return _with_rows(new, rows)


def join(form: Form, cell: int) -> Form:
    """Make one cell of this one and the next; on nodes of its own only if both are."""
    row, other = _row(form, cell), _row(form, cell + 1)
    memory = [_memory(row), _memory(other)]
    amount = None if None in memory else sum(filter(None, memory))
    nodes = _ids(row.nodes) | _ids(other.nodes) if row.nodes and other.nodes else CpuSet()
    joined = Row(str(_ids(row.vcpus) | _ids(other.vcpus)), memory_text(amount), str(nodes))
    return _with_rows(form, [*form.cells[:cell], joined, *form.cells[cell + 2 :]])


def _with_rows(form: Form, rows: list[Row]) -> Form:
    """With these cells; a policy that names nodes names theirs, too, for with strict they have to be within it."""
    new = replace(form, cells=tuple(rows))
    if form.nodes == "auto" or "^" in form.nodes or not form.nodes:
        return new
    before, after = _of_rows(form), _of_rows(new)
    return replace(new, nodes=_policy(form.mode, (_ids(form.nodes) - before) | after)) if after else new


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

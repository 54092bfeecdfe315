# SPDX-License-Identifier: GPL-2.0-or-later
"""The dialog's form: the three properties as choices and rows instead of text, and back."""

from __future__ import annotations

from collections.abc import Mapping

from ... import properties
from ...cpuset import CpuSet
from ...properties import Properties
from ...properties.guestnuma import memory_text
from ...record import Record
from ...values import DEFAULT_MODE

NONE, AUTO, MANUAL = AFFINITIES = ("none", "auto", "manual")
"""No properties; nodes that are chosen where the VM starts; nodes by hand."""

UNPINNED, FLOAT, EACH, CHOSEN, TYPED = PINNINGS = ("none", "float", "each", "auto", "typed")
"""No cputune; vCPUs float over the nodes of their cells; one CPU each there; chosen at the start; as in the text."""


class Row(Record):
    """A cell of the guest, as texts: what is typed may have errors."""

    vcpus: str
    memory: str
    nodes: str
    """Empty: the policy of the whole guest applies."""

    def __str__(self) -> str:
        return f"{self.vcpus}#{self.memory}{'@' if self.nodes else ''}{self.nodes.replace(',', '+')}"


class Form(Record):
    """What the form shows."""

    affinity: str = NONE
    mode: str = DEFAULT_MODE
    nodes: str = ""
    """Of the whole guest, as in numatune; empty: no policy."""
    cells: tuple[Row, ...] = ()
    pinning: str = UNPINNED
    cputune: str = ""
    """The text, if the pinning is TYPED."""


def to_values(form: Form, iothreads: int) -> dict[str, str]:
    """The texts of the three properties for a VM with so many iothreads."""
    if form.affinity == NONE:
        return {"cputune": "", "numatune": "", "guestnuma": ""}
    cells = "auto" if form.affinity == AUTO else ",".join(map(str, form.cells))
    return {"cputune": _pins(form, iothreads), "numatune": _policy(form), "guestnuma": cells}


def _policy(form: Form) -> str:
    if form.nodes:
        return f"{form.mode}#{form.nodes}"
    return f"{form.mode}#auto" if form.affinity == AUTO and form.mode != DEFAULT_MODE else ""


def _pins(form: Form, iothreads: int) -> str:
    """Without nodes there is no place `cell`."""
    if form.pinning in (FLOAT, EACH) and not (form.nodes or form.cells):
        return ""
    return form.cputune if form.pinning == TYPED else _pins_by_choice(iothreads)[form.pinning]


def _pins_by_choice(iothreads: int) -> dict[str, str]:
    """Emulator and iothreads are near the vCPUs."""
    others = ",".join(["emulator#cell", *(f"iothread{number}#cell" for number in range(1, iothreads + 1))])
    return {UNPINNED: "", FLOAT: f"all#cell,{others}", EACH: f"all#=cell,{others}", CHOSEN: "auto"}


def of_values(values: Mapping[str, str], iothreads: int) -> Form | None:
    """The form that shows these texts; None if one of them has a syntax error."""
    read, problems = properties.parse(values)
    if problems:
        return None
    if read == Properties():
        return Form()
    pins = "" if read.cputune is None else str(read.cputune)
    pinning = next((choice for choice, text in _pins_by_choice(iothreads).items() if text == pins), TYPED)
    mode, nodes = DEFAULT_MODE, ""
    if read.numatune is not None:
        mode = read.numatune.mode
        nodes = "auto" if read.numatune.nodeset is None else str(read.numatune.nodeset)
    is_auto = "guestnuma" in read.autos
    cells = () if read.guestnuma is None else read.guestnuma.cells
    rows = tuple(Row(str(cell.vcpus), memory_text(cell.memory), _text_of(cell.nodes)) for cell in cells)
    return Form(AUTO if is_auto else MANUAL, mode, nodes, rows, pinning, pins if pinning == TYPED else "")


def _text_of(nodes: CpuSet | None) -> str:
    return "" if nodes is None else str(nodes)

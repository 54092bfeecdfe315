# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine, a host and all hosts of the cluster would say to values for a VM, with the picture, as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ... import PROPERTIES, properties
from ...cpuset import CpuSet
from ...placement import figure
from ...problem import MAX_PROBLEMS, ParseError, Problem, Refused
from ...properties import MAX_LENGTH
from ...record import Record, replace
from ...rewrite import place_on
from ...values import Topology
from ...view import scene, svg
from ...view.json import problem_value
from ...view.layout import Layout, lay_out
from .. import change, estate, rest
from ..change import Change
from ..inventory import Machine, Vm
from ..matrix import OK, WARN, Row
from . import edit
from .form import Form
from .form import Row as FormRow
from .snapshots import Snapshot

MAX_SHOWN = 50
"""Problems of the host that is looked at."""


class Question(Record):
    """Values for a VM as its next start would be now, looked at on a host."""

    snapshot: Snapshot
    vm: Vm
    machine: Machine | None
    """None: the engine has no host for the VM."""
    values: Mapping[str, str]
    topology: Topology
    form: Form | None
    """That shows the values; None: one of them has a syntax error."""

    @property
    def change(self) -> Change:
        return change.of_values(self.vm, {name: self.values[name].strip(" ") for name in PROPERTIES}, self.topology)


def judge(question: Question) -> dict[str, Any]:
    """The judgement."""
    asked, known = question.change, question.snapshot
    row, obstacles = change.check(asked, known.estate, known.definitions)
    problems = _problems(question, row, obstacles)
    picture, locality = _look(question)
    return {
        "values": dict(question.values),
        "form": None if question.form is None else _form_value(question.form),
        "topology": {name: getattr(question.topology, name) for name in Topology._names},
        "topology_text": change.describe(question.topology),
        "host": None if question.machine is None else question.machine.id,
        "problems": _with_places(problems, question.values),
        "locality": locality,
        "length": change.stored_length(asked.after, known.definitions),
        "max_length": MAX_LENGTH,
        "next_start": row.next_start,
        "hosts": [_verdict(known, row, number) for number in range(len(row.verdicts))],
        "changes": [{"name": name, "old": old, "new": new} for name, old, new in asked.differences()],
        "can_save": not obstacles and any(asked.differences()),
        "used": _used(question),
        "picture": None if picture is None else svg.draw(scene.of(picture)).decode(),
        "seen": fingerprint(question.vm),
    }


def fingerprint(vm: Vm) -> str:
    """The same as long as nobody has changed the VM."""
    return hashlib.sha256(repr(change.lasting(vm)).encode()).hexdigest()


def _form_value(shown: Form) -> dict[str, Any]:
    cells = [{name: getattr(row, name) for name in FormRow._names} for row in shown.cells]
    return {**{name: getattr(shown, name) for name in Form._names}, "cells": cells}


def _problems(question: Question, row: Row, obstacles: Iterable[Problem]) -> list[Problem]:
    """What this host would report, and what else speaks against saving.

    Of a value with a syntax error only that; and no warnings then, which would be about a layout without that value.
    """
    syntax = properties.parse(question.values)[1]
    wrong = {problem.subject for problem in syntax}
    here = list(_of_host(question, row))
    more = [one for one in obstacles if not any(one.what.endswith(known.what) for known in here)]
    others = [one for one in (*here, *more) if one.subject not in wrong and not (syntax and one.warning)]
    return list(dict.fromkeys((*syntax, *others)))


def _of_host(question: Question, row: Row) -> Iterator[Problem]:
    if question.machine is None:
        yield from estate.no_host(question.vm).problems
    for verdict in row.verdicts:
        if question.machine is not None and verdict.machine == question.machine.id:
            yield from verdict.problems


def _look(question: Question) -> tuple[Layout | None, str]:
    """The host with the guest on it, or alone if it would refuse the guest; and the locality, empty if not known."""
    if question.machine is None:
        return None, ""
    try:
        rest.require_known(question.machine)
    except Refused:
        return None, ""
    host = question.snapshot.estate.beside(question.machine, question.vm).host
    guest = question.snapshot.estate.guest(question.change.after)
    request, problems = properties.parse(question.values)
    try:
        if problems:
            raise Refused(problems)
        placement = place_on(request, guest, host)
    except Refused:
        return lay_out(host), ""
    every_node = replace(lay_out(host, placement, guest), has_all_nodes=True)  # to be clicked
    return every_node, figure.line(placement, guest, host)


def _used(question: Question) -> list[int]:
    """The nodes of the host that a click takes out."""
    if question.form is None or question.machine is None:
        return []
    host = question.machine.host
    try:
        return [*(edit.used(question.form, host) & CpuSet(host.nodes))]
    except edit.NotPossibleError:
        return []


def _verdict(known: Snapshot, row: Row, number: int) -> dict[str, Any]:
    verdict = row.verdicts[number]
    machine = known.estate.machines[verdict.machine]
    return {
        "id": machine.id,
        "name": machine.name,
        "status": machine.status.replace("_", " "),
        "verdict": verdict.word,
        "can_run": verdict.word in (OK, WARN),
        "problems": problem_values(verdict.problems),
    }


def problem_values(problems: Sequence[Problem], most: int = MAX_PROBLEMS) -> list[dict[str, Any]]:
    """The problems as JSON; of very many only the first ones."""
    more = [Problem("", f"and {len(problems) - most} more like these", "")] if len(problems) > most else []
    return [problem_value(problem) for problem in (*problems[:most], *more)]


def _with_places(problems: Sequence[Problem], values: Mapping[str, str]) -> list[dict[str, Any]]:
    """With the bounds of the piece of a text that has an error of syntax."""
    errors = dict(filter(None, map(_error, PROPERTIES, map(values.__getitem__, PROPERTIES))))
    found = problem_values(problems, MAX_SHOWN)
    for value in found:
        error = errors.get(value["subject"])
        if error is not None and error.what == value["what"]:
            value.update(start=error.start, end=error.end)
    return found


def _error(name: str, text: str) -> tuple[str, ParseError] | None:
    """The first error of syntax in the text of a property."""
    try:
        properties.READERS[name](text)
    except ParseError as error:
        return (name, error) if text.strip(" ") else None
    return None

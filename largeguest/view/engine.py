# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's hosts and virtual machines as tables and JSON: who could start where, and why not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import PROPERTIES
from ..engine import kept
from ..engine.inventory import START
from ..engine.matrix import BARE, REFUSED, WARN
from ..engine.releases import release_of
from ..problem import Problem
from ..wording import plural, printable
from .columns import columns
from .json import problem_value

if TYPE_CHECKING:
    from ..engine.definitions import Definitions
    from ..engine.inventory import Machine
    from ..engine.matrix import Row


def hosts_table(machines: Sequence[Machine], clusters: Mapping[str, str]) -> str:
    """A line for each host, with the number that stands for it in the matrix; `clusters` are names by id."""
    rows = [["", "host", "cluster", "status", "hook"]]
    for number, machine in enumerate(machines, 1):
        hook = release_of(machine.hooks[START]) if machine.has_hook else "none"
        name, cluster = printable(machine.name), printable(clusters[machine.cluster])
        rows.append([str(number), name, cluster, machine.status.replace("_", " "), hook])
    return "\n".join(columns(rows))


def matrix_table(rows: Sequence[Row], machines: Sequence[Machine]) -> str:
    """A line for each VM, with a column for each host by its number; - is a host that it may not run on."""
    lines = [["VM", "level", *map(str, range(1, len(machines) + 1)), "next start"]]
    for row in rows:
        words = {verdict.machine: verdict.word for verdict in row.verdicts}
        verdicts = [words.get(machine.id, "-") for machine in machines]
        pending = " (pending changes)" if row.vm.pending else ""
        lines.append([printable(row.vm.name), row.level, *verdicts, row.next_start + pending])
    return "\n".join(columns(lines))


def reasons(rows: Iterable[Row], labels: Mapping[str, str]) -> Iterator[str]:
    """A line for each problem of each VM, with the labels of the hosts that have it, by their ids; refusals first."""
    for row in rows:
        for problem in row.refusals:
            yield f"{printable(row.vm.name)}: {problem.text}"
        by_text: dict[str, set[str]] = {}
        for word in (REFUSED, BARE, WARN):
            for verdict in row.verdicts:
                if verdict.word == word:
                    for problem in verdict.problems:
                        text = f"{'warning: ' if problem.warning else ''}{problem.text}"
                        by_text.setdefault(text, set()).add(verdict.machine)
        for text, where in by_text.items():
            hosts = ", ".join(label for machine, label in labels.items() if machine in where)
            yield f"{printable(row.vm.name)} on {hosts}: {text}"


def check_text(rows: Sequence[Row], machines: Sequence[Machine], clusters: Mapping[str, str]) -> str:
    """The hosts, the matrix and the reasons."""
    why = "\n".join(reasons(rows, {machine.id: str(number) for number, machine in enumerate(machines, 1)}))
    parts = [hosts_table(machines, clusters), matrix_table(rows, machines) if rows else "no VM has properties", why]
    bad = sum(not row.is_fine for row in rows)
    return "\n\n".join(filter(None, [*parts, f"{plural(len(rows), 'VM')}, {bad} with a host to avoid or a refusal"]))


def check_json(
    rows: Iterable[Row],
    machines: Iterable[Machine],
    known: Mapping[str, Definitions],
    findings: Iterable[Problem],
) -> str:
    """A JSON object with `version`, `findings`, `definitions` by level, `hosts`, and `vms` with all their values."""
    names = {machine.id: machine.name for machine in machines}
    return json.dumps(
        {
            "version": kept.VERSION,
            "findings": [problem_value(problem) for problem in findings],
            "definitions": {
                level: {name: {"state": one.state(name), "times": one.times(name)} for name in PROPERTIES}
                for level, one in known.items()
            },
            "hosts": [_host(machine) for machine in machines],
            "vms": [_vm(row, names) for row in rows],
        },
        indent=2,
    )


def _host(machine: Machine) -> dict[str, Any]:
    return {
        "id": machine.id,
        "name": machine.name,
        "cluster": machine.cluster,
        "status": machine.status,
        "hook": release_of(machine.hooks[START]) if machine.has_hook else None,
        "md5": machine.hooks.get(START),
    }


def _vm(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    vm = row.vm
    return {
        "id": vm.id,
        "name": vm.name,
        "cluster": vm.cluster,
        "level": row.level,
        "pending": vm.pending,
        "properties": dict(vm.custom),
        "next_start": row.next_start,
        "refused_by_engine": [problem_value(problem) for problem in row.refusals],
        "hosts": {
            names[verdict.machine]: {
                "verdict": verdict.word,
                "problems": [problem_value(problem) for problem in verdict.problems],
            }
            for verdict in row.verdicts
        },
    }

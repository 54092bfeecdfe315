# SPDX-License-Identifier: GPL-2.0-or-later
"""Show what a command would change in the engine, ask, and change it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine import change, rest
from ...engine.change import Change
from ...engine.connection import Engine
from ...engine.definitions import Definitions
from ...engine.estate import Estate
from ...engine.matrix import Row
from ...problem import Problem, Refused
from ...record import Record
from ...view import engine as view
from ...view.json import problem_value
from ...wording import plural, printable


class Outcome(Record):
    """A change, what was found out about it, and whether it was made."""

    change: Change
    row: Row
    problems: tuple[Problem, ...]
    """Why it must not be made."""
    is_made: bool = False


def add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="set it without asking")


def settle(engine: Engine, changes: Sequence[Change], known: Estate, arguments: argparse.Namespace) -> list[Outcome]:
    """Check the changes, show them unless JSON is asked for, and make those that nothing speaks against.

    They are made with `--yes`, or if whoever is asked says so.
    """
    levels = {known.level(one.after) for one in changes}
    defined = rest.definitions_of(engine, sorted(levels, key=rest.by_number))
    outcomes = [_weigh(one, known, defined) for one in changes]
    if not arguments.json:
        _show(outcomes, known)
    good = sum(not outcome.problems for outcome in outcomes)
    if not good or not (arguments.yes or _ask(good)):
        return outcomes
    settled = []
    for outcome in outcomes:
        settled.append(outcome if outcome.problems else _make(engine, outcome))
        if settled[-1].is_made and not arguments.json:
            print(f"{printable(outcome.change.after.name)}: set for the next start", flush=True)
    return settled


def _weigh(one: Change, known: Estate, defined: Mapping[str, Definitions]) -> Outcome:
    level = known.level(one.after)
    row, problems = change.check(one, known, defined.get(level, Definitions(level, ())))
    return Outcome(one, row, tuple(problems))


def _show(outcomes: Sequence[Outcome], known: Estate) -> None:
    """Print the differences, and what each VM's next start would then do."""
    names = {machine.id: printable(machine.name) for machine in known.machines.values()}
    for outcome in outcomes:
        print(printable(outcome.change.after.name))
        for name, old, new in outcome.change.differences():
            print(f"  {name:<10} {printable(old) or '(none)'} -> {printable(new) or '(none)'}")
        print(f"  next start {outcome.row.next_start}")
        for line in view.reasons([outcome.row], names):
            print(f"  {line}")
        for problem in outcome.problems:
            print(f"  not set    {problem.text}")
        print(flush=True)


def _make(engine: Engine, outcome: Outcome) -> Outcome:
    try:
        change.carry_out(engine, outcome.change)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return Outcome(outcome.change, outcome.row, refused.problems)
    return Outcome(outcome.change, outcome.row, (), is_made=True)


def _ask(count: int) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        print("nothing was changed: write --yes to set it", file=sys.stderr)
        return False
    print(f"Set this for {plural(count, 'VM')}, from the next start on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The differences of a VM, and whether they were set."""
    vm = outcome.change.after
    return {
        "id": vm.id,
        "name": vm.name,
        "changes": {name: {"old": old, "new": new} for name, old, new in outcome.change.differences()},
        "next_start": outcome.row.next_start,
        "problems": [problem_value(problem) for problem in outcome.problems],
        "set": outcome.is_made,
    }

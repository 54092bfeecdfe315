# SPDX-License-Identifier: GPL-2.0-or-later
"""What is defined in the engine, and the commands that change our part of it and nothing else."""

from __future__ import annotations

import shlex

import pytest

from largeguest import PROPERTIES
from largeguest.engine import definitions, expressions
from largeguest.engine.definitions import ANOTHER, MISSING, OURS, STRANGE

NOW = expressions.user_defined_vm_properties()
OLD = NOW.replace("|auto *(?!.)", "")
THEIRS = "sap_agent=^(true|false)$;macspoof=^[a=b]*$"


@pytest.mark.parametrize(
    ("text", "states", "times"),
    [
        ("", MISSING, 0),
        (THEIRS, MISSING, 0),
        (NOW, OURS, 1),
        (f"{THEIRS};{NOW}", OURS, 1),
        (OLD, ANOTHER, 1),
        (f"{OLD};{NOW}", OURS, 2),
        (f"{NOW};{OLD}", ANOTHER, 2),
        (";".join(f"{name}=.*" for name in PROPERTIES), STRANGE, 1),
    ],
)
def test_what_is_defined(text: str, states: str, times: int) -> None:
    assert OLD != NOW
    known = definitions.read("4.7", text)
    found = {(known.state(name), known.times(name)) for name in ("cputune", "guestnuma")}
    assert found == {(states, times)}
    assert known.is_fine == (states == OURS and times == 1)
    assert known.text == text


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("", "-m", NOW),
        (THEIRS, "-m", NOW),
        (OLD, "-s", NOW),
        (f"{OLD};{NOW}", "-s", NOW),
        (f"a=1;{OLD};b=2;{NOW};c=x=y", "-s", f"a=1;b=2;c=x=y;{NOW}"),
        ("cputune=.*;a=1", "-s", f"a=1;{NOW}"),
    ],
)
def test_the_command_leaves_what_others_have_defined(text: str, option: str, value: str) -> None:
    known = definitions.read("4.6", text)
    words = ["engine-config", option, f"UserDefinedVMProperties={value}", "--cver=4.6"]
    assert shlex.split(known.command()) == words
    after = definitions.read("4.6", f"{text};{value}" if option == "-m" else value)
    assert after.is_fine
    assert set(after.others) == set(known.others)
    assert after.command() == ""


def test_the_way_back() -> None:
    known = definitions.read("4.7", f"a=1;{NOW};b=2")
    assert shlex.split(known.way_back()) == ["engine-config", "-s", "UserDefinedVMProperties=a=1;b=2", "--cver=4.7"]
    assert definitions.read("4.7", "a=1").way_back() == ""


@pytest.mark.parametrize(
    ("text", "custom", "lines"),
    [
        (NOW, {"cputune": "0#0", "other": "#"}, []),
        (NOW, {}, []),
        (
            NOW,
            {"cputune": "0-#1"},
            [
                'cputune: "0-#1" does not match the definition of level 4.7: the engine does not start the VM: '
                "correct the value, or the definition"
            ],
        ),
        (
            "",
            {"numatune": "0"},
            [
                "numatune: it is not defined for level 4.7: the engine does not start the VM: "
                "largeguest engine config prints the command that defines it"
            ],
        ),
        ("cputune=^1$;cputune=^2$", {"cputune": "2"}, []),
        ("cputune=\\p{javaUpperCase}", {"cputune": "2"}, []),
    ],
)
def test_what_the_engine_would_refuse(text: str, custom: dict[str, str], lines: list[str]) -> None:
    assert [problem.text for problem in definitions.read("4.7", text).refusals(custom)] == lines

# SPDX-License-Identifier: GPL-2.0-or-later
"""The regular expressions over one corpus: in Python, in Java (the engine's backend) and in JavaScript (its web UI)."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largeguest import PROPERTIES, properties
from largeguest.engine import expressions
from tests import ROOT
from tests.properties.corpus import BLANK, GOOD, NOT_YET, WRONG_IN_MEANING, WRONG_IN_SHAPE
from tests.properties.test_properties import values

REGEXES = {name: expressions.regex(name) for name in PROPERTIES}

CASES = [
    *((name, value, True) for name, values in expressions.EXAMPLES.items() for value in values.split("|")),
    *((name, value, True) for name, value, _ in GOOD),
    *((name, value, True) for name, value in BLANK),
    *((name, value, True) for name, value, _ in WRONG_IN_MEANING + NOT_YET),
    *((name, value, False) for name, value, _ in WRONG_IN_SHAPE),
]

JAVA = pytest.mark.skipif(shutil.which("javac") is None, reason="apt-get install default-jdk-headless")
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="apt-get install nodejs")


def in_python(pairs: list[tuple[str, str]]) -> list[str]:
    return [str(re.fullmatch(regex, value) is not None).lower() for regex, value in pairs]


def in_java(pairs: list[tuple[str, str]]) -> list[str]:
    return _ask(["java", "-Xshare:auto", str(ROOT / "tests/engine/Regexes.java")], pairs)


def in_node(pairs: list[tuple[str, str]]) -> list[str]:
    return _ask(["node", str(ROOT / "tests/engine/regexes.js")], pairs)


def _ask(command: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    lines = "".join(f"{_encode(regex)} {_encode(value)}\n" for regex, value in pairs)
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=120)
    return answer.stdout.split()


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode() or "-"


@pytest.mark.parametrize("verdicts", [in_python, pytest.param(in_java, marks=JAVA), pytest.param(in_node, marks=NODE)])
def test_corpus(verdicts) -> None:  # type: ignore[no-untyped-def]
    found = verdicts([(REGEXES[name], value) for name, value, _ in CASES])
    expected = [str(accepted).lower() for _, _, accepted in CASES]
    wrong = [(case, verdict) for case, verdict, want in zip(CASES, found, expected) if verdict != want]
    assert (wrong, len(found)) == ([], len(CASES))


@JAVA
def test_the_small_stack_of_java_is_small() -> None:
    """The corpus would prove nothing if this thread's stack were large enough for a group under `*`."""
    value = ",".join(f"{n}#{n}" for n in range(500))
    assert in_java([(r"(?:\d+#\d+,)*\d+#\d+", value)]) == ["StackOverflowError"]


@given(values)
def test_every_value_that_the_grammar_makes_is_accepted(named: tuple[str, object]) -> None:
    name, value = named
    assert re.fullmatch(REGEXES[name], str(value))


@pytest.mark.parametrize("name", PROPERTIES)
def test_people_read_examples_first(name: str) -> None:
    """The web UI shows the expression as the error text."""
    examples = expressions.EXAMPLES[name]
    assert REGEXES[name].startswith(f"^(?:{examples}|")
    for example in examples.split("|"):
        assert properties.parse({name: example})[1] == ()
        assert re.escape(example).replace("\\#", "#").replace("\\-", "-") == example, "matches something else, too"
        # without the alternatives the expression accepts the same
        assert re.fullmatch(REGEXES[name].replace(f"{examples}|", "", 1), example)
        assert "#" in example


TOKENS = ["0", "1", "23", "#", "=", ",", "-", "^", "@", "+", "*", ".", " ", "G", "iB", "GB", "node", "socket", "core"]
TOKENS += [
    "cell",
    "thread",
    "all",
    "==",
    "node0",
    ".core1",
    ".thread0",
    "cell.core0-1",
    "emulator",
    "iothread",
    "auto",
    "strict",
    "restrictive",
    "x",
]


def wrong_in_shape(name: str, value: str) -> bool:
    only_in_meaning = ("runs backwards", "leaves nothing", "too large", "not available in this version")
    _, problems = properties.parse({name: value})
    return any(not any(words in problem.what + problem.fix for words in only_in_meaning) for problem in problems)


@settings(max_examples=500)
@given(st.sampled_from(PROPERTIES), st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_the_regex_refuses_exactly_the_syntax_errors_of_the_parser(name: str, value: str) -> None:
    assert (re.fullmatch(REGEXES[name], value) is None) == wrong_in_shape(name, value)


@settings(max_examples=500)
@given(values, st.data())
def test_the_same_for_mutations_of_good_values(named: tuple[str, object], data: st.DataObject) -> None:
    name, value = named[0], str(named[1])[:200].rpartition(",")[0] or str(named[1])[:200]
    at = data.draw(st.integers(0, len(value)))
    gone = data.draw(st.integers(0, 2))
    mutation = value[:at] + data.draw(st.sampled_from(["", *TOKENS])) + value[at + gone :]
    assert (re.fullmatch(REGEXES[name], mutation) is None) == wrong_in_shape(name, mutation)


def test_the_engine_can_split_the_definition() -> None:
    """The engine splits the value of UserDefinedVMProperties at `;`, and each part at its first `=`."""
    definition = expressions.user_defined_vm_properties()
    assert dict(part.split("=", 1) for part in definition.split(";")) == REGEXES
    assert "'" not in definition

# SPDX-License-Identifier: GPL-2.0-or-later
"""README says what the code does."""

from __future__ import annotations

import re
import shlex

import pytest

from largeguest import cli, engine, properties
from largeguest.rewrite import rewrite

from . import DATA, ROOT
from .corpus import WRONG_IN_MEANING, WRONG_IN_SHAPE
from .test_domxml import XML_REFUSALS
from .test_hooks import REFUSALS

README = (ROOT / "README").read_text(encoding="utf-8")
HOOK_README = (ROOT / "vdsm_hooks/largeguest/README").read_text(encoding="utf-8")
PLAIN = str(DATA / "plain.xml")


def chapter(number: int) -> str:
    found = re.search(rf"^{number}\. [^\n]*\n-+\n(.*?)(?=^\d+\. [^\n]*\n-+\n|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README has no chapter {number}"
    return found[1]


def test_the_engines_command_is_the_code_s() -> None:
    (line,) = re.findall("^ *(engine-config -m .*)$", README, re.MULTILINE)
    assert shlex.split(line) == [
        "engine-config",
        "-m",
        f"UserDefinedVMProperties={engine.user_defined_vm_properties()}",
        "--cver=4.7",
    ]


@pytest.mark.parametrize(
    "message",
    [*(text for _, _, text in WRONG_IN_SHAPE + WRONG_IN_MEANING), *(text for _, text in REFUSALS + XML_REFUSALS)],
    ids=lambda text: text[-60:],
)
def test_every_message_has_its_meaning(message: str) -> None:
    phrases = re.findall(r"^  (\S.*?)(?:  |$)", chapter(8), re.MULTILINE)
    in_xml = re.search(r"\(not well-formed,(.*?)\)", chapter(8), re.DOTALL)
    assert in_xml
    phrases += ["not well-formed", *(" ".join(phrase.split()) for phrase in in_xml[1].split(","))]
    for problem in message.split("; largeguest: "):
        what = problem.replace("do not exist", "does not exist")
        assert any(phrase in what for phrase in phrases), problem


def test_the_example_message_is_the_code_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--cputune", "0#0,1#x", PLAIN]) == 1
    assert capsys.readouterr().err in chapter(8).replace("    ", "")


def test_apply_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall("^ *(largeguest apply .*)$", chapter(7), re.MULTILINE)
    arguments = shlex.split(line)[1:-1]
    assert cli.main([*arguments, PLAIN]) == 0
    assert capsys.readouterr().err in chapter(8).replace("    ", "")


def test_examples_of_the_syntax_are_values() -> None:
    section = re.split(r"^(cputune|numatune|guestnuma) = .*$", chapter(6), flags=re.MULTILINE)[1:]
    seen = 0
    for name, text in zip(section[::2], section[1::2]):
        for value in re.findall(r"^    (\S*#\S*)  ", text, re.MULTILINE):
            assert properties.parse({name: value})[1] == ()
            seen += 1
    assert seen == 8


def test_the_hooks_readme_shows_what_the_hook_does() -> None:
    typed = dict(re.findall(r"^  (cputune|numatune|guestnuma)=(\S+) ", HOOK_README, re.MULTILINE))
    new, _ = rewrite(typed, b"<domain><memory>20971520</memory><vcpu>16</vcpu></domain>")
    shown = "".join(re.findall(r"^  +(<.*>)$", HOOK_README, re.MULTILINE))
    assert f"<vcpu>16</vcpu>{shown}</domain>" == new.decode().partition("</memory>")[2].strip()

# SPDX-License-Identifier: GPL-2.0-or-later
"""README says what the code does."""

from __future__ import annotations

import re
import shlex

import pytest

from largeguest import cli, properties
from largeguest.placement.place import place
from largeguest.rewrite import rewrite
from largeguest.values import Guest, Topology

from .books import HOOK_README, README, chapter, cpus_by_node, large_host
from .hosts import GIB

MAX_LINES = 220
"""Ten minutes of reading."""


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def test_what_was_not_tested_is_said_early() -> None:
    assert "Not tested" in "\n".join(README.splitlines()[:30])


def test_it_has_the_two_commands_of_ci() -> None:
    """.ci/run takes them from here."""
    example, tests = re.findall(r"^    \.ci/install && (.*)$", README, re.MULTILINE)
    assert example.endswith("-m tests.e2e.example")
    assert tests.endswith("-m pytest")


def test_plan_as_shown(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall("^ *(largeguest plan .*)$", chapter(5), re.MULTILINE)
    assert cli.main([*shlex.split(line)[1:], "--host", four_nodes]) == 0
    shown = re.sub("^    ", "", chapter(5), flags=re.MULTILINE)
    what_to_set, table = capsys.readouterr().out.split("\n\nnode ")
    assert what_to_set in shown
    assert table


def test_the_worked_example_is_what_it_says() -> None:
    typed = dict(re.findall(r"^    (cputune|numatune|guestnuma) +(\S+)$", chapter(6), re.MULTILINE))
    assert len(typed) == 3
    host = large_host()
    assert cpus_by_node(host) == re.findall(r"\d+-\d+,\d+-\d+(?=[:,;.]|\s)", chapter(6))[:4]
    wanted, problems = properties.parse(typed)
    assert problems == ()
    guest = Guest(max_vcpus=112, memory=1536 * GIB, topology=Topology(4, 1, 14, 2))
    placed = place(wanted, guest, host)
    assert placed.warnings == ()
    assert placed.pins is not None
    assert [str(placed.pins.vcpus[vcpu]) for vcpu in (0, 1)] == ["2", "66"]
    for vcpu in range(0, 112, 2):
        core = {cpu for sibling in (vcpu, vcpu + 1) for cpu in placed.pins.vcpus[sibling]}
        assert set(host.cpus[min(core)].siblings) == core
    assert [(cell.memory, str(cell.nodes)) for cell in placed.cells or ()] == [(384 * GIB, str(n)) for n in range(4)]
    assert dict((placed.cells or ())[0].distances) == {0: 10, 1: 12, 2: 21, 3: 21}


def test_the_plan_of_the_large_guest_has_its_vcpus_where_the_example_has_them(
    workplace: None,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = re.findall("^ *(largeguest plan .*)$", chapter(6), re.MULTILINE)
    assert cli.main(shlex.split(line)[1:]) == 0
    planned = dict(re.findall(r"^(\S+) +(\S+)$", capsys.readouterr().out.partition("\n\n")[0], re.MULTILINE))
    typed = dict(re.findall(r"^    (cputune|numatune|guestnuma) +(\S+)$", chapter(6), re.MULTILINE))
    guest = Guest(max_vcpus=112, memory=1536 * GIB, topology=Topology(4, 1, 14, 2))
    pins = [place(properties.parse(values)[0], guest, large_host()).pins for values in (planned, typed)]
    assert [own and own.vcpus for own in pins] == [pins[0] and pins[0].vcpus] * 2
    assert planned["guestnuma"] == typed["guestnuma"]


def test_the_hooks_readme_shows_what_the_hook_does() -> None:
    typed = dict(re.findall(r"^  (cputune|numatune|guestnuma)=(\S+) ", HOOK_README, re.MULTILINE))
    new = rewrite(typed, b"<domain><memory>20971520</memory><vcpu>16</vcpu></domain>", None).document
    shown = "".join(re.findall(r"^  +(<.*>)$", HOOK_README, re.MULTILINE))
    assert f"<vcpu>16</vcpu>{shown}</domain>" == new.decode().partition("</memory>")[2].strip()
    values = re.findall(r"\b(cputune|guestnuma)=(\S+)", HOOK_README.partition("</cpu>")[2])
    assert [properties.parse({name: value})[1] for name, value in values] == [(), ()]

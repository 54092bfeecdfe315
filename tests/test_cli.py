# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from largeguest import cli
from largeguest.rewrite import rewrite

from . import DATA, ROOT
from .test_hooks import REFUSALS

PLAIN = DATA / "plain.xml"
VALUES = {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}


def options(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def test_apply_prints_what_the_hook_writes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["apply", "--host", "none", *options(VALUES), str(PLAIN)]) == 0
    out, err = capfdbinary.readouterr()
    new, done = rewrite(VALUES, PLAIN.read_bytes())
    assert (out, err.decode()) == (new, f"largeguest: {done}\n")


def test_apply_reads_stdin(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.read_bytes())))
    assert cli.main(["apply", *options(VALUES), "-"]) == 0
    assert capfdbinary.readouterr().out == rewrite(VALUES, PLAIN.read_bytes())[0]


def test_apply_diff_shows_the_change_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--diff", "--cputune", "0#1", str(PLAIN)]) == 0
    changed = [line for line in capsys.readouterr().out.splitlines() if line[0] in "+-"]
    assert changed == [f"--- {PLAIN}", "+++ rewritten", '+    <vcpupin vcpu="0" cpuset="1"/>']


def test_apply_without_properties_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--diff", str(PLAIN)]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("values", "message"), REFUSALS, ids=lambda value: repr(value)[:60])
def test_apply_refuses_as_the_hook_does(
    values: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["apply", *options(values), str(PLAIN)]) == 1
    assert capsys.readouterr() == ("", f"largeguest: {message}\n")


def test_apply_without_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "/nowhere.xml"]) == 2
    assert capsys.readouterr() == ("", 'largeguest: "/nowhere.xml": No such file or directory\n')


@pytest.mark.parametrize("arguments", [[], ["apply"], ["frobnicate"], ["apply", "--host", "moon", "x.xml"]])
def test_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: largeguest ")


def test_as_a_module(tmp_path: Path) -> None:
    output = tmp_path / "new.xml"
    with output.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "largeguest", "apply", *options(VALUES), str(PLAIN)],
            cwd=ROOT,
            stdout=file,
            check=True,
        )
    assert output.read_bytes() == rewrite(VALUES, PLAIN.read_bytes())[0]

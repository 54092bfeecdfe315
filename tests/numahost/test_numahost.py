# SPDX-License-Identifier: GPL-2.0-or-later
"""Without the machine: what is missing for it, its image's place, and the reports that come back from it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import ROOT, programs
from tests.e2e.conftest import PROGRAMS

from . import __main__, image, inside, machine


def test_a_missing_program_is_one_line_with_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in image.PROGRAMS.keys() - {"mkfs.ext4"}:
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr(programs, "SBIN", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["numahost", "true"])
    with pytest.raises(SystemExit):
        __main__.main()
    assert capsys.readouterr().err.splitlines()[-1] == "python -m tests.numahost: error: apt-get install e2fsprogs"


def test_ci_installs_every_program() -> None:
    words = (ROOT / ".ci/install").read_text().split()
    needed = {package for packages in (PROGRAMS | inside.PROGRAMS).values() for package in packages.split()}
    assert needed - {"util-linux"} <= set(words)  # which is essential


def test_an_image_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(unfinished: image.Image) -> None:
        unfinished.kernel.touch()
        raise image.BuildError

    monkeypatch.setattr(image, "CACHE", tmp_path)
    monkeypatch.setattr(image, "_build", fail)
    with pytest.raises(image.BuildError):
        image.image()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_image_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built: list[image.Image] = []
    monkeypatch.setattr(image, "CACHE", tmp_path)
    monkeypatch.setattr(image, "_build", built.append)
    assert image.image() == image.image()
    assert len(built) == 1


@pytest.mark.parametrize(("hangs", "runs"), [(1, 2), (9, 2), (0, 1)])
def test_what_hangs_with_its_machine_runs_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hangs: int, runs: int
) -> None:
    """A stand-in for the machine, which reports the first of its tests before it hangs."""
    started: list[list[str]] = []

    @contextlib.contextmanager
    def running(command: list[str], _: object, __: float, console: Path, *___: object) -> Iterator[SimpleNamespace]:
        console.touch()
        ids = command[command.index(inside.SCRIPT) + 2 :]
        started.append(ids)
        reading, writing = map(os.fdopen, os.pipe(), ("rb", "wb"))
        with reading, writing:
            for name in ids[: 1 if len(started) <= hangs else None]:
                writing.write(json.dumps({"nodeid": name, "when": "teardown"}).encode() + b"\n")
            writing.flush()
            if len(started) > hangs:
                writing.close()
            yield SimpleNamespace(stdout=reading, wait=lambda: 0)

    monkeypatch.setattr(machine, "running", running)
    monkeypatch.setattr(inside, "_prepare", lambda _: tmp_path)
    monkeypatch.setattr(inside, "QUIET_SECONDS", 0.1)
    lines = inside.run_tests(["a", "b", "c"])
    reported: list[str] = []
    end = ""
    while not end:
        try:
            reported.append(json.loads(next(lines))["nodeid"])
        except StopIteration as stop:
            end = stop.value
    assert started == [["a", "b", "c"], ["b", "c"]][:runs]
    assert reported == ["a", "b", "c"][: 2 if hangs > 1 else 3]
    assert ("hangs" in end) == (hangs > 1)


CONFTEST = """
import os, subprocess, sys
from pathlib import Path
from tests.numahost.replay import Replay

def run(ids):
    command = [sys.executable, "-m", "pytest", "-p", "tests.numahost.reports", "--reports", "there", *ids]
    subprocess.run(command, env={**os.environ, "THERE": "yes"})
    with open("there", "rb") as lines:
        yield from lines
    return "no result"

def pytest_configure(config):
    if "THERE" not in os.environ:
        config.pluginmanager.register(Replay(Path("elsewhere").absolute(), run))
"""
TESTS = """
import os, pytest

@pytest.fixture
def broken():
    yield
    raise ValueError("torn down")

@pytest.mark.parametrize("number", [1, 2])
def test_passes_there(number):
    assert "THERE" in os.environ

def test_fails():
    print("printed there")
    assert [1, 2] == [1, 3]

def test_is_torn_down(broken):
    pass

def test_is_skipped():
    pytest.skip("no reason")

def test_ends_it():
    os._exit(1)

def test_is_too_late():
    pass
"""


def reports(folder: Path, *options: str) -> list[dict[str, Any]]:
    """Those of a pytest here, whose tests run elsewhere."""
    (folder / "elsewhere").mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "elsewhere/test_there.py").write_text(TESTS)
    (folder / "test_here.py").write_text("import os\n\ndef test_here():\n    assert 'THERE' not in os.environ\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.numahost.reports", "--reports", "here", *options]
    environ = {name: value for name, value in os.environ.items() if name != "CI"} | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=False)
    return [json.loads(line) for line in (folder / "here").read_text().splitlines()]


def test_reports_from_elsewhere_count_here(tmp_path: Path) -> None:
    found = reports(tmp_path)
    worst: dict[str, str] = {}
    for report in found:
        name = report["nodeid"].partition("::")[2]
        if worst.get(name, "passed") == "passed":
            worst[name] = report["outcome"]
    assert worst == {
        "test_passes_there[1]": "passed",
        "test_passes_there[2]": "passed",
        "test_fails": "failed",
        "test_is_torn_down": "failed",
        "test_is_skipped": "skipped",
        "test_ends_it": "failed",
        "test_is_too_late": "failed",
        "test_here": "passed",
    }
    failures = {(report["nodeid"].partition("::")[2], report["when"]): report for report in found}
    assert "assert [1, 2] == [1, 3]" in json.dumps(failures["test_fails", "call"]["longrepr"])
    assert "printed there" in str(failures["test_fails", "call"]["sections"])
    assert "torn down" in json.dumps(failures["test_is_torn_down", "teardown"]["longrepr"])
    assert failures["test_is_too_late", "call"]["longrepr"] == "no result"


def test_only_the_selected_tests_run_elsewhere(tmp_path: Path) -> None:
    reports(tmp_path, "-k", "fails")
    there = {json.loads(line)["nodeid"] for line in (tmp_path / "there").read_text().splitlines()}
    assert there == {"elsewhere/test_there.py::test_fails"}

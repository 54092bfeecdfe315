# SPDX-License-Identifier: GPL-2.0-or-later
"""What VMs that are about to run have been given, and the lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from largeguest.cpuset import CpuSet
from largeguest.host import neighbours, reservations
from largeguest.values import Neighbour, Promise
from tests import ROOT, vdsm

ONE, TWO = (f"0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a0{number}" for number in (1, 2))
HELD = Neighbour("db01", CpuSet([1, 2]), False, (Promise(CpuSet([0, 1]), 2048, 7),), is_starting=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    vdsm.make_run_folder(tmp_path)
    (tmp_path / neighbours.PID_FILES).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def files(root: Path) -> Path:
    return root / reservations.FOLDER / "reservations"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_what_is_reserved_can_be_read_by_everybody(root: Path, files: Path) -> None:
    reservations.reserve(str(root), ONE, HELD)
    assert reservations.held(str(root)) == {ONE: HELD}
    assert (files / ONE).stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in (root / reservations.FOLDER).iterdir()) == ["choose", "reservations"]


def test_a_vm_has_one(root: Path) -> None:
    reservations.reserve(str(root), ONE, HELD)
    reservations.reserve(str(root), TWO, HELD)
    other = Neighbour("db01", CpuSet([5]), is_starting=True)
    reservations.reserve(str(root), ONE, other)
    assert reservations.held(str(root)) == {ONE: other, TWO: HELD}
    reservations.reserve(str(root), ONE, Neighbour("db01"))  # it holds nothing any more
    assert reservations.held(str(root)) == {TWO: HELD}


def test_it_counts_for_a_minute_or_while_libvirt_starts_the_vm(root: Path, files: Path, clock: list[float]) -> None:
    reservations.reserve(str(root), ONE, HELD)
    clock[0] += 59.9
    assert reservations.held(str(root)) == {ONE: HELD}
    clock[0] += 0.2
    assert reservations.held(str(root)) == {}
    process = root / neighbours.PID_FILES / "db01.pid"
    process.touch()
    clock[0] += 3600  # it allocates 6 TiB
    assert reservations.held(str(root)) == {ONE: HELD}
    process.unlink()
    reservations.reserve(str(root), TWO, Neighbour("db02"))
    assert list(files.iterdir()) == []


@pytest.mark.parametrize("uuid", ["", ".", "../choose", "../../../passwd", "db01", ONE.upper(), f"{ONE}\n", f"{ONE}0"])
def test_what_is_no_uuid_names_no_file(root: Path, files: Path, uuid: str) -> None:
    reservations.reserve(str(root), uuid, HELD)
    reservations.end(str(root), [uuid])
    assert list(files.iterdir()) == []
    assert (root / reservations.FOLDER / "choose").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'{"version": 2}',
        json.dumps({"version": 1, "name": "x", "cpus": "", "exclusive": False, "promises": []}).encode(),
        json.dumps({"version": 1, "name": "x", "cpus": "0-", "exclusive": False, "promises": [], "since": 1}).encode(),
        json.dumps({"version": 1, "name": "x", "cpus": "", "exclusive": False, "promises": [], "since": "x"}).encode(),
    ],
)
def test_what_no_hook_has_written_does_not_count(root: Path, files: Path, content: bytes) -> None:
    reservations.reserve(str(root), ONE, HELD)
    (files / TWO).write_bytes(content)
    assert reservations.held(str(root)) == {ONE: HELD}


def test_only_files_count(root: Path, files: Path, tmp_path: Path) -> None:
    reservations.reserve(str(root), ONE, HELD)
    (files / ONE).rename(tmp_path / "elsewhere")
    (files / ONE).symlink_to(tmp_path / "elsewhere")
    os.mkfifo(files / TWO)
    (files / TWO.replace("2", "3")).mkdir()
    assert reservations.held(str(root)) == {}


def test_a_folder_that_leads_elsewhere_is_left_alone(root: Path, files: Path, tmp_path: Path) -> None:
    files.rename(tmp_path / "elsewhere")
    files.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / ONE).touch()
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        reservations.end(str(root), [ONE])
    assert (tmp_path / "elsewhere" / ONE).exists()


def test_some_end(root: Path, files: Path) -> None:
    reservations.reserve(str(root), ONE, HELD)
    reservations.reserve(str(root), TWO, HELD)
    reservations.end(str(root), [TWO, "something"])
    assert [path.name for path in files.iterdir()] == [ONE]


def test_no_folder() -> None:
    assert reservations.held("/nowhere") == {}
    reservations.end("/nowhere", [ONE])
    for work in (lambda: reservations.lock("/nowhere"), lambda: reservations.reserve("/nowhere", ONE, HELD)):
        with pytest.raises(FileNotFoundError):
            work()


LOCKER = """
import sys
sys.path.insert(0, sys.argv[1])
from largeguest.host import reservations
reservations.lock(sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""


def test_one_chooses_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "LOCK_SECONDS", 0.05)
    command = [sys.executable, "-c", LOCKER, str(ROOT), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:
        assert locker.stdout
        assert locker.stdout.readline() == "locked\n"
        locker.send_signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError, match="choosing for over"):
            reservations.lock(str(root))
        locker.kill()
        locker.wait()
        os.close(reservations.lock(str(root)))
    os.close(reservations.lock(str(root)))

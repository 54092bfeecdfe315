# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run in the four-node machine, with the RPM installed."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tests import ROOT, programs
from tests.e2e import guest, host

from . import image, machine
from .replay import Lines

PROGRAMS = {**programs.RPM, **image.PROGRAMS}
SECONDS = 3600
"""For the whole run, which takes a fraction of it where nothing else runs."""

QUIET_SECONDS = 900
"""A machine that reports nothing for so long hangs: its kernel is emulated."""

HANGS = "the four-node machine hangs"

SCRIPT = """
exec 3>&1 >&2
rpm --install --nodeps *.rpm
exec python3 -m pytest -p no:cacheprovider -p tests.numahost.reports --reports /dev/fd/3 "$@"
"""


def run_tests(ids: Sequence[str]) -> Lines:
    """Run the tests of these ids in a copy of the checkout; those that hang with their machine once more in another."""
    left = list(ids)
    for _ in range(2):
        lines = _run_once(left)
        while True:
            try:
                line = next(lines)
            except StopIteration as stop:
                end: str = stop.value
                break
            report = json.loads(line)
            if report["when"] == "teardown":
                left.remove(report["nodeid"])
            yield line
        if not left or HANGS not in end:
            break
    return end


def _run_once(ids: Sequence[str]) -> Lines:
    with tempfile.TemporaryDirectory(prefix="largeguest-") as name:
        home = Path(name)
        log, console = home / "log", home / "console"
        command = ["env", f"CI={os.environ.get('CI', '')}", "sh", "-c", SCRIPT, "sh", *ids]
        try:
            folder = _prepare(home)
            with log.open("ab") as errors, machine.running(command, folder, SECONDS, console, errors) as numahost:
                try:
                    yield from _lines(numahost.stdout)
                    what = f"the four-node machine ended without a result of this test: exit status {numahost.wait()}"
                except TimeoutError as error:
                    what = str(error)
        except RuntimeError as error:
            return str(error)
        return f"{what}\n--- what it printed ends with\n{_end(log)}\n--- its console ends with\n{_end(console)}"


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    """The lines as they come; raises TimeoutError."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if not selector.select(QUIET_SECONDS):
                raise TimeoutError(f"{HANGS}: it has reported nothing for {QUIET_SECONDS} seconds")
            block = os.read(output.fileno(), 1 << 16)
            if not block:
                return
            *lines, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in lines)


def _prepare(home: Path) -> Path:
    """A copy of the checkout, with the RPMs and the kernel of the tests' guests."""
    sources = host.copy_sources(home)
    rpm = host.build_rpm(sources)
    for one in (rpm, host.beside(rpm, "largeguest")):
        one.rename(sources / one.name)
    shutil.rmtree(sources / "rpmbuild")
    kernel = sources / guest.KERNEL.relative_to(ROOT)
    kernel.parent.mkdir()
    shutil.copyfile(guest.KERNEL, kernel)
    return sources


def _end(file: Path) -> str:
    return file.read_text(errors="replace")[-3000:]

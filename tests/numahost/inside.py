# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run in the four-node machine, with the RPM installed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests import ROOT, programs
from tests.e2e import guest, host

from . import image, machine
from .replay import Lines

PROGRAMS = {**programs.RPM, **image.PROGRAMS}
SECONDS = 3600
"""For the whole run, which takes a fraction of it where nothing else runs."""

SCRIPT = """
exec 3>&1 >&2
rpm --install --nodeps *.rpm
exec python3 -m pytest -p no:cacheprovider -p tests.numahost.reports --reports /dev/fd/3 "$@"
"""


def run_tests(ids: Sequence[str]) -> Lines:
    """Run the tests of these ids in a copy of the checkout."""
    with tempfile.TemporaryDirectory(prefix="largeguest-") as name:
        home = Path(name)
        log, console = home / "log", home / "console"
        command = ["env", f"CI={os.environ.get('CI', '')}", "sh", "-c", SCRIPT, "sh", *ids]
        try:
            folder = _prepare(home)
            with log.open("ab") as errors, machine.running(command, folder, SECONDS, console, errors) as numahost:
                yield from (line for line in numahost.stdout if line.endswith(b"\n"))
                status = numahost.wait()
        except RuntimeError as error:
            return str(error)
        return (
            f"the four-node machine ended without a result of this test: exit status {status}\n"
            f"--- what it printed ends with\n{_end(log)}\n--- its console ends with\n{_end(console)}"
        )


def _prepare(home: Path) -> Path:
    """A copy of the checkout, with the RPM and the kernel of the tests' guests."""
    sources = host.copy_sources(home)
    rpm = host.build_rpm(sources)
    rpm.rename(sources / rpm.name)
    shutil.rmtree(sources / "rpmbuild")
    kernel = sources / guest.KERNEL.relative_to(ROOT)
    kernel.parent.mkdir()
    shutil.copyfile(guest.KERNEL, kernel)
    return sources


def _end(file: Path) -> str:
    return file.read_text(errors="replace")[-3000:]

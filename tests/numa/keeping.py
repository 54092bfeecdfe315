# SPDX-License-Identifier: GPL-2.0-or-later
"""The keeper of the RPM that is installed on this host."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def keeper() -> Iterator[Path]:
    """A keeper that runs; gives the file with what it says."""
    command = ["/usr/bin/largeguest", "keeper"]
    with tempfile.NamedTemporaryFile() as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            yield Path(said.name)
        finally:
            process.terminate()


@pytest.fixture
def kept() -> Iterator[None]:
    with keeper():
        yield

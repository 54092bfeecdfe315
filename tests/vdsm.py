# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for the part of VDSM 4.5 that runs hooks (lib/vdsm/common/hooks.py), which cannot be installed here."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path


class HookError(Exception):
    """VDSM stops; the text is what the engine's user sees."""


def run_scripts(point: str, folder: Path, run: Callable[[Path], subprocess.CompletedProcess[str]]) -> str:
    """Start each executable of the folder with `run`, by name; gives everything they wrote to stderr.

    1 fails and 2 fails and stops. At `before_vm_start` the user sees the stderr of the last script that failed, at any
    other point that of the last one that ran, even if another one failed. Raises HookError with it.
    """
    errors: list[str] = []
    failed: list[str] = []
    for script in sorted(path for path in folder.glob("*") if os.access(path, os.X_OK)):
        result = run(script)
        errors.append(result.stderr)
        if result.returncode:
            failed.append(result.stderr)
        if result.returncode == 2:
            break
    if failed:
        raise HookError(failed[-1] if point == "before_vm_start" else errors[-1])
    return "".join(errors)


def make_run_folder(root: Path, owner: int = os.getuid()) -> Path:
    """What vdsm-largeguest.conf lets systemd make below `root`, for the user vdsm."""
    folder = root / "run/vdsm-largeguest"
    (folder / "reservations").mkdir(parents=True)
    (folder / "choose").touch(0o600)
    for path in (folder, folder / "reservations", folder / "choose"):
        os.chown(path, owner, owner)
    return folder


@contextlib.contextmanager
def starting(run_folder: Path, uuid: str) -> Iterator[None]:
    """The files in /run/vdsm that exist only while `before_vm_start` runs at a real start."""
    flags = run_folder / uuid / "launchflags"
    flags.parent.mkdir(parents=True)
    flags.touch()
    yield
    flags.unlink()

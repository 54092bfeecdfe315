# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that tests need: each, or several of which one will do, with the Debian packages that have it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

RPM = {"autoreconf": "autoconf automake", "make": "make", "rpmbuild": "rpm", "git": "git"}

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Root's PATH, which a shell of `su` may lack."""


def install_line(programs: Mapping[str, str]) -> str:
    """The command that installs what this machine lacks; empty if there is everything."""
    missing = {package for names, package in programs.items() if not any(map(_find, names.split()))}
    return f"apt-get install {' '.join(sorted(missing))}" if missing else ""


def _find(program: str) -> str | None:
    return shutil.which(program, path=SBIN)

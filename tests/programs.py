# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that tests need: each, or several of which one will do, with the Debian packages that have it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping

import pytest

RPM = {"autoreconf": "autoconf automake", "make": "make", "rpmbuild": "rpm", "git": "git"}

NEEDS_SDK = pytest.mark.skipif(
    importlib.util.find_spec("ovirtsdk4") is None,
    reason="apt-get install gcc python3-dev libcurl4-openssl-dev libssl-dev libxml2-dev; pip install -e .[engine]",
)
"""For tests that ask with oVirt's SDK for Python, which pip compiles."""

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Root's PATH, which a shell of `su` may lack."""


def install_line(programs: Mapping[str, str]) -> str:
    """The command that installs what this machine lacks; empty if there is everything."""
    missing = {package for names, package in programs.items() if not any(map(_find, names.split()))}
    return f"apt-get install {' '.join(sorted(missing))}" if missing else ""


def _find(program: str) -> str | None:
    return shutil.which(program, path=SBIN)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that tests need: each with the Debian packages that have it."""

import os
import shutil
from collections.abc import Mapping

RPM = {"autoreconf": "autoconf automake", "make": "make", "rpmbuild": "rpm", "git": "git"}

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Root's PATH, which a shell of `su` may lack."""


def install_line(programs: Mapping[str, str]) -> str:
    """The command that installs what this machine lacks; empty if there is everything."""
    missing = sorted({package for program, package in programs.items() if shutil.which(program, path=SBIN) is None})
    return f"apt-get install {' '.join(missing)}" if missing else ""

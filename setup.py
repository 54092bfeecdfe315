# SPDX-License-Identifier: GPL-2.0-or-later
"""For pip: the `largeguest` package and command. The hooks for VDSM are installed by make or by the RPM."""

import re
from pathlib import Path

from setuptools import find_packages, setup

spec = Path(__file__).with_name("vdsm-hook-largeguest.spec").read_text(encoding="utf-8")
version = re.search(r"^Version: *(\S+)$", spec, re.MULTILINE)
assert version, "the spec has no version"

setup(
    name="vdsm-hook-largeguest",
    version=version[1],
    description="NUMA tuning for large virtual machines on oVirt",
    license="GPL-2.0-or-later",
    python_requires=">=3.9",
    packages=find_packages(include=["largeguest", "largeguest.*"]),
    install_requires=["lxml>=4.6.5"],
    extras_require={
        "dev": [
            *("pytest", "hypothesis", "coverage>=7.10", "ruff", "mypy", "vermin"),
            *("lxml-stubs", "types-setuptools", "setuptools", "wheel"),
        ]
    },
    entry_points={"console_scripts": ["largeguest = largeguest.__main__:main"]},
)

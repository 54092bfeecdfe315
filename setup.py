# SPDX-License-Identifier: GPL-2.0-or-later
"""For pip and the RPM: the `largeguest` package and command. The hooks for VDSM are installed by make or by the RPM."""

import re
from pathlib import Path
from typing import Any

import setuptools

HERE = Path(__file__).parent

spec = (HERE / "vdsm-hook-largeguest.spec").read_text(encoding="utf-8")
version, url = (found[1] for found in re.finditer(r"^(?:Version|URL): *(\S+)$", spec, re.MULTILINE))
# an SPDX expression has a field of its own since setuptools 77
knows_expressions = int(setuptools.__version__.partition(".")[0]) >= 77
license_field: Any = {"license_expression" if knows_expressions else "license": "GPL-2.0-or-later"}

ENGINE = ["ovirt-engine-sdk-python>=4.6"]

setuptools.setup(
    name="vdsm-hook-largeguest",
    version=version,
    description="NUMA tuning for large virtual machines on oVirt",
    long_description=(HERE / "README").read_text(encoding="utf-8"),
    long_description_content_type="text/plain",
    url=url,
    python_requires=">=3.9",
    packages=setuptools.find_packages(include=["largeguest", "largeguest.*"]),
    install_requires=["lxml>=4.6.5"],
    extras_require={
        "engine": ENGINE,
        "dev": [
            *ENGINE,
            *("pytest", "hypothesis", "coverage>=7.10", "ruff", "mypy", "vermin"),
            *("lxml-stubs", "types-setuptools", "setuptools", "wheel"),
            *("flake8", "reuse", "selenium"),
        ],
    },
    entry_points={"console_scripts": ["largeguest = largeguest.__main__:main"]},
    **license_field,
)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests: a module for each module of the package, and `e2e` on real libvirt and QEMU."""

import os
from pathlib import Path

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent

COVERAGE = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
"""The environment that makes `coverage`, if it runs the tests, also measure a subprocess."""

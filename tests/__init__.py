# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests: beside each module its own, `e2e` on real libvirt and QEMU."""

import os
from pathlib import Path

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent

COVERAGE = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
"""What a process needs in its environment to be measured, too, where `coverage` runs the tests."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests: beside each module its own, `e2e` on real libvirt and QEMU."""

from pathlib import Path

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent

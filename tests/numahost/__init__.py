# SPDX-License-Identifier: GPL-2.0-or-later
"""A throw-away Linux host with four NUMA nodes, emulated by QEMU: `python -m tests.numahost -- numactl --hardware`."""

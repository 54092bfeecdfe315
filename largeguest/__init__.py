# SPDX-License-Identifier: GPL-2.0-or-later
"""NUMA tuning for large virtual machines on oVirt: the code behind the VDSM hooks and the `largeguest` command."""

VERSION = "0.1.0"
"""The same as in the spec."""

PROPERTIES = ("cputune", "numatune", "guestnuma")
"""The custom properties, by the names that the engine and the hook's environment use."""

MAX_DOCUMENT = 16 * 2**20
"""Bytes that an XML document may have: that of a VM with a thousand disks has 2 MB."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The host: its topology and memory, from `/sys` or from libvirt's capabilities."""

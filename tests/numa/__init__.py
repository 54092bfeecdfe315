# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed hook on a host with two NUMA nodes or more: this machine, its libvirt and its memory."""

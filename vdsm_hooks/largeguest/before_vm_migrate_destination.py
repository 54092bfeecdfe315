#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuse a live migration to this host, while the VM still runs at the source, if its layout cannot be had here.

For example numatune=strict#3 on a host that has the nodes 0 and 1.
"""

import os

from largeguest import hooks

os._exit(hooks.before_vm_migrate_destination())

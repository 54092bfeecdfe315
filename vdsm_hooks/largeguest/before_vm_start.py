#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rewrite the domain XML of a VM that starts as its custom properties cputune, numatune and guestnuma ask.

For example numatune=interleave#0-1 becomes <numatune><memory mode='interleave' nodeset='0-1'/></numatune>.
"""

import os

from largeguest import hooks

os._exit(hooks.before_vm_start())

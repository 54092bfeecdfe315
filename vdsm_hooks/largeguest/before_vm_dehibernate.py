#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuse to resume a VM on this host, while it still sleeps, if its layout cannot be had here.

For example cputune=0#96 on a host that has the CPUs 0-63.
"""

import os

from largeguest import hooks

os._exit(hooks.before_vm_dehibernate())

#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""Plug memory into the guest's cell that has least, for a VM with the custom property guestnuma.

The engine's <memory model='dimm'>...<node>0</node> becomes, for example, <node>1</node>.
"""

import os

from largeguest import hooks

os._exit(hooks.before_memory_hotplug())

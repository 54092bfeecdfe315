#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pin the vCPUs of a VM that has arrived by live migration, on a host without the service vdsm-largeguest-keeper.

VDSM takes the pins out of the XML of a VM that migrates. They are what cputune says on this host.
"""

import os

from largeguest import hooks

os._exit(hooks.after_vm_migrate_destination())

#!/usr/bin/python3 -I
# SPDX-FileCopyrightText: 2026 vdsm-hook-largeguest contributors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The script of every hook point; its folder names the hook point.

before_vm_start                write the layout into the domain XML, or refuse
before_vm_migrate_destination  refuse a VM whose layout this host cannot hold
before_vm_dehibernate          the same for a VM that is resumed
after_vm_migrate_destination   pin a VM that has arrived, where no keeper runs
before_memory_hotplug          plug memory into the cell that has the least

VDSM runs it for every VM of the host. A VM without any of the properties must
start even if the Python package is missing or broken, so the environment is
checked first. Exit code 2 refuses; after a migration there is nothing to
refuse, and 1 lets the other hooks run.
"""

# The engine shows a checksum of this file only, so each version has its own:
# vdsm-hook-largeguest 0.1.0

import os

PROPERTIES = ("cputune", "numatune", "guestnuma")


def main():
    if not any(os.environ.get(name, "").strip(" ") for name in PROPERTIES):
        return 0
    point = os.path.basename(os.path.dirname(os.path.abspath(__file__)))
    try:
        from largeguest import hooks
    except Exception as error:
        line = (
            "largeguest: the Python package largeguest cannot be imported "
            f"({type(error).__name__}): dnf reinstall vdsm-hook-largeguest\n"
        )
        try:
            os.write(2, line.encode("ascii"))
        except OSError:
            pass
        return 2 if point.startswith("before_") else 1
    return getattr(hooks, point)()


os._exit(main())

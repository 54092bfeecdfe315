# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest keeper: hold the pins of running VMs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..running import connection
from ..wording import quote
from . import files, options
from .status import import_libvirt

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    keeper = options.add_command(
        commands,
        "keeper",
        "hold the pins of running VMs",
        "Put the pins of running VMs back whenever something moves them, until stopped. The service\n"
        "vdsm-largeguest-keeper runs this.",
        "systemctl enable --now vdsm-largeguest-keeper",
        "largeguest keeper --connect qemu:///system",
    )
    options.add_connect(keeper)
    keeper.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not connection.is_local(arguments.connect):
        uri = quote(arguments.connect, 200)
        fix = f"write {connection.SYSTEM}, and run a keeper on each host"
        raise files.unusable(f"{uri} is not this host's libvirt", fix)
    import_libvirt()
    from ..running import keeper

    return keeper.keep(arguments.connect)

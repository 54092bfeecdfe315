# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine: the properties of one VM or of all of them, asked of the engine instead of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import options
from . import check, config, plan, set

if TYPE_CHECKING:
    from ..options import Commands


def add(commands: Commands) -> None:
    """Add the command, with commands of its own."""
    engine = options.add_command(
        commands,
        "engine",
        "plan, check and set the properties in the engine",
        "Ask the engine about its hosts and virtual machines. This needs neither a host nor libvirt.",
        "largeguest engine config --cver 4.7",
    )
    own = engine.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (config, plan, check, set):
        command.add(own)

# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine-config: print the command that defines the properties in the engine."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from ..engine import expressions
from ..wording import quote
from . import options

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    config = options.add_command(
        commands,
        "engine-config",
        "print the command that defines the properties in the engine",
        "Print the engine-config command to run on the engine's machine, quoted for the shell.",
        "largeguest engine-config --cver 4.6",
    )
    config.add_argument(
        "--cver", type=_level, default="4.7", metavar="V", help="the cluster compatibility version (default 4.7)"
    )
    config.set_defaults(run=_run)


def _level(text: str) -> str:
    if not re.fullmatch("[0-9]+[.][0-9]+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a cluster compatibility version such as 4.7")
    return text


def _run(arguments: argparse.Namespace) -> int:
    print(expressions.command(arguments.cver))
    return 0

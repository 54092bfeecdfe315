# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest host: print the topology of a host."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..view import json, layout, table
from . import files, options, others

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    topology = options.add_command(
        commands,
        "host",
        "print the topology of a host",
        "Print the NUMA nodes, sockets, cores and threads of a host.",
        "largeguest host --svg host.svg",
        "virsh -c qemu+ssh://host2/system capabilities >caps.xml; largeguest host --host caps.xml",
    )
    options.add_host(topology)
    topology.add_argument("--json", action="store_true", help="print JSON")
    options.add_svg(topology)
    topology.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    host = files.require_host(arguments.host)
    if arguments.host == "local":
        host = others.beside(host)
    if arguments.svg is not None:
        files.draw(arguments.svg, layout.lay_out(host))
    print(json.host_json(host) if arguments.json else table.host_table(host))
    if host.neighbours_unknown:
        print(f"what other VMs hold is not known: {host.neighbours_unknown}", file=sys.stderr)
    return 0

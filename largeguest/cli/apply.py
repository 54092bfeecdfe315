# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest apply: print a domain XML as the hook would rewrite it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from .. import rewrite
from ..domxml import parse, read, write
from . import files, options, others

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    command = options.add_command(
        commands,
        "apply",
        "print a domain XML as the hook would rewrite it",
        "Print a domain XML as the hook would rewrite it; nothing is changed or started.",
        "largeguest apply --diff --cputune 0#0,1#1 --numatune strict#0 vm.xml",
    )
    options.add_properties(command)
    options.add_host(command, none=True)
    command.add_argument("--diff", action="store_true", help="print a unified diff instead of the whole XML")
    command.add_argument("domain", metavar="DOMAIN.xml", help="the libvirt domain XML, - for standard input")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    document = files.document(arguments.domain)
    host = files.host(arguments.host)
    if host is not None and arguments.host == "local":
        host = others.beside(host, read.name(parse.domain(document)))
    rewritten = rewrite.rewrite(options.values(arguments), document, host)
    if arguments.diff:
        _print_diff(arguments.domain, document, rewritten.document)
    else:
        sys.stdout.buffer.write(rewritten.document)
    print(rewritten.line, file=sys.stderr)
    return 0


def _print_diff(name: str, document: bytes, new: bytes) -> None:
    import difflib

    # both serialised the same way, so that the diff shows no changes of quotes and empty elements
    before, after = (write.serialise(parse.domain(text), like=text).splitlines(True) for text in (document, new))
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, os.fsencode(name), b"rewritten")
    sys.stdout.buffer.writelines(lines)

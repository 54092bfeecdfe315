# SPDX-License-Identifier: GPL-2.0-or-later
"""The `largeguest` command: exit code 0 when done, 1 when the hook would refuse, 2 when the command line is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import PROPERTIES
from .errors import Refused, quote


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: those of the process); returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"largeguest: {quote(error.filename or 'output', 200)}: {error.strerror}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="largeguest", description="NUMA tuning for large virtual machines on oVirt.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    apply = commands.add_parser(
        "apply",
        help="print what the hook would make of a domain XML",
        description="Print what the hook would make of a domain XML; nothing is changed or started.",
        epilog="example: largeguest apply --diff --cputune 0#0,1#1 --numatune strict#0 vm.xml",
    )
    for name in PROPERTIES:
        apply.add_argument(f"--{name}", default="", metavar="VALUE", help=f"the custom property {name}")
    apply.add_argument("--host", choices=["none"], default="none", help="the host to check against (none: no host)")
    apply.add_argument("--diff", action="store_true", help="print a unified diff instead of the whole XML")
    apply.add_argument("domain", metavar="DOMAIN.xml", help="the libvirt domain XML, - for standard input")
    apply.set_defaults(run=_apply)
    return parser


def _apply(options: argparse.Namespace) -> int:
    from . import domxml
    from .rewrite import rewrite

    document = _read(options.domain)
    new, done = rewrite({name: getattr(options, name) for name in PROPERTIES}, document)
    if options.diff:
        import difflib

        old = domxml.serialise(domxml.parse(document), declaration=new.startswith(b"<?xml"))
        lines = difflib.unified_diff(
            old.decode().splitlines(keepends=True), new.decode().splitlines(keepends=True), options.domain, "rewritten"
        )
        sys.stdout.writelines(lines)
    else:
        sys.stdout.buffer.write(new)
    if done:
        print(f"largeguest: {done}", file=sys.stderr)
    return 0


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()

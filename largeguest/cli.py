# SPDX-License-Identifier: GPL-2.0-or-later
"""The `largeguest` command: exit code 0 when done, 1 when the hook would refuse, 2 when the command line is wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import PROPERTIES, domxml, engine, host, placement, properties, rewrite, show
from .cpuset import MAX_ID, CpuSet
from .errors import Refused, quote
from .guest import Guest
from .host import Host
from .properties import Properties, Vcpus


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
    _add_properties(apply)
    _add_host(apply)
    apply.add_argument("--diff", action="store_true", help="print a unified diff instead of the whole XML")
    apply.add_argument("domain", metavar="DOMAIN.xml", help="the libvirt domain XML, - for standard input")
    apply.set_defaults(run=_apply)

    check = commands.add_parser(
        "check",
        help="check properties against a host, and a VM",
        description="Run all checks of the hook, without a VM those that need none.",
        epilog="example: largeguest check --cputune 0#0,1#1 --numatune strict#0 --host caps.xml vm.xml",
    )
    _add_properties(check)
    _add_host(check)
    check.add_argument(
        "domain", metavar="DOMAIN.xml", nargs="?", help="the libvirt domain XML of the VM, - for standard input"
    )
    check.set_defaults(run=_check)

    topology = commands.add_parser(
        "host",
        help="print the topology of a host",
        description="Print the NUMA nodes, sockets, cores and threads of a host.",
        epilog="example: virsh -c qemu+ssh://host2/system capabilities >caps.xml; largeguest host --host caps.xml",
    )
    _add_host(topology)
    topology.add_argument("--json", action="store_true", help="print JSON")
    topology.set_defaults(run=_host)

    config = commands.add_parser(
        "engine-config",
        help="print the command that tells the engine of the properties",
        description="Print the engine-config command for the engine's machine, quoted for the shell.",
    )
    config.add_argument("--cver", default="4.7", metavar="V", help="the cluster compatibility version (default 4.7)")
    config.set_defaults(run=_engine_config)
    return parser


def _add_properties(parser: argparse.ArgumentParser) -> None:
    for name in PROPERTIES:
        parser.add_argument(f"--{name}", default="", metavar="VALUE", help=f"the custom property {name}")


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default="local",
        metavar="local|none|DIR|CAPS.xml",
        help="the host: this one (the default), none, a saved /sys, or the output of `virsh capabilities`",
    )


def _apply(options: argparse.Namespace) -> int:
    document = _read(options.domain)
    new, told = rewrite.rewrite(_values(options), document, _read_host(options.host))
    if options.diff:
        _print_diff(options.domain, document, new)
    else:
        sys.stdout.buffer.write(new)
    print(told, file=sys.stderr)
    return 0


def _print_diff(name: str, document: bytes, new: bytes) -> None:
    import difflib

    # serialised alike, so that the diff shows no other quotes and empty elements
    before, after = (domxml.serialise(domxml.parse(text), like=text).splitlines(True) for text in (document, new))
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, os.fsencode(name), b"rewritten")
    sys.stdout.buffer.writelines(lines)


def _check(options: argparse.Namespace) -> int:
    wanted, found = properties.parse(_values(options))
    guest = _guest_that_fits(wanted)
    if options.domain is not None:
        guest = domxml.read_guest(domxml.parse(_read(options.domain)))
    try:
        found += placement.place(wanted, guest, _read_host(options.host)).warnings
    except Refused as refused:
        found += refused.problems
    for problem in found:
        print(problem)
    fatal = sum(not problem.warning for problem in found)
    print(f"{fatal} wrong, {len(found) - fatal} warnings")
    return 1 if fatal else 0


def _engine_config(options: argparse.Namespace) -> int:
    print(engine.command(options.cver))
    return 0


def _host(options: argparse.Namespace) -> int:
    its_host = _read_host(options.host)
    if its_host is None:
        print("largeguest: no host to print: write --host local, DIR or CAPS.xml", file=sys.stderr)
        return 2
    print(show.host_json(its_host) if options.json else show.host_table(its_host))
    return 0


def _values(options: argparse.Namespace) -> dict[str, str]:
    return {name: getattr(options, name) for name in PROPERTIES}


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _read_host(option: str) -> Host | None:
    if option == "none":
        return None
    if option == "local":
        return host.from_sys()
    if not os.path.isdir(option):
        return host.from_capabilities(_read(option))
    # a tree saved by hwloc-gather-topology holds sys beside proc
    inside = os.path.join(option, "sys")
    return host.from_sys(inside if os.path.isdir(inside) else option)


def _guest_that_fits(wanted: Properties) -> Guest:
    """The smallest VM with which nothing is wrong but what is wrong with the properties themselves."""
    cells = () if wanted.guestnuma is None else wanted.guestnuma.cells
    pins = () if wanted.cputune is None else wanted.cputune.pins
    last = [pin.who.last for pin in pins if isinstance(pin.who, Vcpus)] + [cell.vcpus.last for cell in cells]
    shares = sum(cell.memory is None for cell in cells)
    return Guest(
        max_vcpus=max(last, default=0) + 1,
        vcpus=1,
        total_memory=sum(cell.memory or 0 for cell in cells) + shares * 1024,
        iothreads=CpuSet.span(1, MAX_ID),
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest check: run all of the hook's checks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import PROPERTIES, properties
from ..cpuset import MAX_ID, CpuSet
from ..domxml import parse, read
from ..host.topology import Host
from ..placement import deal, figure
from ..problem import Problem, Refused, also, join
from ..properties import MAX_LENGTH, Properties
from ..properties.cputune import Vcpus
from ..record import Record, replace
from ..rewrite import place_on
from ..values import Guest, Placement
from ..view import layout, table
from ..wording import plural, printable, shorten
from . import files, options, others
from .plan import in_colour

if TYPE_CHECKING:
    from lxml import etree

    from .options import Commands


class _Request(Record):
    """The properties to check, and the VM they are for."""

    properties: Properties
    problems: tuple[Problem, ...]
    """With their syntax."""
    tree: etree._ElementTree | None
    """The domain XML; None: none is given."""
    guest: Guest | None
    name: str
    """Of that VM."""
    origin: str
    """Lines that say where the properties come from, if that is not the command line."""

    @property
    def shares(self) -> list[int]:
        """The cells whose memory is not known without a VM."""
        return _shares(self.properties) if self.guest is None else []


class _Result(Record):
    """What the checks found on a host."""

    guest: Guest
    placement: Placement | None
    """None: the hook refuses."""
    problems: tuple[Problem, ...]
    locality: str
    """How many vCPUs are near their memory, and the figure for it; empty if that is not known."""

    @property
    def errors(self) -> int:
        return sum(not problem.warning for problem in self.problems)

    @property
    def counts(self) -> str:
        return f"{plural(self.errors, 'error')}, {plural(len(self.problems) - self.errors, 'warning')}"


def add(commands: Commands) -> None:
    """Add the command."""
    check = options.add_command(
        commands,
        "check",
        "check properties against a host and a VM",
        "Run all of the hook's checks; without a VM, those that do not need one. Without properties on the command\n"
        "line, those in the metadata of the domain XML are checked.",
        "largeguest check --cputune 0#0,1#1 --numatune strict#0 --host caps.xml vm.xml",
        "largeguest check --host caps1.xml --host caps2.xml vm.xml   # can this VM run on each of these hosts?",
    )
    options.add_properties(check)
    options.add_hosts(check)
    check.add_argument("--strict", action="store_true", help="count warnings as errors")
    check.add_argument(
        "domain", metavar="DOMAIN.xml", nargs="?", help="the libvirt domain XML of the VM, - for standard input"
    )
    options.add_svg(check)
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    hosts = arguments.host or ["local"]
    if len(hosts) == 1:
        return _run_on_one(arguments, hosts[0])
    if arguments.svg is not None:
        raise files.unusable("--svg draws one host", "write --host once")
    if "none" in hosts:
        raise files.unusable("--host none cannot be combined with other hosts", "remove it")
    request = _read(arguments)
    if request.origin:
        print(request.origin, end="\n\n")
    return max([_run_on_each(request, name, arguments.strict) for name in hosts])


def _run_on_one(arguments: argparse.Namespace, name: str) -> int:
    """Print the properties, the table, and what is wrong."""
    host = files.host(name) if arguments.svg is None else files.require_host(name)
    request = _read(arguments)
    host = others.beside(host, request.name) if name == "local" and host is not None else host
    result = _check(request, host, arguments.strict)
    picture = None
    if host is not None and result.placement is not None:
        picture = layout.lay_out(host, result.placement, result.guest, request.shares)
    shown = picture if request.properties != Properties() else None
    rows = "" if shown is None else table.layout_table(shown, in_colour())
    found = "\n".join([*map(str, result.problems), *filter(None, [result.locality]), result.counts])
    print("\n\n".join(filter(None, [request.origin, rows, found])))
    if arguments.svg is not None:
        if picture is None:
            print("largeguest: no picture written: the layout is refused", file=sys.stderr)
        else:
            files.draw(arguments.svg, picture)
    return 1 if result.errors else 0


def _run_on_each(request: _Request, name: str, strict: bool) -> int:
    """Print a line about one of several hosts; returns the exit code for it."""
    try:
        host = files.host(name)
    except Refused as refused:
        print(f"{printable(name)}: {refused}")
        return 2
    except OSError as error:
        print(f"{printable(name)}: {Problem('host', str(error.strerror), '')}")
        return 2
    host = others.beside(host, request.name) if name == "local" and host is not None else host
    result = _check(request, host, strict)
    details = "; ".join(filter(None, [join(result.problems), result.locality]))
    print(": ".join(filter(None, [printable(name), result.counts, details])))
    return 1 if result.errors else 0


def _read(arguments: argparse.Namespace) -> _Request:
    """The properties of the command line, or if there are none, those in the metadata; raises Refused."""
    values = options.values(arguments)
    given = any(value.strip(" ") for value in values.values())
    request, problems = properties.parse(values)
    if arguments.domain is None:
        typed, unchecked = _without_auto(request)
        origin = "" if given else "no properties: none on the command line"
        return _Request(typed, (*problems, *unchecked), None, None, "", origin)
    tree = also(problems, lambda: parse.domain(files.document(arguments.domain)))
    origin = ""
    if not given:
        custom = read.custom_properties(tree)
        values = {name: custom[name] for name in PROPERTIES if custom.get(name, "").strip(" ")}
        request, problems = properties.parse(values)
        origin = "\n".join(_origin(values, arguments.domain))
    return _Request(request, problems, tree, also(problems, read.guest, tree), read.name(tree), origin)


def _without_auto(request: Properties) -> tuple[Properties, list[Problem]]:
    """What can be checked without a VM, and warnings for the rest."""
    what, fix = "auto: what is chosen depends on the VM", "name its DOMAIN.xml"
    return request.without_auto(), [Problem(name, what, fix, warning=True) for name in request.autos]


def _origin(metadata: dict[str, str], domain: str) -> Iterator[str]:
    for name, value in metadata.items():
        yield f"{name:<10} {printable(shorten(value, MAX_LENGTH))}"
    if not metadata:
        file = "standard input" if domain == "-" else printable(domain)
        yield f"no properties: neither on the command line nor in the metadata of {file}"


def _check(request: _Request, host: Host | None, strict: bool) -> _Result:
    """Place the VM, or the smallest one that the properties fit, as the hook does."""
    guest = request.guest or _guest_that_fits(request.properties, None if host is None else host.arch)
    placement = None
    try:
        placement = place_on(request.properties, guest, host, request.tree)
        problems = (*request.problems, *placement.warnings)
    except Refused as refused:
        problems = (*request.problems, *refused.problems)
    if strict:
        problems = tuple(replace(problem, warning=False) for problem in problems)
    if placement is None or request.problems:
        return _Result(guest, None, problems, "")
    return _Result(guest, placement, problems, figure.line(placement, guest, host))


def _guest_that_fits(request: Properties, arch: str | None) -> Guest:
    """The smallest VM on which no checks fail but those of the properties themselves."""
    cells = () if request.guestnuma is None else request.guestnuma.cells
    pins = () if request.cputune is None else request.cputune.pins
    pinned = CpuSet.union(
        CpuSet.span(pin.threads.first, pin.threads.last) for pin in pins if isinstance(pin.threads, Vcpus)
    )
    in_cells = CpuSet.union(cell.vcpus for cell in cells)
    guest = Guest(
        max_vcpus=max(pinned.last, in_cells.last, 0) + 1,
        memory=sum(cell.memory or 0 for cell in cells),
        plugged=(pinned & in_cells if pinned and in_cells else pinned | in_cells) or CpuSet([0]),
        iothreads=CpuSet.span(1, MAX_ID),
        arch=arch,
    )
    return replace(guest, memory=guest.memory + len(_shares(request)) * deal.memory_step(guest, 0))


def _shares(request: Properties) -> list[int]:
    return [] if request.guestnuma is None else request.guestnuma.shares

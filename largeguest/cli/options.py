# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .. import PROPERTIES
from ..cpuset import MAX_ID
from ..problem import ParseError
from ..properties import cpulist, guestnuma
from ..properties.cpulist import CpuList
from ..running import connection
from ..wording import quote, shorten

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(commands: Commands, name: str, short: str, text: str, *examples: str) -> argparse.ArgumentParser:
    """Add a command with a short and a long description, and examples."""
    epilog = "\n  ".join(["example:" if len(examples) == 1 else "examples:", *examples])
    formatter = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=short, description=text, epilog=epilog, formatter_class=formatter)


def add_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connect", default=connection.SYSTEM, metavar="URI", help="the libvirt to connect to (default: %(default)s)"
    )


def add_properties(parser: argparse.ArgumentParser) -> None:
    for name in PROPERTIES:
        parser.add_argument(f"--{name}", default="", metavar="VALUE", help=f"the custom property {name}")


def add_host(parser: argparse.ArgumentParser, none: bool = False) -> None:
    parser.add_argument(
        "--host",
        default="local",
        metavar="local|none|DIR|CAPS.xml" if none else "local|DIR|CAPS.xml",
        help=f"the host: this one (the default), {'none, ' if none else ''}a saved /sys, or the output of "
        "`virsh capabilities`",
    )


def add_hosts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        action="append",
        metavar="local|none|DIR|CAPS.xml",
        help="the host: this one (the default), none, a saved /sys, or the output of `virsh capabilities`; repeat it "
        "for a line about each of several hosts",
    )


def add_svg(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--svg", type=picture, metavar="FILE", help="also write a picture to FILE")


def picture(name: str) -> str:
    """The name of a file for a picture."""
    if name in ("", "-"):
        raise argparse.ArgumentTypeError("name a file: the text goes to standard output")
    return name


def pci_address(text: str) -> str:
    """The address of a PCI device as in /sys: with its domain."""
    if not re.fullmatch(r"([0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", text, re.ASCII | re.IGNORECASE):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not the address of a PCI device, such as 0000:41:00.0")
    return text.lower() if text.count(":") == 2 else f"0000:{text.lower()}"


def positive(text: str) -> int:
    """A number from 1."""
    if not re.fullmatch("0*[1-9][0-9]{0,4}", text, re.ASCII) or int(text) > MAX_ID + 1:
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a number from 1 to {MAX_ID + 1}")
    return int(text)


class Longer(argparse.Action):
    """A list of CPUs that is extended when the option is repeated."""

    def __call__(
        self, _parser: argparse.ArgumentParser, options: argparse.Namespace, more: Any, _option: str | None = None
    ) -> None:
        before = getattr(options, self.dest)
        if before is not None and (before.all_but or more.all_but):
            raise argparse.ArgumentError(self, "a list of ^ items only cannot be combined with another: write one list")
        setattr(options, self.dest, more if before is None else CpuList((*before.items, *more.items)))


def memory(text: str) -> int:
    """An amount of memory with a unit, in KiB."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{quote(text)} has no unit: {shorten(text)}M or {shorten(text)}K?")
    return _kib(text)


def memory_or_none(text: str) -> int:
    """An amount of memory with a unit, or 0, in KiB."""
    return memory(text) if text.strip(" 0") else 0


def page_size(text: str) -> int:
    """The size of a huge page in KiB, which is also what a number without a unit means, as in the engine's property."""
    return _kib(text)


def _kib(text: str) -> int:
    """KiB in `512G`, `1.5T`, `64Gi`; without a unit it is in KiB."""
    found = re.fullmatch(r" *([0-9]{1,16}(?:\.[0-9]{1,10})?) *(?:([KMGT])(?:iB?)?)? *", text, re.ASCII | re.IGNORECASE)
    if found is None:
        fix = "write for example 512G, 1.5T or 64GiB; units are binary"
        raise argparse.ArgumentTypeError(f"{quote(text)} is not an amount of memory: {fix}")
    kib = Fraction(found[1]) * guestnuma.UNITS[(found[2] or "").upper()]
    if kib.denominator != 1 or not 0 < kib <= guestnuma.MAX_MEMORY_KIB:
        limits = f"from 1 to {guestnuma.MAX_MEMORY_KIB}"
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a whole number of KiB {limits}")
    return int(kib)


def cpus(text: str) -> CpuList:
    """A list of CPUs."""
    try:
        return cpulist.parse(text)
    except ParseError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def values(options: argparse.Namespace) -> dict[str, str]:
    """The texts of the properties."""
    return {name: getattr(options, name) for name in PROPERTIES}

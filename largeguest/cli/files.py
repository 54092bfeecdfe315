# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the documents and hosts that the command line names, and write pictures."""

from __future__ import annotations

import os
import sys

from .. import MAX_DOCUMENT
from ..host import capabilities, sysfs
from ..host.topology import Host
from ..problem import USAGE, Problem, Refused
from ..view import layout, scene, svg


def unusable(what: str, fix: str = "") -> Refused:
    """The error for something that the command line names and that cannot be used."""
    return Refused([Problem("", what, fix, kind=USAGE)])


def document(path: str) -> bytes:
    """The content of a file or of standard input; at most one byte more than is allowed."""
    if path == "-":
        if sys.stdin is None:
            raise unusable("standard input is closed", "name a file instead of -")
        return sys.stdin.buffer.read(MAX_DOCUMENT + 1)
    with open(path, "rb") as file:
        try:
            return file.read(MAX_DOCUMENT + 1)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None


def host(option: str) -> Host | None:
    """What --host names; None for `none`. Raises Refused."""
    if option == "none":
        return None
    if option == "local":
        return sysfs.from_sys(sysfs.SYS)
    if not os.path.isdir(option):
        return capabilities.from_capabilities(document(option))
    # a tree saved by hwloc-gather-topology has sys next to proc
    inside = os.path.join(option, "sys")
    return sysfs.from_sys(inside if os.path.isdir(inside) else option)


def require_host(option: str) -> Host:
    """The host that --host names, where there must be one. Raises Refused."""
    found = host(option)
    if found is None:
        raise unusable("no host is given", "write --host local, DIR or CAPS.xml")
    return found


def draw(path: str, picture: layout.Layout) -> None:
    """Write a picture to a file."""
    content = svg.draw(scene.of(picture))
    with open(path, "wb") as file:
        file.write(content)

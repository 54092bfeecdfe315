# SPDX-License-Identifier: GPL-2.0-or-later
"""The other VMs of this host, beside which a layout is planned or checked."""

from __future__ import annotations

from ..hooks import KEEPER_FOLDER, keeper_is_active
from ..host.topology import Host
from ..running import neighbours, process
from ..wording import quote_name
from . import files

ROOT = "/"
"""The folder with the proc, run and sys of this host."""


def beside(host: Host, name: str = "") -> Host:
    """This host with what its VMs hold, as if the one with this name did not run."""
    keeper = KEEPER_FOLDER if keeper_is_active() else None
    return neighbours.beside(neighbours.without(host, name, ROOT), keeper, ROOT, lambda _, other: other.name == name)


def require_running(name: str) -> None:
    """Raise Refused if no VM with this name runs here."""
    if process.pid_of(name, ROOT) is None:
        raise files.unusable(f"no VM {quote_name(name)} runs here", "name one that does, see largeguest status")

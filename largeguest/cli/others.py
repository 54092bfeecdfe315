# SPDX-License-Identifier: GPL-2.0-or-later
"""The other VMs of this host, beside which a layout is planned or checked."""

from __future__ import annotations

from ..hooks import KEEPER_FOLDER, keeper_is_active
from ..host.topology import Host
from ..record import replace
from ..running import neighbours, process
from ..wording import quote, quote_name
from . import files

ROOT = "/"
"""The folder with the proc, run and sys of this host."""


def beside(host: Host, name: str = "") -> tuple[Host, str]:
    """This host with what its VMs hold, as if the one with this name did not run; and a note if that is not known."""
    if not process.any_runs(ROOT):
        return host, ""
    host = neighbours.without(host, name, ROOT)
    try:
        held = neighbours.running_here(host, KEEPER_FOLDER if keeper_is_active() else None)
    except OSError as error:
        return host, f"what other VMs hold is not known: {quote(str(error), 200)}"
    return replace(host, neighbours=tuple(other for other in held.values() if other and other.name != name)), ""


def require_running(name: str) -> None:
    """Raise Refused if no VM with this name runs here."""
    if process.pid_of(name, ROOT) is None:
        raise files.unusable(f"no VM {quote_name(name)} runs here", "name one that does, see largeguest status")

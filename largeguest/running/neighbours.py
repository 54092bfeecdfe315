# SPDX-License-Identifier: GPL-2.0-or-later
"""What the VMs that run on this host hold: from the keeper or, if none runs, from libvirt."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping

from ..host import neighbours, reservations
from ..host.topology import Host, Pages
from ..problem import Refused
from ..record import replace
from ..values import Neighbour
from ..wording import quote
from . import connection, pins, process

MAX_SECONDS = 2.0
"""How long libvirt is waited for: a daemon that hangs never answers."""


def beside(host: Host, keeper: str | None, root: str, is_itself: Callable[[str, Neighbour], bool]) -> Host:
    """The host with what the VMs hold that run on it, or start just now, or why that is not known.

    `keeper` is the folder of the one that runs, None: there is none. `root` has libvirt's /run. `is_itself` says by
    UUID and name which VM is not another one.
    """
    known = reservations.known(root, keeper)
    if known is None:
        known = reservations.held(root)
        try:
            known.update(_from_libvirt(host, known.keys()))
        except OSError as error:
            host = replace(host, neighbours_unknown=quote(str(error), 200))
    return neighbours.add(host, known, is_itself)


def _from_libvirt(host: Host, reserved: Collection[str]) -> Mapping[str, Neighbour]:
    """What libvirt's VMs hold, by UUID; one that cannot be read is left out. Raises OSError with a reason.

    So is one that is only half there and has its reservation, which says more.
    """
    found: dict[str, Neighbour] = {}
    failures: list[str] = []

    def ask() -> None:
        try:
            import libvirt
        except ImportError:
            failures.append("libvirt's Python binding is missing")
            return
        try:
            with contextlib.closing(connection.open_read_only(connection.SYSTEM)) as opened:
                for domain in opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                    try:
                        uuid = domain.UUIDString()
                        if uuid not in reserved or not pins.is_half_there(domain):
                            found[uuid] = pins.read(domain.XMLDesc().encode(), host).holds
                    except Refused:
                        continue
                    except libvirt.libvirtError:
                        if not opened.isAlive():
                            raise
        except libvirt.libvirtError as error:
            failures.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)  # a call to a daemon that hangs cannot be interrupted
    asking.start()
    asking.join(MAX_SECONDS)
    if asking.is_alive():
        failures.append(f"libvirt does not answer within {MAX_SECONDS:.0f} seconds")
    if failures:
        raise OSError(failures[0])
    return found


def without(host: Host, name: str, root: str) -> Host:
    """The host as if this VM did not run: what it has is free."""
    pid = process.pid_of(name, root)
    if pid is None:
        return host
    memory, huge = process.memory(pid, root) or {}, process.huge_pages(pid, root)
    nodes = {}
    for number, node in host.nodes.items():
        pages = {
            size: Pages(own.total, None if own.free is None else own.free + huge.get((size, number), 0))
            for size, own in node.pages.items()
        }
        free = None if node.free is None else node.free + memory.get(number, 0)
        nodes[number] = replace(node, free=free, pages=pages)
    return replace(host, nodes=nodes)

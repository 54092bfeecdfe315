# SPDX-License-Identifier: GPL-2.0-or-later
"""What the VMs that run on this host hold: from the keeper or, if none runs, from libvirt."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping

from ..host import neighbours
from ..host.topology import Host, Pages
from ..record import replace
from ..values import Neighbour
from . import connection, pins, process, status

MAX_SECONDS = 2.0
"""How long libvirt is waited for: a daemon that hangs never answers."""


def running_here(host: Host, keeper: str | None) -> Mapping[str, Neighbour]:
    """What each running VM holds, by UUID; `keeper` is the folder of the one that runs, None: there is none.

    Raises OSError with the reason if that is not known.
    """
    published = None if keeper is None else neighbours.published(keeper)
    return _from_libvirt(host) if published is None else published


def _from_libvirt(host: Host) -> Mapping[str, Neighbour]:
    found: dict[str, Neighbour] = {}
    failures: list[str] = []

    def ask() -> None:
        try:
            import libvirt
        except ImportError:
            return failures.append("libvirt's Python binding is missing")
        try:
            with contextlib.closing(connection.open_read_only(connection.SYSTEM)) as opened:
                for domain in opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                    vm = status.look(domain, lambda document: pins.read(document, host))
                    if isinstance(vm, pins.Running):
                        found[domain.UUIDString()] = vm.holds
        except libvirt.libvirtError as error:
            failures.append(str(error))
        return None

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
    memory = process.memory(pid, root) or {}
    huge = process.huge_pages(pid, root)
    nodes = {}
    for number, node in host.nodes.items():
        pages = {
            size: Pages(own.total, None if own.free is None else own.free + huge.get((size, number), 0))
            for size, own in node.pages.items()
        }
        free = None if node.free is None else node.free + memory.get(number, 0)
        nodes[number] = replace(node, free=free, pages=pages)
    return replace(host, nodes=nodes)

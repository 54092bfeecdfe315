# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest status: where the threads and the memory of running VMs are, and what of that is not as asked."""

from __future__ import annotations

import argparse
import contextlib
import functools
import re
import signal
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..cpuset import CpuSet
from ..hooks import KEEPER_FOLDER, keeper_is_active
from ..host import capabilities, sysfs
from ..host import neighbours as published
from ..host.topology import Host
from ..placement import neighbours
from ..record import Record, replace
from ..running import connection, pins, state, status
from ..running.status import Status, Unread, Where
from ..values import Neighbour
from ..view import json
from ..view import status as text
from ..wording import quote, quote_name
from . import files, options

if TYPE_CHECKING:
    from .options import Commands


ROOT = "/"
"""The folder with the proc, run and sys of this host."""


class _Found(Record):
    """The VMs that were looked at."""

    vms: tuple[Status, ...]
    unread: tuple[Unread, ...]
    """Those that cannot be looked at."""

    @property
    def code(self) -> int:
        """The exit code."""
        if any(vm.is_as_asked is False for vm in self.vms):
            return 1
        return 2 if any(not vm.is_fine for vm in self.unread) or any(vm.is_as_asked is None for vm in self.vms) else 0


def add(commands: Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "status",
        "print where the vCPUs and the memory of running VMs are",
        "Print for each running VM how many of its vCPUs and how much of its memory are on the nodes of its cells,\n"
        "and what is not as its properties ask for; for a VM that is named, by cell. The exit code is 0 if everything\n"
        "is as asked, 1 if something is not, and 2 if that could not be found out.",
        "largeguest status",
        "largeguest status db01   # as root: also by cell, and huge pages",
        "largeguest status --json",
    )
    options.add_connect(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("vm", metavar="VM", nargs="?", help="name or UUID of a VM (default: all)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    libvirt = import_libvirt()
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # libvirt may write to a daemon that has just exited
    try:
        with contextlib.closing(connection.open_read_only(arguments.connect)) as opened:
            where = _where(opened, arguments.connect)
            found = _look(opened, libvirt, where, arguments.vm)
    except libvirt.libvirtError as error:
        raise files.unusable(f"libvirt: {quote(str(error), 200)}") from None
    finally:
        signal.signal(signal.SIGPIPE, before)
    if arguments.json:
        print(json.status_json(found.vms, found.unread, where.keeper))
        return found.code
    lines = text.details(found.vms[0], where.host) if arguments.vm else text.table(found.vms) if found.vms else []
    for line in (*lines, *(f"{quote_name(vm.name)}: {vm.why}" for vm in found.unread)):
        print(line)
    if not found.vms and not found.unread:
        print("no VM runs on this host")
    return found.code


def _where(opened: Any, uri: str) -> Where:
    """The host on which the VMs of a connection run: of another one only libvirt can be asked."""
    if not connection.is_local(uri):
        return Where(capabilities.from_capabilities(opened.getCapabilities().encode()), root=None)
    host = sysfs.from_sys(sysfs.SYS)
    if not connection.is_system(uri):
        return Where(host, root=None)
    keeper = keeper_is_active()
    if keeper is False:
        return Where(host, ROOT, False, keeper)
    held = functools.lru_cache(lambda: published.published(KEEPER_FOLDER) or {})
    return Where(host, ROOT, False, keeper, state.published(KEEPER_FOLDER), held)


def _look(opened: Any, libvirt: Any, where: Where, name: str | None) -> _Found:
    """Look at the running VMs: all, or closely at the one with this name or UUID."""
    named, others = _running(opened, libvirt, name)
    where = replace(where, closely=name is not None)
    if where.keeper is False:
        where = replace(where, held=functools.lru_cache(lambda: _held((*named, *others), where.host)))
    looked = [status.look(domain, functools.partial(status.of, where=where)) for domain in named]
    beside = [status.look(domain, functools.partial(pins.read, host=where.host)) for domain in others]
    vms = tuple(vm for vm in looked if isinstance(vm, Status))
    unread = tuple(vm for vm in looked if isinstance(vm, Unread))
    if name is not None and unread:
        raise files.unusable(f"VM {quote_name(unread[0].name)}: {unread[0].why}")
    nearby = [*(vm.pins for vm in vms), *(vm for vm in beside if isinstance(vm, pins.Running))]
    cpus = [(vm, vm.cpus()) for vm in nearby]
    host = replace(where.host, neighbours=tuple(vm.holds for vm in nearby))
    crowded = neighbours.crowded(host)
    beside_others = (_beside(vm, cpus) for vm in vms)
    return _Found(tuple(_crowded(vm, host) if vm.name in crowded else vm for vm in beside_others), unread)


def _held(domains: Iterable[Any], host: Host) -> dict[str, Neighbour]:
    """What the running VMs hold, by UUID."""
    read = {domain.UUIDString(): status.look(domain, functools.partial(pins.read, host=host)) for domain in domains}
    return {uuid: vm.holds for uuid, vm in read.items() if isinstance(vm, pins.Running)}


def _beside(vm: Status, others: Sequence[tuple[pins.Running, CpuSet]]) -> Status:
    """The VM with the CPUs that it shares with others: wrong if one of the two has them exclusively."""
    wrong, shared, soon = list(vm.wrong), [], list(vm.next_start)
    ours = vm.pins.cpus() | vm.next_cpus
    for other, theirs in others:
        if ours & theirs and other is not vm.pins:
            wrong += filter(None, (pins.check_shared(vm.pins, other), pins.check_shared(other, vm.pins)))
            both = vm.pins.holds.cpus & other.holds.cpus
            if both and not (vm.pins.holds.is_exclusive or other.holds.is_exclusive):
                shared.append((other.name, both))
            elif not both:
                soon += filter(None, [neighbours.check_overlap(vm.next_cpus, other.holds)])
    return replace(vm, wrong=tuple(wrong), shared=tuple(shared), next_start=tuple(soon))


def _crowded(vm: Status, host: Host) -> Status:
    """The VM with the warnings that its next start would give: not all that VMs have been promised can be there."""
    others = replace(host, neighbours=tuple(other for other in host.neighbours if other.name != vm.name))
    subject = "guestnuma" if "guestnuma" in vm.values else "numatune"
    return replace(vm, next_start=(*vm.next_start, *neighbours.check_promises(vm.pins.holds, subject, others)))


def _running(opened: Any, libvirt: Any, name: str | None) -> tuple[list[Any], list[Any]]:
    """The running VMs: all, or the one with this name or UUID; and the others."""
    active = opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    if name is None:
        return active, []
    if re.fullmatch("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", name):
        named = opened.lookupByUUIDString(name)
    else:
        named = opened.lookupByName(name)
    return [named], [domain for domain in active if domain.UUIDString() != named.UUIDString()]


def import_libvirt() -> Any:
    """libvirt's Python binding, which other commands do not need."""
    try:
        import libvirt
    except ImportError:
        raise files.unusable("libvirt's Python binding is missing", "install python3-libvirt") from None
    return libvirt

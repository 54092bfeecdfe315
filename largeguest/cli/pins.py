# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest pins: print the pins of running VMs."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..host import capabilities, sysfs
from ..host.topology import Host
from ..problem import Problem
from ..running import connection
from ..running import pins as running
from ..view import table
from ..wording import quote, quote_name
from . import files, options

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    pins = options.add_command(
        commands,
        "pins",
        "print the pins of running VMs",
        "Print the CPUs that the vCPUs, emulators and iothreads of running VMs should run on by their cputune, and\n"
        "those that they may run on. The exit code is 1 if any differ, or if that cannot be determined.",
        "largeguest pins db01",
        "largeguest pins --connect qemu+ssh://host2/system",
    )
    options.add_connect(pins)
    pins.add_argument("vm", metavar="VM", nargs="?", help="name or UUID of a VM (default: all)")
    pins.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    libvirt = import_libvirt()
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # libvirt may write to a daemon that has just exited
    try:
        with contextlib.closing(connection.open_read_only(arguments.connect)) as opened:
            here = _topology(opened, arguments.connect)
            named, others = _running(opened, libvirt, arguments.vm)
            found = [running.read_domain(domain, here) for domain in named]
            neighbours = [running.read_domain(domain, here) for domain in others]
    except libvirt.libvirtError as error:
        raise files.unusable(f"libvirt: {quote(str(error), 200)}") from None
    finally:
        signal.signal(signal.SIGPIPE, before)
    vms = [vm for vm in found if isinstance(vm, running.Running)]
    unread = [vm for vm in found if isinstance(vm, running.Unread)]
    problems = [f"{quote_name(vm.name)}: {problem}" for vm in vms for problem in vm.problems]
    problems += map(str, _check_shared(vms, [vm for vm in neighbours if isinstance(vm, running.Running)]))
    for line in (table.pins_table(vms), *problems, *(f"{quote_name(vm.name)}: {vm.why}" for vm in unread)):
        print(line)
    unknown = any(not vm.has_stopped for vm in unread)
    return 1 if problems or unknown or any(vm.moved for vm in vms) else 0


def _check_shared(vms: list[running.Running], others: list[running.Running]) -> Iterator[Problem]:
    """The warnings about CPUs of `vms` that another VM has exclusively, and vice versa."""
    for vm in vms:
        pairs = [(vm, other) for other in (*vms, *others)] + [(other, vm) for other in others]
        yield from filter(None, itertools.starmap(running.check_shared, pairs))


def _topology(opened: Any, uri: str) -> Host:
    """The host on which the VMs of a connection run: /sys has more, but only about this host."""
    return (
        sysfs.from_sys()
        if connection.is_local(uri)
        else capabilities.from_capabilities(opened.getCapabilities().encode())
    )


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

# SPDX-License-Identifier: GPL-2.0-or-later
"""The status of a running VM: where its threads and its memory are, and what of that is not as it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .. import PROPERTIES, properties
from ..domxml import parse as parse_xml
from ..domxml import read as read_xml
from ..host.topology import Host
from ..placement import figure, locality
from ..problem import Problem, Refused, join
from ..record import Record, replace
from ..values import Guest, Home, Locality, Pins, Placement
from ..wording import printable, quote
from . import asked, memory, pins, process
from .memory import Memory
from .state import Work

Value = TypeVar("Value")


class Where(Record):
    """The host that VMs run on, and how it is looked at."""

    host: Host
    root: str | None = "/"
    """The folder with proc, run and sys; None: it is another host, of which only libvirt can be asked."""
    closely: bool = False
    """Whether every page of a VM is looked at, for which the kernel takes long."""
    keeper: bool | None = None
    """Whether a keeper runs; None: that is not known."""
    work: Mapping[str, Work] = {}
    """What it has done, by the UUID of the VM."""


class Status(Record):
    """What is known of a running VM."""

    name: str
    uuid: str
    values: Mapping[str, str]
    """The texts of those properties that are set."""
    pins: pins.Running
    """As the threads really are, if they can be seen here; otherwise as libvirt has pinned them."""
    locality: Locality
    memory: Memory
    sizes: tuple[int, ...]
    """KiB that each cell can have."""
    figure: float | None
    """See placement.figure; None if it is not known."""
    devices: Mapping[str, int | None]
    """The host's PCI devices that are passed through, and their nodes; None: not known."""
    wrong: tuple[Problem, ...]
    """What is not as it was asked for."""
    differs: bool
    """Whether the XML has other cells or another memory policy than the properties ask for."""
    next_start: tuple[Problem, ...]
    """What the hook would report at a start on this host with the same properties, as it would refuse it or warn."""
    unknown: tuple[str, ...] = ()
    """Why it is not known whether something is as asked for."""
    keeper: bool | None = None
    """Whether a keeper runs; None: that is not known, or it is not needed."""
    work: Work | None = None
    """What it has done for this VM."""

    @property
    def is_refused_next(self) -> bool:
        """Whether its next start would be refused here."""
        return any(not problem.warning for problem in self.next_start)

    @property
    def is_as_asked(self) -> bool | None:
        """None: that is not known."""
        if self.wrong or self.is_refused_next:
            return False
        return None if self.unknown else True


class Unread(Record):
    """A VM that was listed as running, but cannot be looked at."""

    name: str
    why: str
    is_fine: bool
    """Whether there is nothing to look at now: it has stopped, or is still arriving."""


def look(domain: Any, work: Callable[[bytes], Value]) -> Value | Unread:
    """What `work` makes of a VM from libvirt's list of running ones; raises libvirtError if there is no connection."""
    import libvirt

    result: Value | Unread
    try:
        if pins.arrives(domain):
            return Unread(domain.name(), "it is arriving, or was restored and has not run since", is_fine=True)
        document = domain.XMLDesc().encode()
        try:
            result = work(document)
        except Refused as refused:
            result = Unread(domain.name(), join(refused.problems), is_fine=False)
        if domain.isActive():  # or it was just stopping, and only a part of it was still there
            return result
    except libvirt.libvirtError as error:
        if not domain.connect().isAlive():
            raise
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            return Unread(domain.name(), f"libvirt: {quote(str(error), 200)}", is_fine=False)
    return Unread(domain.name(), "not running", is_fine=True)


def of(document: bytes, where: Where) -> Status:
    """The status of a VM by its XML; raises Refused if that is invalid."""
    tree = parse_xml.domain(document)
    guest, name, uuid = read_xml.guest(tree), read_xml.name(tree), read_xml.uuid(tree)
    custom = read_xml.custom_properties(tree)
    values = {name: custom[name] for name in PROPERTIES if custom.get(name, "").strip(" ")}
    typed, problems = properties.parse(values)
    host, root = where.host, where.root
    pid = None if root is None else process.pid_of(name, root)
    threads = guest.pins if pid is None or root is None else process.threads(pid, root).on(host.online)
    running = replace(pins.of(tree, guest, host), real=threads)
    whole = Placement(threads, guest.policy, guest.cells or None)
    seen = locality.measure(whole, guest, host)
    held = _memory(guest, seen.homes, pid, where)
    differences = tuple(asked.check_layout(typed, guest, host))
    wrong = [
        *(differences or running.problems),  # these may follow from those
        *(problem for problem in problems if problem not in running.problems),
        *asked.check_threads(running, host.online, where.keeper),
        *asked.check_keeper(typed, guest, where.keeper),
        *asked.check_memory(printable(name), typed, seen.homes, held, pid),
    ]
    return Status(
        name=name,
        uuid=uuid,
        values=values,
        pins=running,
        locality=seen,
        memory=held,
        sizes=tuple(memory.size_of(guest, cell) for cell in range(len(seen.homes))),
        figure=_figure(threads, seen.homes, held, host),
        devices={address: host.pci_node(address) for address in read_xml.pci_devices(tree)},
        wrong=tuple(wrong),
        differs=bool(differences),
        next_start=() if running.owned or problems else asked.next_start(typed, guest, host),
        unknown=tuple(_unknown(guest, seen.homes, held, pid, where)),
        keeper=where.keeper if "cputune" in values else None,
        work=where.work.get(uuid),
    )


def _memory(guest: Guest, homes: Sequence[Home], pid: int | None, where: Where) -> Memory:
    if pid is None or where.root is None:
        return memory.by_group(guest, homes, None)
    # a walk over huge pages is short
    mappings = process.mappings(pid, where.root) if where.closely or guest.pages else None
    if mappings is not None:
        return memory.by_mapping(guest, homes, mappings)
    return memory.by_group(guest, homes, process.memory(pid, where.root))


def _figure(threads: Pins, homes: Sequence[Home], held: Memory, host: Host) -> float | None:
    return figure.mean(
        (
            (threads.vcpus.get(vcpu, host.online), held.of_cells[cell] or {})
            for cell, home in enumerate(homes)
            for vcpu in home.vcpus
        ),
        host,
    )


def _unknown(guest: Guest, homes: Sequence[Home], held: Memory, pid: int | None, where: Where) -> Iterator[str]:
    if held.of_vm is not None or all(home.nodes is None for home in homes):
        return
    if where.root is None:
        yield "where its memory is can be seen only on its host"
    elif pid is None:
        yield "its process cannot be seen, so that it is not known where its memory is: ask as root"
    elif guest.pages:
        yield "where its huge pages are can be seen only by root"
    else:
        yield "it has no control group with memory.numa_stat: ask as root, with its name"

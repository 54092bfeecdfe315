# SPDX-License-Identifier: GPL-2.0-or-later
"""The status of a running VM: where its threads and its memory are, and what of that is not as it was asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .. import PROPERTIES, properties
from ..cpuset import CpuSet
from ..domxml import parse as parse_xml
from ..domxml import read as read_xml
from ..host import neighbours
from ..host.topology import NO_HUGE_PAGE, Host
from ..placement import figure, locality
from ..problem import Problem, Refused, join
from ..properties import Properties
from ..record import Record, replace
from ..values import Guest, Home, Locality, Neighbour, Pins, Placement
from ..wording import printable, quote
from . import asked, memory, next_start, pins, process
from .memory import Memory
from .process import Mapped
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

    held: Callable[[], Mapping[str, Neighbour]] = dict
    """Gives what its VMs hold, by UUID."""

    @functools.cached_property
    def idle(self) -> Host:
        return next_start.idle(self.host)

    def at_next_start(self, typed: Properties, uuid: str) -> Host:
        """The host on which a VM would start again: only auto asks what the others hold."""
        return neighbours.add(self.idle, self.held(), lambda other, _: other == uuid) if typed.is_auto else self.idle


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
    plugged_memory: int
    """KiB that have been plugged in since its start."""
    figure: float | None
    """See placement.figure; None if it is not known."""
    devices: Mapping[str, int | None]
    """The host's PCI devices that are passed through, and their nodes; None: not known."""
    wrong: tuple[Problem, ...]
    """What is not as it was asked for."""
    differs: bool | None
    """Whether the XML has other cells or another memory policy than the properties ask for; None: not known."""
    next_start: tuple[Problem, ...]
    """What the hook would report at a start on this host with the same properties, as it would refuse it or warn."""
    next_cpus: CpuSet = CpuSet()
    """Those to which it would then be pinned."""
    shared: tuple[tuple[str, CpuSet], ...] = ()
    """The names of other VMs that are pinned to CPUs of this one, and these."""
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
        if pins.is_half_there(domain):
            return Unread(
                domain.name(), "it is starting or arriving, or was restored and has not run since", is_fine=True
            )
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
    host = where.host
    seen = _see(name, where, where.closely or _has_huge_pages(guest, host))
    running = pins.of(tree, guest, host)
    if seen.threads is not None:
        running = replace(running, real=seen.threads, target=_that_exist(running.target, seen.threads))
    near = locality.measure(Placement(running.real, guest.policy, guest.cells or None), guest, host)
    held = _memory(guest, near.homes, seen, host)
    differences = asked.check_layout(typed, guest, host)
    next_problems, next_cpus = next_start.check(typed, guest, where.at_next_start(typed, uuid), tree)
    wrong = [
        *(differences or running.problems),  # these may follow from those
        *(problem for problem in problems if problem.subject != "cputune"),
        *asked.check_threads(running, host.online, where.keeper),
        *asked.check_keeper(typed, guest, where.keeper),
        *asked.check_memory(printable(name), typed, guest, near.homes, held, seen.pid),
    ]
    return Status(
        name=name,
        uuid=uuid,
        values=values,
        pins=running,
        locality=near,
        memory=held,
        sizes=tuple(memory.size_of(guest, cell) for cell in range(len(near.homes))),
        plugged_memory=sum(device.size for device in guest.devices if device.model == "dimm"),
        figure=_figure(running.real, near.homes, held, host),
        devices={address: host.pci_node(address) for address in read_xml.pci_devices(tree)},
        wrong=tuple(wrong),
        differs=None if differences is None else bool(differences),
        next_start=problems or next_problems,
        next_cpus=next_cpus if host.online - next_cpus else CpuSet(),
        unknown=tuple(_unknown(guest, near.homes, held, seen)),
        keeper=where.keeper if "cputune" in values else None,
        work=where.work.get(uuid),
    )


class _Seen(Record):
    """What the kernel shows of a VM."""

    is_here: bool
    pid: int | None = None
    threads: Pins | None = None
    """None: its process cannot be seen."""
    group: Mapping[int, int] | None = None
    """Node to KiB in its control group."""
    mappings: Sequence[Mapped] | None = None


def _see(name: str, where: Where, closely: bool) -> _Seen:
    """`closely`: also its mappings; a walk over huge pages is short."""
    if where.root is None:
        return _Seen(is_here=False)
    pid = process.pid_of(name, where.root)
    threads = None if pid is None else process.threads(pid, where.root).on(where.host.online)
    if pid is None or threads is None or not threads.vcpus:  # /proc hides it, or it is no QEMU
        return _Seen(is_here=True)
    mappings = process.mappings(pid, where.root) if closely else None
    return _Seen(True, pid, threads, process.memory(pid, where.root), mappings)


def _that_exist(target: Pins | None, threads: Pins) -> Pins | None:
    """The pins of threads that exist: a vCPU that is not plugged in has none."""
    if target is None:
        return None
    there = {name for name, _ in threads.by_name()}
    return target.without({name for name, _ in target.by_name() if name not in there})


def _memory(guest: Guest, homes: Sequence[Home], seen: _Seen, host: Host) -> Memory:
    by_mapping = None if seen.mappings is None else memory.by_mapping(guest, homes, seen.mappings)
    if by_mapping is not None:
        return by_mapping
    # a control group does not count huge pages
    return memory.by_group(guest, homes, None if _has_huge_pages(guest, host) else seen.group)


def _has_huge_pages(guest: Guest, host: Host) -> bool:
    return any(page.size is None or host.huge_page(page.size, host.nodes) != NO_HUGE_PAGE for page in guest.pages)


def _figure(threads: Pins, homes: Sequence[Home], held: Memory, host: Host) -> float | None:
    return figure.mean(
        (
            (threads.vcpus.get(vcpu, host.online), held.in_place(cell, home))
            for cell, home in enumerate(homes)
            for vcpu in home.vcpus
        ),
        host,
    )


def _unknown(guest: Guest, homes: Sequence[Home], held: Memory, seen: _Seen) -> Iterator[str]:
    if seen.threads is not None and guest.plugged_vcpus - CpuSet(seen.threads.vcpus):
        yield "not all of its vCPUs have a thread"
    if held.of_vm is not None or all(home.nodes is None for home in homes):
        return
    if not seen.is_here:
        yield "where its memory is can be seen only on its host"
    elif seen.threads is None:
        yield "its process cannot be seen, so that it is not known where its memory is: ask as root"
    elif guest.pages:
        yield "where its huge pages are can be seen only by root"
    else:
        yield "it has no control group with memory.numa_stat: ask as root, with its name"

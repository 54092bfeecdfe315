# SPDX-License-Identifier: GPL-2.0-or-later
"""A list of host CPUs as `cputune` writes it: ids, ranges and places of the host, in the order typed.

0-3,^2          CPUs 0, 1 and 3
node1,^8        the CPUs of node 1 but not CPU 8
socket0.core3   the threads of core 3 of socket 0
^0              all CPUs that are online but not CPU 0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from . import cpuset
from .cpuset import NUMBER, RANGE, CpuSet
from .errors import ParseError
from .host import Host
from .records import record

PLACE = rf"(?:node *{NUMBER} *|socket *{NUMBER} *(?:\. *core *{NUMBER} *)?)"
ITEM = rf"(?:\^ *)?(?:{RANGE}|{PLACE})"
"""An id, a range or a place, or with `^` in front what to take out. Reads alike in Python, Java and JavaScript."""

_PLACE = re.compile(rf" *(?:(node) *({NUMBER})|(socket) *({NUMBER}) *(?:\. *core *({NUMBER}))?) *")


class NotThereError(LookupError):
    """A place that a host does not have; the text says which, and what there is."""


@record
class Span:
    """The CPUs from `first` to `last`."""

    first: int
    last: int

    def __str__(self) -> str:
        return cpuset.range_text(self.first, self.last)

    def cpus(self, _: Host | None) -> Iterable[int]:
        return range(self.first, self.last + 1)

    def cpuset(self, _: Host | None) -> CpuSet:
        return CpuSet.span(self.first, self.last)


@record
class Node:
    """The online CPUs of a node of the host."""

    node: int

    def __str__(self) -> str:
        return f"node{self.node}"

    def cpus(self, host: Host | None) -> Iterable[int]:
        """Core by core, the threads of a core next to each other. Raises NotThereError."""
        return _host(host, self).by_core(self.cpuset(host))

    def cpuset(self, host: Host | None) -> CpuSet:
        """Raises NotThereError."""
        there = _host(host, self)
        if self.node not in there.nodes:
            raise NotThereError(f"{self} is not on this host, which has nodes {CpuSet(there.nodes)}")
        if not there.nodes[self.node].cpus:
            raise NotThereError(f"{self} has no CPUs that are online")
        return there.nodes[self.node].cpus


@record
class Socket:
    """The online CPUs of a socket of the host, or of one of its cores."""

    socket: int
    core: int | None = None

    def __str__(self) -> str:
        return f"socket{self.socket}" if self.core is None else f"socket{self.socket}.core{self.core}"

    def cpus(self, host: Host | None) -> Iterable[int]:
        """Core by core, the threads of a core next to each other. Raises NotThereError."""
        return _host(host, self).by_core(self.cpuset(host))

    def cpuset(self, host: Host | None) -> CpuSet:
        """Raises NotThereError, also for a core's number that several dies of the socket have."""
        there = _host(host, self)
        sockets = CpuSet(cpu.socket for cpu in there.cpus.values())
        if self.socket not in sockets:
            raise NotThereError(f"{self} is not on this host, which has sockets {sockets}")
        cores = {number: cpu.core for number, cpu in there.cpus.items() if cpu.socket == self.socket}
        found = CpuSet(number for number, core in cores.items() if self.core in (None, core))
        if not found:
            raise NotThereError(f"{self} is not on this host, whose socket has cores {CpuSet(cores.values())}")
        if self.core is not None and len({there.cpus[cpu].die for cpu in found}) > 1:
            raise NotThereError(f"{self} is in several dies, CPUs {found}")
        return found


@record
class Item:
    """What is put into the list or, with `out`, taken out of it."""

    what: Span | Node | Socket
    out: bool = False

    def __str__(self) -> str:
        return f"{'^' if self.out else ''}{self.what}"


@record
class CpuList:
    """The items in the order typed."""

    items: tuple[Item, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.items))

    def cpus(self, host: Host | None) -> Iterable[int]:
        """The CPUs in order, each once: read from left to right, and from all that is online if all items are `^`.

        Raises NotThereError for a place that the host does not have, and where a host is needed but none given. Places
        are looked at only as far as is iterated.
        """
        items = [(item.out, item.what.cpus(host)) for item in self.items]
        if not any(out for out, _ in items):
            return _each_once(cpu for _, cpus in items for cpu in cpus)
        found: dict[int, None] = {}
        if all(out for out, _ in items):
            there = _host(host, self)
            found = dict.fromkeys(there.by_core(there.online))
        for out, cpus in items:
            named = dict.fromkeys(cpus)
            if out:
                found = {cpu: None for cpu in found if cpu not in named}
            else:
                found.update(named)
        return found

    def cpuset(self, host: Host | None) -> CpuSet:
        """The same CPUs without order."""
        *_, (_, _, found) = self._read(host)
        return found

    def idle(self, host: Host | None) -> list[Item]:
        """The items with `^` that take nothing out; raises NotThereError."""
        return [item for item, before, after in self._read(host) if item.out and before == after]

    def _read(self, host: Host | None) -> Iterator[tuple[Item, CpuSet, CpuSet]]:
        """Each item, with the CPUs of the list before it and with it."""
        found = _host(host, self).online if all(item.out for item in self.items) else CpuSet()
        for item in self.items:
            before, named = found, item.what.cpuset(host)
            found = before - named if item.out else before | named
            yield item, before, found


def _each_once(cpus: Iterable[int]) -> Iterator[int]:
    seen = set()
    for cpu in cpus:
        if cpu not in seen:
            seen.add(cpu)
            yield cpu


def parse(source: str, start: int, end: int) -> CpuList:
    """Read `source[start:end]`; raises ParseError with the position in `source`."""
    items = tuple(_parse_item(source, *bounds) for bounds in cpuset.split(source, start, end))
    if all(isinstance(item.what, Span) for item in items) and not all(item.out for item in items):
        cpuset.parse(source, start, end)  # for what it raises: a list that leaves nothing
    return CpuList(items)


def not_an_item(source: str, start: int, end: int) -> ParseError:
    """The error for `source[start:end]`, a piece between commas that is no item."""
    start, end = cpuset.strip(source, start, end)
    if start == end:
        return ParseError(source, start, end, "stands where a CPU is missing", "write one or take the comma out")
    return ParseError(source, start, end, "is not a CPU, a range or a place (node0, socket0, socket0.core0)")


def _parse_item(source: str, start: int, end: int) -> Item:
    if re.fullmatch(f" *{ITEM}", source[start:end]) is None:
        raise not_an_item(source, start, end)
    caret = source.find("^", start, end)
    start = max(start, caret + 1)
    place = _PLACE.fullmatch(source, start, end)
    if place is None:
        return Item(Span(*cpuset.parse_range(source, start, end)), out=caret >= 0)
    numbers = [cpuset.parse_id(source, *place.span(group)) for group in (2, 4, 5) if place[group]]
    return Item(Node(*numbers) if place[1] else Socket(*numbers), out=caret >= 0)


def _host(host: Host | None, what: object) -> Host:
    if host is None:
        raise NotThereError(f"{what} is to be looked up on a host, but none is given")
    return host

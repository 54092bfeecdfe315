# SPDX-License-Identifier: GPL-2.0-or-later
"""From a VM's shape and a host to the three properties: which nodes, which cells, which CPU for which vCPU."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from . import PROPERTIES, checks, choose, cpulist, dealing, placement
from .choose import Capacity
from .cpulist import CpuList, Item, NotThereError, Span
from .cpuset import CpuSet
from .errors import Problem, Refused, name_ids, plural, shorten
from .guest import Guest, Topology
from .host import NO_HUGE_PAGE, Host
from .placement import Placement
from .properties import (
    MAX_LENGTH,
    Cell,
    Cputune,
    Emulator,
    Guestnuma,
    Iothread,
    Nodeset,
    Numatune,
    Pin,
    Properties,
    Vcpus,
)
from .records import record, replace

MODES = ("strict", "preferred", "interleave")
"""The memory modes that a plan can be made for."""

MOST_SOCKETS = 16
"""What the engine lets a VM have unless it is told otherwise (MaxNumOfVmSockets)."""

SUBJECT = "plan"


@record
class Request:
    """What to plan for; memory, huge pages and topology are those of the guest."""

    guest: Guest
    """Where it has no topology, one is chosen."""
    threads: int | None = None
    """Threads of a guest core; None: the topology's or, without one, as many as a core of the host has if that fits."""
    nodes: int | None = None
    """How many nodes of the host to use; None: the fewest that hold the guest."""
    spread: bool = False
    """Where `nodes` is None: the most that there are guest cores for."""
    mode: str = "strict"
    reserve: CpuList | None = None
    """CPUs that are left to the host, and to emulator and iothreads."""
    exclude: CpuList | None = None
    """CPUs that nothing of the guest may run on."""
    pci: tuple[str, ...] = ()
    """Addresses of the PCI devices that are passed through: the nodes where most of them are come first."""


@record
class Plan:
    """The three properties, and what they come to on the host."""

    properties: Properties
    placement: Placement
    """As the hook would make it, for `nodes` in this order a cell each; with the mode interleave one for all."""
    topology: Topology
    """The guest's: each cell is whole sockets of it, but for CPUs that are plugged in only half."""
    nodes: tuple[int, ...]
    vcpus: tuple[CpuSet, ...]
    """The vCPUs on each of the nodes."""
    notes: tuple[str, ...]
    """What somebody who uses it should know, a sentence each."""

    @property
    def values(self) -> dict[str, str]:
        """The text to type for each property."""
        return {name: str(getattr(self.properties, name)) for name in PROPERTIES}

    @property
    def length(self) -> int:
        """How many characters the engine stores for them."""
        return len(";".join(f"{name}={value}" for name, value in self.values.items()))


def plan(request: Request, host: Host) -> Plan:
    """The plan with the fewest nodes, then most of the devices near, the smallest distances and most free memory.

    It passes the checks of the hook for this guest on this host. Raises Refused, with what is missing and the nearest
    that would fit.
    """
    host.check_nodes_apart()
    planner = _Planner(request, host)
    made = planner.search()
    if made is None:
        raise planner.missing()
    return made


@record
class _Shape:
    """What is kept together on a node: so many guest cores of so many threads."""

    threads: int
    cores: int

    @property
    def vcpus(self) -> int:
        return self.threads * self.cores


class _Planner:
    def __init__(self, request: Request, host: Host) -> None:
        self._request, self._host = request, host
        self._guest = guest = request.guest
        what = checks.tell_engines_layout(guest)
        if what is not None:
            raise _refused(what, "choose the policy none or manual")
        if guest.arch == "s390x":
            raise _refused("a guest on s390x has no NUMA", "pin its vCPUs by hand, and leave guestnuma away")
        self._count = len(guest.plugged_vcpus)
        self._known_capacities: dict[_Shape, dict[int, Capacity]] = {}
        self._page = self._page_size()
        self._step = dealing.memory_step(guest, 0)
        self._excluded = self._resolve("--exclude", request.exclude)
        self._reserved = self._resolve("--reserve", request.reserve)
        both = self._reserved & self._excluded
        if both:
            raise _refused(f"--reserve and --exclude both name {name_ids('CPU', both)}", "name each in one of them")
        # cell to KiB of its memory devices; a cell must be there also for an nvdimm, which takes nothing of the host's
        self._devices: Counter[int] = Counter()
        for device in guest.devices:
            self._devices[device.cell] += device.host_memory
        self._device_memory = sum(self._devices.values())
        self._all_memory = guest.memory + self._device_memory
        if guest.memory <= 0 or guest.memory % self._step:
            below = guest.memory // self._step * self._step
            what = f"{guest.memory} KiB of memory are no multiple of {self._step} KiB"
            raise _refused(what, f"give the VM {below} or {below + self._step}" if below > 0 else "give the VM more")
        far = CpuSet(cell for cell in self._devices if cell)
        if request.mode == "interleave" and far:
            what = f"with interleave the guest has one cell, but a memory device is in {name_ids('guest node', far)}"
            raise _refused(what, "unplug it, or plan with another mode")
        if self._socket is None and request.threads is not None and self._count % request.threads:
            what = f"{plural(self._count, 'vCPU')} cannot be divided into cores of {request.threads} threads"
            raise _refused(what, "change one of them")

    def search(self) -> Plan | None:
        for size, shape in self._candidates():
            nodes = self._choose(shape, size)
            if nodes is not None:
                return self._build(shape, nodes)
        return None

    def _candidates(self) -> Iterator[tuple[int, _Shape]]:
        """How many nodes, and what is kept together on them, the best first."""
        if self._request.spread:
            by_threads = itertools.groupby(self._shapes, key=lambda shape: shape.threads)
            alike = [list(shapes) for _, shapes in by_threads]
            return ((size, shape) for shapes in alike for size in reversed(self._sizes()) for shape in shapes)
        return ((size, shape) for size in self._sizes() for shape in self._shapes)

    def _page_size(self) -> int:
        pages = self._guest.pages
        if any(page.cells is not None for page in pages):
            raise _refused("the VM has huge pages for single cells, but a plan makes new cells", "write one <page>")
        size = pages[0].size if pages else NO_HUGE_PAGE
        if size is None:
            raise _refused("the VM's <hugepages> does not say how large they are", "write <page size=...>")
        return self._host.huge_page(size, self._host.nodes)

    def _resolve(self, option: str, cpus: CpuList | None) -> CpuSet:
        if cpus is None:
            return CpuSet()
        typed = f"{option} {shorten(str(cpus))}"
        try:
            found = cpus.cpuset(self._host)
        except NotThereError as error:
            raise _refused(f"{typed}: {error}", "name CPUs that are there") from None
        if not found:
            raise _refused(f"{typed} leaves no CPU on this host", "name one that no later ^ takes out")
        absent = found - self._host.online
        if absent:
            mend = f"name CPUs that are online, which are {shorten(str(self._host.online))}"
            raise _refused(f"{typed}: {name_ids('CPU', absent)} cannot be had", mend)
        return found

    @property
    def _socket(self) -> _Shape | None:
        """The guest's own, unless its cores are to have other threads."""
        topology = self._guest.topology
        if topology is None or self._request.threads not in (None, topology.threads):
            return None
        return _Shape(topology.threads, topology.dies * topology.cores)

    @functools.cached_property
    def _shapes(self) -> list[_Shape]:
        """Those to try, the best first."""
        asked = self._request.threads
        if self._socket is not None:
            return list(dict.fromkeys([self._socket, _Shape(self._socket.threads, 1)]))
        if asked is not None:
            return [_Shape(asked, 1)]
        most = self._most_threads
        return [_Shape(threads, 1) for threads in range(most, 0, -1) if self._count % threads == 0]

    @functools.cached_property
    def _most_threads(self) -> int:
        """Threads that a core of the host has."""
        return max(len(cpu.siblings) for cpu in self._host.cpus.values())

    def _sizes(self) -> range:
        """How many nodes can be used at all."""
        cells, most = 1, len(self._host.local_nodes)
        if self._request.mode != "interleave":
            cells = max(self._devices, default=0) + 1
            most = min(most, checks.MOST_CELLS, self._guest.memory // self._step)
        if self._request.nodes is not None:
            return range(max(cells, self._request.nodes), min(most, self._request.nodes) + 1)
        return range(cells, most + 1)

    def _usable(self, node: int, threads: int) -> list[int]:
        """CPUs of a node for guest cores of so many threads, core by core; a part of a core that is over is left out.

        A guest core with more threads than a core of the host has takes some of the next one.
        """
        cores = self._host.cores(self._host.nodes[node].cpus)
        taken = self._reserved | self._excluded
        free = [[cpu for cpu in core if cpu not in taken] for core in cores]
        if threads <= self._most_threads:
            free = [core[: len(core) // threads * threads] for core in free]
        return [cpu for core in free for cpu in core]

    def _capacities(self, shape: _Shape) -> dict[int, Capacity]:
        """What the nodes can give that can be used at all."""
        if shape not in self._known_capacities:
            self._known_capacities[shape] = self._count_capacities(shape)
        return self._known_capacities[shape]

    def _count_capacities(self, shape: _Shape) -> dict[int, Capacity]:
        near = [self._host.pci_node(address) for address in self._request.pci]
        found = {}
        for number in self._host.local_nodes:
            memory = self._free(number)
            units = len(self._usable(number, shape.threads)) // shape.vcpus
            if units and memory:
                found[number] = Capacity(units, memory, near.count(number))
        return found

    def _free(self, node: int) -> int:
        """KiB that a node can give; to a cell of its own in whole steps."""
        room = self._host.nodes[node].room(self._page)
        step = 1 if self._request.mode == "interleave" else self._step
        return min(room.total, room.free) // step * step

    def _units(self, shape: _Shape) -> int:
        return -(-self._count // shape.vcpus)

    def _choose(self, shape: _Shape, size: int) -> tuple[int, ...] | None:
        if self._units(shape) < size:
            return None
        capacities = self._capacities(shape)
        if self._request.mode == "interleave":
            share = -(-self._all_memory // size)
            capacities = {node: room for node, room in capacities.items() if room.memory >= share}

        def fits(nodes: tuple[int, ...]) -> bool:
            return self._paired(nodes, capacities) is not None

        nodes = choose.nearest(
            capacities,
            size,
            self._units(shape),
            self._all_memory,
            self._distance,
            fits if self._device_memory else None,
        )
        return None if nodes is None else self._paired(nodes, capacities)

    def _cpus_of(self, nodes: Iterable[int]) -> CpuSet:
        return CpuSet.union(self._host.nodes[node].cpus for node in nodes)

    def _distance(self, one: int, two: int) -> int:
        return self._host.nodes[one].distances.get(two, 10 if one == two else 20)

    def _paired(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> tuple[int, ...] | None:
        """The nodes in the order of the cells: the memory devices of each cell have to fit on its node, too."""
        if self._request.mode == "interleave" or self._fits(nodes, capacities):
            return nodes
        by_room = sorted(nodes, key=lambda node: -capacities[node].memory)
        most_first = sorted(range(len(nodes)), key=lambda cell: -self._devices[cell])
        paired = dict(zip(most_first, by_room))
        order = tuple(paired[cell] for cell in range(len(nodes)))
        return order if self._fits(order, capacities) else None

    def _fits(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> bool:
        rooms = self._rooms(nodes, capacities)
        return min(rooms) > 0 and sum(rooms) >= self._guest.memory // self._step

    def _rooms(self, nodes: tuple[int, ...], capacities: Mapping[int, Capacity]) -> list[int]:
        """The steps of memory that each node has for its cell beside the memory devices of that cell."""
        return [(capacities[node].memory - self._devices[cell]) // self._step for cell, node in enumerate(nodes)]

    def _build(self, shape: _Shape, nodes: tuple[int, ...]) -> Plan:
        shape = self._for_the_engine(shape, nodes)
        vcpus = self._deal_vcpus(shape, nodes)
        cpus = [self._usable(node, shape.threads)[: len(own)] for node, own in zip(nodes, vcpus)]
        pins = [self._pin(node, own, where) for node, own, where in zip(nodes, vcpus, cpus)]
        beside = self._cpus_of(nodes) - self._excluded
        by_name = [Item(cpulist.Node(node)) for node in sorted(nodes)]
        by_name += _spans(self._cpus_of(nodes) & self._excluded, out=True)
        properties = Properties(
            Cputune((*pins, *self._pin_others(by_name))),
            # preferred takes one node; the cells have their own all the same
            Numatune(self._request.mode, Nodeset(CpuSet(nodes[:1] if self._request.mode == "preferred" else nodes))),
            Guestnuma(tuple(self._cells(shape, nodes, vcpus))),
        )
        topology = self._topology(shape, vcpus)
        placed = placement.place(properties, self._guest, self._host)
        # a note tells of the topology that the VM has, so these are about the one that it should get
        warnings = placement.place(properties, replace(self._guest, topology=topology), self._host).warnings
        notes = (*self._notes(shape, nodes, topology), *map(str, warnings))
        made = Plan(properties, placed, topology, nodes, tuple(vcpus), notes)
        if made.length > MAX_LENGTH:
            # ranges of CPUs say less than the names of nodes, but are shorter
            shorter = Cputune((*pins, *self._pin_others(_spans(beside))))
            made = replace(made, properties=replace(properties, cputune=shorter))
        if made.length > MAX_LENGTH:
            what = f"the properties have {made.length} characters, and the engine stores {MAX_LENGTH}"
            raise _refused(what, "plan with fewer nodes, reserve whole nodes, or give the VM fewer iothreads")
        return made

    def _for_the_engine(self, shape: _Shape, nodes: tuple[int, ...]) -> _Shape:
        """Larger units on the same nodes, less even, where cells of these are more sockets than the engine allows."""
        sockets = self._topology(shape, self._deal_vcpus(shape, nodes)).sockets
        if self._keeps_topology(shape) or sockets <= MOST_SOCKETS:
            return shape
        cores = self._count // shape.threads
        for size in range(-(-cores // MOST_SOCKETS), cores // len(nodes) + 1):
            if cores % size == 0:
                larger = _Shape(shape.threads, size)
                rooms = self._capacities(larger)
                if rooms.keys() >= {*nodes} and sum(rooms[node].units for node in nodes) >= self._units(larger):
                    return larger
        return shape

    def _keeps_topology(self, shape: _Shape) -> bool:
        """Whether the guest's own goes with the cells: they are whole sockets of it, or there is but one."""
        return self._socket is not None and (shape == self._socket or self._request.mode == "interleave")

    def _deal_vcpus(self, shape: _Shape, nodes: tuple[int, ...]) -> list[CpuSet]:
        capacities = self._capacities(shape)
        units = _deal(self._units(shape), [capacities[node].units for node in nodes], [1] * len(nodes))
        ends = [min(end * shape.vcpus, self._count) for end in itertools.accumulate(units)]
        return [CpuSet.span(first, end - 1) for first, end in zip([0, *ends], ends)]

    def _pin(self, node: int, vcpus: CpuSet, cpus: list[int]) -> Pin:
        """One CPU each, by the name of the node, so that it reads well and goes on another host of the same make."""
        ahead = itertools.takewhile(lambda cpu: cpu != cpus[-1], self._host.by_core(self._host.nodes[node].cpus))
        left_out = _spans(CpuSet(ahead) - CpuSet(cpus), out=True)
        return Pin(Vcpus(vcpus.first, vcpus.last), CpuList((Item(cpulist.Node(node)), *left_out)), each=True)

    def _pin_others(self, beside: Iterable[Item]) -> Iterator[Pin]:
        where = self._request.reserve or CpuList(tuple(beside))
        others: list[Emulator | Iothread] = [Emulator(), *map(Iothread, self._guest.iothreads)]
        for who in others:
            yield Pin(who, where)

    def _cells(self, shape: _Shape, nodes: tuple[int, ...], vcpus: list[CpuSet]) -> Iterator[Cell]:
        if self._request.mode == "interleave":  # memory is everywhere alike: the guest must not think otherwise
            yield Cell(CpuSet.span(0, self._count - 1), None)
            return
        rooms = self._rooms(nodes, self._capacities(shape))
        alike = [Cell(own, None, CpuSet([node])) for own, node in zip(vcpus, nodes)]
        shares = dealing.deal_memory(Guestnuma(tuple(alike)), self._guest)
        even = len({len(own) for own in vcpus}) == 1
        if even and all(0 < share <= room * self._step for share, room in zip(shares, rooms)):
            yield from alike
            return
        steps = _deal(self._guest.memory // self._step, rooms, [len(own) for own in vcpus])
        yield from (replace(cell, memory=amount * self._step) for cell, amount in zip(alike[:-1], steps))
        yield alike[-1]

    def _topology(self, shape: _Shape, vcpus: list[CpuSet]) -> Topology:
        """The guest's own where the cells are whole sockets of it, else the largest sockets with which they are."""
        if self._guest.topology is not None and self._socket is not None and self._keeps_topology(shape):
            return replace(self._guest.topology, sockets=self._units(self._socket))
        cores = math.gcd(*(-(-len(own) // shape.threads) for own in vcpus))
        sockets = -(-self._count // (cores * shape.threads))
        if self._request.mode == "interleave" and sockets > MOST_SOCKETS:
            # there is one cell, so sockets would but tell which vCPUs share a cache
            sockets, cores = 1, -(-self._count // shape.threads)
        return Topology(sockets, 1, cores, shape.threads)

    def _notes(self, shape: _Shape, nodes: tuple[int, ...], topology: Topology) -> Iterator[str]:
        its_own = self._guest.topology
        if its_own is not None and replace(its_own, sockets=0) != replace(topology, sockets=0):
            yield "the VM has another topology: give it this one, so that each cell is whole sockets"
        if topology.sockets > MOST_SOCKETS:
            yield f"the engine allows {MOST_SOCKETS} sockets (MaxNumOfVmSockets): other sizes may divide evenly"
        if shape.threads > self._most_threads:
            yield f"the threads of a guest core run on different cores: the host's have {self._most_threads}"
        if shape.threads < self._most_threads and self._request.threads is None:
            whole = _try(replace(self._request, threads=self._most_threads), self._host)
            if whole is not None:
                yield (
                    f"with --threads {self._most_threads}, on {plural(len(whole.nodes), 'node')}, the guest would know "
                    "which vCPUs share a core of the host"
                )
        if self._page and self._request.mode == "strict" and self._reserved - self._cpus_of(nodes):
            yield "libvirt before 9.3 starts no VM with strict huge pages whose emulator is elsewhere (rhbz#2185039)"
        if any(self._host.nodes[node].free is None for node in nodes):
            yield "how much memory of the host is free is not known: all was taken for free"

    def missing(self) -> Refused:
        """What is missing, in numbers, and the nearest that would fit."""
        shape, nodes = self._shapes[-1], self._host.local_nodes
        capacities = self._capacities(shape)
        cpus = sum(len(self._usable(number, shape.threads)) // shape.vcpus for number in nodes) * shape.vcpus
        memory = sum(self._free(number) for number in nodes)
        kind = f"huge pages of {self._page} KiB" if self._page else "memory"
        taken = (("reserved", self._reserved), ("excluded", self._excluded))
        without = ", ".join(f"{len(these)} {how}" for how, these in taken if these)
        without = without and f" ({without})"
        cores = f" in whole cores of {shape.threads} threads" if shape.threads > 1 else ""
        both = f", {plural(len(capacities), 'node')} with both" if len(capacities) < len(nodes) else ""
        enough = cpus >= self._count and memory >= self._all_memory
        cells = max(self._devices, default=0) + 1
        but = ""
        if cells > min(len(nodes), self._request.nodes or len(nodes)):
            but = f", but a memory device in guest node {cells - 1} takes {cells} nodes"
        elif enough and self._request.nodes is None:
            least = plural(shape.vcpus, "vCPU")
            share = " and an equal share of the memory" if self._request.mode == "interleave" else ""
            but = f", but each node that is used takes {least} or more{share}"
        asked = "" if self._request.nodes is None else f" on {plural(self._request.nodes, 'node')}"
        what = (
            f"{plural(self._count, 'vCPU')} and {self._all_memory} KiB do not fit{asked}: "
            f"the host has {plural(len(nodes), 'node')} with {cpus} CPUs{cores}{without} "
            f"and {memory} KiB of free {kind}{both}{but}"
        )
        return _refused(what, next(self._relaxed()))

    def _relaxed(self) -> Iterator[str]:
        """What would fit and is not far away, the nearest first."""
        request, asked = self._request, self._request.nodes
        if asked is not None:
            for size in sorted(range(1, len(self._host.local_nodes) + 1), key=lambda size: (abs(size - asked), size)):
                if _try(replace(request, nodes=size), self._host):
                    yield f"it fits on {plural(size, 'node')}"
        if self._shapes[-1].threads > 1 and _try(replace(request, threads=1), self._host):
            yield "it fits with --threads 1"
        if self._page and _try(replace(request, guest=replace(self._guest, pages=())), self._host):
            yield "it fits when they are reserved on the nodes, or without huge pages"
        yield from self._nearest("")
        if self._shapes[-1].threads > 1:
            yield from _Planner(replace(request, threads=1), self._host)._nearest(" and --threads 1")
        yield "reserve more of them on the nodes, or choose another host" if self._page else "choose another host"

    def _nearest(self, also: str) -> Iterator[str]:
        """Smaller guests that fit, with what has to be done `also`."""
        for vcpus, memory in self._smaller():
            less = self._guest.memory - memory
            guest = replace(self._guest, plugged=CpuSet.span(0, vcpus - 1), memory=self._guest.memory - less)
            found = _try(replace(self._request, nodes=None, guest=guest), self._host)
            if found:
                smaller = f"{plural(vcpus, 'vCPU')} and {self._all_memory - less} KiB{also}"
                yield f"the nearest that fits is {smaller}, on {plural(len(found.nodes), 'node')}"

    def _smaller(self) -> Iterator[tuple[int, int]]:
        """vCPUs and KiB to try, the nearest first."""
        shape, wanted = self._shapes[-1], self._guest.memory
        rooms = list(self._capacities(shape).values())
        interleaved = self._request.mode == "interleave"
        found = set()
        # those nodes that have most memory, or most CPUs; on each there are a unit of vCPUs and a step of memory
        for chosen, order in itertools.product(range(1, len(rooms) + 1), ("memory", "units")):
            largest = sorted(rooms, key=lambda room: (getattr(room, order), room.memory, room.units))[-chosen:]
            units = min(self._units(shape), sum(room.units for room in largest))
            least = min(room.memory for room in largest)
            memory = least * chosen if interleaved else sum(room.memory for room in largest)
            memory = min(wanted, (memory - self._device_memory) // self._step * self._step)
            if chosen <= min(units, memory // self._step):
                found.add((min(self._count, units * shape.vcpus), memory))
        return iter(sorted(found, key=lambda pair: (2 - pair[0] / self._count - pair[1] / wanted, pair)))


def _try(request: Request, host: Host) -> Plan | None:
    try:
        return _Planner(request, host).search()
    except Refused:
        return None


def _deal(total: int, most: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to the weights, but to each at least 1 and at most its `most`.

    What one cannot take goes to the others; `total` must be at least their number, and at most the sum of `most`.
    """
    dealt = [0] * len(most)
    left, weight, room, places = total, sum(weights), sum(most), len(most)
    for place in sorted(range(len(most)), key=lambda place: (most[place] / weights[place], -place)):
        room -= most[place]
        places -= 1
        share = max(left * weights[place] // weight, left - room, 1)
        dealt[place] = min(share, most[place], left - places)
        left -= dealt[place]
        weight -= weights[place]
    return dealt


def _spans(cpus: CpuSet, out: bool = False) -> Iterator[Item]:
    return (Item(Span(*span), out) for span in cpus.ranges())


def _refused(what: str, mend: str) -> Refused:
    return Refused([Problem(SUBJECT, what, mend)])

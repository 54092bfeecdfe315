# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that is wrong with what was asked for: in itself and on the guest, and on the host.

libvirt takes many contradictory layouts and starts another VM than was asked for: it drops a pin of a vCPU that does
not exist, puts vCPUs without a cell into cell 0, and makes the cells' sum the VM's memory. Others fail late, or end in
the OOM killer. So they are told here, all in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from . import PROPERTIES, dealing
from .cpulist import Span
from .cpuset import CpuSet
from .errors import DOMAIN_XML, Problem, name_ids, plural, shorten
from .guest import Guest
from .host import NO_HUGE_PAGE, Host
from .properties import Cputune, Emulator, Guestnuma, Iothread, Numatune, Properties, Vcpus
from .records import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .guest import Pins
    from .placement import PlacedCell, Placement, Policy

_EXCLUSIVE_POLICIES = ("dedicated", "siblings", "isolate-threads")
"""oVirt's CPU pinning policies under which pins and nodes are the engine's, and VDSM rewrites them on migration."""

MOST_CELLS = 128
"""QEMU's limit (MAX_NODES)."""

_LIMITING_MODES = ("strict", "restrictive")
"""The modes under which memory can come from no other nodes."""


def tell_engines_layout(guest: Guest) -> str | None:
    """A sentence where the CPU pinning policy makes pins and nodes the engine's; None where the properties say them."""
    if guest.cpu_policy not in _EXCLUSIVE_POLICIES:
        return None
    return f"the VM has the CPU pinning policy {guest.cpu_policy}, under which the layout is the engine's"


def check_guest(wanted: Properties, guest: Guest) -> Iterator[Problem]:
    """What is wrong with the properties on this VM."""
    yield from check_policy(wanted, guest)
    if wanted.cputune is not None:
        yield from check_pins(wanted.cputune, guest)
    if wanted.guestnuma is not None:
        yield from _check_cells(wanted.guestnuma, guest)
        yield from _check_nodes_of_cells(wanted.guestnuma, wanted.numatune, guest)


def check_policy(wanted: Properties, guest: Guest) -> Iterator[Problem]:
    """Under some CPU pinning policies no property goes."""
    what = tell_engines_layout(guest)
    if what is not None:
        for name in PROPERTIES:
            if getattr(wanted, name) is not None:
                yield Problem(name, what, "choose the policy none or manual, or take the property away")


def check_pins(cputune: Cputune, guest: Guest) -> Iterator[Problem]:
    """What is wrong with the pins on this VM, which libvirt would drop, or carry out in part."""
    sets = [CpuSet.span(pin.who.first, pin.who.last) for pin in cputune.pins if isinstance(pin.who, Vcpus)]
    yield from _check_vcpus_exist("cputune", CpuSet.union(sets), guest, "take their pins out")
    twice = _named_twice(sets)
    if twice:
        yield Problem("cputune", f"{_are('vCPU', twice)} pinned more than once", "write one pin for each vCPU")
    iothreads = [CpuSet([pin.who.number]) for pin in cputune.pins if isinstance(pin.who, Iothread)]
    unknown = CpuSet.union(iothreads) - guest.iothreads
    if unknown:
        has = name_ids("iothread", guest.iothreads) if guest.iothreads else "none"
        what = f"{name_ids('iothread', unknown)} {_do(unknown)} not exist, the VM has {has}"
        yield Problem("cputune", what, "take their pins out")
    others = [str(Emulator())] * (sum(isinstance(pin.who, Emulator) for pin in cputune.pins) > 1)
    others += [str(Iothread(number)) for number in _named_twice(iothreads)]
    for other in others:
        yield Problem("cputune", f"{other} is pinned more than once", "write one pin for it")
    yield from _check_lone_numbers(cputune, CpuSet.union(sets), guest)


def check_host(placed: Placement, guest: Guest, host: Host) -> Iterator[Problem]:
    """What is wrong with the placement on this host."""
    if placed.pins is not None:
        yield from check_cpus(placed.pins, host)
    if placed.memory is not None:
        yield from _check_policy_on_host(placed.memory, host)
    cells = placed.cells or ()
    yield from _check_nodes_exist(
        "guestnuma", CpuSet.union(cell.nodes for cell in cells if cell.nodes is not None), host
    )
    yield from _check_capacity(placed, guest, host)


def check_cpus(pins: Pins, host: Host) -> Iterator[Problem]:
    """libvirt fails late when a CPU is not there."""
    absent = pins.cpus() - host.online
    if absent:
        what = f"{_are('CPU', absent)} not online on this host, which has {shorten(str(host.online))}"
        yield Problem("cputune", what, "pin to CPUs that are online")


def check_pins_that_travel(travel: Pins, cputune: Cputune | None, wanted: Pins, host: Host) -> Iterator[Problem]:
    """A VM comes with the pins of its XML, and libvirt starts none that is pinned to a CPU that is not there.

    What `cputune` does not pin, the engine has pinned. Of the rest, what is `wanted` on this host is checked by itself.
    """
    names = set() if cputune is None else set(_names(cputune))
    engines = dict(travel.without(names).by_name())
    resolved = dict(wanted.by_name())
    ours = {who: cpus for who, cpus in travel.by_name() if who in names and resolved.get(who) != cpus}
    for subject, pins, until, fix in (
        ("cputune", ours, "until the VM runs here", "choose another host, or shut the VM down and start it here"),
        (DOMAIN_XML, engines, "by the engine", "choose another host, or change the VM's CPU pinning in the engine"),
    ):
        absent = CpuSet.union(pins.values()) - host.online
        if absent:
            who = shorten(", ".join(name for name, cpus in pins.items() if cpus & absent))
            what = f"{_are('CPU', absent)} not online on this host, which has {shorten(str(host.online))}"
            yield Problem(subject, f"{what}, but {who} {_do(absent, 'is', 'are')} pinned there {until}", fix)


def _names(cputune: Cputune) -> Iterator[str]:
    """What it pins, by libvirt's names."""
    for pin in cputune.pins:
        if isinstance(pin.who, Vcpus):
            yield from (f"vcpu{vcpu}" for vcpu in range(pin.who.first, pin.who.last + 1))
        else:
            yield str(pin.who)


def check_preferred(mode: str, nodeset: CpuSet) -> Iterator[Problem]:
    """QEMU 7.2 with libvirt 9.0 starts a VM that prefers several nodes, but takes the first for the only one.

    QEMU 10 with libvirt 11.3 honours it (both measured); which QEMU a host has is not known here.
    """
    if mode == "preferred" and len(nodeset) > 1:
        what = f"preferred names {name_ids('node', nodeset)}, of which older QEMU (7.2) silently uses the first alone"
        yield Problem("numatune", what, "name one node, or write interleave#")


def check_cells_in_policy(cells: Iterable[PlacedCell], mode: str, nodeset: CpuSet) -> Iterator[Problem]:
    """Under a limiting mode the guest's policy limits its cgroup: a cell on other nodes could allocate nothing."""
    if mode in _LIMITING_MODES:
        for number, cell in enumerate(cells):
            if cell.nodes is not None and cell.nodes - nodeset:
                allowed = shorten(str(nodeset))
                what = f"cell {number} is on {name_ids('node', cell.nodes)} but numatune allows {allowed} only"
                yield Problem("guestnuma", what, "name these nodes in numatune, too")


def _check_lone_numbers(cputune: Cputune, pinned: CpuSet, guest: Guest) -> Iterator[Problem]:
    """In `0#1,3,5#2` the 3 is a CPU of vCPU 0, but may be meant as a vCPU whose `#...` was left out."""
    of_vcpus = [pin.cpus.items for pin in cputune.pins if isinstance(pin.who, Vcpus)]
    behind_a_comma = [item.what for items in of_vcpus for item in items[1:] if not item.out]
    numbers = CpuSet(what.first for what in behind_a_comma if isinstance(what, Span) and what.first == what.last)
    doubtful = numbers & (guest.all_vcpus - pinned)
    if doubtful:
        what = f"{_are('lone number', doubtful)} read as CPU, but there are such vCPUs without a pin, too"
        yield Problem("cputune", what, f"write {doubtful.first}#... if that is meant", warning=True)


def _check_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    if guest.arch == "s390x":
        yield Problem("guestnuma", "a guest on s390x has no NUMA", "take the property away")
        return
    if len(guestnuma.cells) > MOST_CELLS:
        yield Problem("guestnuma", f"there are {len(guestnuma.cells)} cells, QEMU takes {MOST_CELLS}", "write fewer")
    yield from _check_vcpus_of_cells(guestnuma, guest)
    yield from _check_memory_of_cells(guestnuma, guest)
    yield from _check_references_to_cells(guestnuma, guest)


def _check_vcpus_of_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    sets = [cell.vcpus for cell in guestnuma.cells]
    named = CpuSet.union(sets)
    last = named.last
    yield from _check_vcpus_exist("guestnuma", named, guest, f"let the cells end with vCPU {guest.max_vcpus - 1}")
    twice = _named_twice(sets)
    if twice:
        yield Problem("guestnuma", f"{_are('vCPU', twice)} in more than one cell", "name each vCPU once")
    left_out = CpuSet.span(0, last) - named
    if left_out:
        yield Problem("guestnuma", f"{_are('vCPU', left_out)} in no cell", f"name all of 0-{last}")
    unnamed = guest.plugged_vcpus - CpuSet.span(0, last)
    if unnamed:
        what = f"{_are('vCPU', unnamed)} plugged in but not named, and dealt to the cells by guest sockets"
        yield Problem("guestnuma", what, "name them, if they should be elsewhere", warning=True)
    if not twice:
        yield from _check_sockets(sets, guest.vcpus_per_socket)


def _check_sockets(sets: list[CpuSet], size: int) -> Iterator[Problem]:
    cut = _named_twice(CpuSet(vcpu // size for vcpu in vcpus) for vcpus in sets)
    if cut:
        what = f"{_are('guest socket', cut)} cut by a cell boundary (a socket has {size} vCPUs)"
        yield Problem("guestnuma", what, "let each cell have whole sockets, or change the VM's sockets", warning=True)


def _check_memory_of_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    dealt = dealing.deal_memory(guestnuma, guest)
    shares = guestnuma.shares
    total = sum(cell.memory or 0 for cell in guestnuma.cells)
    devices = " without its memory devices" if guest.devices else ""
    if shares and min(dealt[number] for number in shares) <= 0:
        yield _nothing_left(shares, guest.memory - total, guest)
        dealt = [cell.memory or dealing.memory_step(guest, n) for n, cell in enumerate(guestnuma.cells)]
    yield from _check_steps(dealt, shares, guest)
    if not shares and total != guest.memory:
        mend = f"take {total - guest.memory} KiB away" if total > guest.memory else f"add {guest.memory - total} KiB"
        what = f"the cells hold {total} KiB but the VM has {guest.memory} KiB{devices}"
        yield Problem("guestnuma", what, f"{mend}, or write * for one cell's memory")


def _nothing_left(shares: list[int], left: int, guest: Guest) -> Problem:
    """For the cells with `*`, where the others leave so many KiB."""
    if left <= 0:
        what = f"nothing is left for *: the other cells have {guest.memory - left} KiB of the VM's {guest.memory} KiB"
        return Problem("guestnuma", what, "give the other cells less")
    step = dealing.memory_step(guest, shares[0])
    page = guest.page_of(shares[0])
    piece = "huge page" if page is not None and page.size == step else "piece"
    what = f"{len(shares)} cells share {left} KiB, only {plural(left // step, piece)} of {step} KiB"
    return Problem("guestnuma", what, "write fewer cells, or give the VM more memory")


def _check_steps(memory: list[int], shares: list[int], guest: Guest) -> Iterator[Problem]:
    wrong: dict[tuple[int, int, bool], list[int]] = {}
    for number, amount in enumerate(memory):
        step = dealing.memory_step(guest, number)
        if amount == 0 or amount % step:
            wrong.setdefault((amount, step, number in shares), []).append(number)
    for (amount, step, shared), numbers in wrong.items():
        cells = name_ids("cell", CpuSet(numbers))
        below = amount // step * step
        nearest = f"write {below} or {below + step}" if below else f"write at least {step}"
        has = "has" if len(numbers) == 1 else "have"
        if amount == 0:
            yield Problem("guestnuma", f"{cells} {has} 0 KiB", nearest)
        elif shared:
            what = f"{cells} would have {amount} KiB for *, which is no multiple of {step} KiB"
            yield Problem("guestnuma", what, "give the VM other memory, or write the amounts out")
        else:
            yield Problem("guestnuma", f"{cells} {has} {amount} KiB, which is no multiple of {step} KiB", nearest)


def _check_nodes_of_cells(guestnuma: Guestnuma, numatune: Numatune | None, guest: Guest) -> Iterator[Problem]:
    nodes = {number: cell.nodes for number, cell in enumerate(guestnuma.cells) if cell.nodes is not None}
    if not nodes:
        return
    there = guest.policy
    if numatune is None and there is not None and (there.auto or there.mode == "restrictive"):
        policy = "auto" if there.auto else there.mode
        what = f"@ does not go with the memory policy {policy} that the VM has already"
        yield Problem("guestnuma", what, "set numatune, too")
    if numatune is None:
        return
    if numatune.nodeset is None:
        yield Problem("guestnuma", "@ does not go with numatune's auto, where numad chooses", "take one of them away")
    several = CpuSet(number for number, own in nodes.items() if len(own) > 1)
    if numatune.mode == "preferred" and several:
        has = _do(several, "has", "have")
        what = f"{name_ids('cell', several)} {has} several nodes, of which older QEMU (7.2) silently prefers the first"
        yield Problem("guestnuma", what, "name one node behind @, or write interleave# in numatune")


def _check_references_to_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    cells = CpuSet.span(0, len(guestnuma.cells) - 1)
    plugged = CpuSet(device.node for device in guest.devices if device.node is not None) - cells
    if plugged:
        what = f"the VM has a memory device in {name_ids('guest node', plugged)}, but the cells are {cells}"
        yield Problem("guestnuma", what, "write more cells, or unplug the device")
    for reference in guest.references:
        absent = reference.cells - cells
        if absent:
            what = f"the VM has {reference.device} in {name_ids('guest node', absent)}, but the cells are {cells}"
            yield Problem("guestnuma", what, "write more cells, or remove the device")
    for page in guest.pages:
        strange = (page.cells or cells) - cells
        if strange:
            what = f"the VM has huge pages for {name_ids('cell', strange)}, but the cells are {cells}"
            yield Problem("guestnuma", what, "write more cells")


def _check_vcpus_exist(name: str, vcpus: CpuSet, guest: Guest, mend: str) -> Iterator[Problem]:
    unknown = vcpus - guest.all_vcpus
    if unknown:
        there = name_ids("vCPU", guest.all_vcpus)
        yield Problem(name, f"{name_ids('vCPU', unknown)} {_do(unknown)} not exist, the VM has {there}", mend)


def _check_policy_on_host(policy: Policy, host: Host) -> Iterator[Problem]:
    if policy.nodeset is not None:
        yield from _check_nodes_exist("numatune", policy.nodeset, host)
    elif host.numad is False:
        yield Problem("numatune", "auto needs numad, which this host does not have", "install numad, or name nodes")


def _check_nodes_exist(name: str, nodeset: CpuSet, host: Host) -> Iterator[Problem]:
    absent = nodeset - CpuSet(host.nodes)
    if absent:
        what = f"{_are('node', absent)} not on this host, which has {name_ids('node', CpuSet(host.nodes))}"
        yield Problem(name, what, "name nodes of this host")
    empty = CpuSet(number for number in nodeset - absent if host.nodes[number].memory == 0)
    if empty:
        yield Problem(name, f"{_are('node', empty)} without memory on this host", "name nodes with memory")


def _check_capacity(placed: Placement, guest: Guest, host: Host) -> Iterator[Problem]:
    """Memory that can come from some nodes only has to fit there: what is bound to any part of them, together."""
    bound = [
        part
        for part in _bound_memory(placed, guest)
        if not part.nodeset - CpuSet(host.nodes) and any(host.nodes[node].memory != 0 for node in part.nodeset)
    ]
    bound = [replace(part, page=host.huge_page(part.page, part.nodeset)) for part in bound]
    for size in sorted({part.page for part in bound}):
        parts = [part for part in bound if part.page == size]
        rooms = {number: host.nodes[number].room(size) for number in CpuSet.union(part.nodeset for part in parts)}
        for tell, room in (
            (_too_much, {number: room.total for number, room in rooms.items()}),
            (_too_much_now, {number: room.free for number, room in rooms.items()}),
        ):
            while True:
                full = overfull(parts, room)
                if not full:
                    break
                yield tell(parts, size, full, sum(room[number] for number in full))
                parts = [part for part in parts if not part.nodeset & full]


def overfull(parts: list[Bound], room: dict[int, int]) -> CpuSet:
    """Nodes on which what is bound to them, and to any part of them, does not fit; empty if all fits (maximum flow)."""
    left = dict(room)
    lies: dict[CpuSet, dict[int, int]] = {part.nodeset: {} for part in parts}
    for part in parts:
        need = part.memory
        while need:
            # from this set to a node with room, perhaps by moving what another set has put on a node
            reached: dict[int, tuple[CpuSet, int | None]] = {}
            queue: list[tuple[CpuSet, int | None]] = [(part.nodeset, None)]
            end = None
            for nodeset, through in queue:
                for node in nodeset:
                    if node not in reached:
                        reached[node] = (nodeset, through)
                        if left[node]:
                            end = node
                            break
                        queue += [(other, node) for other, on in lies.items() if on.get(node)]
                if end is not None:
                    break
            if end is None:
                return CpuSet(reached)
            steps = [(end, *reached[end])]
            while steps[-1][2] is not None:
                through = steps[-1][2]
                steps.append((through, *reached[through]))
            moved = min([need, left[end], *(lies[nodeset][old] for _, nodeset, old in steps if old is not None)])
            for node, nodeset, old in steps:
                lies[nodeset][node] = lies[nodeset].get(node, 0) + moved
                if old is not None:
                    lies[nodeset][old] -= moved
            left[end] -= moved
            need -= moved
    return CpuSet()


def _too_much(parts: list[Bound], size: int, full: CpuSet, room: int) -> Problem:
    name, what = _tell_bound(parts, size, full)
    if size == NO_HUGE_PAGE:
        return Problem(name, f"{what} {room} KiB fit", "name more nodes, or write interleave# or preferred#")
    return Problem(name, f"{what} there are {room // size}", "reserve them on these nodes, or name others")


def _too_much_now(parts: list[Bound], size: int, full: CpuSet, room: int) -> Problem:
    name, what = _tell_bound(parts, size, full)
    if size == NO_HUGE_PAGE:
        mend = "free memory there, or the VM may be killed when it uses all of its own"
        return Problem(name, f"{what} {room} KiB are free now", mend, warning=True)
    return Problem(name, f"{what} {room // size} are free now", "free them, or the VM will not start", warning=True)


def _tell_bound(parts: list[Bound], size: int, full: CpuSet) -> tuple[str, str]:
    """The property to blame, and how much is bound to the nodes."""
    inside = [part for part in parts if not part.nodeset - full]
    name = next((part.name for part in inside if part.nodeset == full), inside[0].name)
    need = sum(part.memory for part in inside)
    amount = f"{need} KiB" if size == NO_HUGE_PAGE else f"{-(-need // size)} huge pages of {size} KiB"
    return name, f"{amount} are bound to {name_ids('node', full)}, where"


@record
class Bound:
    """KiB in pages of a size that can come from some nodes only, and the property that says so."""

    name: str
    nodeset: CpuSet
    page: int
    memory: int


def _bound_memory(placed: Placement, guest: Guest) -> Iterator[Bound]:
    policy = placed.memory
    limited = policy.nodeset if policy is not None and policy.mode in _LIMITING_MODES else None
    cells: list[tuple[int, CpuSet | None]] = [
        (cell.memory, cell.nodes if cell.mode in _LIMITING_MODES else None) for cell in placed.cells or ()
    ]
    cells = cells or [(cell.memory, None) for cell in guest.cells] or [(guest.memory, None)]
    parts = [(number, memory, nodes) for number, (memory, nodes) in enumerate(cells)]
    for device in guest.devices:
        if device.host_memory:
            nodes = cells[device.cell][1] if device.cell < len(cells) else None
            parts.append((device.cell, device.host_memory, nodes))
    for number, memory, nodes in parts:
        page = guest.page_of(number)
        size = NO_HUGE_PAGE if page is None else page.size
        nodeset = nodes or limited
        if nodeset and size is not None:  # None is the host's default size, which only its boot parameters tell
            yield Bound("guestnuma" if nodes else "numatune", nodeset, size, memory)


def _named_twice(sets: Iterable[CpuSet]) -> CpuSet:
    """The ids that are in more than one of `sets`."""
    seen = twice = CpuSet()
    for ids in sets:
        twice |= seen & ids
        seen |= ids
    return twice


def _are(noun: str, ids: CpuSet) -> str:
    """`vCPU 2 is`, `vCPUs 2-3 are`."""
    return f"{name_ids(noun, ids)} {'is' if len(ids) == 1 else 'are'}"


def _do(ids: CpuSet, one: str = "does", several: str = "do") -> str:
    return one if len(ids) == 1 else several

# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that is wrong with what was asked for: in itself and on the guest, and on the host.

libvirt takes many contradictory layouts and starts another VM than was asked for: it drops a pin of a vCPU that does
not exist, puts vCPUs without a cell into cell 0, and makes the cells' sum the VM's memory. Others fail late, or end in
the OOM killer. So they are told here, all in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from . import PROPERTIES
from .cpuset import CpuSet
from .errors import Problem, name_ids, plural, shorten
from .guest import Guest, HugePage
from .host import Host, Node
from .properties import Cputune, Guestnuma, Numatune, Properties

EXCLUSIVE_POLICIES = ("dedicated", "siblings", "isolate-threads")
"""oVirt's CPU pinning policies under which pins and nodes are the engine's, and VDSM rewrites them on migration."""

_MOST_ALIKE = 8
"""How many problems of one kind are told one by one: all of them stand in one event of the engine's."""

_MIB = 1024
_BASE = 0


def check_guest(wanted: Properties, guest: Guest) -> Iterator[Problem]:
    """What is wrong with the properties on this VM."""
    yield from _check_policy(wanted, guest)
    if wanted.cputune is not None:
        yield from _check_pins(wanted.cputune, guest)
    if wanted.numatune is not None:
        yield from _check_mode(wanted.numatune)
    if wanted.guestnuma is not None:
        yield from _check_cells(wanted.guestnuma, guest)


def check_host(wanted: Properties, guest: Guest, host: Host) -> Iterator[Problem]:
    """What is wrong with the properties on this host."""
    if wanted.cputune is not None:
        yield from _check_cpus(wanted.cputune, host)
    if wanted.numatune is not None:
        yield from _check_nodes(wanted, wanted.numatune, guest, host)


def _check_policy(wanted: Properties, guest: Guest) -> Iterator[Problem]:
    if guest.cpu_policy in EXCLUSIVE_POLICIES:
        for name in PROPERTIES:
            if getattr(wanted, name) is not None:
                what = f"the VM has the CPU pinning policy {guest.cpu_policy}, under which the layout is the engine's"
                yield Problem(name, what, "choose the policy none or manual, or take the property away")


def _check_pins(cputune: Cputune, guest: Guest) -> Iterator[Problem]:
    pinned = CpuSet(pin.vcpu for pin in cputune.pins)
    yield from _check_vcpus_exist("cputune", pinned, guest, "take their pins out")
    twice = _named_twice(CpuSet([pin.vcpu]) for pin in cputune.pins)
    if twice:
        yield Problem("cputune", f"{_are('vCPU', twice)} pinned more than once", "write one pin for each vCPU")


def _check_mode(numatune: Numatune) -> Iterator[Problem]:
    count = len(numatune.nodeset)
    if numatune.mode == "preferred" and count > 1:
        yield Problem(
            "numatune", f"preferred takes one node but {numatune.nodeset} are {count}", "name one, or write interleave#"
        )


def _check_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    if guest.arch == "s390x":
        yield Problem("guestnuma", "a guest on s390x has no NUMA", "take the property away")
        return
    yield from _check_vcpus_of_cells(guestnuma, guest)
    yield from _check_memory_of_cells(guestnuma, guest)
    yield from _check_references_to_cells(guestnuma, guest)


def _check_vcpus_of_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    sets = [cell.vcpus for cell in guestnuma.cells]
    named = _union(sets)
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
    wrong: dict[tuple[int, int], list[int]] = {}
    for number, cell in enumerate(guestnuma.cells):
        step = _step(guest, guest.page_of(number))
        if cell.memory == 0 or cell.memory % step:
            wrong.setdefault((cell.memory, step), []).append(number)
    for (memory, step), numbers in list(wrong.items())[:_MOST_ALIKE]:
        below = memory // step * step
        nearest = f"{below} or {below + step}" if below else f"at least {step}"
        has = "has" if len(numbers) == 1 else "have"
        what = f"{name_ids('cell', CpuSet(numbers))} {has} {memory} KiB, which is no multiple of {step} KiB"
        yield Problem("guestnuma", what, f"write {nearest}")
    more = sum(map(len, list(wrong.values())[_MOST_ALIKE:]))
    if more:
        yield Problem("guestnuma", f"{plural(more, 'more cell')} with such memory", "mend all cells")
    total = sum(cell.memory for cell in guestnuma.cells)
    if total != guest.memory:
        devices = " without its memory devices" if guest.devices else ""
        mend = f"take {total - guest.memory} KiB away" if total > guest.memory else f"add {guest.memory - total} KiB"
        yield Problem("guestnuma", f"the cells hold {total} KiB but the VM has {guest.memory} KiB{devices}", mend)


def _step(guest: Guest, page: HugePage | None) -> int:
    """KiB that a cell's memory is a multiple of.

    libvirt rounds a cell up to 1 MiB, and the VM would get more memory than it has; QEMU's pseries machine wants
    256 MiB, huge pages want whole pages.
    """
    machine = 256 * _MIB if (guest.arch or "").startswith("ppc64") else _MIB
    return max(machine, (page and page.size) or 0)


def _check_references_to_cells(guestnuma: Guestnuma, guest: Guest) -> Iterator[Problem]:
    cells = CpuSet.span(0, len(guestnuma.cells) - 1)
    plugged = CpuSet(device.node for device in guest.devices if device.node is not None) - cells
    if plugged:
        what = f"the VM has a memory device in {name_ids('guest node', plugged)}, but the cells are {cells}"
        yield Problem("guestnuma", what, "write more cells, or unplug the device")
    for page in guest.pages:
        strange = (page.cells or cells) - cells
        if strange:
            what = f"the VM has huge pages for {name_ids('cell', strange)}, but the cells are {cells}"
            yield Problem("guestnuma", what, "write more cells")


def _check_vcpus_exist(name: str, vcpus: CpuSet, guest: Guest, mend: str) -> Iterator[Problem]:
    unknown = vcpus - guest.all_vcpus
    if unknown:
        verb = "does" if len(unknown) == 1 else "do"
        there = name_ids("vCPU", guest.all_vcpus)
        yield Problem(name, f"{name_ids('vCPU', unknown)} {verb} not exist, the VM has {there}", mend)


def _check_cpus(cputune: Cputune, host: Host) -> Iterator[Problem]:
    absent = _union(pin.cpuset for pin in cputune.pins) - host.online
    if absent:
        what = f"{_are('CPU', absent)} not online on this host, which has {shorten(str(host.online))}"
        yield Problem("cputune", what, "pin to CPUs that are online")


def _check_nodes(wanted: Properties, numatune: Numatune, guest: Guest, host: Host) -> Iterator[Problem]:
    absent = numatune.nodeset - CpuSet(host.nodes)
    if absent:
        what = f"{_are('node', absent)} not on this host, which has {name_ids('node', CpuSet(host.nodes))}"
        yield Problem("numatune", what, "name nodes of this host")
    nodes = {number: host.nodes[number] for number in numatune.nodeset - absent}
    empty = CpuSet(number for number, node in nodes.items() if node.memory == 0)
    if empty:
        yield Problem("numatune", f"{_are('node', empty)} without memory on this host", "name nodes with memory")
    if numatune.mode == "strict" and not absent:
        needs = _needs(wanted, guest)
        yield from _check_base_memory(needs.pop(_BASE, 0), numatune.nodeset, list(nodes.values()))
        for size, need in sorted(needs.items()):
            yield from _check_pages(size, need, numatune.nodeset, list(nodes.values()))


def _needs(wanted: Properties, guest: Guest) -> Counter[int]:
    """KiB of the host's memory that the VM takes, by the size of the huge pages (_BASE: base pages)."""
    cells: Iterable[int] = (cell.memory for cell in guest.cells)
    if wanted.guestnuma is not None and not guest.ran:
        cells = (cell.memory for cell in wanted.guestnuma.cells)
    parts = list(enumerate(cells)) or [(0, guest.memory)]
    parts += [(device.node or 0, device.size) for device in guest.devices if device.model != "nvdimm"]
    needs: Counter[int] = Counter()
    for cell, memory in parts:
        page = guest.page_of(cell)
        if page is None:
            needs[_BASE] += memory
        elif page.size is not None:  # else it is the host's default size, which only its boot parameters tell
            needs[page.size] += memory
    return needs


def _check_base_memory(need: int, nodeset: CpuSet, nodes: list[Node]) -> Iterator[Problem]:
    total, free = 0, 0
    for node in nodes:
        if node.memory is None:
            return
        total += node.memory - sum(size * pages.total for size, pages in node.pages.items())
        free += node.memory if node.free is None else node.free
    what = f"{need} KiB are bound to {name_ids('node', nodeset)}, where"
    if need > total:
        yield Problem("numatune", f"{what} {total} KiB fit", "name more nodes, or write interleave# or preferred#")
    elif need > free:
        mend = "free memory there, or the VM may be killed when it uses all of its own"
        yield Problem("numatune", f"{what} {free} KiB are free now", mend, warning=True)


def _check_pages(size: int, need: int, nodeset: CpuSet, nodes: list[Node]) -> Iterator[Problem]:
    pages = [node.pages[size] for node in nodes if size in node.pages]
    count = -(-need // size)
    total = sum(page.total for page in pages)
    free = sum(page.total if page.free is None else page.free for page in pages)
    what = f"{count} huge pages of {size} KiB are bound to {name_ids('node', nodeset)}, where"
    if count > total:
        yield Problem("numatune", f"{what} there are {total}", "reserve them on these nodes, or name others")
    elif count > free:
        yield Problem("numatune", f"{what} {free} are free now", "free them, or the VM will not start", warning=True)


def _union(sets: Iterable[CpuSet]) -> CpuSet:
    union = CpuSet()
    for ids in sets:
        union |= ids
    return union


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

# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole way at once: the texts of the properties, an XML and the host in, the new XML out. Touches no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from . import domxml, placement, properties
from .errors import Problem, Refused, join, plural
from .host import Host

_NO_KEEPER = Problem(
    "cputune",
    "VDSM moves the pins of a VM with the CPU pinning policy none, and the keeper is not active",
    "systemctl enable --now vdsm-largeguest-keeper, or choose the policy manual",
    warning=True,
)

_REFUSED_NEXT = Problem(
    "guestnuma",
    "the VM gets memory that the property does not know, so its next start will be refused",
    "add the memory to a cell before that, or write * for one cell's memory",
    warning=True,
)

_kept: list[object] = []
"""The last tree: to take a large one apart takes a while, and a hook's process ends right away."""


def rewrite(
    values: Mapping[str, str], document: bytes, host: Host | None, keeper: bool | None = None
) -> tuple[bytes, str]:
    """Carry the properties (name to text) out in the domain XML `document`; `keeper`: whether it is active, if known.

    Returns the new document and one line that tells what was done. The XML of a VM that ran already is returned as it
    is. Raises Refused with every problem there is, those with the host only if one is given.
    """
    wanted, problems = properties.parse(values)
    try:
        tree = domxml.parse(document)
        if domxml.has_run(tree):
            return document, "largeguest: nothing changed: the XML is that of a VM that ran already (<domain id=...>)"
        guest = domxml.read_guest(tree)
        placed = placement.place(wanted, guest, host)
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None
    if problems:
        raise Refused(problems)
    replaced = domxml.write(tree, placed)
    new = domxml.serialise(tree, like=document)
    _kept[:] = [tree]
    done = [f"largeguest: {placed}", *_tell_replaced(replaced)]
    warnings = list(placed.warnings)
    if placed.pins is not None and guest.cpu_policy == "none":
        if keeper is False:
            warnings.append(_NO_KEEPER)
        else:
            done.append("the keeper has to hold the pins" if keeper is None else "the keeper holds the pins")
    return new, _tell(done, warnings)


def check_on_host(values: Mapping[str, str], document: bytes, host: Host) -> str:
    """Check that `host` can take over the VM of the domain XML `document`, which runs or sleeps elsewhere.

    Of the guest nothing is checked: what it has was settled at its start, and memory may have been plugged in since.
    Returns one line; raises Refused.
    """
    wanted, problems = properties.parse(values)
    try:
        placed = placement.place_again(wanted, domxml.read_guest(domxml.parse(document)), host)
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None
    if problems:
        raise Refused(problems)
    return _tell(["largeguest: this host can hold the layout"], placed.warnings)


def retarget(values: Mapping[str, str], device: bytes, running: bytes | None) -> tuple[bytes, str]:
    """Point the XML of a memory device to the cell that has least memory in the XML of the running VM.

    Returns the new device and one line; without the running VM's XML, or where the VM has no cells, the old device.
    """
    wanted, _ = properties.parse(values)
    tree = domxml.parse_device(device)
    memory = {}
    if running is not None:
        try:
            memory = domxml.read_memory_by_cell(domxml.parse(running))
        except Refused:
            pass  # then it is as if it had no cells
    next_start = [] if wanted.guestnuma is not None and wanted.guestnuma.shares else [_REFUSED_NEXT]
    if not memory:
        what = "libvirt could not be asked for the VM's cells" if running is None else "the VM has no cells"
        stays = Problem("guestnuma", what, "the memory device stays as the engine made it", warning=True)
        return device, _tell([], [stays, *next_start])
    cell = min(memory, key=lambda number: (memory[number], number))
    domxml.set_node(tree.getroot(), cell)
    told = f"largeguest: guestnuma: memory device plugged to cell {cell}, which has least memory, {memory[cell]} KiB"
    return domxml.serialise(tree, like=device), _tell([told], next_start)


def _tell(done: Iterable[str], warnings: Iterable[Problem]) -> str:
    return "; ".join(filter(None, [*done, join(warnings)]))


def _tell_replaced(replaced: Counter[str]) -> Iterable[str]:
    if replaced:
        yield "replaced " + ", ".join(plural(count, name) for name, count in sorted(replaced.items()))

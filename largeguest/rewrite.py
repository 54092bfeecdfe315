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

RESUMED = "largeguest: nothing changed: the VM is resumed, not started"

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
            return document, f"{RESUMED} (<domain id=...>)"
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


def check_on_host(values: Mapping[str, str], document: bytes, host: Host) -> None:
    """Check that `host` can take over the VM of the domain XML `document`, which runs or sleeps elsewhere.

    Of the guest nothing is checked: what it has was settled at its start, and memory may have been plugged in since.
    Raises Refused.
    """
    wanted, problems = properties.parse(values)
    try:
        placement.place_again(wanted, domxml.read_guest(domxml.parse(document)), host)
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None
    if problems:
        raise Refused(problems)


def retarget(device: bytes, running: bytes) -> bytes:
    """Point the XML of a memory device to the cell that has least memory in the XML of the running VM.

    Where the VM has no cells the device stays as it is. Raises Refused for a device that is none.
    """
    tree = domxml.parse_device(device)
    try:
        memory = domxml.read_memory_by_cell(domxml.parse(running))
    except Refused:
        return device
    if not memory:
        return device
    domxml.set_node(tree.getroot(), min(memory, key=lambda number: (memory[number], number)))
    return domxml.serialise(tree, like=device)


def _tell(done: Iterable[str], warnings: Iterable[Problem]) -> str:
    return "; ".join(filter(None, [*done, join(warnings)]))


def _tell_replaced(replaced: Counter[str]) -> Iterable[str]:
    if replaced:
        yield "replaced " + ", ".join(plural(count, name) for name, count in sorted(replaced.items()))

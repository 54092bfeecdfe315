# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole job: the texts of the properties, an XML and the host in, the new XML out. Touches no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from . import VERSION, properties
from .domxml import parse, read, write
from .host.topology import Host
from .placement import neighbours, pinning
from .placement.place import place, place_again
from .problem import Problem, Refused, also, join
from .record import Record, replace
from .values import Guest, Layout, Neighbour, Pins, Placement
from .wording import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lxml import etree

    from .properties import Properties

_NO_KEEPER = Problem(
    "cputune",
    "VDSM moves the pins of a VM with the CPU pinning policy none, and the keeper is not active",
    "systemctl enable --now vdsm-largeguest-keeper, or choose the policy Manual",
    warning=True,
)

RESUMED = "largeguest: nothing changed: the VM is resumed, not started"

_kept: list[object] = []
"""The last tree: freeing a large one takes a while, and a hook's process ends right away."""


class Rewritten(Record):
    """What has become of a domain XML."""

    document: bytes
    line: str
    """Reports what was done."""
    holds: Neighbour = Neighbour("")
    """What other VMs of the host should leave to this one."""


def rewrite(values: Mapping[str, str], document: bytes, host: Host | None, keeper: bool | None = None) -> Rewritten:
    """Apply the properties (name to text) to the domain XML `document`; `keeper`: whether it is active, if known.

    The XML of a VM that has run is returned as it is. Raises Refused with every problem; those with the host only if
    one is given.
    """
    request, problems = properties.parse(values)
    tree = also(problems, parse.domain, document)
    if read.has_run(tree):
        return Rewritten(document, f"{RESUMED} (<domain id=...>)")
    guest = also(problems, read.guest, tree)
    placement = also(problems, place_on, request, guest, host, tree)
    if problems:
        raise Refused(problems)
    replaced = write.write(tree, placement)
    if placement.pins is not None and host is not None and host.boot is not None:
        write.write_layout(tree, Layout(host.boot, placement.pins.numbers()))
    new = write.serialise(tree, like=document)
    _kept[:] = [tree]
    auto = "auto: " if request.is_auto else ""
    parts = [f"largeguest {VERSION}: {auto}{placement}", str(placement.locality or ""), *_replaced_text(replaced)]
    warnings = list(placement.warnings)
    if placement.pins is not None and guest.cpu_policy == "none":
        if keeper is False:
            warnings.append(_NO_KEEPER)
        else:
            parts.append("the keeper has to hold the pins" if keeper is None else "the keeper holds the pins")
    holds = Neighbour("") if host is None else neighbours.of_placement(read.name(tree), placement, guest, host)
    return Rewritten(new, "; ".join(filter(None, [*parts, join(warnings)])), holds)


def place_on(request: Properties, guest: Guest, host: Host | None, tree: etree._ElementTree | None = None) -> Placement:
    """Place a VM that starts; the planner chooses what is auto, near the devices of the domain XML. Raises Refused."""
    if not request.is_auto:
        return place(request, guest, host)
    from .planner.expand import expand

    try:
        chosen, warnings = expand(request, guest, host, () if tree is None else tuple(read.pci_devices(tree)))
    except Refused as refused:
        also(refused.problems, place, request.without_auto(), guest, host)
        raise
    placement = place(chosen, guest, host)
    return replace(placement, warnings=(*warnings, *placement.warnings))


def check_again(values: Mapping[str, str], document: bytes, host: Host, suspended: bool) -> Neighbour:
    """Check that `host` can take over the VM of the domain XML `document`, which runs elsewhere or is `suspended`.

    The vCPUs of a suspended VM come without pins or with those of the engine. Nothing about the guest is checked: its
    start has done that, and memory may have been plugged in since. Returns what it will hold. Raises Refused.
    """
    request, problems = properties.parse(values)
    tree = also(problems, parse.domain, document)
    guest = also(problems, read.guest, tree)
    if suspended:
        guest = replace(guest, pins=replace(guest.pins, vcpus={}))
    layout = read.layout(tree)
    before = (layout and pinning.of_numbers(layout.cputune)) or Pins()
    is_auto = "cputune" in request.autos
    if is_auto:
        from .planner.free import pin_again

        is_here = layout is not None and layout.boot == host.boot
        held = pinning.still_free(before, guest, host) if is_here else Pins()
        request = replace(request, cputune=also(problems, pin_again, guest, host, held, before))
    placement = also(problems, place_again, request, guest, host, before)
    holds = neighbours.of_placement(read.name(tree), placement, guest, host)
    if is_auto:
        subject = "numatune" if request.guestnuma is None else "guestnuma"
        short = (*placement.warnings, *neighbours.check_promises(holds, subject, host))
        problems = (*problems, *(replace(it, fix="choose another host", warning=False) for it in short))
    if problems:
        raise Refused(problems)
    return holds


def retarget(device: bytes, running: bytes) -> bytes:
    """Plug the memory device of an XML into the cell that has the least memory in the XML of the running VM.

    If the VM has no cells, the device stays as it is. Raises Refused for XML that is not a memory device.
    """
    tree = parse.device(device)
    try:
        memory = read.memory_by_cell(parse.domain(running))
    except Refused:
        return device
    if not memory:
        return device
    write.set_node(tree.getroot(), min(memory, key=lambda number: (memory[number], number)))
    return write.serialise(tree, like=device)


def _replaced_text(replaced: Counter[str]) -> Iterable[str]:
    if replaced:
        yield "replaced " + ", ".join(plural(count, name) for name, count in sorted(replaced.items()))

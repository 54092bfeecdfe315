# SPDX-License-Identifier: GPL-2.0-or-later
"""Write a placement into a domain XML. Decides nothing.

Everything else is kept, equal as canonical XML: unknown elements, comments, namespace prefixes.
"""

from __future__ import annotations

from collections import Counter

from lxml import etree

from ..values import Cell, Layout, Pins, Placement, Policy
from . import LAYOUT, NAMESPACE, PREFIX
from .edit import child, element, indentation, insert, is_empty, remove
from .text import integer

Element = etree._Element


def serialise(tree: etree._ElementTree, like: bytes) -> bytes:
    """The document as UTF-8, with an XML declaration if the document `like` has one."""
    tree.getroot().tail = "\n"
    text: bytes = etree.tostring(tree, encoding="UTF-8", xml_declaration=like.startswith(b"<?xml"))
    return text


def write(tree: etree._ElementTree, placement: Placement) -> Counter[str]:
    """Replace in `tree` what `placement` sets; what it leaves None is kept. Counts what was replaced."""
    root = tree.getroot()
    replaced: Counter[str] = Counter()
    if placement.pins is not None:
        replaced += _write_pins(root, placement.pins)
    if placement.cells is not None:
        replaced += _write_cells(root, placement.cells)
    if placement.policy is not None:
        replaced += _write_policy(root, placement.policy)
    if placement.cells is not None:
        _write_memnodes(root, placement.cells)
    return replaced


def write_layout(tree: etree._ElementTree, layout: Layout) -> None:
    """Record in the metadata what cputune was resolved to."""
    metadata = child(tree.getroot(), "metadata", after=("name", "uuid", "genid", "title", "description"))
    remove(metadata.findall(LAYOUT))
    namespace = {f"xmlns:{PREFIX}": NAMESPACE}
    insert(metadata, len(metadata), [element(f"{PREFIX}:layout", **namespace, **_attributes(layout))])


def layout_text(layout: Layout) -> str:
    """The same element for libvirt's setMetadata, which adds the namespace."""
    return element("layout", **_attributes(layout))


def _attributes(layout: Layout) -> dict[str, str]:
    return {"host": layout.boot, "cputune": layout.cputune}


def _write_pins(root: Element, pins: Pins) -> Counter[str]:
    old = [pin for pin in root.iterfind("cputune/vcpupin") if integer(pin, pin.get("vcpu")) in pins.vcpus]
    for pin in root.iterfind("cputune/iothreadpin"):
        if integer(pin, pin.get("iothread")) in pins.iothreads:
            old.append(pin)
    if pins.emulator is not None:
        old += root.iterfind("cputune/emulatorpin")
    replaced = remove(old)
    cputune = child(root, "cputune", after=("vcpu", "vcpus", "iothreads", "iothreadids"))
    kept = cputune.findall("vcpupin")
    at = cputune.index(kept[-1]) + 1 if kept else len(cputune)
    insert(cputune, at, (element("vcpupin", vcpu=vcpu, cpuset=cpus) for vcpu, cpus in sorted(pins.vcpus.items())))
    others = [] if pins.emulator is None else [element("emulatorpin", cpuset=pins.emulator)]
    others += [element("iothreadpin", iothread=number, cpuset=cpus) for number, cpus in sorted(pins.iothreads.items())]
    insert(cputune, len(cputune), others)
    return replaced


def _write_policy(root: Element, policy: Policy) -> Counter[str]:
    replaced = remove([*root.iterfind("numatune/memory"), *root.iterfind("numatune/memnode")])
    where = {"placement": "auto"} if policy.nodeset is None else {"nodeset": policy.nodeset}
    insert(_numatune(root), 0, [element("memory", mode=policy.mode, **where)])
    return replaced


def _write_cells(root: Element, cells: tuple[Cell, ...]) -> Counter[str]:
    # Whatever else refers to the old cells is removed with them: libvirt refuses a memnode without its cell.
    stale = ("cpu/numa/cell", "cpu/numa/interconnects", "numatune/memnode")
    replaced = remove([old for path in stale for old in root.iterfind(path)])
    remove([numatune for numatune in root.iterfind("numatune") if is_empty(numatune)])
    cpu = child(root, "cpu", after=("vcpu", "cputune", "numatune", "resource", "sysinfo", "os", "features"))
    numa = child(cpu, "numa", after=("model", "vendor", "topology", "cache", "maxphysaddr", "feature"))
    between = indentation(numa)
    insert(numa, 0, (_cell(number, cell, between) for number, cell in enumerate(cells)))
    return replaced


def _cell(number: int, cell: Cell, between: str) -> str:
    """The element, indented as in `between`."""
    kept = {"memAccess": cell.mem_access, "discard": cell.discard}
    kept = {name: value for name, value in kept.items() if value is not None}
    text = element("cell", id=number, cpus=cell.vcpus, memory=cell.memory, **kept)
    if not cell.distances:
        return text
    inner, innermost = (between + blanks if between else "" for blanks in ("  ", "    "))
    siblings = [f'{innermost}<sibling id="{other}" value="{value}"/>' for other, value in cell.distances.items()]
    return f"{text[:-2]}>{inner}<distances>{''.join(siblings)}{inner}</distances>{between}</cell>"


def _write_memnodes(root: Element, cells: tuple[Cell, ...]) -> None:
    bound = {number: cell for number, cell in enumerate(cells) if cell.nodes is not None}
    if bound:
        numatune = _numatune(root)
        memnodes = (
            element("memnode", cellid=number, mode=cell.mode, nodeset=cell.nodes) for number, cell in bound.items()
        )
        insert(numatune, len(numatune), memnodes)


def _numatune(root: Element) -> Element:
    return child(root, "numatune", after=("vcpu", "vcpus", "iothreads", "iothreadids", "cputune"))


def set_node(device: Element, node: int) -> None:
    """Set the guest node of a memory device."""
    target = child(device, "target", after=("source", "uuid"))
    child(target, "node", after=("size",)).text = str(node)

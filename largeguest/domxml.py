# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's domain XML: read what the VM is, write a placement into it. Decides nothing.

Everything that is not replaced stays as it was, equal as canonical XML: unknown elements, comments, namespace prefixes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from .cpuset import MAX_ID, CpuSet
from .errors import Problem, Refused, quote

if TYPE_CHECKING:
    from .placement import Placement
    from .properties import Cell, Numatune

Element = etree._Element

_BYTES_IN_UNIT = {
    "b": 1, "bytes": 1,
    "k": 2**10, "kib": 2**10, "kb": 10**3,
    "m": 2**20, "mib": 2**20, "mb": 10**6,
    "g": 2**30, "gib": 2**30, "gb": 10**9,
    "t": 2**40, "tib": 2**40, "tb": 10**12,
    "p": 2**50, "pib": 2**50, "pb": 10**15,
    "e": 2**60, "eib": 2**60, "eb": 10**18,
}  # fmt: skip
"""libvirt's units of memory (virScaleInteger), which it reads without regard to case."""

_MEMORY_DEVICES = ("dimm", "nvdimm", "virtio-mem")
"""The models of `<memory>` devices whose size `<memory>` of the domain includes."""


@dataclass(frozen=True)
class Guest:
    """What the domain XML says about the VM."""

    max_vcpus: int
    """vCPUs that the VM can have, those that are not plugged included."""
    memory: int
    """KiB that the guest's cells hold: all but the memory devices."""

    @property
    def all_vcpus(self) -> CpuSet:
        return CpuSet.span(0, self.max_vcpus - 1)


def parse(document: bytes) -> etree._ElementTree:
    """Parse a domain XML, without entities and network; raises Refused.

    The message tells the place only, never what stands there: a domain XML can hold passwords.
    """
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, strip_cdata=False)
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise _refused(
            f"not well-formed at line {line}, column {column}", "look for a hook that runs before this one"
        ) from None
    tree = root.getroottree()
    if tree.docinfo.internalDTD is not None:
        raise _refused("has a document type declaration", "take it out, libvirt needs none")
    if root.tag != "domain":
        raise _refused("the outermost element is not <domain>", "give the XML of one libvirt domain")
    return tree


def serialise(tree: etree._ElementTree, declaration: bool = True) -> bytes:
    """The document as UTF-8, with or without an XML declaration."""
    text: bytes = etree.tostring(tree, encoding="UTF-8", xml_declaration=declaration)
    return text + b"\n"


def read_guest(tree: etree._ElementTree) -> Guest:
    """Read the guest; raises Refused where a number in the XML is none."""
    root = tree.getroot()
    devices = (
        device.find("target/size")
        for device in root.iterfind("devices/memory")
        if device.get("model") in _MEMORY_DEVICES
    )
    vcpu = root.find("vcpu")
    return Guest(
        max_vcpus=1 if vcpu is None else _count(vcpu),
        memory=_memory(root.find("memory")) - sum(map(_memory, devices)),
    )


def write(tree: etree._ElementTree, placement: Placement) -> None:
    """Replace in `tree` what `placement` is about; what it leaves None stays."""
    root = tree.getroot()
    if placement.pins is not None:
        _write_pins(root, placement.pins)
    if placement.cells is not None:
        _write_cells(root, placement.cells)
    if placement.memory is not None:
        _write_policy(root, placement.memory)


def _write_pins(root: Element, pins: dict[int, CpuSet]) -> None:
    for old in root.findall("cputune/vcpupin"):
        if old.get("vcpu", "").isdigit() and int(old.get("vcpu", "")) in pins:
            _take_out(old)
    cputune = _child(root, "cputune", after=("vcpu", "vcpus", "iothreads", "iothreadids"))
    kept = cputune.findall("vcpupin")
    _insert(
        cputune,
        cputune.index(kept[-1]) + 1 if kept else len(cputune),
        (etree.Element("vcpupin", {"vcpu": str(vcpu), "cpuset": str(cpus)}) for vcpu, cpus in sorted(pins.items())),
    )


def _write_policy(root: Element, memory: Numatune) -> None:
    for name in ("numatune/memory", "numatune/memnode"):
        for old in root.findall(name):
            _take_out(old)
    numatune = _child(root, "numatune", after=("vcpu", "vcpus", "iothreads", "iothreadids", "cputune"))
    _insert(numatune, 0, [etree.Element("memory", {"mode": memory.mode, "nodeset": str(memory.nodeset)})])


def _write_cells(root: Element, cells: tuple[Cell, ...]) -> None:
    shared = any(old.get("memAccess") == "shared" for old in root.iterfind("cpu/numa/cell"))
    # What else names cells by their old numbers must not outlive them: libvirt refuses a memnode without its cell.
    for name in ("cpu/numa/cell", "cpu/numa/interconnects", "numatune/memnode"):
        for old in root.findall(name):
            _take_out(old)
    for numatune in root.findall("numatune"):
        if not len(numatune):
            _take_out(numatune)
    cpu = _child(root, "cpu", after=("vcpu", "cputune", "numatune", "resource", "sysinfo", "os", "features"))
    numa = _child(cpu, "numa", after=("model", "vendor", "topology", "cache", "maxphysaddr", "feature"))
    _insert(numa, 0, (_cell(number, cell, shared) for number, cell in enumerate(cells)))


def _cell(number: int, cell: Cell, shared: bool) -> Element:
    element = etree.Element("cell", {"id": str(number), "cpus": str(cell.vcpus), "memory": str(cell.memory)})
    if shared:
        element.set("memAccess", "shared")
    return element


def _child(parent: Element, name: str, after: tuple[str, ...]) -> Element:
    """The child `name`; made behind the last child that is named in `after`, or at the end, where there is none."""
    child = parent.find(name)
    if child is None:
        child = etree.Element(name)
        places = [index for index, other in enumerate(parent) if other.tag in after]
        _insert(parent, places[-1] + 1 if places else len(parent), [child])
    return child


def _insert(parent: Element, index: int, children: Iterable[Element]) -> None:
    """Put `children` before the child `index` of `parent`, indented like the children that are there."""
    between = _indentation(parent)
    for at, child in enumerate(children, index):
        if at == 0 and not len(parent):
            child.tail = _closing(parent)
            parent.text = parent.text if (parent.text or "").strip() else between
        elif at == 0:
            child.tail = between
        else:
            before = parent[at - 1]
            child.tail, before.tail = before.tail, between
        parent.insert(at, child)


def _indentation(parent: Element) -> str:
    """The white space that stands before a child of `parent`."""
    if len(parent):
        return _blank(parent.text)
    outer = _closing(parent)
    return outer + "  " if "\n" in outer else ""


def _closing(element: Element) -> str:
    """The white space that stands before `element`, and so before its end tag when it has children."""
    before = element.getprevious()
    above = element.getparent()
    if before is not None:
        return _blank(before.tail)
    return "" if above is None else _blank(above.text)


def _blank(text: str | None) -> str:
    return text if text and text.isspace() else ""


def _take_out(element: Element) -> None:
    """Remove `element` with the indentation before it; text that somebody put beside it stays."""
    parent, before = element.getparent(), element.getprevious()
    assert parent is not None, "the root element is never taken out"
    ahead = (parent.text if before is None else before.tail) or ""
    behind = element.tail or ""
    if (ahead + behind).strip():
        left = ahead + behind
    else:
        left = behind if element.getnext() is None else ahead
    parent.remove(element)
    if before is None:
        parent.text = left
    else:
        before.tail = left


def _memory(element: Element | None) -> int:
    """KiB that an element such as `<memory unit='GiB'>4</memory>` says, rounded up as libvirt does."""
    if element is None:
        raise _refused("an element with the amount of memory is missing", "give the XML that the engine made")
    unit = element.get("unit", "KiB").lower()
    if unit not in _BYTES_IN_UNIT:
        raise _refused(f"<{element.tag}> has the unit {quote(unit)}", "use one of libvirt's units, such as KiB")
    return -(-_integer(element) * _BYTES_IN_UNIT[unit] // 1024)


def _count(element: Element) -> int:
    """The number of ids, from 1 on, that an element such as `<vcpu>4</vcpu>` says."""
    count = _integer(element)
    if not 0 < count <= MAX_ID + 1:
        raise _refused(f"<{element.tag}> says {count}", f"use a number from 1 to {MAX_ID + 1}")
    return count


def _integer(element: Element) -> int:
    text = (element.text or "").strip()
    if not re.fullmatch("[0-9]{1,18}", text):
        raise _refused(f"<{element.tag}> holds no whole number", "give the XML that the engine made")
    return int(text)


def _refused(what: str, mend: str) -> Refused:
    return Refused([Problem("domain XML", what, mend)])

# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's domain XML: read what the VM is, write a placement into it. Decides nothing.

Everything that is not replaced stays as it was, equal as canonical XML: unknown elements, comments, namespace prefixes.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable

from lxml import etree

from . import cpuset, safexml
from .cpuset import MAX_ID, CpuSet
from .errors import DOMAIN_XML, ParseError, Problem, Refused
from .guest import Guest, GuestCell, GuestPolicy, HugePage, MemoryDevice, Pins, Reference, Topology

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .placement import PlacedCell, Placement, Policy

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

_OVIRT_VM = "{http://ovirt.org/vm/1.0}"


def parse(document: bytes) -> etree._ElementTree:
    """Parse a domain XML; raises Refused, without a word of what stands in it."""
    return safexml.parse(document, DOMAIN_XML, "domain")


def parse_device(document: bytes) -> etree._ElementTree:
    """Parse the XML of a `<memory>` device; raises Refused."""
    return safexml.parse(document, "device XML", "memory")


def serialise(tree: etree._ElementTree, like: bytes) -> bytes:
    """The document as UTF-8, with an XML declaration if the document `like` has one."""
    tree.getroot().tail = "\n"
    text: bytes = etree.tostring(tree, encoding="UTF-8", xml_declaration=like.startswith(b"<?xml"))
    return text


def read_guest(tree: etree._ElementTree) -> Guest:
    """Read the guest; raises Refused where a number in the XML is none."""
    root = tree.getroot()
    vcpu = root.find("vcpu")
    max_vcpus = 1 if vcpu is None else _count(vcpu, vcpu.text)
    plugged = _read_plugged(root, max_vcpus)
    devices, cells = tuple(_read_devices(root)), tuple(_read_cells(root))
    os_type = root.find("os/type")
    return Guest(
        max_vcpus=max_vcpus,
        memory=_read_memory(root, devices, cells),
        plugged=plugged,
        devices=devices,
        pages=tuple(_read_pages(root)),
        topology=_read_topology(root),
        cells=cells,
        policy=_read_policy(root),
        pins=_read_pins(root),
        iothreads=_read_iothreads(root),
        references=tuple(_read_references(root)),
        arch=None if os_type is None else os_type.get("arch"),
        cpu_policy=root.findtext(f"metadata/{_OVIRT_VM}vm/{_OVIRT_VM}cpuPolicy"),
    )


def has_run(tree: etree._ElementTree) -> bool:
    """Whether this is the XML of a VM that ran already: it is resumed or migrated, not started."""
    return tree.getroot().get("id") is not None


def read_name(tree: etree._ElementTree) -> str:
    """The domain's name, or its UUID."""
    root = tree.getroot()
    return root.findtext("name") or root.findtext("uuid") or ""


def read_custom_properties(tree: etree._ElementTree) -> dict[str, str]:
    """The custom properties that the engine has left in the metadata: name to text."""
    custom = tree.getroot().find(f"metadata/{_OVIRT_VM}vm/{_OVIRT_VM}custom")
    found = custom if custom is not None else ()
    return {etree.QName(element).localname: element.text or "" for element in found if isinstance(element.tag, str)}


def read_memory_by_cell(tree: etree._ElementTree) -> dict[int, int]:
    """Cell to the KiB that it has now, the devices plugged to it included; raises Refused."""
    root = tree.getroot()
    memory = {number: cell.memory for number, cell in enumerate(_read_cells(root))}
    for device in _read_devices(root):
        if device.node in memory:
            memory[device.node] += device.size
    return memory


def read_pci_devices(tree: etree._ElementTree) -> list[str]:
    """The host's PCI devices that are passed through to the VM, as `0000:3b:00.0`; raises Refused."""
    found = []
    root = tree.getroot()
    passed = [*root.iterfind("devices/hostdev[@type='pci']"), *root.iterfind("devices/interface[@type='hostdev']")]
    for address in [address for device in passed for address in device.iterfind("source/address")]:
        numbers = [_hexadecimal(address, name) for name in ("domain", "bus", "slot", "function")]
        found.append("{:04x}:{:02x}:{:02x}.{:x}".format(*numbers))
    return found


def _hexadecimal(element: Element, name: str) -> int:
    """libvirt takes decimal numbers, too, but writes these."""
    text = element.get(name, "0")
    if not re.fullmatch(r"0x[0-9A-Fa-f]{1,8}|[0-9]{1,8}", text):
        raise _refused(f"<{element.tag}> holds no PCI address", "give the XML that the engine made")
    return int(text, 16 if text.startswith("0x") else 10)


def _read_memory(root: Element, devices: Iterable[MemoryDevice], cells: Iterable[GuestCell]) -> int:
    """KiB without the memory devices, by libvirt's rule: where there are cells their sum, whatever `<memory>` says.

    The engine's `<memory>` leaves nvdimms out, that of a running VM includes all devices (virDomainDefPostParseMemory).
    """
    total = _memory(root, root.find("memory"))
    in_cells = sum(cell.memory for cell in cells)
    return in_cells or max(0, total - sum(device.size for device in devices))


def _read_plugged(root: Element, max_vcpus: int) -> CpuSet | None:
    """The vCPUs that are plugged in: the first ones, unless `<vcpus>` says of each whether it is."""
    vcpu = root.find("vcpu")
    each = root.findall("vcpus/vcpu")
    if each:
        return CpuSet(_id(one, one.get("id")) for one in each if one.get("enabled") == "yes")
    if vcpu is None or vcpu.get("current") is None:
        return None
    return CpuSet.span(0, min(_count(vcpu, vcpu.get("current")), max_vcpus) - 1)


def _read_devices(root: Element) -> Iterable[MemoryDevice]:
    for device in root.iterfind("devices/memory"):
        node = device.find("target/node")
        yield MemoryDevice(
            model=device.get("model", ""),
            size=_memory(device, device.find("target/size")),
            node=None if node is None else _id(node, node.text),
        )


def _read_references(root: Element) -> Iterable[Reference]:
    for controller in root.iterfind("devices/controller"):
        node = controller.find("target/node")
        if node is not None:
            yield Reference(f"a {controller.get('model', 'controller')}", CpuSet([_id(node, node.text)]))
    for acpi in root.iterfind("devices/*/acpi[@nodeset]"):
        yield Reference("an <acpi nodeset>", _ids(acpi, acpi.get("nodeset", "")))


def _read_pages(root: Element) -> Iterable[HugePage]:
    for hugepages in root.iterfind("memoryBacking/hugepages"):
        if hugepages.find("page") is None:
            yield HugePage(None, None)
        for page in hugepages.iterfind("page"):
            cells = page.get("nodeset")
            yield HugePage(_kib(page, page.get("size")), None if cells is None else _ids(page, cells))


def _read_topology(root: Element) -> Topology | None:
    topology = root.find("cpu/topology")
    if topology is None:
        return None
    sockets, dies, clusters, cores, threads = (
        _count(topology, topology.get(name, "1")) for name in ("sockets", "dies", "clusters", "cores", "threads")
    )
    return Topology(sockets, dies * clusters, cores, threads)


def _read_cells(root: Element) -> Iterable[GuestCell]:
    # libvirt numbers cells without an id by their order
    by_id = {_id(cell, cell.get("id", str(n))): cell for n, cell in enumerate(root.iterfind("cpu/numa/cell"))}
    memnodes = {_id(memnode, memnode.get("cellid")): memnode for memnode in root.iterfind("numatune/memnode")}
    for number, cell in sorted(by_id.items(), key=lambda pair: pair[0]):
        cpus, memnode = cell.get("cpus", ""), memnodes.get(number)
        yield GuestCell(
            vcpus=_ids(cell, cpus) if cpus else CpuSet(),
            memory=_kib(cell, cell.get("memory")),
            nodes=None if memnode is None else _ids(memnode, memnode.get("nodeset", "")),
            mode="strict" if memnode is None else memnode.get("mode", "strict"),
            mem_access=_word(cell, "memAccess", ("shared", "private")),
            discard=_word(cell, "discard", ("yes", "no")),
        )


def _read_policy(root: Element) -> GuestPolicy | None:
    memory, vcpu = root.find("numatune/memory"), root.find("vcpu")
    if memory is None:
        # libvirt takes the vCPUs' placement for the memory's
        auto = vcpu is not None and vcpu.get("placement") == "auto"
        return GuestPolicy("strict", auto=True) if auto else None
    nodeset = memory.get("nodeset")
    return GuestPolicy(
        mode=memory.get("mode", "strict"),
        auto=memory.get("placement") == "auto",
        nodeset=None if nodeset is None else _ids(memory, nodeset),
    )


def _read_pins(root: Element) -> Pins:
    emulator = root.find("cputune/emulatorpin")
    return Pins(
        vcpus={_id(pin, pin.get("vcpu")): _cpuset(pin) for pin in root.iterfind("cputune/vcpupin")},
        iothreads={_integer(pin, pin.get("iothread")): _cpuset(pin) for pin in root.iterfind("cputune/iothreadpin")},
        emulator=None if emulator is None else _cpuset(emulator),
    )


def _cpuset(pin: Element) -> CpuSet:
    return _ids(pin, pin.get("cpuset", ""))


def _read_iothreads(root: Element) -> CpuSet:
    """libvirt counts them from 1, unless `<iothreadids>` says otherwise for some or all."""
    iothreads = root.find("iothreads")
    count = 0 if iothreads is None else _integer(iothreads, iothreads.text)
    ids = {_integer(iothread, iothread.get("id")) for iothread in root.iterfind("iothreadids/iothread")}
    free = (number for number in range(1, MAX_ID + 1) if number not in ids)
    ids.update(itertools.islice(free, max(0, count - len(ids))))
    return CpuSet(number for number in ids if number <= MAX_ID)  # others cannot be named in cputune


def write(tree: etree._ElementTree, placement: Placement) -> Counter[str]:
    """Replace in `tree` what `placement` is about; what it leaves None stays. Counts what was replaced."""
    root = tree.getroot()
    replaced: Counter[str] = Counter()
    if placement.pins is not None:
        replaced += _write_pins(root, placement.pins)
    if placement.cells is not None:
        replaced += _write_cells(root, placement.cells)
    if placement.memory is not None:
        replaced += _write_policy(root, placement.memory)
    if placement.cells is not None:
        _write_memnodes(root, placement.cells)
    return replaced


def _write_pins(root: Element, pins: Pins) -> Counter[str]:
    old = [pin for pin in root.iterfind("cputune/vcpupin") if _integer(pin, pin.get("vcpu")) in pins.vcpus]
    for pin in root.iterfind("cputune/iothreadpin"):
        if _integer(pin, pin.get("iothread")) in pins.iothreads:
            old.append(pin)
    if pins.emulator is not None:
        old += root.iterfind("cputune/emulatorpin")
    replaced = _take_out(old)
    cputune = _child(root, "cputune", after=("vcpu", "vcpus", "iothreads", "iothreadids"))
    kept = cputune.findall("vcpupin")
    at = cputune.index(kept[-1]) + 1 if kept else len(cputune)
    _insert(cputune, at, (_element("vcpupin", vcpu=vcpu, cpuset=cpus) for vcpu, cpus in sorted(pins.vcpus.items())))
    others = [] if pins.emulator is None else [_element("emulatorpin", cpuset=pins.emulator)]
    others += [_element("iothreadpin", iothread=number, cpuset=cpus) for number, cpus in sorted(pins.iothreads.items())]
    _insert(cputune, len(cputune), others)
    return replaced


def _write_policy(root: Element, policy: Policy) -> Counter[str]:
    replaced = _take_out([*root.iterfind("numatune/memory"), *root.iterfind("numatune/memnode")])
    where = {"placement": "auto"} if policy.nodeset is None else {"nodeset": policy.nodeset}
    _insert(_numatune(root), 0, [_element("memory", mode=policy.mode, **where)])
    return replaced


def _write_cells(root: Element, cells: tuple[PlacedCell, ...]) -> Counter[str]:
    # What else names cells by their old numbers must not outlive them: libvirt refuses a memnode without its cell.
    stale = ("cpu/numa/cell", "cpu/numa/interconnects", "numatune/memnode")
    replaced = _take_out([old for path in stale for old in root.iterfind(path)])
    _take_out([numatune for numatune in root.iterfind("numatune") if _is_empty(numatune)])
    cpu = _child(root, "cpu", after=("vcpu", "cputune", "numatune", "resource", "sysinfo", "os", "features"))
    numa = _child(cpu, "numa", after=("model", "vendor", "topology", "cache", "maxphysaddr", "feature"))
    between = _indentation(numa)
    _insert(numa, 0, (_cell(number, cell, between) for number, cell in enumerate(cells)))
    return replaced


def _cell(number: int, cell: PlacedCell, between: str) -> str:
    """The element, on lines like those that begin with `between`."""
    kept = {"memAccess": cell.mem_access, "discard": cell.discard}
    kept = {name: value for name, value in kept.items() if value is not None}
    element = _element("cell", id=number, cpus=cell.vcpus, memory=cell.memory, **kept)
    if not cell.distances:
        return element
    inner, innermost = (between + blanks if between else "" for blanks in ("  ", "    "))
    siblings = [f'{innermost}<sibling id="{other}" value="{value}"/>' for other, value in cell.distances.items()]
    return f"{element[:-2]}>{inner}<distances>{''.join(siblings)}{inner}</distances>{between}</cell>"


def _write_memnodes(root: Element, cells: tuple[PlacedCell, ...]) -> None:
    bound = {number: cell for number, cell in enumerate(cells) if cell.nodes is not None}
    if bound:
        numatune = _numatune(root)
        memnodes = (
            _element("memnode", cellid=number, mode=cell.mode, nodeset=cell.nodes) for number, cell in bound.items()
        )
        _insert(numatune, len(numatune), memnodes)


def _numatune(root: Element) -> Element:
    return _child(root, "numatune", after=("vcpu", "vcpus", "iothreads", "iothreadids", "cputune"))


def _is_empty(element: Element) -> bool:
    return not len(element) and not (element.text or "").strip()


def _child(parent: Element, name: str, after: tuple[str, ...]) -> Element:
    """The child `name`; made behind the last child that is named in `after`, or at the end, where there is none."""
    child = parent.find(name)
    if child is None:
        places = [index for index, other in enumerate(parent) if other.tag in after]
        (child,) = _insert(parent, places[-1] + 1 if places else len(parent), [f"<{name}/>"])
    return child


def _insert(parent: Element, index: int, children: Iterable[str]) -> list[Element]:
    """Make the elements `children` before the child `index` of `parent`, indented like the children that are there."""
    between, closing = _indentation(parent), _closing(parent)
    empty = not len(parent)
    before = parent[index - 1] if index else None
    # thousands are parsed in a third of the time that it takes to make them one by one
    made = list(etree.fromstring(f"<aside>{''.join(children)}</aside>"))
    if not made:
        return made
    if before is not None:
        made[-1].tail, before.tail = before.tail, between
    else:
        if empty and not (parent.text or "").strip():
            parent.text = between
        made[-1].tail = closing if empty else between
    if between:
        for child in made[:-1]:
            child.tail = between
    parent[index:index] = made
    return made


def _element(name: str, **attributes: object) -> str:
    """An element; its values are numbers, lists of ids and libvirt's words, in which nothing has to be escaped."""
    values = [f' {key}="{value}"' for key, value in attributes.items()]
    return f"<{name}{''.join(values)}/>"


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


def _take_out(elements: list[Element]) -> Counter[str]:
    """Remove elements with the indentation before them; text that somebody put beside one stays. Counts the names."""
    for element in elements:
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
            parent.text = left or None
        else:
            before.tail = left or None
    return Counter(str(element.tag) for element in elements)


def set_node(device: Element, node: int) -> None:
    """Point a memory device to a guest node."""
    target = _child(device, "target", after=("source", "uuid"))
    _child(target, "node", after=("size",)).text = str(node)


def _memory(parent: Element, element: Element | None) -> int:
    """KiB that a child such as `<memory unit='GiB'>4</memory>` says."""
    if element is None:
        raise _refused(f"<{parent.tag}> does not say how much memory", "give the XML that the engine made")
    return _kib(element, element.text)


def _kib(element: Element, amount: str | None) -> int:
    """`amount` in the element's unit, as KiB, rounded up as libvirt does."""
    unit = element.get("unit", "KiB")
    if unit.lower() not in _BYTES_IN_UNIT:
        raise _refused(f"<{element.tag}> has a unit that libvirt does not know", "use one of its units, such as KiB")
    return -(-_integer(element, amount) * _BYTES_IN_UNIT[unit.lower()] // 1024)


def _count(element: Element, text: str | None) -> int:
    """A number of things that have ids, at least 1."""
    count = _integer(element, text)
    if not 0 < count <= MAX_ID + 1:
        raise _refused(f"<{element.tag}> says {count}", f"use a number from 1 to {MAX_ID + 1}")
    return count


def _id(element: Element, text: str | None) -> int:
    number = _integer(element, text)
    if number > MAX_ID:
        raise _refused(f"<{element.tag}> says {number}", f"use a number from 0 to {MAX_ID}")
    return number


def _integer(element: Element, text: str | None) -> int:
    if not re.fullmatch(r"\s*\+?[0-9]{1,18}\s*", text or "", re.ASCII):
        raise _refused(f"<{element.tag}> holds no whole number", "give the XML that the engine made")
    return int(text or "")


def _word(element: Element, name: str, words: tuple[str, ...]) -> str | None:
    """One of libvirt's words, which can be written as it is."""
    text = element.get(name)
    if text not in (None, *words):
        raise _refused(f"<{element.tag}> has an unknown {name}", f"use {' or '.join(words)}")
    return text


def _ids(element: Element, text: str) -> CpuSet:
    try:
        return cpuset.parse(text)
    except ParseError:
        raise _refused(f"<{element.tag}> holds no list of ids", "give the XML that the engine made") from None


def _refused(what: str, mend: str) -> Refused:
    return Refused([Problem(DOMAIN_XML, what, mend)])

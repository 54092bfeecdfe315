# SPDX-License-Identifier: GPL-2.0-or-later
"""Read from a domain XML what a placement depends on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from lxml import etree

from ..cpuset import MAX_ID, CpuSet
from ..values import DEFAULT_MODE, Cell, Guest, HugePage, Layout, MemoryDevice, Pins, Policy, Reference, Topology
from . import LAYOUT
from .text import count, id_of, ids, integer, kib, memory, refused, word

Element = etree._Element

_OVIRT_VM = "{http://ovirt.org/vm/1.0}"


def guest(tree: etree._ElementTree) -> Guest:
    """Read the guest; raises Refused for an invalid number in the XML."""
    root = tree.getroot()
    vcpu = root.find("vcpu")
    max_vcpus = 1 if vcpu is None else count(vcpu, vcpu.text)
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
    """Whether this is the XML of a VM that has run: it is being resumed or migrated, not started."""
    return tree.getroot().get("id") is not None


def name(tree: etree._ElementTree) -> str:
    """The domain's name, or its UUID."""
    root = tree.getroot()
    return root.findtext("name") or root.findtext("uuid") or ""


def uuid(tree: etree._ElementTree) -> str:
    """The domain's UUID, which a file may not have."""
    return tree.getroot().findtext("uuid") or ""


def custom_properties(tree: etree._ElementTree) -> dict[str, str]:
    """The custom properties that the engine has put into the metadata: name to text."""
    custom = tree.getroot().find(f"metadata/{_OVIRT_VM}vm/{_OVIRT_VM}custom")
    found = custom if custom is not None else ()
    return {etree.QName(element).localname: element.text or "" for element in found if isinstance(element.tag, str)}


def layout(tree: etree._ElementTree) -> Layout | None:
    """What cputune was resolved to when the VM started or arrived; None if that was not recorded."""
    element = tree.getroot().find(f"metadata/{LAYOUT}")
    return None if element is None else Layout(element.get("host", ""), element.get("cputune", ""))


def memory_by_cell(tree: etree._ElementTree) -> dict[int, int]:
    """Cell to its present KiB, including the devices plugged into it; raises Refused."""
    root = tree.getroot()
    by_cell = {number: cell.memory for number, cell in enumerate(_read_cells(root))}
    for device in _read_devices(root):
        if device.node in by_cell:
            by_cell[device.node] += device.size
    return by_cell


def pci_devices(tree: etree._ElementTree) -> list[str]:
    """The host's PCI devices that are passed through to the VM, as `0000:3b:00.0`; raises Refused."""
    found = []
    root = tree.getroot()
    devices = [*root.iterfind("devices/hostdev[@type='pci']"), *root.iterfind("devices/interface[@type='hostdev']")]
    for address in [address for device in devices for address in device.iterfind("source/address")]:
        numbers = [_hexadecimal(address, name) for name in ("domain", "bus", "slot", "function")]
        found.append("{:04x}:{:02x}:{:02x}.{:x}".format(*numbers))
    return found


def _hexadecimal(element: Element, name: str) -> int:
    """libvirt also accepts decimal numbers, but writes these."""
    text = element.get(name, "0")
    if not re.fullmatch(r"0x[0-9A-Fa-f]{1,8}|[0-9]{1,8}", text):
        raise refused(f"<{element.tag}> contains no PCI address", "use the XML that the engine wrote")
    return int(text, 16 if text.startswith("0x") else 10)


def _read_memory(root: Element, devices: Iterable[MemoryDevice], cells: Iterable[Cell]) -> int:
    """KiB without the memory devices, by libvirt's rule: if there are cells, their sum, whatever `<memory>` says.

    The engine's `<memory>` excludes nvdimms, that of a running VM includes all devices (virDomainDefPostParseMemory).
    """
    total = memory(root, root.find("memory"))
    in_cells = sum(cell.memory for cell in cells)
    return in_cells or max(0, total - sum(device.size for device in devices))


def _read_plugged(root: Element, max_vcpus: int) -> CpuSet | None:
    """The vCPUs that are plugged in: the first ones, unless `<vcpus>` lists each."""
    vcpu = root.find("vcpu")
    each = root.findall("vcpus/vcpu")
    if each:
        return CpuSet(id_of(one, one.get("id")) for one in each if one.get("enabled") == "yes")
    if vcpu is None or vcpu.get("current") is None:
        return None
    return CpuSet.span(0, min(count(vcpu, vcpu.get("current")), max_vcpus) - 1)


def _read_devices(root: Element) -> Iterable[MemoryDevice]:
    for device in root.iterfind("devices/memory"):
        node = device.find("target/node")
        yield MemoryDevice(
            model=device.get("model", ""),
            size=memory(device, device.find("target/size")),
            node=None if node is None else id_of(node, node.text),
        )


def _read_references(root: Element) -> Iterable[Reference]:
    for controller in root.iterfind("devices/controller"):
        node = controller.find("target/node")
        if node is not None:
            yield Reference(f"a {controller.get('model', 'controller')}", CpuSet([id_of(node, node.text)]))
    for acpi in root.iterfind("devices/*/acpi[@nodeset]"):
        yield Reference("an <acpi nodeset>", ids(acpi, acpi.get("nodeset", "")))


def _read_pages(root: Element) -> Iterable[HugePage]:
    for hugepages in root.iterfind("memoryBacking/hugepages"):
        if hugepages.find("page") is None:
            yield HugePage(None, None)
        for page in hugepages.iterfind("page"):
            cells = page.get("nodeset")
            yield HugePage(kib(page, page.get("size")), None if cells is None else ids(page, cells))


def _read_topology(root: Element) -> Topology | None:
    topology = root.find("cpu/topology")
    if topology is None:
        return None
    sockets, dies, clusters, cores, threads = (
        count(topology, topology.get(name, "1")) for name in ("sockets", "dies", "clusters", "cores", "threads")
    )
    return Topology(sockets, dies * clusters, cores, threads)


def _read_cells(root: Element) -> Iterable[Cell]:
    # libvirt numbers cells without an id by their order
    by_id = {id_of(cell, cell.get("id", str(n))): cell for n, cell in enumerate(root.iterfind("cpu/numa/cell"))}
    memnodes = {id_of(memnode, memnode.get("cellid")): memnode for memnode in root.iterfind("numatune/memnode")}
    for number, cell in sorted(by_id.items(), key=lambda pair: pair[0]):
        cpus, memnode = cell.get("cpus", ""), memnodes.get(number)
        yield Cell(
            vcpus=ids(cell, cpus) if cpus else CpuSet(),
            memory=kib(cell, cell.get("memory")),
            nodes=None if memnode is None else ids(memnode, memnode.get("nodeset", "")),
            mode=DEFAULT_MODE if memnode is None else memnode.get("mode", DEFAULT_MODE),
            mem_access=word(cell, "memAccess", ("shared", "private")),
            discard=word(cell, "discard", ("yes", "no")),
        )


def _read_policy(root: Element) -> Policy | None:
    element, vcpu = root.find("numatune/memory"), root.find("vcpu")
    if element is None:
        # libvirt applies the vCPUs' placement to the memory as well
        auto = vcpu is not None and vcpu.get("placement") == "auto"
        return Policy(DEFAULT_MODE, None) if auto else None
    mode, nodeset = element.get("mode", DEFAULT_MODE), element.get("nodeset")
    if element.get("placement") == "auto":
        return Policy(mode, None)
    return Policy(mode, CpuSet() if nodeset is None else ids(element, nodeset))


def _read_pins(root: Element) -> Pins:
    emulator = root.find("cputune/emulatorpin")
    return Pins(
        vcpus={id_of(pin, pin.get("vcpu")): _cpuset(pin) for pin in root.iterfind("cputune/vcpupin")},
        iothreads={integer(pin, pin.get("iothread")): _cpuset(pin) for pin in root.iterfind("cputune/iothreadpin")},
        emulator=None if emulator is None else _cpuset(emulator),
    )


def _cpuset(pin: Element) -> CpuSet:
    return ids(pin, pin.get("cpuset", ""))


def _read_iothreads(root: Element) -> CpuSet:
    """libvirt counts them from 1, unless `<iothreadids>` says otherwise for some or all."""
    iothreads = root.find("iothreads")
    count = 0 if iothreads is None else integer(iothreads, iothreads.text)
    ids = {integer(iothread, iothread.get("id")) for iothread in root.iterfind("iothreadids/iothread")}
    free = (number for number in range(1, MAX_ID + 1) if number not in ids)
    ids.update(itertools.islice(free, max(0, count - len(ids))))
    return CpuSet(number for number in ids if number <= MAX_ID)  # others cannot be named in cputune

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from largeguest import PROPERTIES, VERSION
from largeguest.cpuset import CpuSet
from largeguest.domxml import LAYOUT, parse, read
from largeguest.problem import Refused
from largeguest.record import replace
from largeguest.rewrite import rewrite
from largeguest.values import Cell, Guest, HugePage, MemoryDevice, Pins, Policy, Topology
from tests import DATA, hosts

HOST = replace(hosts.build(memory=32 * hosts.GIB), boot="5f0c4e2a-8f0b-4f4e-9d0e-0a6f2d3c4b5a")
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

# What the properties own, by XPath: everything else must come out as it went in.
OWNED = {
    "cputune": ["cputune/vcpupin", "cputune/emulatorpin", "cputune/iothreadpin", f"metadata/{LAYOUT}"],
    "numatune": ["numatune/memory", "numatune/memnode"],
    "guestnuma": ["cpu/numa/cell", "numatune/memnode"],
}

# input, properties (on a host with four nodes), expected output
REWRITES = {
    "plain-all": ("plain", {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}),
    "plain-places": (
        "plain",
        {
            "cputune": "0-1#=node2,2-3#=node3,emulator#node2,node3,iothread1#=node3",
            "numatune": "2-3",
            "guestnuma": "0-1#*@2,2-3#*@3",
        },
    ),
    "plain-auto": ("plain", {"numatune": "interleave#auto"}),
    "plain-several": ("plain", {"numatune": "restrictive#^0", "guestnuma": "0-1#128M@1+3,2-3#*"}),
    "vnuma-pins": ("vnuma", {"cputune": "1#8,^8,9,15#0-15,^3"}),
    "vnuma-policy": ("vnuma", {"numatune": "interleave#0-1"}),
    "vnuma-cells": ("vnuma", {"guestnuma": "0-7#10485760,8-15#10485760"}),
    "vnuma-all": (
        "vnuma",
        {"cputune": "0#0,3#3", "numatune": "preferred#1", "guestnuma": "0-3,8-11#10485760,4-7,12-15#10485760"},
    ),
}


def canonical(tree: etree._ElementTree, without: list[str]) -> bytes:
    """Canonical XML without the elements at these paths, parents left empty by that, and blanks between elements."""
    parser = etree.XMLParser(remove_blank_text=True)
    root = etree.fromstring(etree.tostring(tree), parser)
    for path in without:
        for element in root.findall(path):
            parent = element.getparent()
            assert parent is not None
            parent.remove(element)
            while not len(parent) and parent.tag in ("numa", "numatune", "cputune", "cpu"):
                above = parent.getparent()
                assert above is not None
                above.remove(parent)
                parent = above
    return etree.tostring(root, method="c14n")


@pytest.mark.parametrize("name", REWRITES)
def test_rewrite_gives_the_expected_document(name: str) -> None:
    source, values = REWRITES[name]
    new = rewrite(values, (DATA / f"{source}.xml").read_bytes(), HOST).document
    expected = etree.parse(str(DATA / f"{source}.{name.split('-')[1]}.expected.xml"))
    assert etree.tostring(parse.domain(new), method="c14n") == etree.tostring(expected, method="c14n")


@pytest.mark.parametrize("name", REWRITES)
def test_rewriting_again_changes_nothing(name: str) -> None:
    source, values = REWRITES[name]
    new = rewrite(values, (DATA / f"{source}.xml").read_bytes(), HOST).document
    assert rewrite(values, new, HOST).document == new


@pytest.mark.parametrize("name", REWRITES)
def test_everything_else_survives(name: str) -> None:
    source, values = REWRITES[name]
    document = (DATA / f"{source}.xml").read_bytes()
    new = rewrite(values, document, HOST).document
    owned = [path for property_name in values for path in OWNED[property_name]]
    assert canonical(parse.domain(new), owned) == canonical(parse.domain(document), owned)


@pytest.mark.skipif(not SCHEMA.exists(), reason="apt-get install libvirt-clients (for libvirt's schema)")
@pytest.mark.parametrize("name", REWRITES)
def test_the_result_is_valid_by_libvirts_schema(name: str) -> None:
    source, values = REWRITES[name]
    schema = etree.RelaxNG(etree.parse(str(SCHEMA)))
    schema.assertValid(parse.domain((DATA / f"{source}.xml").read_bytes()))
    new = rewrite(values, (DATA / f"{source}.xml").read_bytes(), HOST).document
    if "restrictive" not in SCHEMA.with_name("domaincommon.rng").read_text(encoding="utf-8"):  # before 7.3
        new = new.replace(b"restrictive", b"strict")
    schema.assertValid(parse.domain(new))


@pytest.mark.parametrize("source", ["plain", "vnuma"])
@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("value", ["", "  "])
def test_a_property_that_is_not_set_changes_nothing(source: str, name: str, value: str) -> None:
    document = (DATA / f"{source}.xml").read_bytes()
    rewritten = rewrite({name: value}, document, None)
    new = parse.domain(rewritten.document)
    assert etree.tostring(new, method="c14n") == etree.tostring(parse.domain(document), method="c14n")
    assert rewritten.line == f"largeguest {VERSION}: nothing requested"


def test_the_examples_give_this_xml() -> None:
    document = b"<domain><memory>20971520</memory><vcpu>16</vcpu></domain>"
    new = rewrite({"numatune": "interleave#0-1", "guestnuma": "0-7#10485760,8-15#10485760"}, document, None).document
    assert new == (
        b"<domain><memory>20971520</memory><vcpu>16</vcpu>"
        b'<numatune><memory mode="interleave" nodeset="0-1"/></numatune>'
        b'<cpu><numa><cell id="0" cpus="0-7" memory="10485760"/>'
        b'<cell id="1" cpus="8-15" memory="10485760"/></numa></cpu>'
        b"</domain>\n"
    )


@pytest.mark.parametrize(
    ("inside", "values", "expected"),
    [
        pytest.param(
            "<cputune/>", {"cputune": "0#1"}, '<cputune><vcpupin vcpu="0" cpuset="1"/></cputune>', id="empty cputune"
        ),
        pytest.param(
            '<cputune><vcpupin vcpu="0" cpuset="1"/><vcpupin vcpu="0" cpuset="2"/></cputune>',
            {"cputune": "0#3"},
            '<cputune><vcpupin vcpu="0" cpuset="3"/></cputune>',
            id="pinned twice already",
        ),
        pytest.param(
            '<cputune><vcpupin vcpu=" +0" cpuset="1"/></cputune>',
            {"cputune": "0#3"},
            '<cputune><vcpupin vcpu="0" cpuset="3"/></cputune>',
            id="a pin in another form that libvirt reads",
        ),
        pytest.param(
            '<numatune>text<memnode cellid="0" mode="strict" nodeset="0"/></numatune>',
            {"guestnuma": "0-3#4096"},
            '<numatune>text</numatune><cpu><numa><cell id="0" cpus="0-3" memory="4096"/></numa></cpu>',
            id="text keeps numatune",
        ),
        pytest.param(
            '<numatune><memory mode="strict" placement="auto"/></numatune>',
            {"numatune": "strict#1"},
            '<numatune><memory mode="strict" nodeset="1"/></numatune>',
            id="placement auto goes",
        ),
        pytest.param(
            '<numatune><!-- why --><memnode cellid="0" mode="strict" nodeset="0"/></numatune>',
            {"guestnuma": "0-3#4096"},
            '<numatune><!-- why --></numatune><cpu><numa><cell id="0" cpus="0-3" memory="4096"/></numa></cpu>',
            id="a comment keeps numatune",
        ),
        pytest.param(
            '<numatune><memory mode="strict" nodeset="0"/><memnode cellid="1" mode="strict" nodeset="0"/></numatune>',
            {"guestnuma": "0-3#4096"},
            '<numatune><memory mode="strict" nodeset="0"/></numatune>'
            '<cpu><numa><cell id="0" cpus="0-3" memory="4096"/></numa></cpu>',
            id="the memory policy stays with new cells",
        ),
        pytest.param(
            '<cpu><numa><cell id="0" cpus="0-3" memory="4096">'
            '<distances><sibling id="0" value="10"/></distances></cell>'
            '<interconnects><latency initiator="0" target="0" type="access" value="5"/></interconnects></numa></cpu>',
            {"guestnuma": "0-3#4096"},
            '<cpu><numa><cell id="0" cpus="0-3" memory="4096"/></numa></cpu>',
            id="distances and interconnects of old cells go",
        ),
        pytest.param(
            '<cpu><numa>text<cell id="0" cpus="0-3" memory="4096"/>more</numa></cpu>',
            {"guestnuma": "0-3#4096"},
            '<cpu><numa>textmore<cell id="0" cpus="0-3" memory="4096"/></numa></cpu>',
            id="text beside a cell stays",
        ),
        pytest.param(
            "<name><![CDATA[a<b]]></name><?keep me?>",
            {"cputune": "0#0"},
            '<cputune><vcpupin vcpu="0" cpuset="0"/></cputune><name><![CDATA[a<b]]></name><?keep me?>',
            id="CDATA and processing instructions stay",
        ),
    ],
)
def test_what_is_there_already(inside: str, values: dict[str, str], expected: str) -> None:
    start, end = "<domain><memory>4096</memory><vcpu>4</vcpu>", "</domain>"
    new = rewrite(values, (start + inside + end).encode(), None).document
    output = (start + expected + end).encode()
    assert etree.tostring(parse.domain(new), method="c14n") == etree.tostring(parse.domain(output), method="c14n")


@pytest.mark.parametrize(
    ("inside", "max_vcpus", "total_memory"),
    [
        ("<memory>4096</memory>", 1, 4096),
        ("<memory>4096</memory><vcpu>8</vcpu>", 8, 4096),
        ("<memory>4096</memory><vcpu> 16384 </vcpu>", 16384, 4096),
        ("<memory unit='b'>1025</memory>", 1, 2),
        ("<memory unit='KB'>1024</memory>", 1, 1000),
        ("<memory unit='k'>7</memory>", 1, 7),
        ("<memory unit='MiB'>3</memory>", 1, 3072),
        ("<memory unit='G'>6</memory>", 1, 6 * 2**20),
        ("<memory unit='TiB'>6</memory>", 1, 6 * 2**30),
    ],
)
def test_read_guest(inside: str, max_vcpus: int, total_memory: int) -> None:
    guest = read.guest(parse.domain(f"<domain>{inside}</domain>".encode()))
    assert guest == Guest(max_vcpus=max_vcpus, memory=total_memory)


def test_read_guest_in_full() -> None:
    document = """
    <domain id="7" xmlns:ovirt-vm="http://ovirt.org/vm/1.0">
      <memory unit="GiB">70</memory>
      <vcpu current="4">16</vcpu>
      <iothreads>3</iothreads>
      <iothreadids><iothread id="2"/></iothreadids>
      <os><type arch="ppc64le">hvm</type></os>
      <memoryBacking><hugepages><page size="2048"/><page size="1" unit="G" nodeset="1,3"/></hugepages></memoryBacking>
      <cpu>
        <topology sockets="2" dies="2" cores="2" threads="2"/>
        <numa>
          <cell id="0" cpus="0-7,^3" memory="1" unit="GiB" memAccess="shared" discard="yes"/>
          <cell id="1" memory="1048576"/>
        </numa>
      </cpu>
      <devices>
        <memory model="dimm"><target><size unit="GiB">1</size><node>0</node></target></memory>
        <memory model="nvdimm"><target><size unit="MiB">512</size><node>1</node></target></memory>
        <memory model="virtio-mem"><target><size>524288</size></target></memory>
        <memory model="virtio-pmem"><target><size unit="GiB">64</size></target></memory>
      </devices>
      <metadata><ovirt-vm:vm><ovirt-vm:cpuPolicy>manual</ovirt-vm:cpuPolicy></ovirt-vm:vm></metadata>
    </domain>"""
    guest = read.guest(parse.domain(document.encode()))
    assert guest == Guest(
        max_vcpus=16,
        memory=2 * 2**20,
        plugged=CpuSet(range(4)),
        devices=(
            MemoryDevice("dimm", 2**20, 0),
            MemoryDevice("nvdimm", 2**19, 1),
            MemoryDevice("virtio-mem", 2**19, None),
            MemoryDevice("virtio-pmem", 64 * 2**20, None),
        ),
        pages=(HugePage(2048, None), HugePage(2**20, CpuSet([1, 3]))),
        topology=Topology(sockets=2, dies=2, cores=2, threads=2),
        cells=(
            Cell(CpuSet([0, 1, 2, 4, 5, 6, 7]), 2**20, mem_access="shared", discard="yes"),
            Cell(CpuSet(), 2**20),
        ),
        iothreads=CpuSet([1, 2, 3]),
        arch="ppc64le",
        cpu_policy="manual",
    )
    assert (guest.total_memory, guest.vcpus_per_socket, guest.plugged_vcpus) == (68 * 2**20, 8, CpuSet(range(4)))
    assert [guest.page_of(cell) for cell in (0, 1)] == list(guest.pages)


def device(model: str, size: int) -> str:
    return f"<memory model='{model}'><target><size>{size}</size><node>0</node></target></memory>"


CELL = "<cpu><numa><cell cpus='0-3' memory='{}'/></numa></cpu>"


@pytest.mark.parametrize(
    ("inside", "memory", "total"),
    [
        pytest.param(CELL.format(4096), 4096, 4096, id="as the engine starts it"),
        pytest.param(CELL.format(4096) + device("nvdimm", 2048), 4096, 6144, id="the engine leaves an nvdimm out"),
        pytest.param(CELL.format(1024) + device("dimm", 3072), 1024, 4096, id="as it runs, with a DIMM"),
        *(
            pytest.param(device(model, 1024), 3072, 4096, id=f"no cells, {model}")
            for model in ("dimm", "nvdimm", "virtio-mem", "virtio-pmem", "sgx-epc")
        ),
        pytest.param(device("nvdimm", 8192), 0, 8192, id="a contradiction"),
    ],
)
def test_the_memory_of_a_vm_is_the_sum_of_its_cells(inside: str, memory: int, total: int) -> None:
    document = f"<domain><memory>4096</memory><vcpu>4</vcpu>{inside.replace('<memory', '<devices><memory', 1)}"
    document += "</devices></domain>" if "<memory" in inside else "</domain>"
    guest = read.guest(parse.domain(document.encode()))
    assert (guest.memory, guest.total_memory) == (memory, total)


@pytest.mark.parametrize("guestnuma", ["0-1#131072,2-3#131072", "0-1#*,2-3#*"])
def test_a_vm_with_an_nvdimm_keeps_its_memory(guestnuma: str) -> None:
    document = f"<domain><memory>262144</memory><vcpu>4</vcpu>{CELL.format(262144)}"
    document += f"<devices>{device('nvdimm', 131072)}</devices></domain>"
    new = rewrite({"guestnuma": guestnuma}, document.encode(), None).document
    assert [cell.memory for cell in read.guest(parse.domain(new)).cells] == [131072, 131072]


@pytest.mark.parametrize(
    ("vcpu", "plugged"),
    [
        ("<vcpu>4</vcpu>", "0-3"),
        ("<vcpu current='2'>4</vcpu>", "0-1"),
        ("<vcpu current='9'>4</vcpu>", "0-3"),
        (
            "<vcpu current='2'>4</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/>"
            "<vcpu id='1' enabled='no' hotpluggable='yes'/><vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/>"
            "<vcpu id='3' enabled='no' hotpluggable='yes'/></vcpus>",
            "0,2",
        ),
    ],
)
def test_the_vcpus_that_are_plugged_in(vcpu: str, plugged: str) -> None:
    document = f"<domain><memory>1</memory>{vcpu}</domain>"
    assert str(read.guest(parse.domain(document.encode())).plugged_vcpus) == plugged


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("", "", ""),
        ("memAccess='shared'", "memAccess='shared'", ' memAccess="shared"'),
        ("memAccess='private' discard='no'", "discard='no' memAccess='private'", ' memAccess="private" discard="no"'),
        ("memAccess='private' discard='yes'", "memAccess='private'", ' memAccess="private"'),
        ("memAccess='private'", "discard='yes'", ""),
        # memory that another process uses stays shared
        ("memAccess='shared'", "", ' memAccess="shared"'),
        ("memAccess='private'", "memAccess='shared'", ' memAccess="shared"'),
    ],
)
def test_what_the_old_cells_agree_on_is_kept(first: str, second: str, kept: str) -> None:
    numa = f"<numa><cell cpus='0-1' memory='2048' {first}/><cell cpus='2-3' memory='2048' {second}/></numa>"
    document = f"<domain><memory>4096</memory><vcpu>4</vcpu><cpu>{numa}</cpu></domain>"
    new = rewrite({"guestnuma": "0-3#*"}, document.encode(), None).document
    assert f'<cell id="0" cpus="0-3" memory="4096"{kept}/>'.encode() in new


PXB = "<controller type='pci' model='pcie-expander-bus'><target busNr='254'><node>1</node></target></controller>"


@pytest.mark.parametrize(
    ("device", "guestnuma", "message"),
    [
        (PXB, "0-1#*,2-3#*", None),
        (PXB, "0-3#*", "a pcie-expander-bus in guest node 1, but only cell 0 exists"),
        ("<hostdev><acpi index='1' nodeset='0-3'/></hostdev>", "0-1#*,2-3#*", "an <acpi nodeset> in guest nodes 2-3"),
        ("<interface><acpi index='1'/></interface><controller><target/></controller>", "0-3#*", None),
    ],
)
def test_devices_that_name_cells(device: str, guestnuma: str, message: str | None) -> None:
    document = f"<domain><memory>4096</memory><vcpu>4</vcpu><devices>{device}</devices></domain>".encode()
    if message is None:
        rewrite({"guestnuma": guestnuma}, document, None)
        return
    with pytest.raises(Refused, match=f"guestnuma: the VM has {message}.*: write more cells, or remove the device"):
        rewrite({"guestnuma": guestnuma}, document, None)


@pytest.mark.parametrize(
    ("memory", "policy"),
    [
        ("<memory mode='interleave' nodeset='0'/>", Policy("interleave", CpuSet([0]))),
        ("<memory placement='auto'/>", Policy("strict", None)),
        ("<memnode cellid='0' mode='strict' nodeset='0'/>", None),
    ],
)
def test_the_policy_that_is_there(memory: str, policy: Policy | None) -> None:
    document = f"<domain><memory>1</memory><numatune>{memory}</numatune></domain>".encode()
    assert read.guest(parse.domain(document)).policy == policy


def test_automatic_placement_of_vcpus_is_one_of_memory() -> None:
    document = b"<domain><memory>1</memory><vcpu placement='auto'>1</vcpu></domain>"
    assert read.guest(parse.domain(document)).policy == Policy("strict", None)


def test_pins_and_memnodes_are_read() -> None:
    document = b"""<domain><memory>3</memory><cputune><vcpupin vcpu="1" cpuset="0-1"/><emulatorpin cpuset="2"/>
    <iothreadpin iothread="4294967295" cpuset="3,^3,4"/></cputune><iothreads>2</iothreads>
    <iothreadids><iothread id="4294967295"/></iothreadids>
    <cpu><numa><cell id="1" cpus="0" memory="1"/><cell id="0" cpus="1" memory="2"/></numa></cpu>
    <numatune><memnode cellid="1" mode="preferred" nodeset="3"/></numatune></domain>"""
    guest = read.guest(parse.domain(document))
    assert guest.pins == Pins({1: CpuSet([0, 1])}, {4294967295: CpuSet([4])}, CpuSet([2]))
    assert guest.iothreads == CpuSet([1])
    assert guest.cells == (
        Cell(CpuSet([1]), 2),
        Cell(CpuSet([0]), 1, nodes=CpuSet([3]), mode="preferred"),
    )


@pytest.mark.parametrize(
    ("cells", "devices", "memory"),
    [
        ("", "", {}),
        ("<cell cpus='0' memory='2'/><cell memory='1'/>", "", {0: 2, 1: 1}),
        ("<cell id='1' memory='1'/><cell id='0' memory='2'/>", "1 1", {0: 2, 1: 3}),
        ("<cell memory='2'/>", "7", {0: 2}),
    ],
)
def test_memory_by_cell(cells: str, devices: str, memory: dict[int, int]) -> None:
    dimms = "".join(
        f"<memory model='dimm'><target><size>1</size><node>{node}</node></target></memory>" for node in devices.split()
    )
    document = f"<domain><cpu><numa>{cells}</numa></cpu><devices>{dimms}</devices></domain>".encode()
    assert read.memory_by_cell(parse.domain(document)) == memory


@pytest.mark.parametrize("policy", ["none", "manual", "dedicated", None])
def test_cpu_policy(policy: str | None) -> None:
    document = (DATA / "plain.xml").read_bytes()
    line = b"<ovirt-vm:cpuPolicy>none</ovirt-vm:cpuPolicy>"
    assert line in document
    document = document.replace(line, b"" if policy is None else line.replace(b"none", policy.encode()))
    assert read.guest(parse.domain(document)).cpu_policy == policy


def test_hugepages_without_a_size_are_of_the_hosts_default() -> None:
    document = b"<domain><memory>1</memory><memoryBacking><hugepages/></memoryBacking></domain>"
    assert read.guest(parse.domain(document)).pages == (HugePage(None, None),)


@pytest.mark.parametrize("properties", [{"cputune": "0#0"}, {"guestnuma": "9#9", "numatune": "strict#99"}])
def test_the_xml_of_a_vm_that_has_run_is_left_alone(properties: dict[str, str]) -> None:
    document = (DATA / "plain.xml").read_bytes().replace(b'<domain type="kvm"', b"<domain id='3' type='kvm'")
    rewritten = rewrite(properties, document, None)
    assert rewritten.document is document
    assert rewritten.line == "largeguest: nothing changed: the VM is resumed, not started (<domain id=...>)"


@pytest.mark.parametrize(
    ("source", "values", "replaced"),
    [
        ("plain", {"cputune": "0#0", "numatune": "strict#0"}, ""),
        ("vnuma", {"cputune": "0#0,9#9"}, "; replaced 1 vcpupin"),
        ("vnuma", {"numatune": "strict#0"}, "; replaced 3 memnodes"),
        ("vnuma", {"guestnuma": "0-15#20971520"}, "; replaced 3 cells, 3 memnodes"),
        (
            "vnuma",
            {"cputune": "0#0,1#1,2#2", "numatune": "strict#0", "guestnuma": "0-15#20971520"},
            "; replaced 3 cells, 3 memnodes, 3 vcpupins",
        ),
    ],
)
def test_what_was_replaced_is_reported(source: str, values: dict[str, str], replaced: str) -> None:
    line = rewrite(values, (DATA / f"{source}.xml").read_bytes(), None).line
    assert line.partition("; replaced")[1] + line.partition("; replaced")[2] == replaced


LOOK = "find out what wrote it, perhaps another hook"
GIVE = "use the XML that the engine wrote"
XML_REFUSALS = [
    ("", f"not well-formed at line 1, column 1: {LOOK}"),
    ("<domain>\n<graphics passwd='hidden-word'>", f"not well-formed at line 2, column 32: {LOOK}"),
    ("<network/>", "the root element is not <domain>: give libvirt's <domain> XML"),
    (
        "<!DOCTYPE domain [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><domain><memory>&e;</memory></domain>",
        f"has a document type declaration, which libvirt does not need: {LOOK}",
    ),
    ("<domain/>", f"<domain> gives no amount of memory: {GIVE}"),
    ("<domain><memory/></domain>", f"<memory> contains no whole number: {GIVE}"),
    ("<domain><memory>-1</memory></domain>", f"<memory> contains no whole number: {GIVE}"),
    (
        "<domain><memory unit='pages'>1</memory></domain>",
        "<memory> has a unit that libvirt does not know: use one of its units, such as KiB",
    ),
    ("<domain><vcpu>two</vcpu></domain>", f"<vcpu> contains no whole number: {GIVE}"),
    ("<domain><vcpu>0</vcpu></domain>", "<vcpu> has the value 0: use a number from 1 to 16384"),
    ("<domain><vcpu>999999999999</vcpu></domain>", "<vcpu> has the value 999999999999: use a number from 1 to 16384"),
    (
        "<domain><memory>1</memory><devices><memory model='dimm'><target><size>1</size><node>99999999999999999</node>"
        "</target></memory></devices></domain>",
        "<node> has the value 99999999999999999: use a number from 0 to 16383",
    ),
    ("<domain><vcpu current='0'>4</vcpu></domain>", "<vcpu> has the value 0: use a number from 1 to 16384"),
    (
        "<domain><memory>1</memory><cpu><numa><cell memory='1' memAccess='a&lt;b'/></numa></cpu></domain>",
        "<cell> has an unknown memAccess: use shared or private",
    ),
    (
        "<domain><memory>1</memory><cpu><topology sockets='1' cores='0' threads='1'/></cpu></domain>",
        "<topology> has the value 0: use a number from 1 to 16384",
    ),
    (
        "<domain><memory>1</memory><cpu><numa><cell cpus='all' memory='1'/></numa></cpu></domain>",
        f"<cell> contains no list of ids: {GIVE}",
    ),
    (
        "<domain><memory>1</memory><devices><memory model='dimm'/></devices></domain>",
        f"<memory> gives no amount of memory: {GIVE}",
    ),
]


@pytest.mark.parametrize(("document", "message"), XML_REFUSALS)
def test_refused(document: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        read.guest(parse.domain(document.encode()))
    assert str(caught.value) == f"largeguest: domain XML: {message}"


@pytest.mark.parametrize("start", ["<?xml version='1.0' encoding='UTF-8'?>\n", ""])
def test_the_xml_declaration_is_kept_or_left_out_as_it_was(start: str) -> None:
    document = f"{start}<domain><memory>1</memory><name>caf\u00e9</name></domain>".encode()
    new = rewrite({"cputune": "0#0"}, document, None).document
    assert new.startswith(b"<?xml") == bool(start)
    assert "caf\u00e9".encode() in new

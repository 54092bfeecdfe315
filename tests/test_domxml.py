# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from largeguest import PROPERTIES, domxml
from largeguest.domxml import Guest
from largeguest.errors import Refused
from largeguest.rewrite import rewrite

from . import DATA

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

# What the properties own, by XPath: everything else has to come out as it went in.
OWNED = {
    "cputune": ["cputune/vcpupin"],
    "numatune": ["numatune/memory", "numatune/memnode"],
    "guestnuma": ["cpu/numa/cell", "numatune/memnode"],
}

# input, properties, what stands there afterwards
REWRITES = {
    "plain-all": ("plain", {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}),
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
    new, _ = rewrite(values, (DATA / f"{source}.xml").read_bytes())
    expected = etree.parse(DATA / f"{source}.{name.split('-')[1]}.expected.xml")
    assert etree.tostring(domxml.parse(new), method="c14n") == etree.tostring(expected, method="c14n")


@pytest.mark.parametrize("name", REWRITES)
def test_rewriting_again_changes_nothing(name: str) -> None:
    source, values = REWRITES[name]
    new, _ = rewrite(values, (DATA / f"{source}.xml").read_bytes())
    assert rewrite(values, new)[0] == new


@pytest.mark.parametrize("name", REWRITES)
def test_everything_else_survives(name: str) -> None:
    source, values = REWRITES[name]
    document = (DATA / f"{source}.xml").read_bytes()
    new, _ = rewrite(values, document)
    owned = [path for property_name in values for path in OWNED[property_name]]
    assert canonical(domxml.parse(new), owned) == canonical(domxml.parse(document), owned)


@pytest.mark.skipif(not SCHEMA.exists(), reason="apt-get install libvirt-clients (for libvirt's schema)")
@pytest.mark.parametrize("name", REWRITES)
def test_the_result_is_valid_by_libvirts_schema(name: str) -> None:
    source, values = REWRITES[name]
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    schema.assertValid(domxml.parse((DATA / f"{source}.xml").read_bytes()))
    schema.assertValid(domxml.parse(rewrite(values, (DATA / f"{source}.xml").read_bytes())[0]))


@pytest.mark.parametrize("source", ["plain", "vnuma"])
@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("value", ["", "  "])
def test_a_property_that_is_not_set_changes_nothing(source: str, name: str, value: str) -> None:
    document = (DATA / f"{source}.xml").read_bytes()
    new, done = rewrite({name: value}, document)
    assert etree.tostring(domxml.parse(new), method="c14n") == etree.tostring(domxml.parse(document), method="c14n")
    assert done == ""


def test_the_seeds_examples_give_the_seeds_xml() -> None:
    document = b"<domain><memory>20971520</memory><vcpu>16</vcpu></domain>"
    new, _ = rewrite({"numatune": "interleave#0-1", "guestnuma": "0-7#10485760,8-15#10485760"}, document)
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
def test_what_stands_there_already(inside: str, values: dict[str, str], expected: str) -> None:
    start, end = "<domain><memory>4096</memory><vcpu>4</vcpu>", "</domain>"
    new, _ = rewrite(values, (start + inside + end).encode())
    wanted = (start + expected + end).encode()
    assert etree.tostring(domxml.parse(new), method="c14n") == etree.tostring(domxml.parse(wanted), method="c14n")


@pytest.mark.parametrize(
    ("inside", "guest"),
    [
        ("<memory>4096</memory>", Guest(max_vcpus=1, memory=4096)),
        ("<memory>4096</memory><vcpu>8</vcpu>", Guest(max_vcpus=8, memory=4096)),
        ("<memory>4096</memory><vcpu current='2'> 16384 </vcpu>", Guest(max_vcpus=16384, memory=4096)),
        ("<memory unit='b'>1025</memory>", Guest(max_vcpus=1, memory=2)),
        ("<memory unit='KB'>1024</memory>", Guest(max_vcpus=1, memory=1000)),
        ("<memory unit='k'>7</memory>", Guest(max_vcpus=1, memory=7)),
        ("<memory unit='MiB'>3</memory>", Guest(max_vcpus=1, memory=3072)),
        ("<memory unit='G'>6</memory>", Guest(max_vcpus=1, memory=6 * 2**20)),
        ("<memory unit='TiB'>6</memory>", Guest(max_vcpus=1, memory=6 * 2**30)),
        (
            "<memory unit='GiB'>4</memory><devices>"
            "<memory model='dimm'><target><size unit='GiB'>1</size><node>0</node></target></memory>"
            "<memory model='nvdimm'><target><size unit='MiB'>512</size><node>0</node></target></memory>"
            "<memory model='virtio-mem'><target><size>524288</size><node>0</node></target></memory>"
            "<memory model='virtio-pmem'><target><size unit='GiB'>64</size></target></memory>"
            "</devices>",
            Guest(max_vcpus=1, memory=2 * 2**20),
        ),
    ],
)
def test_read_guest(inside: str, guest: Guest) -> None:
    assert domxml.read_guest(domxml.parse(f"<domain>{inside}</domain>".encode())) == guest


XML_REFUSALS = [
    ("", "not well-formed at line 1, column 1: look for a hook that runs before this one"),
    (
        "<domain>\n<graphics passwd='hidden-word'>",
        "not well-formed at line 2, column 32: look for a hook that runs before this one",
    ),
    ("<network/>", "the outermost element is not <domain>: give the XML of one libvirt domain"),
    (
        "<!DOCTYPE domain [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><domain><memory>&e;</memory></domain>",
        "has a document type declaration: take it out, libvirt needs none",
    ),
    ("<domain/>", "an element with the amount of memory is missing: give the XML that the engine made"),
    ("<domain><memory/></domain>", "<memory> holds no whole number: give the XML that the engine made"),
    ("<domain><memory>-1</memory></domain>", "<memory> holds no whole number: give the XML that the engine made"),
    (
        "<domain><memory unit='pages'>1</memory></domain>",
        '<memory> has the unit "pages": use one of libvirt\'s units, such as KiB',
    ),
    ("<domain><vcpu>two</vcpu></domain>", "<vcpu> holds no whole number: give the XML that the engine made"),
    ("<domain><vcpu>0</vcpu></domain>", "<vcpu> says 0: use a number from 1 to 16384"),
    ("<domain><vcpu>999999999999</vcpu></domain>", "<vcpu> says 999999999999: use a number from 1 to 16384"),
]


@pytest.mark.parametrize(("document", "message"), XML_REFUSALS)
def test_refused(document: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        domxml.read_guest(domxml.parse(document.encode()))
    assert str(caught.value) == f"largeguest: domain XML: {message}"


@pytest.mark.parametrize("start", ["<?xml version='1.0' encoding='UTF-8'?>\n", ""])
def test_the_xml_declaration_is_kept_or_left_out_as_it_was(start: str) -> None:
    new, _ = rewrite({"cputune": "0#0"}, f"{start}<domain><memory>1</memory><name>caf\u00e9</name></domain>".encode())
    assert new.startswith(b"<?xml") == bool(start)
    assert "caf\u00e9".encode() in new

# SPDX-License-Identifier: GPL-2.0-or-later
"""README says what the code does."""

from __future__ import annotations

import re
import shlex

import pytest

from largeguest import cli, properties, record
from largeguest.engine import expressions
from largeguest.placement.place import place
from largeguest.rewrite import rewrite
from largeguest.values import Guest, Topology

from . import DATA, ROOT, hosts
from .domxml.test_domxml import XML_REFUSALS
from .hosts import GIB
from .placement.test_placement import REFUSED_ON_GUEST, REFUSED_ON_HOST
from .planner.test_plan import NO_PLAN
from .properties.corpus import WRONG_IN_MEANING, WRONG_IN_SHAPE
from .refusals import REFUSALS
from .test_hostile import DOCUMENTS

README = (ROOT / "README").read_text(encoding="utf-8")
HOOK_README = (ROOT / "vdsm_hooks/largeguest/README").read_text(encoding="utf-8")
PLAIN = str(DATA / "plain.xml")


def chapter(number: int) -> str:
    found = re.search(rf"^{number}\. [^\n]*\n-+\n(.*?)(?=^\d+\. [^\n]*\n-+\n|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README has no chapter {number}"
    return found[1]


def test_the_engines_command_is_the_code_s() -> None:
    (line,) = re.findall("^ *(engine-config -m .*)$", README, re.MULTILINE)
    assert shlex.split(line) == [
        "engine-config",
        "-m",
        f"UserDefinedVMProperties={expressions.user_defined_vm_properties()}",
        "--cver=4.7",
    ]


MESSAGES = [
    *(text for _, _, text in WRONG_IN_SHAPE + WRONG_IN_MEANING),
    *(text for _, text in REFUSALS),
    *(text for _, _, text in REFUSED_ON_GUEST),
    *(text for _, _, _, text in REFUSED_ON_HOST),
    *(f"domain XML: {text}" for _, text in XML_REFUSALS),
    *(f"domain XML: {text}" for _, text in DOCUMENTS if text),
    "device XML: not well-formed",
    "host: the capabilities hold no topology that can be read",
    "_hook_domxml: cannot replace the file",
    "_hook_domxml: cannot read the file",
    "_hook_domxml: is not set",
    "the Python module lxml is not installed: dnf install python3-lxml",
    "the Python package largeguest cannot be imported",
    "guestnuma: the VM has a pcie-expander-bus in guest node 1, but the cells are 0: write more cells",
    "not foreseen, please report this",
    "and 89 more like these",
    "cell 0 has 0 KiB: write at least 1024",
    "the value has 4001 characters: the engine stores 4000 for all properties of a VM together",
    "lone number 3 is read as CPU, but there are such vCPUs without a pin, too",
    # warnings, each as a test of its own has it
    "vCPUs 8-11 are plugged in but not named",
    "guest socket 1 is cut by a cell boundary",
    "where 4194304 KiB are free now",
    "where 1000 are free now",
    "nothing changed: the VM is resumed, not started",
    "the keeper holds the pins",
    "the keeper has to hold the pins",
    "VDSM moves the pins of a VM with the CPU pinning policy none, and the keeper is not active: systemctl",
    # at a migration, as tests of the hook have them
    "CPU 20 is not online on this host, which has 0-15, but emulator is pinned there until the VM runs here",
    "domain XML: CPU 99 is not online on this host, which has 0-15, but emulator is pinned there by the engine",
    "domain XML: the engine's NUMA pinning: node 7 is not on this host, which has nodes 0-3",
    # of the keeper, as its tests have them
    "choose the policy none or manual, or take the property away; its pins are left as they are",
    'something moves the pins of VM "db01" again as soon as they are put back',
    'VM "db01" is pinned to CPU 0, which VM "db02" has for itself alone',
    'keeper: libvirt cannot be reached: "Failed to connect socket"',
    "keeper: another one runs on this host",
    '"qemu+ssh://host2/system" is not this host\'s libvirt: write qemu:///system, and run a keeper on each host',
    '"db01": not running',
    'libvirt did not pin: "no luck"',
    'libvirt: vcpu0 cannot be pinned: "no luck"',
    "warning: cputune: ^64-65 takes nothing out in 0-27#=node0,^64-65: name CPUs that stand before it",
    'libvirt: "no luck": it is tried again until it can be pinned',
    "libvirt's Python binding is not installed",
    *(f"plan: {text}" for _, text in NO_PLAN),
    "plan: the properties have 4804 characters, and the engine stores 4000: plan with fewer nodes",
]


def phrases() -> list[str]:
    """What chapter 8 explains: the left column, and what it lists of an XML."""
    left = re.findall(r"^  (\S.*?)(?:  |$)", chapter(8), re.MULTILINE)
    in_xml = re.search(
        r"\(not\s+well-formed,(.*?)\)", re.sub(r"^(  device XML: ...)?  +", "", chapter(8), flags=re.M), re.DOTALL
    )
    assert in_xml
    listed = (" ".join(phrase.split()) for phrase in in_xml[1].split(","))
    heads = ("domain XML: ...", "device XML: ...")
    return [*(phrase.removesuffix(" ...") for phrase in left if phrase not in heads), "not well-formed", *listed]


def meaning(problem: str) -> str | None:
    """The longest phrase of chapter 8 that is in a message."""
    return max((phrase for phrase in phrases() if phrase in problem), key=len, default=None)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda text: text[-60:])
def test_every_message_has_its_meaning(message: str) -> None:
    for problem in message.split("; largeguest: "):
        assert meaning(problem) is not None, problem


def test_every_meaning_has_its_message() -> None:
    found = {meaning(problem) for message in MESSAGES for problem in message.split("; largeguest: ")}
    assert set(phrases()) - found == set()


def test_the_example_message_is_the_code_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--host", "none", "--cputune", "0#0,1#x", PLAIN]) == 1
    assert capsys.readouterr().err in chapter(8).replace("    ", "")


def test_apply_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall("^ *(largeguest apply .*)$", chapter(7), re.MULTILINE)
    assert cli.main([*shlex.split(line)[1:-1], "--host", "none", PLAIN]) == 0
    told = capsys.readouterr().err.replace("has to hold", "holds")  # the hook knows whether there is one
    assert told in chapter(8).replace("    ", "")


def test_check_and_host_as_shown(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall("^ *(largeguest check .*)$", chapter(7), re.MULTILINE)
    assert cli.main([*shlex.split(line)[1:-1], "--host", four_nodes, PLAIN]) == 0
    (line,) = re.findall("^ *(largeguest host)$", chapter(7), re.MULTILINE)
    assert cli.main([*shlex.split(line)[1:], "--host", four_nodes]) == 0
    assert capsys.readouterr().err == ""


def test_plan_as_shown(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall("^ *(largeguest plan .*)$", chapter(7), re.MULTILINE)
    assert cli.main([*shlex.split(line)[1:], "--host", four_nodes]) == 0
    shown = re.sub("^    ", "", chapter(7), flags=re.MULTILINE)
    assert capsys.readouterr().out in shown


def test_examples_of_the_syntax_are_values() -> None:
    section = re.split(r"^(cputune|numatune|guestnuma) = .*$", chapter(6), flags=re.MULTILINE)[1:]
    seen = 0
    for name, text in zip(section[::2], section[1::2]):
        for value in re.findall(r"^    (\S*[0-9]\S*|\S*auto) ", text.partition("A large guest")[0], re.MULTILINE):
            assert properties.parse({name: value})[1] == ()
            seen += 1
    assert seen == 8 + 7 + 5


def test_the_worked_example_is_what_it_says() -> None:
    typed = dict(re.findall(r"^    (cputune|numatune|guestnuma) +(\S+)$", chapter(6), re.MULTILINE))
    assert len(typed) == 3
    host = hosts.build(cores_per_node=16, memory=512 * GIB, siblings_apart=True)
    host = record.replace(host, nodes={n: record.replace(host.nodes[n], free=500 * GIB) for n in host.nodes})
    assert [str(node.cpus) for node in host.nodes.values()] == re.findall(r"\d+-\d+,\d+-\d+(?=[:,;.]|\s)", chapter(6))[
        :4
    ]
    wanted, problems = properties.parse(typed)
    assert problems == ()
    guest = Guest(max_vcpus=112, memory=1536 * GIB, topology=Topology(4, 1, 14, 2))
    placed = place(wanted, guest, host)
    assert placed.warnings == ()
    assert placed.pins is not None
    assert [str(placed.pins.vcpus[vcpu]) for vcpu in (0, 1)] == ["2", "66"]
    for vcpu in range(0, 112, 2):
        core = {cpu for sibling in (vcpu, vcpu + 1) for cpu in placed.pins.vcpus[sibling]}
        assert set(host.cpus[min(core)].siblings) == core
    assert [(cell.memory, str(cell.nodes)) for cell in placed.cells or ()] == [(384 * GIB, str(n)) for n in range(4)]
    assert dict((placed.cells or ())[0].distances) == {0: 10, 1: 12, 2: 21, 3: 21}


def test_the_hooks_readme_shows_what_the_hook_does() -> None:
    typed = dict(re.findall(r"^  (cputune|numatune|guestnuma)=(\S+) ", HOOK_README, re.MULTILINE))
    new, _ = rewrite(typed, b"<domain><memory>20971520</memory><vcpu>16</vcpu></domain>", None)
    shown = "".join(re.findall(r"^  +(<.*>)$", HOOK_README, re.MULTILINE))
    assert f"<vcpu>16</vcpu>{shown}</domain>" == new.decode().partition("</memory>")[2].strip()

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from largeguest import VERSION, cli
from largeguest.cli import completion
from largeguest.engine import expressions
from largeguest.host import sysfs
from largeguest.host.topology import Pages
from largeguest.record import replace
from largeguest.rewrite import rewrite
from tests import DATA, ROOT, books, hosts
from tests.hosts import FOUR_NODES, GIB
from tests.refusals import THREE_REFUSALS
from tests.running import fake_libvirt

PLAIN = DATA / "plain.xml"
NAME_NODES = "write the nodes after @ in guestnuma, or name them in numatune"
VALUES = {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"}


def options(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", value)]


@pytest.fixture
def caps(tmp_path: Path) -> str:
    path = tmp_path / "caps.xml"
    path.write_bytes(hosts.capabilities(FOUR_NODES))
    return str(path)


def test_apply_prints_what_the_hook_writes(four_nodes: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["apply", "--host", four_nodes, *options(VALUES), str(PLAIN)]) == 0
    out, err = capfdbinary.readouterr()
    rewritten = rewrite(VALUES, PLAIN.read_bytes(), FOUR_NODES)
    new, line = rewritten.document, rewritten.line
    assert (out, err.decode()) == (new, f"{line}\n")


def test_apply_reads_stdin(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.read_bytes())))
    assert cli.main(["apply", "--host", "none", *options(VALUES), "-"]) == 0
    assert capfdbinary.readouterr().out == rewrite(VALUES, PLAIN.read_bytes(), None).document


def test_apply_diff_shows_the_change_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--host", "none", "--diff", "--cputune", "0#1", str(PLAIN)]) == 0
    changed = [line for line in capsys.readouterr().out.splitlines() if line[0] in "+-"]
    assert changed == [f"--- {PLAIN}", "+++ rewritten", '+    <vcpupin vcpu="0" cpuset="1"/>']


def test_apply_without_properties_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--diff", str(PLAIN)]) == 0
    assert capsys.readouterr() == ("", f"largeguest {VERSION}: nothing requested\n")


@pytest.mark.parametrize(("values", "message"), THREE_REFUSALS, ids=lambda value: repr(value)[:60])
def test_apply_refuses_as_the_hook_does(
    values: dict[str, str], message: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["apply", "--host", four_nodes, *options(values), str(PLAIN)]) == 1
    assert capsys.readouterr() == ("", f"largeguest: {message}\n")


@pytest.mark.parametrize("command", ["apply", "check"])
def test_a_file_that_is_not_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "/nowhere.xml"]) == 2
    assert capsys.readouterr() == ("", 'largeguest: "/nowhere.xml": No such file or directory\n')


@pytest.mark.parametrize("arguments", [[], ["apply"], ["frobnicate"], ["check", "--frobnicate"]])
def test_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: largeguest ")


@pytest.mark.parametrize(("values", "message"), THREE_REFUSALS, ids=lambda value: repr(value)[:60])
def test_check_finds_what_the_hook_refuses(
    values: dict[str, str], message: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--host", four_nodes, *options(values), str(PLAIN)]) == 1
    *problems, last = capsys.readouterr().out.splitlines()
    assert "; ".join(problems) == f"largeguest: {message}"
    assert last == f"{len(problems)} error{'s'[: len(problems) > 1]}, 0 warnings"


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        ([], 0, "0 errors, 0 warnings\n"),
        (["--cputune", "0#0,9000#15", "--guestnuma", "0-7#1024,8-99#2048"], 0, "0 errors, 0 warnings\n"),
        (
            ["--cputune", "0#0,0#16", "--guestnuma", "0-7#1024,9#2048"],
            1,
            "largeguest: cputune: vCPU 0 is pinned more than once: write one pin for each vCPU\n"
            "largeguest: guestnuma: vCPU 8 is in no cell: name all of 0-9\n"
            "largeguest: cputune: CPU 16 is not online on this host, which has 0-15: pin to CPUs that are online\n"
            "3 errors, 0 warnings\n",
        ),
        (
            ["--cputune", "all#=cell", "--guestnuma", "0-3#*@0,4-7#*@1"],
            0,
            "locality 1.00, 8 of 8 vCPUs on the nodes of their cells\n0 errors, 0 warnings\n",
        ),
        (
            ["--cputune", "all#=cell,emulator#cell", "--guestnuma", "0-4#*@0,5-7#*@1"],
            1,
            "largeguest: cputune: all#=cell needs 5 CPUs on node 0, only 4 are available: plan again, or write # "
            "without =\n"
            "1 error, 0 warnings\n",
        ),
        (
            ["--cputune", "all#=cell"],
            1,
            f"largeguest: cputune: cell has no nodes for vCPU 0: {NAME_NODES}\n1 error, 0 warnings\n",
        ),
        (
            ["--numatune", "strict#1", "--guestnuma", "0-7#3145728"],
            0,
            "largeguest: warning: numatune: 3 GiB is bound to node 1, where only 2 GiB is free now: "
            "free memory there, or the VM may be killed when it uses all of its memory\n"
            "largeguest: warning: guestnuma: the memory of cell 0 is on node 1, but its vCPUs may run anywhere: "
            "write cputune=all#cell\n"
            "locality 0.69, 0 of 8 vCPUs on the nodes of their cells\n"
            "0 errors, 2 warnings\n",
        ),
    ],
)
def test_check_without_a_vm(
    arguments: list[str], code: int, out: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--host", four_nodes, *arguments]) == code
    before, _, found = capsys.readouterr().out.rpartition("\n\n")
    assert found == out
    assert before.startswith("node  free ") == (code == 0 and arguments != [])


@pytest.fixture
def started(tmp_path: Path) -> str:
    """The XML of a VM with properties in its metadata."""
    path = tmp_path / "started.xml"
    path.write_bytes(PLAIN.read_bytes().replace(b"<ovirt-vm:custom>", b"<ovirt-vm:custom>" + METADATA))
    return str(path)


METADATA = (
    b"<ovirt-vm:cputune>all#=cell</ovirt-vm:cputune>"
    b"<ovirt-vm:guestnuma>0-1#*@0,2-3#*@1</ovirt-vm:guestnuma><ovirt-vm:numatune> </ovirt-vm:numatune>"
)
CHECKED = """\
node  free   socket  cores  CPUs   cell  vCPUs  also here
0     2 GiB  0       0      0-1    0     0-1    emulator, iothread1
             0       1      2-3    -     -
1     2 GiB  0       0      4-5    1     2-3
             0       1      6-7    -     -
2     2 GiB  1       0      8-9    -     -
             1       1      10-11  -     -
3     2 GiB  1       0      12-13  -     -
             1       1      14-15  -     -

cell  vCPUs  memory   on nodes  vCPUs there
0     0-1    256 MiB  0         2 of 2
1     2-3    256 MiB  1         2 of 2

distance   0   1
0         10  12
1         12  10

locality 1.00, 4 of 4 vCPUs on the nodes of their cells
0 errors, 0 warnings
"""


def test_check_takes_the_properties_from_the_metadata(
    started: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--host", four_nodes, started]) == 0
    assert capsys.readouterr().out == f"cputune    all#=cell\nguestnuma  0-1#*@0,2-3#*@1\n\n{CHECKED}"


def test_properties_of_the_command_line_are_the_only_ones(
    started: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one from here, another from the metadata: then it would not be what a VM can have."""
    assert cli.main(["check", "--host", four_nodes, "--cputune", "all#=cell", started]) == 1
    assert capsys.readouterr().out == (
        f"largeguest: cputune: cell has no nodes for vCPUs 0-3: {NAME_NODES}\n1 error, 0 warnings\n"
    )
    typed = ["--cputune", "all#=cell", "--guestnuma", "0-1#*@0,2-3#*@1"]
    assert cli.main(["check", "--host", four_nodes, *typed, started]) == 0
    assert capsys.readouterr().out == CHECKED


@pytest.mark.parametrize(
    ("domain", "where"),
    [
        ([], "none on the command line"),
        (["vm.xml"], "neither on the command line nor in the metadata of vm.xml"),
        (["-"], "neither on the command line nor in the metadata of standard input"),
    ],
)
def test_check_says_that_there_are_no_properties(
    domain: list[str],
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PLAIN, "vm.xml")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.read_bytes())))
    assert cli.main(["check", "--host", "none", *domain]) == 0
    assert capsys.readouterr().out == f"no properties: {where}\n\n0 errors, 0 warnings\n"


def test_a_syntax_error_in_the_metadata(started: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = Path(started).read_text().replace("all#=cell", "all#=\u03bb\u202ecell")
    Path(started).write_text(document)
    assert cli.main(["check", "--host", "none", started]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cputune    all#=\u03bb\\u202ecell"
    assert lines[-2].startswith("largeguest: cputune: ")
    assert lines[-1] == "1 error, 0 warnings"


FAR = ["--cputune", "0-3#=node2", "--numatune", "strict#0"]
FAR_LINE = "cputune: the memory is on node 0, but 4 of its 4 vCPUs run on node 2: write cell, as in all#=cell"


@pytest.mark.parametrize(
    ("strict", "code", "line", "counts"),
    [
        ([], 0, f"largeguest: warning: {FAR_LINE}", "0 errors, 1 warning"),
        (["--strict"], 1, f"largeguest: {FAR_LINE}", "1 error, 0 warnings"),
    ],
)
def test_strict_makes_a_warning_an_error(
    strict: list[str],
    code: int,
    line: str,
    counts: str,
    four_nodes: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = tmp_path / "picture.svg"
    assert cli.main(["check", *strict, *FAR, "--host", four_nodes, "--svg", str(picture), str(PLAIN)]) == code
    out, err = capsys.readouterr()
    assert out.startswith("node ")
    assert out.splitlines()[-3:] == [line, "locality 0.47, 0 of 4 vCPUs on the nodes of their memory", counts]
    assert (err, picture.exists()) == ("", True)
    assert cli.main(["check", *strict, *FAR, "--host", four_nodes, "--host", four_nodes, str(PLAIN)]) == code
    each = f"{four_nodes}: {counts}: {line}; locality 0.47, 0 of 4 vCPUs on the nodes of their memory\n"
    assert capsys.readouterr().out == 2 * each


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    ("hosts_given", "code"),
    [("large.xml local", 0), ("large.xml small.xml local", 1), ("small.xml none.xml bad.xml large.xml", 2)],
)
def test_check_has_a_line_for_each_of_several_hosts(
    hosts_given: str,
    code: int,
    four_nodes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sysfs, "SYS", four_nodes)
    Path("large.xml").write_bytes(hosts.capabilities(hosts.build(sockets=4)))
    Path("small.xml").write_bytes(hosts.capabilities(hosts.build(sockets=1, nodes_per_socket=1)))
    Path("bad.xml").write_text("<a/>")
    near = "0 errors, 0 warnings: locality 1.00, 4 of 4 vCPUs on the nodes of their cells"
    lines = {
        "large.xml": near,
        "local": near,
        "small.xml": "2 errors, 0 warnings: largeguest: cputune: cell is on node 1, which is not on this host: ",
        "none.xml": "largeguest: host: No such file or directory",
        "bad.xml": "largeguest: host: the root element is not <capabilities>",
    }
    given = hosts_given.split()
    assert cli.main(["check", *(word for name in given for word in ("--host", name)), "started.xml"]) == code
    values, printed = capsys.readouterr().out.split("\n\n")
    assert values.startswith("cputune    all#=cell\n")
    for name, line in zip(given, printed.splitlines()):
        assert line.startswith(f"{name}: {lines[name]}"), line
    assert len(printed.splitlines()) == len(given)


@pytest.mark.parametrize("typed", [["--svg", "a.svg"], ["--host", "none"]])
def test_what_cannot_be_combined_with_several_hosts(
    typed: list[str], four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--host", four_nodes, "--host", four_nodes, *typed]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"largeguest: {typed[0]}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("values", "document", "lines"),
    [
        ({"cputune": "x"}, b"<domain", ['cputune: "x" at 0: "x" names no vCPU', "domain XML: not well-formed"]),
        ({"cputune": "x", "numatune": "0"}, b"<a/>", ["cputune: ", "domain XML: the root element is not"]),
    ],
)
def test_check_reports_both_properties_and_xml(
    values: dict[str, str], document: bytes, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vm.xml").write_bytes(document)
    assert cli.main(["check", *options(values), str(tmp_path / "vm.xml")]) == 2
    reported = capsys.readouterr().err.split("; largeguest: ")
    assert len(reported) == len(lines)
    assert all(line in text for line, text in zip(lines, reported))


@pytest.mark.parametrize("name", ["--exclude", "--reserve"])
def test_a_repeated_option_extends_its_list_of_cpus(
    name: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for typed in ([name, "0,4", name, "node2,node3,^15"], [name, "0,4,node2,node3,^15"]):
        assert cli.main(["plan", "--vcpus", "4", "--memory", "1G", "--host", four_nodes, *typed]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.parametrize("typed", [["^1", "2"], ["2", "^1"]])
def test_a_list_of_all_but_cannot_be_repeated(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It would no longer be all but these."""
    options = [word for cpus in typed for word in ("--exclude", cpus)]
    with pytest.raises(SystemExit) as caught:
        cli.main(["plan", "--vcpus", "2", "--memory", "1G", *options])
    assert caught.value.code == 2
    assert "--exclude: a list of ^ items only cannot be combined with another" in capsys.readouterr().err


def test_a_plan_is_for_the_next_start_whichever_vcpus_are_plugged_in_now(
    four_nodes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vcpus = "".join(f"<vcpu id='{n}' enabled='{'yes' if n in (0, 2) else 'no'}'/>" for n in range(4))
    domain = tmp_path / "vm.xml"
    domain.write_text(f"<domain><memory>1048576</memory><vcpu current='2'>4</vcpu><vcpus>{vcpus}</vcpus></domain>")
    assert cli.main(["plan", "--domain", str(domain), "--host", four_nodes]) == 0
    printed = capsys.readouterr().out
    assert "cputune    all#=cell," in printed
    assert "guestnuma  0-1#*@0\n" in printed
    assert "not pinned" not in printed


@pytest.mark.parametrize("version", ["foo", "", "4", "4.7.1", "\u0664.7"])
def test_an_invalid_version(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["engine", "config", "--cver", version])
    assert caught.value.code == 2
    assert "is not a cluster compatibility version such as 4.7" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["capabilities", "uname"])
def test_a_plan_for_power_has_its_steps(
    how: str, four_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "local"
    if how == "capabilities":
        document = hosts.capabilities(FOUR_NODES)
        power = document.replace(b"<host>", b"<host><cpu><arch>ppc64le</arch></cpu>")
        assert power != document
        (tmp_path / "caps.xml").write_bytes(power)
        where = str(tmp_path / "caps.xml")
    else:
        monkeypatch.setattr(sysfs, "SYS", four_nodes)
        monkeypatch.setattr(os, "uname", lambda: argparse.Namespace(machine="ppc64le"))
    assert cli.main(["plan", "--vcpus", "7", "--memory", "1536M", "--host", where, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["properties"]
    document = DATA.joinpath("plain.xml").read_bytes().replace(b'arch="x86_64"', b'arch="ppc64le"')
    document = document.replace(b'<vcpu current="4">4<', b"<vcpu>7<").replace(b"<memory>524288", b"<memory>1572864")
    (tmp_path / "vm.xml").write_bytes(document)
    assert cli.main(["check", "--host", where, *options(values), str(tmp_path / "vm.xml")]) == 0
    assert cli.main(["check", "--host", where, "--guestnuma", "0-3#100M,4-6#*"]) == 1
    assert "not a multiple of 256 MiB" in capsys.readouterr().out
    assert cli.main(["check", "--host", where, "--guestnuma", "0-3#256M,4-6#*,7#*"]) == 0


def test_without_a_host_the_error_names_the_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysfs, "SYS", str(tmp_path))
    assert cli.main(["host"]) == 2
    assert "--host caps.xml" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["sys", "folder with sys", "capabilities"])
def test_the_host_can_be_given_as(kind: str, four_nodes: str, caps: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = {"sys": four_nodes, "folder with sys": str(Path(four_nodes).parent), "capabilities": caps}[kind]
    assert cli.main(["check", "--host", where, "--cputune", "0#16"]) == 1
    assert "which has 0-15" in capsys.readouterr().out


def test_host_none_checks_no_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--host", "none", "--cputune", "0#16000"]) == 0
    assert cli.main(["host", "--host", "none"]) == 2
    assert capsys.readouterr().err == "largeguest: no host is given: write --host local, DIR or CAPS.xml\n"


TABLE = """\
4 nodes, 2 sockets, 8 cores, 16 CPUs online

node  CPUs   memory  free
0     0-3    4 GiB   2 GiB
1     4-7    4 GiB   2 GiB
2     8-11   4 GiB   2 GiB
3     12-15  4 GiB   2 GiB

distance   0   1   2   3
0         10  12  21  21
1         12  10  21  21
2         21  21  10  12
3         21  21  12  10

socket  CPUs  cores  threads per core  first core
0       0-7   4      2                 0-1
1       8-15  4      2                 8-9
"""


def test_host_prints_a_table(four_nodes: str, caps: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["host", "--host", four_nodes]) == 0
    assert capsys.readouterr().out == TABLE
    assert cli.main(["host", "--host", caps]) == 0
    unknown = TABLE.replace("  2 GiB\n", "  ?\n")
    assert capsys.readouterr().out == unknown


def test_host_prints_json(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["host", "--json", "--host", four_nodes]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["nodes"][2] == {
        "id": 2,
        "cpus": "8-11",
        "memory_kib": 4194304,
        "free_kib": 2097152,
        "hugepages": {"2048": {"total": 0, "free": 0}, "1048576": {"total": 0, "free": 0}},
        "distances": {"0": 21, "1": 21, "2": 10, "3": 12},
    }
    assert printed["sockets"][1] == {"id": 1, "cores": ["8-9", "10-11", "12-13", "14-15"]}
    assert (len(printed["nodes"]), len(printed["sockets"])) == (4, 2)


PLAN = ["plan", "--vcpus", "8", "--memory", "2G"]
PROPERTIES_OF_PLAN = {
    "cputune": "all#=cell,emulator#cell",
    "numatune": "strict#0-1",
    "guestnuma": "0-3#*@0,4-7#*@1",
}


def test_plan_prints_properties_topology_and_layout(
    four_nodes: str, caps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*PLAN, "--host", four_nodes]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        """\
cputune    all#=cell,emulator#cell
numatune   strict#0-1
guestnuma  0-3#*@0,4-7#*@1

topology   2 sockets, 2 cores each, 2 threads each
locality   1.00, 8 of 8 vCPUs on the nodes of their cells
length     77 of 4000 characters

node  free   socket  cores  CPUs   cell  vCPUs  also here
0     2 GiB  0       0      0-1    0     0-1    emulator
"""
    )
    assert "\x1b" not in out
    assert cli.main([*PLAN, "--host", caps]) == 0
    assert "\nnote       the host's free memory is not known" in capsys.readouterr().out


def test_plan_prints_json(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PLAN, "--host", four_nodes, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {
        "properties": PROPERTIES_OF_PLAN,
        "topology": {"sockets": 2, "dies": 1, "cores": 2, "threads": 2},
        "nodes": [
            {
                "id": node,
                "cell": node,
                "vcpus": f"{4 * node}-{4 * node + 3}",
                "cpus": {str(vcpu): str(vcpu) for vcpu in range(4 * node, 4 * node + 4)},
                "memory_kib": hosts.GIB,
                "free_kib": 2 * hosts.GIB,
                "page_kib": None,
                "free_pages": None,
            }
            for node in (0, 1)
        ],
        "locality": {"figure": 1.0, "near": 8, "vcpus": 8},
        "vms": [],
        "reserved": "",
        "excluded": "",
        "length": 77,
        "notes": [],
        "alternatives": [
            {
                "nodes": nodes,
                "chosen": nodes == 2,
                "cells": nodes,
                "vcpus_per_node": vcpus,
                "sockets": sockets,
                "threads": 2,
                "distance": distance,
                "left_kib": nodes * 1751 * 1024 - 2 * hosts.GIB,
            }
            for nodes, vcpus, sockets, distance in ((2, [4, 4], 2, 12), (3, [2, 4], 4, 18), (4, [2, 2], 4, 18))
        ],
    }


def test_plan_shows_other_numbers_of_nodes(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PLAN, "--host", four_nodes]) == 0
    assert capsys.readouterr().out.rpartition("\n\n")[2].splitlines() == [
        "   nodes  cells  vCPUs a node  sockets  threads  distance  memory left there",
        "*  2      2      4             2        2        12        1.4 GiB",
        "   3      3      2-4           4        2        18        3.1 GiB",
        "   4      4      2             4        2        18        4.8 GiB",
    ]
    assert cli.main([*PLAN, "--host", four_nodes, "--on", "node2,node3"]) == 0
    assert "sockets  threads" not in capsys.readouterr().out


@pytest.mark.parametrize("of", ["--hugepages", "--domain"])
def test_a_plan_in_huge_pages_has_the_engines_property_for_them(
    of: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {number: replace(node, pages={2048: Pages(512, 512)}) for number, node in FOUR_NODES.nodes.items()}
    where = hosts.save(replace(FOUR_NODES, nodes=pages), tmp_path)
    vm = tmp_path / "vm.xml"
    vm.write_text(
        "<domain><memory>2097152</memory><vcpu>8</vcpu>"
        "<memoryBacking><hugepages><page size='2048'/></hugepages></memoryBacking></domain>"
    )
    arguments = ["plan", "--domain", str(vm)] if of == "--domain" else [*PLAN, "--hugepages", "2M"]
    assert cli.main([*arguments, "--host", where]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [*(f"{name:10} {value}" for name, value in PROPERTIES_OF_PLAN.items()), "hugepages  2048", ""]
    assert "length     77 of 4000 characters" in lines  # as without huge pages: their property is stored apart
    assert cli.main([*arguments, "--host", where, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["properties"] == {**PROPERTIES_OF_PLAN, "hugepages": "2048"}
    assert [(node["page_kib"], node["free_pages"]) for node in printed["nodes"]] == [(2048, 512)] * 2
    assert printed["length"] == 77


def test_pages_of_the_hosts_base_size_are_no_huge_pages(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PLAN, "--hugepages", "4K", "--host", four_nodes]) == 0
    assert "hugepages " not in capsys.readouterr().out.partition("\n\n")[0]


def test_plan_json_of_interleaved_memory(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PLAN, "--host", four_nodes, "--json", "--mode", "interleave"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert [(node["cell"], node["vcpus"], node["memory_kib"]) for node in nodes] == [(0, "0-3", None), (0, "4-7", None)]


def test_what_plan_prints_for_a_vm_passes_check(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    for domain in map(str, (PLAIN, DATA / "hotplug.xml")):
        assert cli.main(["plan", "--domain", domain, "--host", four_nodes, "--json"]) == 0
        values = json.loads(capsys.readouterr().out)["properties"]
        assert cli.main(["check", *options(values), "--host", four_nodes, domain]) == 0
        capsys.readouterr()


def test_plan_reads_what_is_passed_through(tmp_path: Path, four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tmp_path / "sys"
    shutil.copytree(four_nodes, tree)
    for address, node in (("0000:3b:00.1", "2"), ("0001:00:1f.0", "-1"), ("0000:04:00.0", "0")):
        (tree / "bus/pci/devices" / address).mkdir(parents=True)
        (tree / "bus/pci/devices" / address / "numa_node").write_text(f"{node}\n")
    address = "<source><address {} domain='{}' bus='{}' slot='{}' function='{}'/></source>"
    devices = [
        "<hostdev type='pci'>" + address.format("", "0x0000", "0x3b", "0x00", "0x1") + "</hostdev>",
        "<hostdev type='pci'>" + address.format("", "1", "0", "31", "0") + "</hostdev>",
        "<hostdev type='usb'><source><address bus='4' device='0'/></source></hostdev>",
        "<interface type='hostdev'>" + address.format("type='pci'", "0x0", "0x3b", "0x0", "0x1") + "</interface>",
        "<interface type='bridge'><source bridge='a'/></interface>",
    ]
    domain = tmp_path / "vm.xml"
    domain.write_text(f"<domain><memory>1048576</memory><vcpu>4</vcpu><devices>{''.join(devices)}</devices></domain>")
    assert cli.main(["plan", "--domain", str(domain), "--host", str(tree), "--json"]) == 0
    assert [node["id"] for node in json.loads(capsys.readouterr().out)["nodes"]] == [2]


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("1.5T", 1536 * GIB),
        ("64Gi", 64 * GIB),
        ("64gib", 64 * GIB),
        (" 512 G ", 512 * GIB),
        ("0.5G", GIB // 2),
        ("1K", 1),
        ("9007199254740991K", 2**53 - 1),
    ],
)
def test_amounts_of_memory(text: str, kib: int) -> None:
    assert cli.parser().parse_args(["plan", "--vcpus", "1", "--memory", text]).memory == kib


def test_the_size_of_a_huge_page_is_in_kib_as_in_the_engine() -> None:
    arguments = ["plan", "--vcpus", "1", "--memory", "1G", "--hugepages"]
    pages = [cli.parser().parse_args([*arguments, text]).hugepages for text in ("2048", "2M", "1048576")]
    assert pages == [2048, 2048, GIB]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "write --vcpus, or --domain"),
        (["--vcpus", "4"], "write --memory, or --domain"),
        (["--vcpus", "0", "--memory", "1G"], '--vcpus: "0" is not a number from 1 to 16384'),
        (["--vcpus", "16385", "--memory", "1G"], '--vcpus: "16385" is not a number from 1 to 16384'),
        (["--vcpus", "\u0664", "--memory", "1G"], '--vcpus: "\\u0664" is not a number from 1 to 16384'),
        (["--vcpus", "4", "--memory", "1GB"], '--memory: "1GB" is not an amount of memory: write for example 512G'),
        (["--vcpus", "4", "--memory", "*"], '--memory: "*" is not an amount of memory'),
        (["--vcpus", "4", "--memory", "4096"], '--memory: "4096" has no unit: 4096M or 4096K?'),
        (["--vcpus", "4", "--memory", "0G"], '--memory: "0G" is not a whole number of KiB from 1'),
        (["--vcpus", "4", "--memory", "0.3K"], '--memory: "0.3K" is not a whole number of KiB from 1'),
        (["--vcpus", "4", "--memory", "9007199254740992K"], '"9007199254740992K" is not a whole number of KiB'),
        (
            ["--vcpus", "4", "--memory", "1G", "--reserve", "x"],
            '--reserve: "x" at 0: "x" is not a CPU, a range or a place (node0, socket0.core1, cell)\n',
        ),
        (["--vcpus", "4", "--memory", "1G", "--nodes", "2", "--spread"], "not allowed with argument --nodes"),
        (["--vcpus", "4", "--memory", "1G", "--svg", "-"], "--svg: name a file: the text goes to standard output"),
        (["--vcpus", "4", "--memory", "1G", "--svg", ""], "--svg: name a file: the text goes to standard output"),
        (["--vcpus", "4", "--memory", "1G", "--mode", "restrictive"], "invalid choice: 'restrictive'"),
        (["--domain", str(PLAIN), "--memory", "1G"], "--memory cannot be combined with --domain, which sets it"),
    ],
)
def test_plan_and_a_wrong_command_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["plan", *arguments])
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("address", ["0000:41:00.0", "41:00.0", "0000:C1:00.1"])
def test_plan_near_a_device_on_a_copy_of_sys_as_documented(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = Path(hosts.save(hosts.build(cores_per_node=4, cores_per_l3=2), tmp_path / "other"))
    for number, device in enumerate(("0000:01:00.0", "0000:41:00.0", "0000:c1:00.1")):
        real = saved / "devices" / f"pci{number}" / device
        real.mkdir(parents=True)
        (real / "numa_node").write_text(f"{number}\n")
        (saved / "bus/pci/devices").mkdir(parents=True, exist_ok=True)
        (saved / "bus/pci/devices" / device).symlink_to(real)
    (copy,) = re.findall(r"^mkdir sys;.*$", MANUAL, re.MULTILINE)
    subprocess.run(["sh", "-c", copy.replace("/sys &&", f"{saved} &&")], cwd=tmp_path, check=True)
    arguments = ["plan", "--vcpus", "4", "--memory", "1G", "--near", address, "--host", str(tmp_path / "sys")]
    assert cli.main(arguments) == 0
    node = 2 if "C1" in address else 1
    assert f"guestnuma  0-3#*@{node}\n" in capsys.readouterr().out
    copied = sysfs.from_sys(str(tmp_path / "sys"))
    assert [*map(str, copied.groups(copied.nodes[1].cpus))] == ["8-11", "12-15"]


def test_what_is_not_a_pci_address_is_said(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*PLAN, "--host", four_nodes, "--near", "eth0"])
    assert '--near: "eth0" is not the address of a PCI device, such as 0000:41:00.0' in capsys.readouterr().err


def test_no_plan_is_one_line_and_code_1(four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--vcpus", "17", "--memory", "1G", "--host", four_nodes]) == 1
    assert capsys.readouterr() == (
        "",
        "largeguest: plan: 17 vCPUs and 1 GiB do not fit: the host has 4 nodes with 16 CPUs and 7004 MiB of "
        "free memory besides 1.2 GiB for the host: the nearest that fits is 16 vCPUs and 1 GiB, on 4 nodes\n",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        PLAN,
        ["host"],
        ["check", "--cputune", "0-3#=node0"],
        ["check", *options(VALUES), str(PLAIN)],
        ["check", str(PLAIN)],
    ],
)
def test_a_picture_is_written(arguments: list[str], four_nodes: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    assert cli.main([*arguments, "--host", four_nodes, "--svg", str(picture)]) == 0
    root = etree.parse(str(picture)).getroot()
    assert len({title.text for title in root.iter("{*}title")}) == 16
    assert cli.main([*arguments, "--host", four_nodes, "--svg", "/nowhere/picture.svg"]) == 2


def test_a_picture_without_a_vm_says_no_more_than_is_known(four_nodes: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    arguments = ["check", "--guestnuma", "0-3#*@0,4-7#1G@1", "--host", four_nodes, "--svg", str(picture)]
    assert cli.main(arguments) == 0
    texts = {element.text for element in etree.parse(str(picture)).getroot().iter("{*}text")}
    assert {
        "8 vCPUs on a host with 4 nodes and 16 CPUs",
        "cell 0: ?",
        "cell 0: vCPUs 0-3, ?, node 0",
        "cell 1: vCPUs 4-7, 1 GiB, node 1",
    } <= texts


def test_no_picture_of_a_refused_layout(four_nodes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "picture.svg"
    assert cli.main(["check", "--cputune", "0#99", "--host", four_nodes, "--svg", str(picture)]) == 1
    assert not picture.exists()
    assert capsys.readouterr().err == "largeguest: no picture written: the layout is refused\n"


@pytest.mark.parametrize("command", ["plan", "host", "check"])
def test_a_picture_needs_a_host(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = PLAN if command == "plan" else [command]
    assert cli.main([*arguments, "--host", "none", "--svg", str(tmp_path / "a")]) == 2
    assert "write --host local, DIR or CAPS.xml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_only_on_a_terminal(environ: dict[str, str], coloured: bool, four_nodes: str) -> None:
    terminal, inside = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", **environ}
    if "NO_COLOR" not in environ:
        environ.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "largeguest", *PLAN, "--host", four_nodes]
    subprocess.run(command, cwd=ROOT, stdout=inside, env=environ, check=True)
    os.close(inside)
    out = b""
    with contextlib.suppress(OSError):  # EIO: it has no writer left
        while True:
            out += os.read(terminal, 65536)
    os.close(terminal)
    assert b"cputune" in out
    assert (b"\x1b[38;5;" in out) is coloured


def test_it_ends_quietly_when_its_output_is_no_longer_read(four_nodes: str) -> None:
    command = [sys.executable, "-m", "largeguest", *PLAN, "--host", four_nodes]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, b"")


def test_it_ends_quietly_when_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "largeguest", "check", "--host", "none", "-"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        # more than a pipe buffers: once this is written, it is reading, and so past its imports
        process.stdin.write(b" " * 2**20)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (-signal.SIGINT, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(four_nodes: str, unbuffered: str) -> None:
    command = [sys.executable, "-m", "largeguest", *PLAN, "--host", four_nodes]
    with open("/dev/full", "wb") as full:
        environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        ended = subprocess.run(command, cwd=ROOT, env=environ, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr.decode()) == (2, 'largeguest: "output": No space left on device\n')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["host", "--host", str(DATA / "README-is-not-here")], 'README-is-not-here": No such file or directory'),
        (["host", "--host", ""], '"": No such file or directory'),
        (
            ["host", "--host", "/dev/null"],
            "host: not well-formed at line 1, column 1: use the output of virsh capabilities",
        ),
        (["host", "--host", str(PLAIN)], "host: the root element is not <capabilities>"),
        (["host", "--host", "/proc/self/mem"], '"/proc/self/mem": Input/output error'),
        (["host", "--host", "/usr"], 'host: "/usr" is not the /sys of a Linux host'),
        (["plan", "--domain", "/dev/null"], "domain XML: not well-formed at line 1, column 1: find out what wrote it"),
        (["check", "/dev/null"], "domain XML: not well-formed at line 1, column 1: find out what wrote it"),
        (["apply", "/dev/null"], "domain XML: not well-formed at line 1, column 1: find out what wrote it"),
    ],
)
def test_a_file_that_cannot_be_used(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "closed", "message"),
    [
        (["host"], ">&-", "standard output is closed"),
        (["check", "-"], "<&-", "standard input is closed"),
        (["plan", *PLAN[1:]], ">&- 2>&-", ""),
    ],
)
def test_closed_streams(arguments: list[str], closed: str, message: str, four_nodes: str) -> None:
    command = [sys.executable, "-m", "largeguest", *arguments, "--host", four_nodes]
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["status", "keeper"])
def test_without_libvirts_binding(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    assert cli.main([command]) == 2
    assert capsys.readouterr().err == "largeguest: libvirt's Python binding is missing: install python3-libvirt\n"


def test_the_keeper_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = fake_libvirt.World()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    world.stop_after(1)
    with world.keeper():
        assert cli.main(["keeper", "--connect", "qemu:///system"]) == 0
    assert len(world.connections) == 1


def commands(parser: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser, by default those of `largeguest`."""
    found = completion.commands_of(parser or cli.parser())
    return {} if found is None else dict(found.choices)


def long_options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def test_help_has_an_example_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name, parser in {"": cli.parser(), **commands()}.items():
        parser.print_help()
        assert f"largeguest {name}".strip() + " " in capsys.readouterr().out.partition("example")[2], name


MANUAL = books.page("largeguest.1")


def test_the_manual_page_has_every_command_and_option() -> None:
    synopses = re.findall(
        r'^\.SY "largeguest (\S+)"$(.*?)^\.YS$', books.section(MANUAL, "SYNOPSIS") + "\n", re.M | re.S
    )
    assert {name: {*re.findall("--[a-z-]+", text)} for name, text in synopses} == {
        name: long_options(parser) - {"--help"} for name, parser in commands().items()
    }
    described = set(re.findall(r"^\.T[PQ]\n\.B[RI]? .*?(--[a-z-]+)", books.section(MANUAL, "OPTIONS"), re.MULTILINE))
    assert described == set.union(long_options(cli.parser()), *map(long_options, commands().values()))
    headings = re.findall(r"^\.TP\n\.B ([a-z-]+)$", books.section(MANUAL, "COMMANDS"), re.MULTILINE)
    assert set(headings) == set(commands())


def test_the_manual_page_of_the_keeper_has_its_options() -> None:
    synopsis = books.section(books.page("largeguest-keeper.8"), "SYNOPSIS").partition(".SY ")[2]
    assert {*re.findall("--[a-z-]+", synopsis)} == long_options(commands()["keeper"]) - {"--help"}


EXIT_CODES = {
    ("0", "all"): ["host"],
    ("1", "plan"): ["plan", "--vcpus", "17", "--memory", "1G"],
    ("1", "check"): ["check", "--cputune", "0#99"],
    ("1", "apply"): ["apply", "--cputune", "0#99", str(PLAIN)],
    ("1", "status"): ["status", "db01"],
    ("2", "all"): ["host", "--svg", "/nowhere/picture.svg"],
    ("2", "status"): ["status", "stopped"],
}


@pytest.mark.parametrize(
    ("code", "command"), re.findall(r"^(\d)\|([a-z-]+)\|", books.section(MANUAL, "EXIT STATUS"), re.MULTILINE)
)
def test_the_manual_page_has_the_exit_codes(code: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = fake_libvirt.World()
    world.domains[:] = [fake_libvirt.Domain(world, "db01", "0#99"), fake_libvirt.Domain(world, "stopped")]
    world.domains[1].status = (fake_libvirt.CONSTANTS["VIR_DOMAIN_SHUTOFF"], 0)
    monkeypatch.setitem(sys.modules, "libvirt", world.module())
    assert cli.main(EXIT_CODES[code, command]) == int(code)


def test_the_manual_page_has_all_exit_codes() -> None:
    listed = re.findall(r"^(\d)\|([a-z-]+)\|", books.section(MANUAL, "EXIT STATUS"), re.MULTILINE)
    assert sorted(listed) == sorted(EXIT_CODES)


@pytest.mark.parametrize(("arguments", "version"), [([], "4.7"), (["--cver", "4.6"], "4.6")])
def test_engine_config_is_ready_for_the_shell(
    arguments: list[str], version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["engine", "config", *arguments]) == 0
    words = subprocess.run(
        ["bash", "-c", f'engine-config() {{ printf "%s\\n" "$@"; }}; {capsys.readouterr().out}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert words.stdout.splitlines() == [
        "-m",
        f"UserDefinedVMProperties={expressions.user_defined_vm_properties()}",
        f"--cver={version}",
    ]


def test_as_a_module(tmp_path: Path) -> None:
    output = tmp_path / "new.xml"
    command = [sys.executable, "-m", "largeguest", "apply", "--host", "none", *options(VALUES), str(PLAIN)]
    with output.open("wb") as file:
        subprocess.run(command, cwd=ROOT, stdout=file, check=True)
    assert output.read_bytes() == rewrite(VALUES, PLAIN.read_bytes(), None).document


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"largeguest {VERSION}\n")

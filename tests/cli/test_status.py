# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest status: what is not as asked shows in the line of its VM, and by the exit code."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from largeguest import cli
from largeguest.running.asked import START_AGAIN
from largeguest.running.state import Work
from tests import hosts
from tests.running import fake_kernel, fake_libvirt
from tests.running.fake_kernel import QEMUS_OWN, mapping

from .stage import DIMM, HUGE, MAPPINGS, MIB, PAGES, PID, THREADS, TYPED, Stage, run

ALL_WELL = """\
VM    properties  vCPUs near  memory in place     cells     locality  keeper  next start
db01  all         4 of 4      410 MiB of 410 MiB  as asked  1.00      holds   ok

not as asked: 0 of 1 VM with properties
"""


def test_a_vm_that_is_as_asked(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start()
    assert run(capsys) == (0, ALL_WELL)


def test_a_vm_by_cell(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.keeper(True, db01=Work({"start": 1, "moved": 3}, 0, 0.07, 0.3))
    stage.start(mappings=MAPPINGS, edit=with_device)
    assert run(capsys, "db01") == (
        0,
        """\
cputune    all#=cell,emulator#cell
numatune   strict#0-1
guestnuma  0-1#*@0,2-3#*@1

cell 0: 60 MiB of 60 MiB (256 MiB when all is in use) on node 0, 2 of 2 vCPUs on node 0
cell 1: 60 MiB of 60 MiB (256 MiB when all is in use) on node 1, 2 of 2 vCPUs on node 1
emulator: CPUs 0-7 on nodes 0-1
iothread1: CPUs 0-1 on node 0
0000:3b:00.0: on an unknown node
locality: 1.00, 4 of 4 vCPUs on the nodes of their cells
keeper: holds; 4 corrections (1 start, 3 moved), 0.07 s after the event, 0.30 s at most
next start: ok
""",
    )


def with_device(document: str) -> str:
    source = '<source><address domain="0x0000" bus="0x3b" slot="0x00" function="0x0"/></source>'
    return document.replace("<devices>", f'<devices><hostdev type="pci">{source}</hostdev>')


def without_properties(document: str) -> str:
    return re.sub("<ovirt-vm:(cputune|numatune|guestnuma)>.*?<", "<", document)


def bind_cell_1_to_node_2(document: str) -> str:
    changed = re.sub(r'(<memnode cellid="1"[^>]*nodeset=")1"', r'\g<1>2"', document)
    assert changed != document
    return changed


QUESTION = "?: ask as root for one VM by its name"

FAULTS = {
    # what is wrong: how it is started, the row, the lines
    "pins moved": (
        {"threads": {**THREADS, "vcpu2": "0-15"}},
        "all 3 of 4 410 MiB of 410 MiB as asked 0.92 holds ok",
        ["cputune: may run elsewhere: vCPU 2 on CPUs 0-15 instead of CPU 4: look at the journal of the keeper"],
    ),
    "several": (
        {"threads": fake_kernel.all_cpus(4, hosts.FOUR_NODES.online)},
        "all 0 of 4 410 MiB of 410 MiB as asked 0.69 holds ok",
        [
            "cputune: may run elsewhere: vCPUs 0-3 on CPUs 0-15 instead of CPUs 0-1,4-5, "
            "emulator on CPUs 0-15 instead of CPUs 0-7: look at the journal of the keeper"
        ],
    ),
    "pages moved": (
        {"memory": {1: 180 * MIB, 3: 230 * MIB}},
        "all 4 of 4 180 MiB of 410 MiB as asked ? holds ok",
        [
            "guestnuma: 230 MiB of the memory is on node 3 instead of nodes 0-1: see which cell's it is, as root: "
            "largeguest status db01",
            QUESTION,
        ],
    ),
    "bound elsewhere": (
        {"edit": bind_cell_1_to_node_2, "memory": {0: 230 * MIB, 2: 180 * MIB}},
        "all 2 of 4 410 MiB of 410 MiB differ 0.73 holds ok",
        [
            "guestnuma: cell 1 should have strict memory on node 1, but has strict memory on node 2: "
            "shut the VM down and start it on a host with the hook (a reboot is not enough)",
        ],
    ),
    "no hook": (
        {"hook": False, "threads": fake_kernel.all_cpus(4, hosts.FOUR_NODES.online), "memory": {3: 300 * MIB}},
        "all - - differ 0.69 holds ok",
        [
            "numatune: it asks for memory strict on host nodes 0-1, but the memory is not bound: "
            "shut the VM down and start it on a host with the hook (a reboot is not enough)",
            "guestnuma: it asks for 2 cells, but the VM has none: "
            "shut the VM down and start it on a host with the hook (a reboot is not enough)",
        ],
    ),
    "memory plugged in, the next start refused": (
        {
            "typed": {"guestnuma": "0-1#256M@0,2-3#256M@1"},
            "edit": lambda document: document.replace("<devices>", DIMM),
            "threads": fake_kernel.all_cpus(4, hosts.FOUR_NODES.online),
        },
        "guestnuma 0 of 4 410 MiB of 410 MiB as asked 0.69 - refused",
        ["next start refused (256 MiB was plugged in since its start): guestnuma: "],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_as_asked_shows(fault: str, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    how, row, lines = FAULTS[fault]
    stage.start(**how)  # type: ignore[arg-type]
    code, out = run(capsys)
    _, shown, empty, *found, last = out.splitlines()
    assert (code, empty, last) == (1, "", "not as asked: 1 of 1 VM with properties")
    assert " ".join(shown.split()) == f"db01 {row}"
    assert len(found) == len(lines), found
    for line, text in zip(lines, found):
        assert text.startswith(line if line == QUESTION else f'"db01": {line}')
    assert run(capsys, "--json")[0] == 1
    stage.start({}, "db02", pid=PID + 100)
    assert run(capsys)[1].endswith('1 of 1 VM with properties; without properties since their last start: "db02"\n')
    assert run(capsys, "db02")[0] == 0
    assert run(capsys, "db01")[0] == 1


@pytest.mark.parametrize(
    ("how", "row", "lines"),
    [
        # nothing asked for, nothing wrong: what is measured is the "before"
        (
            {"typed": {}, "threads": fake_kernel.all_cpus(4, hosts.FOUR_NODES.online), "memory": {1: 300 * MIB}},
            "none - - - 0.69 - -",
            [],
        ),
        (
            {"typed": {"cputune": "0-3#=node0"}, "threads": {f"vcpu{n}": str(n) for n in range(4)}},
            "cputune - - - 0.92 holds ok",
            [],
        ),
        (
            {
                "typed": {"numatune": "0"},
                "threads": fake_kernel.all_cpus(4, hosts.FOUR_NODES.online),
                "memory": {0: 8 * MIB},
            },
            "numatune 0 of 4 8 MiB of 8 MiB as asked 0.69 - warns",
            [],
        ),
        # a cell on two nodes is as asked
        (
            {
                "typed": {"cputune": "all#cell", "guestnuma": "0-3#*@0+1"},
                "threads": {f"vcpu{n}": "0-7" for n in range(4)},
                "memory": {0: 200 * MIB, 1: 200 * MIB},
            },
            "cputune,guestnuma 4 of 4 400 MiB of 400 MiB as asked 0.91 holds ok",
            [],
        ),
    ],
)
def test_what_is_as_asked(
    how: dict[str, Any], row: str, lines: list[str], stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.start(**how)
    code, out = run(capsys)
    _, shown, _, *found, _ = out.splitlines()
    assert (code, found) == (0, lines)
    assert " ".join(shown.split()) == f"db01 {row}"


def test_moved_crosswise_shows_only_by_cell(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start(mappings=mapping("bind:0", {1: PAGES}) + mapping("bind:1", {0: PAGES - 1, 1: 1}))
    assert run(capsys)[0] == 0
    code, out = run(capsys, "db01")
    assert code == 1
    assert out.splitlines()[4:6] == [
        "cell 0: 0 KiB of 60 MiB (256 MiB when all is in use) on node 0, 2 of 2 vCPUs on node 0",
        "cell 1: 4 KiB of 60 MiB (256 MiB when all is in use) on node 1, 2 of 2 vCPUs on node 1",
    ]
    assert out.splitlines()[-2:] == [
        # migratepages would move the pages of both cells, one way and then all of them back
        f"guestnuma: 60 MiB of cell 0 is on node 1 instead of node 0: {START_AGAIN}",
        f"guestnuma: 60 MiB of cell 1 is on node 0 instead of node 1: {START_AGAIN}",
    ]
    assert "locality: 0.83, 4 of 4" in out


HUGE_PAGES = QEMUS_OWN + "".join(
    mapping("bind:0-1", {n: 128}, f"/dev/hugepages/libvirt/qemu/7-db01/qemu_back_mem.ram-node{n}.x", 2048)
    for n in (0, 1)
)
CONNECT = ["--connect", "qemu+ssh://host2/system"]


@pytest.mark.parametrize(
    ("how", "arguments", "row", "line"),
    [
        (
            {"memory": None},
            [],
            "all 4 of 4 ? as asked ? holds ok",
            "it has no control group with memory.numa_stat: ask",
        ),
        (
            {"threads": None},
            [],
            "all 4 of 4 ? as asked ? holds ok",
            "its process cannot be seen, so that it is not known where its memory is: ask as root",
        ),
        (
            {"edit": lambda text: text.replace("<devices>", HUGE)},
            [],
            "all 4 of 4 ? as asked ? holds ok",
            "where its huge",
        ),
        ({}, CONNECT, "all 4 of 4 ? as asked ? ? ok", "where its memory is can be seen only on its host"),
    ],
)
def test_what_cannot_be_found_out(
    how: dict[str, Any],
    arguments: list[str],
    row: str,
    line: str,
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage.world.capabilities = hosts.capabilities(hosts.FOUR_NODES).decode()
    stage.start(**how)
    code, out = run(capsys, *arguments)
    _, shown, _, found, _ = out.splitlines()
    assert code == 2
    assert " ".join(shown.split()) == f"db01 {row}"
    assert found.startswith(f'"db01": {line}')
    assert json.loads(run(capsys, *arguments, "--json")[1])["vms"][0]["as_asked"] is None


def test_huge_pages_are_seen_by_root_without_a_name(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start(edit=lambda text: text.replace("<devices>", HUGE), mappings=HUGE_PAGES)
    code, out = run(capsys)
    assert code == 0
    assert "4 of 4      512 MiB of 512 MiB  as asked  1.00 " in out


@pytest.mark.parametrize(
    ("policy", "code"),
    [("none", 1), ("manual", 0), (None, 0)],  # under the others VDSM moves nothing
)
def test_no_keeper(policy: str | None, code: int, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    none, element = (f"<ovirt-vm:cpuPolicy>{name}</ovirt-vm:cpuPolicy>" for name in ("none", policy))
    stage.start(edit=lambda text: text.replace(none, element if policy else ""))
    stage.keeper(False)
    found, out = run(capsys)
    assert found == code
    line = (
        '"db01": keeper: it does not run here, so nothing puts back the pins that VDSM moves: systemctl enable --now '
    )
    assert (line in out) == bool(code)
    assert "  none    ok" in out


def test_json(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.keeper(True, db01=Work({"start": 1}, 2, 0.0701, 0.0701))
    stage.start(mappings=MAPPINGS, edit=with_device, threads={**THREADS, "vcpu3": "5-6"})
    code, out = run(capsys, "--json", "db01")
    assert code == 1
    found = json.loads(out)
    (vm,) = found.pop("vms")
    assert found == {"version": 1, "keeper": True, "unread": []}
    expected = {"vcpu0": "0", "vcpu1": "1", "vcpu2": "4", "vcpu3": "5", "emulator": "0-7"}
    assert vm == {
        "name": "db01",
        "uuid": stage.uuid("db01"),
        "as_asked": False,
        "properties": TYPED,
        "locality": {"figure": 1.0, "near": 4, "vcpus": 4},
        "memory_kib": {"0": 60 * MIB, "1": 60 * MIB},
        "cells": [
            {"vcpus": "0-1", "near": "0-1", "nodes": "0", "size_kib": 256 * MIB, "memory_kib": {"0": 60 * MIB}},
            {"vcpus": "2-3", "near": "2-3", "nodes": "1", "size_kib": 256 * MIB, "memory_kib": {"1": 60 * MIB}},
        ],
        "threads": {
            thread: {"cpus": cpus, "expected": expected.get(thread)}
            for thread, cpus in {**THREADS, "vcpu3": "5-6"}.items()
        },
        "devices": {"0000:3b:00.0": None},
        "keeper": {"corrections": {"start": 1}, "refused": 2, "last_seconds": 0.07, "longest_seconds": 0.07},
        "problems": [
            {
                "subject": "cputune",
                "what": "may run elsewhere: vCPU 3 on CPUs 5-6 instead of CPU 5",
                "fix": "look at the journal of the keeper",
                "warning": False,
            }
        ],
        "shared": [],
        "unknown": [],
        "next_start": {"refused": False, "problems": []},
    }


def test_no_vm(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.world.domains == []
    assert run(capsys) == (0, "no VM runs on this host\n")


def test_a_vm_by_its_uuid(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start()
    assert run(capsys, stage.uuid("db01"))[1] == run(capsys, "db01")[1]


@pytest.mark.parametrize("arguments", [[], ["db01"], ["db03"]])
def test_cpus_that_another_vm_has_exclusively(
    arguments: list[str], stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def exclusive(document: str) -> str:
        pins = "".join(f'<vcpupin vcpu="{vcpu}" cpuset="{cpu}"/>' for vcpu, cpu in enumerate((0, 1, 9, 10)))
        policy = "<ovirt-vm:cpuPolicy>dedicated</ovirt-vm:cpuPolicy><ovirt-vm:custom>"
        return document.replace("<cputune>", f"<cputune>{pins}").replace("<ovirt-vm:custom>", policy)

    stage.start()
    stage.start({}, "db03", edit=exclusive, pid=PID + 100)
    code, out = run(capsys, *arguments)
    assert code == 1
    names = "" if arguments else '"db01", "db03": '
    assert out.splitlines()[-1 if arguments else -2] == (
        f'{names}cputune: VM "db01" is pinned to CPUs 0-1, which VM "db03" has exclusively: migrate '
        'one of them, or name other CPUs in the cputune of "db01" and start it again'
    )
    stage.start({}, "db2", pid=PID + 200)
    assert run(capsys, "db2")[0] == 0


def test_cpus_that_two_vms_share(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be meant so."""
    stage.start()
    stage.start({"cputune": "0-3#5,9"}, "db02", threads=dict.fromkeys(FOUR, "5,9"), pid=PID + 100)
    code, out = run(capsys)
    hint = "largeguest plan leaves out what others hold"
    assert code == 0
    assert f'"db01": shares CPU 5 with VM "db02": {hint}\n"db02": shares CPU 5 with VM "db01": {hint}\n' in out
    assert run(capsys, "db01")[1].endswith(f'\nshares CPU 5 with VM "db02": {hint}\n')
    (vm, _) = json.loads(run(capsys, "--json")[1])["vms"]
    assert vm["shared"] == [{"name": "db02", "cpus": "5"}]


def test_a_next_start_on_the_cpus_of_another_vm(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """One that was started where the hook is not installed will be pinned when it is started again."""
    stage.start()
    stage.start(name="db02", hook=False, threads=fake_kernel.all_cpus(4, hosts.FOUR_NODES.online), pid=PID + 100)
    assert re.search("^db02 .* warns$", run(capsys)[1], re.MULTILINE)
    line = 'next start warns: cputune: CPUs 0-1,4-5 are also pinned by VM "db01": largeguest plan leaves out what'
    assert line in run(capsys, "db02")[1]
    assert line not in run(capsys, "db01")[1]


AUTO = {"cputune": "auto", "guestnuma": "auto"}


def test_auto(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """What it has chosen is the record; without the hook nothing has chosen. The next start is beside the others."""
    stage.start(AUTO, threads={**{f"vcpu{n}": str(n) for n in range(4)}, "emulator": "0-3"}, memory={0: 512 * MIB})
    code, out = run(capsys, "db01")
    assert (code, "next start: ok" in out) == (0, True), out
    cells = json.loads(run(capsys, "--json")[1])["vms"][0]["cells"]
    assert [(cell["nodes"], cell["near"]) for cell in cells] == [("0", "0-3")]
    stage.start(AUTO, "db02", hook=False, threads=fake_kernel.all_cpus(4, hosts.FOUR_NODES.online), pid=PID + 100)
    code, out = run(capsys, "db02")
    assert code == 1
    assert "guestnuma: it asks for auto, but the VM has no cells on nodes of the host" in out


def test_memory_that_cannot_be_there_for_both_vms(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither has touched more than a part of its 3 GiB; the node has 4 GiB."""

    def large(document: str) -> str:
        return document.replace(">524288<", ">3145728<")

    def start(name: str, node: int, pid: int) -> None:
        typed = {"cputune": f"all#node{node}", "numatune": f"strict#{node}"}
        stage.start(typed, name, edit=large, threads=dict.fromkeys(FOUR, f"{4 * node}-{4 * node + 3}"), pid=pid)

    for number, (name, node) in enumerate([("db01", 1), ("db02", 2), ("db03", 1)]):
        start(name, node, PID + 100 * number)
    out = run(capsys)[1]
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("db0")] == ["warns", "ok", "warns"]
    line = 'next start warns: numatune: 3 GiB is bound to node 1, where 3 GiB is promised to VM "db03": largeguest plan'
    assert line in run(capsys, "db01")[1]
    assert "promised" not in run(capsys, "db02")[1]


def fail(code: str) -> Callable[[], str]:
    def read() -> str:
        raise fake_libvirt.libvirtError("no luck", fake_libvirt.CONSTANTS[code])

    return read


def test_the_others_when_some_vms_cannot_be_read(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    for name, read in (
        ("stopped", fail("VIR_ERR_NO_DOMAIN")),
        ("shut off", lambda: "<domain/>"),
        ("broken", lambda: "<domain id='1'><vcpu>x</vcpu></domain>"),
        ("failing", fail("VIR_ERR_INTERNAL_ERROR")),
        ("arriving", lambda: "<domain/>"),
    ):
        stage.world.domains.insert(0, fake_libvirt.Domain(stage.world, name))
        stage.world.domains[0].XMLDesc = read  # type: ignore[method-assign]
    stage.world.domains[0].status = (3, 2)
    stage.world.domains[3].status = (fake_libvirt.CONSTANTS["VIR_DOMAIN_SHUTOFF"], 0)
    stage.start()
    code, out = run(capsys)
    assert (code, out) == (
        2,
        ALL_WELL
        + """\
"arriving": it is starting or arriving, or was restored and has not run since
"failing": libvirt: "no luck"
"broken": largeguest: domain XML: <vcpu> contains no whole number: use the XML that the engine wrote
"shut off": not running
"stopped": not running
""",
    )
    del stage.world.domains[1:3]
    assert run(capsys)[0] == 0
    for name in ("arriving", "shut off"):
        assert cli.main(["status", name]) == 2
        assert capsys.readouterr().err.startswith(f'largeguest: VM "{name}": ')


def test_when_libvirt_ends(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def end() -> str:
        stage.world.crash()
        raise fake_libvirt.libvirtError("end of file while reading data")

    stage.start().XMLDesc = end  # type: ignore[method-assign]
    assert cli.main(["status"]) == 2
    assert capsys.readouterr() == ("", 'largeguest: libvirt: "end of file while reading data"\n')


FOUR = ("vcpu0", "vcpu1", "vcpu2", "vcpu3")
RAC = "rac-production-frankfurt-database-node-number-"


@pytest.mark.parametrize(("encoding", "third"), [("utf-8", "größe"), ("ascii", "gr\\xf6\\xdfe")])
def test_names_of_vms_are_whole_and_harmless(
    encoding: str, third: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        f"{RAC}1",
        f"{RAC}2",
        "größe",
        "a\x9b31mb\u202e",
    ]  # the first control character allowed in XML is U+0080
    shown = [f"{RAC}1", f"{RAC}2", third, "a\\x9b31mb\\u202e"]
    for number, name in enumerate(names):
        stage.start({"cputune": "0#x"}, name, hook=False, pid=PID + 10 * number)
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding))
    assert cli.main(["status"]) == 1
    lines = output.getvalue().decode(encoding).splitlines()
    assert [line.partition("  ")[0] for line in lines[1:5]] == shown
    assert lines[6].partition(": cputune: ")[0] == ", ".join(f'"{name}"' for name in shown)


@pytest.mark.parametrize(
    ("uri", "is_local"),
    [
        ("qemu:///system", True),
        ("qemu+unix:///system?socket=/run/other/libvirt-sock", True),
        ("qemu+ssh://host2/system", False),
        ("qemu+ssh://root@host2:22/system", False),
        ("qemu+tcp://[2001:db8::1]/system", False),
        ("test:///default", False),
        ("an-alias", False),
    ],
)
def test_status_and_keeper_on_the_host_that_the_uri_names(
    uri: str,
    is_local: bool,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    other = hosts.build(sockets=4, cores_per_node=1, threads=1)
    stage.world.capabilities = hosts.capabilities(other).decode()
    stage.start({"cputune": "0#node1"}, hook=False, threads=dict.fromkeys(FOUR, "4-7"))
    code, out = run(capsys, "--json", "--connect", uri)
    (vm,) = json.loads(out)["vms"]
    assert vm["threads"]["vcpu0"] == {"cpus": "4-7" if is_local else None, "expected": "4-7" if is_local else "1"}
    assert code == (0 if is_local else 1)
    world = fake_libvirt.World()
    world.stop_after(1)
    with world.keeper():
        assert cli.main(["keeper", "--connect", uri]) == (0 if is_local else 2)
    refusal = f'largeguest: "{uri}" is not this host\'s libvirt: write qemu:///system, and run a keeper on each host\n'
    assert (capsys.readouterr().err == refusal) == (not is_local)


def test_without_the_vm_or_libvirt(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "db99"]) == 2
    assert capsys.readouterr().err == 'largeguest: libvirt: "Domain not found"\n'
    stage.world.unreachable = True
    assert cli.main(["status"]) == 2
    assert capsys.readouterr().err == 'largeguest: libvirt: "Failed to connect socket"\n'

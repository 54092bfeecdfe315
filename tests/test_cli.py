# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from largeguest import cli, engine
from largeguest.rewrite import rewrite

from . import DATA, ROOT, hosts
from .hosts import FOUR_NODES
from .test_hooks import REFUSALS

PLAIN = DATA / "plain.xml"
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
    new, told = rewrite(VALUES, PLAIN.read_bytes(), None)
    assert (out, err.decode()) == (new, f"{told}\n")


def test_apply_reads_stdin(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.read_bytes())))
    assert cli.main(["apply", "--host", "none", *options(VALUES), "-"]) == 0
    assert capfdbinary.readouterr().out == rewrite(VALUES, PLAIN.read_bytes(), None)[0]


def test_apply_diff_shows_the_change_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--host", "none", "--diff", "--cputune", "0#1", str(PLAIN)]) == 0
    changed = [line for line in capsys.readouterr().out.splitlines() if line[0] in "+-"]
    assert changed == [f"--- {PLAIN}", "+++ rewritten", '+    <vcpupin vcpu="0" cpuset="1"/>']


def test_apply_without_properties_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--diff", str(PLAIN)]) == 0
    assert capsys.readouterr() == ("", "largeguest: nothing asked for\n")


@pytest.mark.parametrize(("values", "message"), REFUSALS, ids=lambda value: repr(value)[:60])
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


@pytest.mark.parametrize(("values", "message"), REFUSALS, ids=lambda value: repr(value)[:60])
def test_check_finds_what_the_hook_refuses(
    values: dict[str, str], message: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--host", four_nodes, *options(values), str(PLAIN)]) == 1
    *problems, last = capsys.readouterr().out.splitlines()
    assert "; ".join(problems) == f"largeguest: {message}"
    assert last == f"{len(problems)} wrong, 0 warnings"


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        ([], 0, "0 wrong, 0 warnings\n"),
        (["--cputune", "0#0,9000#15", "--guestnuma", "0-7#1024,8-99#2048"], 0, "0 wrong, 0 warnings\n"),
        (
            ["--cputune", "0#0,0#16", "--guestnuma", "0-7#1024,9#2048"],
            1,
            "largeguest: cputune: vCPU 0 is pinned more than once: write one pin for each vCPU\n"
            "largeguest: guestnuma: vCPU 8 is in no cell: name all of 0-9\n"
            "largeguest: cputune: CPU 16 is not online on this host, which has 0-15: pin to CPUs that are online\n"
            "3 wrong, 0 warnings\n",
        ),
        (
            ["--numatune", "strict#1", "--guestnuma", "0-7#3145728"],
            0,
            "largeguest: warning: numatune: 3145728 KiB are bound to node 1, where 2097152 KiB are free now: "
            "free memory there, or the VM may be killed when it uses all of its own\n"
            "0 wrong, 1 warnings\n",
        ),
    ],
)
def test_check_without_a_vm(
    arguments: list[str], code: int, out: str, four_nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--host", four_nodes, *arguments]) == code
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("kind", ["sys", "folder with sys", "capabilities"])
def test_the_host_can_be_given_as(kind: str, four_nodes: str, caps: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = {"sys": four_nodes, "folder with sys": str(Path(four_nodes).parent), "capabilities": caps}[kind]
    assert cli.main(["check", "--host", where, "--cputune", "0#16"]) == 1
    assert "which has 0-15" in capsys.readouterr().out


def test_host_none_checks_no_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--host", "none", "--cputune", "0#16000"]) == 0
    assert cli.main(["host", "--host", "none"]) == 2
    assert capsys.readouterr().err == "largeguest: no host to print: write --host local, DIR or CAPS.xml\n"


TABLE = """\
4 nodes, 2 sockets, 8 cores, 16 CPUs online

node  CPUs   memory  free   huge pages (free of all)      distance to 0 1 2 3
0     0-3    4 GiB   2 GiB  2 MiB: 0 of 0, 1 GiB: 0 of 0  10 12 21 21
1     4-7    4 GiB   2 GiB  2 MiB: 0 of 0, 1 GiB: 0 of 0  12 10 21 21
2     8-11   4 GiB   2 GiB  2 MiB: 0 of 0, 1 GiB: 0 of 0  21 21 10 12
3     12-15  4 GiB   2 GiB  2 MiB: 0 of 0, 1 GiB: 0 of 0  21 21 12 10

socket  CPUs  cores  threads of a core
0       0-7   4      2
1       8-15  4      2
"""


def test_host_prints_a_table(four_nodes: str, caps: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["host", "--host", four_nodes]) == 0
    assert capsys.readouterr().out == TABLE
    assert cli.main(["host", "--host", caps]) == 0
    unknown = (
        TABLE.replace("4 GiB   2 GiB", "4 GiB   ?   ").replace(": 0 of", ": ? of").replace("free   huge", "free  huge")
    )
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


@pytest.mark.parametrize(("arguments", "version"), [([], "4.7"), (["--cver", "4.6"], "4.6")])
def test_engine_config_is_ready_for_the_shell(
    arguments: list[str], version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["engine-config", *arguments]) == 0
    words = subprocess.run(
        ["bash", "-c", f'engine-config() {{ printf "%s\\n" "$@"; }}; {capsys.readouterr().out}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert words.stdout.splitlines() == [
        "-m",
        f"UserDefinedVMProperties={engine.user_defined_vm_properties()}",
        f"--cver={version}",
    ]


def test_as_a_module(tmp_path: Path) -> None:
    output = tmp_path / "new.xml"
    command = [sys.executable, "-m", "largeguest", "apply", "--host", "none", *options(VALUES), str(PLAIN)]
    with output.open("wb") as file:
        subprocess.run(command, cwd=ROOT, stdout=file, check=True)
    assert output.read_bytes() == rewrite(VALUES, PLAIN.read_bytes(), None)[0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine, by its commands, against the stand-in."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from largeguest import PROPERTIES, VERSION, cli
from largeguest.cli.engine import connect
from largeguest.engine import expressions
from largeguest.engine.releases import RELEASES
from largeguest.host.topology import Host
from tests import ROOT, books
from tests.cli.test_cli import commands, long_options
from tests.hosts import FOUR_NODES

from .standin import PASSWORD, Config, Engine

NOW = expressions.user_defined_vm_properties()
OLD = NOW.replace("|auto *(?!.)", "")
RELEASE = next(md5 for md5, version in RELEASES.items() if version == VERSION)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["engine", *arguments, "--insecure"])
    return (code, *capsys.readouterr())


@pytest.fixture
def small(engine: Engine, url: str) -> Engine:  # noqa: ARG001
    """Two clusters at different levels, one of which has the definitions."""
    engine.machine("host1", FOUR_NODES, "a" * 32)
    engine.machine("host2", FOUR_NODES, "a" * 32, cluster="green")
    engine.clusters["green"].level = "4.6"
    engine.definitions["4.7"] = f"sap=^x$;{NOW}"
    engine.definitions["4.6"] = f"{NOW};{NOW}"
    engine.vm("db01", host="id-host1", config=Config(custom={"cputune": "0#0"}))
    return engine


# config


def test_config_shows_the_levels_in_use(small: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "config")
    assert (code, err) == (0, "")
    first, second, last = out.split("\n\n")
    twice = "ours, defined 2 times: the last one counts"
    assert first.splitlines()[:4] == ["level 4.6", *(f"  {name:<10} {twice}" for name in PROPERTIES)]
    words = shlex.split(first.splitlines()[4])
    assert words == ["engine-config", "-s", f"UserDefinedVMProperties={NOW}", "--cver=4.6"]
    ours = [f"  {name:<10} ours" for name in PROPERTIES]
    assert second.splitlines() == ["level 4.7", *ours, "  others     sap", "  nothing to do"]
    assert last == "# then, on the engine: systemctl restart ovirt-engine\n"
    assert small.asked["GET /options/UserDefinedVMProperties"] == 2


def test_config_of_one_level_as_json(small: Engine, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    code, out, _ = run(capsys, "config", "--cver", "4.8", "--json")
    (known,) = json.loads(out)
    assert code == 0
    assert known["level"] == "4.8"
    assert known["properties"]["cputune"] == {"state": "missing", "times": 0}
    assert known["command"] == expressions.command("4.8")


def test_a_vm_with_a_level_of_its_own(small: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    small.vm("old", level="4.4")
    assert run(capsys, "config")[1].startswith("level 4.4\n  cputune    missing\n")


def test_a_level_that_the_engine_does_not_know(small: Engine, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    line = "largeguest: the engine knows no level 5.0: name one of its clusters' levels\n"
    assert run(capsys, "config", "--cver", "5.0") == (2, "", line)


def test_the_way_back_names_who_would_not_start(small: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "config", "--remove", "--cver", "4.7")
    assert code == 0
    *_, note, command, _, restart = out.splitlines()
    assert note == "  first remove them from 1 VM, which then would not start: db01"
    assert shlex.split(command) == ["engine-config", "-s", "UserDefinedVMProperties=sap=^x$", "--cver=4.7"]
    assert restart.startswith("# then")
    small.definitions["4.7"] = "sap=^x$"
    out = run(capsys, "config", "--remove", "--cver", "4.7")[1]
    assert out.endswith("  others     sap\n  nothing to do\n")


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    restart = "# then, on the engine: systemctl restart ovirt-engine"
    assert run(capsys, "config") == (0, f"{expressions.command('4.7')}\n{restart}\n", "")
    (known,) = json.loads(run(capsys, "config", "--json")[1])
    nothing = {name: {"state": None, "times": None} for name in PROPERTIES}
    assert known == {"level": "4.7", "properties": nothing, "others": None, "command": expressions.command("4.7")}
    code, out, err = run(capsys, "config", "--remove")
    assert (code, out) == (2, "")
    assert err.endswith(": name it with --url or OVIRT_URL\n")


# plan


@pytest.fixture
def hosts_of_three_kinds(engine: Engine, url: str) -> Engine:  # noqa: ARG001
    """A small host, a large one on which others run, and a free one without the hook."""
    engine.machine("host1", FOUR_NODES, "a" * 32)
    engine.machine("host2", books.large_host(), "a" * 32)
    engine.machine("host3", books.large_host(), None)
    engine.machine("elsewhere", books.large_host(), "a" * 32, cluster="green")
    engine.definitions["4.7"] = NOW
    typed = {"cputune": "all#=node0", "numatune": "0"}
    engine.vm("near", host="id-host2", config=Config(topology=(2, 4, 2), memory=65536, custom=typed))
    return engine


def values(out: str) -> dict[str, str]:
    return dict(re.findall(r"^(cputune|numatune|guestnuma|hugepages) +(\S+)$", out, re.MULTILINE))


def test_plan_chooses_the_best_host_beside_other_vms(
    hosts_of_three_kinds: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts_of_three_kinds.vm("db 01 ä", config=Config(topology=(2, 4, 2), memory=65536, iothreads=1))
    code, out, err = run(capsys, "plan", "db 01 ä")
    assert (code, err) == (0, "")
    assert out.startswith("db 01 ä on host2, the best of 2 hosts with a plan\n\n")
    assert values(out) == {
        "cputune": "all#=cell,emulator#cell,iothread1#cell",
        "numatune": "strict#1",
        "guestnuma": "0-15#*@1",
    }
    assert 'note       left to 1 other VM ("near"): 16 CPUs and 64 GiB promised\n' in out
    assert 'no plan on "host1": plan: 16 vCPUs and 64 GiB do not fit' in out
    assert "elsewhere" not in out


def test_a_vm_that_runs_is_planned_where_it_runs(
    hosts_of_three_kinds: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts_of_three_kinds.vm("db01", host="id-host3", config=Config(topology=(2, 4, 2), memory=65536))
    out = run(capsys, "plan", "db01")[1]
    assert out.startswith("db01 on host3\n\n")
    assert "note       the host does not have the hook: there the VM would start without this layout\n" in out
    own = "note       the VM itself runs on this host: how much memory will be free without it is not known\n"
    assert own in out
    assert own not in run(capsys, "plan", "db01", "--cluster")[1]
    assert run(capsys, "plan", "db01", "--cluster")[1].startswith("db01 on host2, the best of 2 hosts with a plan\n")
    assert run(capsys, "plan", "db01", "--host", "host2")[1].startswith("db01 on host2\n")


def test_the_plan_is_for_the_next_start(hosts_of_three_kinds: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    pending = Config(topology=(1, 4, 2), memory=2048, custom={"hugepages": "1048576"})
    hosts_of_three_kinds.vm("db01", host="id-host2", config=Config(topology=(2, 4, 2)), pending=pending, pci=("pci_0",))
    found = json.loads(run(capsys, "plan", "db01", "--json", "--nodes", "2")[1])
    assert found["host"] == {"id": "id-host2", "name": "host2"}
    assert found["plan"]["properties"]["hugepages"] == "1048576"
    assert found["plan"]["properties"]["guestnuma"].startswith("0-3#*@")
    assert "the engine does not know the nodes of 1 passed-through PCI device" in found["plan"]["notes"]
    pages = "the engine does not know huge pages by node: they count as spread evenly over the nodes"
    assert pages in found["plan"]["notes"]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["nobody"], 2, 'the engine has no VM "nobody": write a name or an id as the engine has it'),
        (["near", "--host", "elsewhere"], 2, 'the engine has no host that it may run on "elsewhere": write a name'),
        (["near", "--nodes", "9"], 1, "plan: 16 vCPUs and 64 GiB do not fit on 9 nodes: "),
        (["near", "--nodes", "9", "--cluster"], 1, "plan: on host1: 16 vCPUs and 64 GiB do not fit on 9 nodes: "),
        (["lonely"], 2, 'the engine has no host that VM "lonely" may run on: add one to its cluster'),
        (["twin"], 2, 'the engine has 2 with the name "twin": write a name or an id'),
    ],
)
def test_where_there_is_no_plan(
    hosts_of_three_kinds: Engine, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, line: str
) -> None:
    hosts_of_three_kinds.vm("lonely", only_on=("gone",))
    for _ in range(2):
        hosts_of_three_kinds.vm("twin")
    found, out, err = run(capsys, "plan", *arguments)
    assert (found, out) == (code, "")
    assert err.startswith(f"largeguest: {line}")
    assert err.count("\n") == 1


def test_a_host_that_the_engine_does_not_know_yet(engine: Engine, url: str, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    engine.machine("new", Host({}, {}), None, status="installing")
    engine.vm("db01")
    assert run(capsys, "plan", "db01")[2] == (
        'largeguest: host: the engine does not know the NUMA nodes and CPUs of "new": '
        "activate the host once, with VDSM 4.50 or later\n"
    )


# check


@pytest.fixture
def two_versions(engine: Engine, url: str) -> Engine:  # noqa: ARG001
    """Level 4.7 is defined, 4.8 is not; one host has another version of the hook, one has none."""
    engine.machine("host1", FOUR_NODES, RELEASE)
    engine.machine("host2", FOUR_NODES, "0" * 32)
    engine.machine("host3", FOUR_NODES, None, status="maintenance")
    engine.definitions["4.7"] = engine.definitions["4.6"] = NOW
    engine.vm("plain", host="id-host1")
    return engine


def good(**more: Any) -> Config:
    return Config(topology=(1, 2, 2), memory=1024, custom={"cputune": "all#=node0", "numatune": "0", **more})


def test_check_all_begins_with_what_is_wrong_as_a_whole(
    two_versions: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    two_versions.vm("db01", config=good(), only_on=("id-host1",))
    two_versions.vm("db02", config=good(), only_on=("id-host3",))
    two_versions.vm("db 03", config=replace(good(), policy="dedicated"), only_on=("id-host1", "id-host2"))
    two_versions.vm("db04", config=Config(), pending=good(), host="id-host2")
    two_versions.vm("db05", config=good(), level="4.6", only_on=("id-host1",))
    code, out, err = run(capsys, "check", "--all")
    assert (code, err) == (1, "")
    found, machines, table, why, last = out.split("\n\n")
    level = 'raising cluster "blue" from 4.7 to 4.8 would remove cputune, numatune from 4 VMs'
    names = '"db 03", "db01", "db02", "db04"'
    assert [line.removeprefix("largeguest: ") for line in found.splitlines()] == [
        'warning: hook: "host3" in cluster "blue" does not have the hook: install vdsm-hook-largeguest there',
        f'warning: hook: the hosts have 2 versions of it: 0.1.0, unknown "{"0" * 32}": upgrade them',
        f"warning: level: {level}: {names}: before that: largeguest engine config --cver 4.8",
        'hook: VM "db02" is pinned to "host3", without the hook: '
        "install vdsm-hook-largeguest there, or change Start Running On",
        'policy: VM "db 03": the VM has the CPU pinning policy dedicated, under which the engine sets the layout: '
        "choose the policy None or Manual, or remove the properties",
    ]
    assert machines.splitlines()[1:] == [
        "1  host1  blue     up           0.1.0",
        f'2  host2  blue     up           unknown "{"0" * 32}"',
        "3  host3  blue     maintenance  none",
    ]
    assert table.splitlines() == [
        "VM     level  1   2   3     next start",
        "db 03  4.7    no  no  -     refused on 2 of 2 hosts",
        "db01   4.7    ok  -   -     ok on 1 host",
        "db02   4.7    -   -   bare  without its layout on 1 of 1 host",
        "db04   4.7    ok  ok  bare  without its layout on 1 of 3 hosts (pending changes)",
        "db05   4.6    ok  -   -     ok on 1 host",
    ]
    assert why.splitlines()[0].startswith("db 03 on 1, 2: cputune: the VM has the CPU pinning policy dedicated")
    assert last == "5 VMs, 3 with a host to avoid or a refusal\n"


def test_check_of_some_vms(two_versions: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    two_versions.vm("db01", config=good(), only_on=("id-host1",))
    two_versions.vm("far", config=good(numatune="3"), only_on=("id-host1",))
    two_versions.vm("typo", config=good(cputune="0#0#"), only_on=("id-host2",))
    code, out, _ = run(capsys, "check", "far", "db01")
    assert code == 0
    assert "\nfar on 1: warning: cputune: " in out
    assert "\nfar   4.7    warn  -  -  ok, with warnings on 1 of 1 host\n" in out
    assert two_versions.asked["GET /options/UserDefinedVMProperties"] == 1
    code, out, _ = run(capsys, "check", "typo")
    assert code == 1
    assert 'typo: cputune: "0#0#" does not match the definition of level 4.7: the engine does not start the VM' in out
    assert "typo on 2: cputune: " in out
    assert "  refused by the engine\n" in out


def test_a_label_keeps_a_vm_to_its_hosts(two_versions: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    vm, other = two_versions.vm("db01", config=good()), two_versions.vm("db02", config=good())
    two_versions.labels["hooked"] = (True, ["id-host1", "id-host2"], [vm.id])
    two_versions.labels["rack"] = (True, ["id-host2", "id-host3"], [vm.id])
    two_versions.labels["empty"] = (True, [], [vm.id, other.id])
    two_versions.labels["only a name"] = (False, ["id-host3"], [vm.id])
    code, out, _ = run(capsys, "check", "db01")
    assert code == 0
    assert "\ndb01  4.7    -  ok  -  ok on 1 host\n" in out
    assert "without its layout on 1 of 3 hosts" in run(capsys, "check", "db02")[1]


def test_what_others_hold_is_a_warning(two_versions: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    two_versions.vm("db01", config=good(), only_on=("id-host1",))
    two_versions.vm("first", config=good(), host="id-host1")
    code, out, _ = run(capsys, "check", "db01")
    assert code == 0
    assert 'db01 on 1: warning: cputune: CPUs 0-3 are also pinned by VM "first"' in out


def test_a_level_that_defines_nothing_is_found_even_if_no_vm_has_anything_left(
    two_versions: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    two_versions.clusters["blue"].level = "4.8"
    code, out, _ = run(capsys, "check", "--all")
    assert code == 1
    line = "definitions: level 4.8 does not define cputune, numatune, guestnuma: largeguest engine config --cver 4.8"
    assert f"largeguest: {line}\n" in out
    assert "\n\nno VM has properties\n\n0 VMs, 0 with" in out


@pytest.mark.parametrize(
    ("definition", "line"),
    [
        (OLD, "warning: definitions: level 4.7 has another version of cputune, numatune, guestnuma: "),
        (f"{NOW};{NOW}", "warning: definitions: level 4.7 defines cputune, numatune, guestnuma several times: "),
        (f"{NOW};cputune=.*", "definitions: level 4.7 has something else as cputune: "),
    ],
)
def test_definitions_that_are_not_as_they_should_be(
    two_versions: Engine, capsys: pytest.CaptureFixture[str], definition: str, line: str
) -> None:
    two_versions.definitions["4.7"] = definition
    two_versions.vm("db01", config=good(), only_on=("id-host1",))
    code, out, _ = run(capsys, "check", "--all")
    assert code == (not line.startswith("warning"))
    assert f"largeguest: {line}" in out


def test_check_against_what_was_kept(two_versions: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("same", "lost", "other", "removed"):
        two_versions.vm(name, config=good(hugepages="4"), only_on=("id-host1",))
    code, out, _ = run(capsys, "check", "--all", "--json")
    assert code == 0
    kept = tmp_path / "kept.json"
    kept.write_text(out)
    assert json.loads(out)["vms"][0]["properties"] == {"cputune": "all#=node0", "numatune": "0", "hugepages": "4"}
    two_versions.named("lost").config.custom.clear()
    two_versions.named("other").config.custom["numatune"] = "0-1"
    del two_versions.vms[two_versions.named("removed").id]
    code, out, _ = run(capsys, "check", "--all", "--against", str(kept))
    assert code == 1
    lines = [line for line in out.splitlines() if "kept: " in line]
    assert lines == [
        'largeguest: kept: VM "lost" has lost cputune, numatune, hugepages: '
        "largeguest engine set --from puts them back",
        'largeguest: warning: kept: VM "other" has another numatune than then',
        'largeguest: warning: kept: VM "removed" no longer exists',
    ]
    code, out, _ = run(capsys, "check", "same", "--against", str(kept))
    assert (code, "kept: " in out) == (0, False)


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "vms": []}', '{"version": 1, "vms": [{"id": 3}]}', "[" * 10000]
)
def test_a_file_that_check_has_not_written(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(text)
    code, out, err = run(capsys, "check", "--all", "--against", str(kept))
    assert (code, out) == (2, "")
    assert err.startswith("largeguest: the file is not what largeguest engine check --json prints: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["db01", "--all"]])
def test_check_wants_names_or_all(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["engine", "check", *arguments])
    assert caught.value.code == 2
    assert "name VMs, or write --all" in capsys.readouterr().err


def test_each_release_has_a_script_of_its_own() -> None:
    script = (ROOT / "vdsm_hooks/largeguest/hook.py").read_bytes()
    assert f"\n# vdsm-hook-largeguest {VERSION}\n".encode() in script
    assert RELEASES[hashlib.md5(script).hexdigest()] == VERSION


# the password


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "USERNAME", "PASSWORD", "TOKEN", "CAFILE"):
        monkeypatch.delenv(f"OVIRT_{name}", raising=False)


def test_the_password_is_asked_for(
    small: Engine,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("OVIRT_PASSWORD")
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr(getpass, "getpass", ask)
    assert run(capsys, "config")[0] == 0
    assert asked == ["Password of admin@internal: "]


def test_without_a_terminal_no_password_is_asked_for(
    small: Engine,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("OVIRT_PASSWORD")
    line = "largeguest: no password is known: set OVIRT_PASSWORD or OVIRT_TOKEN, or write it into --config\n"
    assert run(capsys, "config") == (2, "", line)


def test_no_option_takes_a_password() -> None:
    with pytest.raises(SystemExit):
        cli.main(["engine", "config", "--password", "x"])


def test_everything_from_a_file(
    small: Engine,  # noqa: ARG001
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("URL", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"OVIRT_{name}")
    file = tmp_path / "ovirt.ini"
    file.write_text(f"[ovirt]\novirt_url={url}\novirt_username=admin@internal\novirt_password={PASSWORD}\n")
    assert run(capsys, "config", "--config", str(file))[0] == 0
    assert run(capsys, "config", "--config", "/nowhere.ini")[::2] == (
        2,
        'largeguest: "/nowhere.ini": No such file or directory\n',
    )


def test_progress_is_shown_where_there_are_many_answers(capsys: pytest.CaptureFixture[str]) -> None:
    show = connect.progress()
    show(1, 4)
    assert capsys.readouterr().err == ""
    show(3, 8)
    show(8, 8)
    assert capsys.readouterr().err == "\r\x1b[Kanswers: 3 of 8\r\x1b[K"


# the manual page

MANUAL = books.page("largeguest-engine.1")


def test_the_manual_page_has_every_command_and_option() -> None:
    own = commands(commands()["engine"])
    synopses = dict(
        re.findall(
            r'^\.SY "largeguest engine (\S+)"$(.*?)^\.YS$', books.section(MANUAL, "SYNOPSIS") + "\n", re.M | re.S
        )
    )
    connecting = {"--url", "--username", "--cafile", "--config", "--insecure", "--timeout"}
    assert {name: {*re.findall("--[a-z-]+[a-z]", text)} for name, text in synopses.items()} == {
        name: long_options(parser) - {"--help"} - connecting for name, parser in own.items()
    }
    described = set(
        re.findall(r"^\.T[PQ]\n\.B[RI]? .*?(--[a-z-]+[a-z])", books.section(MANUAL, "OPTIONS"), re.MULTILINE)
    )
    assert described == set.union(*map(long_options, own.values()))
    assert re.findall(r"^\.TP\n\.B ([a-z]+)$", books.section(MANUAL, "COMMANDS"), re.MULTILINE) == [*own]


def test_help_has_an_example_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name, parser in commands(commands()["engine"]).items():
        parser.print_help()
        assert f"largeguest engine {name} " in capsys.readouterr().out.partition("example")[2], name


def test_the_command_lines_of_the_playbook(url: str, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    engine.machine("host1", FOUR_NODES, RELEASE)
    engine.definitions.update(dict.fromkeys(engine.definitions, NOW))
    engine.vm("db1", config=Config(topology=(1, 2, 2), memory=1024))
    (play,) = re.findall(r"^\.EX\n(- hosts:.*?)^\.EE$", MANUAL, re.MULTILINE | re.DOTALL)
    argvs = [re.split(", *", argv) for argv in re.findall(r"argv: \[largeguest, engine, (.*)\]$", play, re.MULTILINE)]
    plan, audit = [
        [{'"{{ item }}"': "db1", '"{{ kept }}"': "/dev/null"}.get(word, word) for word in one] for one in argvs
    ]
    assert json.loads(run(capsys, *plan)[1])["set"][0]["set"] is True
    assert json.loads(run(capsys, *plan)[1])["set"] == []
    shell = re.findall(r'shell: "largeguest engine (.*) >', play)
    assert [line.split() for line in shell] == [[*audit[:2], "--json"]]
    assert run(capsys, *audit[:2])[0] == 0


@pytest.mark.parametrize(("code", "is_kept"), [(0, True), (1, True), (2, False)])
def test_the_playbook_keeps_the_values_if_there_is_a_finding(code: int, is_kept: bool, tmp_path: Path) -> None:
    (line,) = re.findall(r'shell: "(.*)"$', MANUAL, re.MULTILINE)
    kept = tmp_path / "kept.json"
    command = f"largeguest() {{ echo '{{}}'; return {code}; }}; {line.replace('{{ kept }}', str(kept))}"
    done = subprocess.run(["sh", "-c", command], check=False)
    assert (done.returncode == 0, kept.exists()) == (is_kept, is_kept)

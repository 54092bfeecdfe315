# SPDX-License-Identifier: GPL-2.0-or-later
"""What is set is what was asked for, from the next start on, and nothing else of any VM changes."""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from largeguest import VERSION, cli
from largeguest.engine import expressions
from largeguest.engine.releases import RELEASES
from tests import books
from tests.hosts import FOUR_NODES

from .standin import Config, Engine, FaultError, Vm
from .test_commands import run, values

NOW = expressions.user_defined_vm_properties()
RELEASE = next(md5 for md5, version in RELEASES.items() if version == VERSION)
OTHERS = {"sap": "a=b#^@*;"[:-1], "macspoof": "true", "hugepages": "4"}


@pytest.fixture
def world(engine: Engine, url: str) -> Engine:  # noqa: ARG001
    engine.machine("host1", FOUR_NODES, RELEASE)
    engine.machine("host2", books.large_host(), RELEASE)
    engine.definitions["4.7"] = f"sap=.*;macspoof=^(true|false)$;{NOW}"
    custom = {"sap": OTHERS["sap"], "cputune": "0#0", **OTHERS}
    engine.vm("db 01 ä", host="id-host1", config=Config(topology=(2, 2, 2), memory=1024, custom=custom, iothreads=1))
    engine.vm("db02", config=Config(custom={"numatune": "0"}), host="id-host2")
    return engine


def answers(*lines: str) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = io.StringIO("".join(f"{line}\n" for line in lines))
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", terminal)

    return patch


def changed(engine: Engine, before: dict[str, Vm]) -> dict[str, tuple[Any, Any]]:
    """The VMs that are not as before: the present configuration, and that of the next start."""
    return {vm.name: (vm.config, vm.pending) for vm in engine.vms.values() if vm != before[vm.id]}


NEW = ["cputune=all#=cell,emulator#cell", "numatune=strict#0-1", "guestnuma=0-3#*@0,4-7#*@1"]


def test_only_what_was_named_changes_and_only_from_the_next_start_on(
    world: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    before = copy.deepcopy(world.vms)
    code, out, err = run(capsys, "set", "db 01 ä", *NEW, "--yes")
    assert (code, err) == (0, "")
    assert out.splitlines()[:5] == [
        "db 01 ä",
        "  cputune    0#0 -> all#=cell,emulator#cell",
        "  numatune   (none) -> strict#0-1",
        "  guestnuma  (none) -> 0-3#*@0,4-7#*@1",
        "  next start ok on 2 hosts",
    ]
    assert out.endswith("\n\ndb 01 ä: set for the next start\n")
    was = before[world.named("db 01 ä").id].config
    custom = {**was.custom, **dict(word.split("=", 1) for word in NEW)}
    assert changed(world, before) == {"db 01 ä": (was, replace(was, custom=custom))}


def test_a_pending_change_is_kept(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    vm = world.named("db 01 ä")
    vm.pending = replace(vm.config, memory=2048, description="with more memory", custom={"sap": "x"})
    assert run(capsys, "set", "db 01 ä", "numatune=0", "--yes")[0] == 0
    assert vm.pending.memory == 2048
    assert vm.pending.description == "with more memory"
    assert vm.pending.custom == {"sap": "x", "numatune": "0"}


def test_auto_is_a_value_like_others(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["cputune=auto", "numatune=", "guestnuma=auto"]
    code, out, _ = run(capsys, "set", "db02", *typed, "--yes")
    assert (code, "  next start ok" in out) == (0, True)
    assert world.named("db02").next_run.custom == {"cputune": "auto", "guestnuma": "auto"}


def test_an_empty_value_removes(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "set", "db 01 ä", "cputune=", "hugepages=", "--yes")
    assert code == 0
    assert out.splitlines()[1:3] == ["  cputune    0#0 -> (none)", "  hugepages  4 -> (none)"]
    pending = world.named("db 01 ä").pending
    assert pending is not None
    assert pending.custom == {"sap": OTHERS["sap"], "macspoof": "true"}


def test_the_last_property_can_be_removed(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "set", "db02", "numatune=", "--yes")[0] == 0
    assert world.named("db02").next_run.custom == {}


@pytest.mark.parametrize(
    ("answer", "is_set"), [(answers("y"), True), (answers("n"), False), (answers(""), False), (answers(), False)]
)
def test_it_asks_on_a_terminal(
    world: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Callable[[pytest.MonkeyPatch], None],
    is_set: bool,
) -> None:
    answer(monkeypatch)
    code, _, err = run(capsys, "set", "db02", "numatune=1")
    assert (code, err) == (0, "Set this for 1 VM, from the next start on? [y/N] ")
    assert (world.named("db02").next_run.custom == {"numatune": "1"}) == is_set


def test_a_dry_run_is_the_default(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    before = copy.deepcopy(world.vms)
    code, out, err = run(capsys, "set", "db02", "numatune=1")
    assert (code, err) == (0, "nothing was changed: write --yes to set it\n")
    assert "  numatune   0 -> 1\n" in out
    assert "set for" not in out
    assert changed(world, before) == {}
    assert [path for path in world.asked if path.startswith("PUT")] == []


def test_what_is_so_already(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "set", "db02", "numatune=0", "--yes") == (0, "nothing to change\n", "")
    assert [path for path in world.asked if path.startswith("PUT")] == []


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["cputune=0#"], 'cputune: "0#" does not match the definition of level 4.7: the engine does not start the VM'),
        (["cputune=0#3-1"], 'cputune: "0#3-1" at 2: "3-1" runs backwards'),
        (["numatune=9"], "numatune: each host that it may run on would refuse the start: node 9 is not on this host"),
        (["hugepages=1G"], 'hugepages: "1G" is not a number of KiB: write 1048576 for 1G, or 2048 for 2M'),
        (["cputune=" + ",".join(f"{n}#0" for n in range(700))], "all properties of the VM together have 4"),
    ],
)
def test_what_would_be_refused_is_not_set(
    world: Engine, capsys: pytest.CaptureFixture[str], typed: list[str], line: str
) -> None:
    before = copy.deepcopy(world.vms)
    code, out, err = run(capsys, "set", "db02", *typed, "--yes")
    assert (code, err) == (1, "")
    assert any(found.startswith(f"  not set    {line}") for found in out.splitlines()), out
    assert changed(world, before) == {}


@pytest.mark.usefixtures("world")
def test_a_host_that_would_refuse_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "set", "db02", "cputune=0#99", "--yes")
    assert code == 0
    assert "  next start refused on 1 of 2 hosts\n" in out
    assert "  db02 on host1: cputune: CPU 99 is not online on this host, which has 0-15: " in out


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (
            ["sap=x"],
            '"sap=x" does not set a property: write one of cputune, numatune, guestnuma, hugepages with a value',
        ),
        (
            ["cputune"],
            '"cputune" does not set a property: write one of cputune, numatune, guestnuma, hugepages with a value',
        ),
        (["cputune=", "cputune=0#0"], "cputune is set more than once: write it once"),
    ],
)
def test_what_cannot_be_set(world: Engine, capsys: pytest.CaptureFixture[str], typed: list[str], line: str) -> None:
    assert run(capsys, "set", "db02", *typed) == (2, "", f"largeguest: {line}\n")
    assert not world.asked


@pytest.mark.parametrize("words", [[], ["db02"]])
def test_there_must_be_something_to_set(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["engine", "set", *words])
    assert caught.value.code == 2
    assert "name a VM and NAME=VALUE, or write --from FILE" in capsys.readouterr().err


def change_when_read_again(world: Engine, change: Callable[[Vm], None]) -> None:
    """Somebody changes the VM between the first and the second look at its next start."""
    vm = world.named("db02")
    looks: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "GET" and f"/vms/{vm.id}?next_run" in path:
            looks.append(path)
            if len(looks) == 2:
                change(vm)

    world.before = before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda vm: vm.config.custom.update(sap="new"), "custom"),
        (lambda vm: setattr(vm.config, "memory", 4096), "memory"),
        (lambda vm: setattr(vm, "pending", Config(topology=(8, 1, 1), custom={"numatune": "0"})), "topology"),
        (lambda vm: setattr(vm.config, "policy", "dedicated"), "policy"),
    ],
)
def test_a_vm_that_has_changed_meanwhile(
    world: Engine, capsys: pytest.CaptureFixture[str], change: Callable[[Vm], None], field: str
) -> None:
    change_when_read_again(world, change)
    code, _, err = run(capsys, "set", "db02", "numatune=1", "--yes")
    assert code == 1
    assert err == (
        f'largeguest: engine: VM "db02" has changed meanwhile ({field}): nothing was set: '
        "look at it again, and repeat the command\n"
    )
    assert [path for path in world.asked if path.startswith("PUT")] == []


def test_a_vm_that_has_started_meanwhile_is_still_the_same(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    change_when_read_again(world, lambda vm: setattr(vm, "host", None))
    assert run(capsys, "set", "db02", "numatune=1", "--yes")[0] == 0


def test_the_engine_refuses_the_update(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    def before(method: str, _path: str) -> None:
        if method == "PUT":
            raise FaultError(409, "Operation Failed", "[Cannot edit VM. VM is being migrated.]")

    world.before = before
    code, _, err = run(capsys, "set", "db02", "numatune=1", "--yes")
    line = "the engine reports: Operation Failed: [Cannot edit VM. VM is being migrated.]"
    assert (code, err) == (1, f"largeguest: engine: {line}\n")


def test_an_engine_that_stores_something_else(
    world: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Engine, "change", lambda *_: None)
    code, _, err = run(capsys, "set", "db02", "numatune=1", "--yes")
    assert (code, err) == (
        1,
        'largeguest: engine: VM "db02": the engine did not store numatune: look at it in the engine\n',
    )
    assert world.asked["PUT /vms/vm-0001"] == 1


# plan --set


def test_plan_set_gives_the_vm_what_the_plan_says(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(topology=(1, 8, 1), memory=4096, custom={"sap": "x"}, iothreads=1)
    vm = world.vm("new", config=config)
    before = copy.deepcopy(world.vms)
    wanted = ["plan", "new", "--host", "host1", "--threads", "2", "--reserve-memory", "0", "--set"]
    code, out, err = run(capsys, *wanted)
    assert (code, err) == (0, "nothing was changed: write --yes to set it\n")
    assert changed(world, before) == {}
    code, out, err = run(capsys, *wanted, "--yes")
    assert (code, err) == (0, "")
    assert "  topology   1 socket, 8 cores, 1 thread -> 2 sockets, 2 cores, 2 threads\n" in out
    planned = values(out)
    assert changed(world, before) == {
        "new": (replace(config, topology=(2, 2, 2), custom={"sap": "x", **planned}), None)
    }
    assert vm.config.topology == (2, 2, 2)
    assert run(capsys, "check", "new")[0] == 0


def test_vms_that_are_planned_in_turn_do_not_get_the_same_cpus(
    world: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A change is pending until the next start, but the next plan has to know it."""
    names = [f"new{number}" for number in range(3)]
    for name in names:
        world.vm(name, host="id-host1", config=Config(topology=(1, 2, 2), memory=1024))
    for name in names:
        assert run(capsys, "plan", name, "--set", "--yes")[0] == 0
    nodes = {world.named(name).next_run.custom["numatune"] for name in names}
    assert len(nodes) == 3
    assert run(capsys, "check", *names)[0] == 0


def test_plan_auto_leaves_the_choice_to_the_host(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "db02", "--auto", "--set", "--yes")
    assert code == 0
    assert "  numatune   0 -> (none)\n" in out
    assert world.named("db02").next_run.custom == {"cputune": "auto", "guestnuma": "auto"}


def test_plan_set_as_json(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "db02", "--hugepages", "1G", "--set", "--yes", "--json")
    found = json.loads(out)  # nothing else
    assert code == 0
    (outcome,) = found["set"]
    assert outcome["set"] is True
    assert outcome["changes"]["hugepages"] == {"old": "", "new": "1048576"}
    assert world.named("db02").next_run.custom == found["plan"]["properties"]


def test_a_plan_that_the_level_would_not_accept_is_not_set(world: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    world.definitions["4.7"] = "sap=.*"
    code, out, _ = run(capsys, "plan", "db02", "--set", "--yes")
    assert code == 1
    assert "  not set    cputune: it is not defined for level 4.7: the engine does not start the VM: " in out
    assert world.named("db02").next_run.custom == {"numatune": "0"}


# set --from


@pytest.fixture
def kept(world: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:  # noqa: ARG001
    path = tmp_path / "kept.json"
    path.write_text(run(capsys, "check", "--all", "--json")[1])
    return str(path)


def test_what_was_kept_is_put_back(world: Engine, kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = copy.deepcopy(world.vms)
    world.named("db 01 ä").config.custom = {"sap": "newer", "numatune": "3"}
    code, out, err = run(capsys, "set", "--from", kept, "--yes")
    assert (code, err) == (0, "")
    assert out.splitlines()[:4] == [
        "db 01 ä",
        "  cputune    (none) -> 0#0",
        "  numatune   3 -> (none)",
        "  hugepages  (none) -> 4",
    ]
    assert world.named("db 01 ä").next_run.custom == {"sap": "newer", "cputune": "0#0", "hugepages": "4"}
    assert world.named("db02") == before[world.named("db02").id]
    assert run(capsys, "set", "--from", kept, "--yes") == (0, "nothing to change\n", "")


def test_some_of_what_was_kept(world: Engine, kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("db 01 ä", "db02"):
        world.named(name).config.custom = {}
    assert run(capsys, "set", "--from", kept, "db02", "--yes")[0] == 0
    assert [world.named(name).next_run.custom for name in ("db 01 ä", "db02")] == [{}, {"numatune": "0"}]
    line = 'largeguest: the file has no VM "db03": write a name or an id that is in it\n'
    assert run(capsys, "set", "--from", kept, "db03") == (2, "", line)


def test_a_vm_that_is_gone_cannot_be_put_back(world: Engine, kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    del world.vms[world.named("db02").id]
    code, _, err = run(capsys, "set", "--from", kept, "--yes")
    assert (code, err) == (1, 'largeguest: kept: VM "db02" no longer exists\n')


def test_one_that_is_refused_does_not_stop_the_others(
    world: Engine, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("db 01 ä", "db02"):
        world.named(name).config.custom = {}
    world.named("db02").level = "4.6"
    code, out, _ = run(capsys, "set", "--from", kept, "--yes", "--json")
    assert code == 1
    assert {one["name"]: one["set"] for one in json.loads(out)} == {"db 01 ä": True, "db02": False}


def test_a_put_without_next_run_would_have_hurt(world: Engine) -> None:
    """The stand-in does what the engine does, or these tests would prove nothing."""
    vm = world.named("db02")
    vm.pending = Config(memory=1)
    asked = etree.fromstring("<vm><custom_properties/></vm>")
    world.change(vm, asked, next_run=False)
    assert vm.pending is None
    assert vm.config.custom == {}

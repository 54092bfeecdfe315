# SPDX-License-Identifier: GPL-2.0-or-later
"""A day of an administrator: define, plan, set, check all, raise a level, find what is lost, put it back."""

from __future__ import annotations

import copy
import json
import re
import shlex
from pathlib import Path

import pytest

from largeguest.engine.inventory import SETTABLE
from tests import books
from tests.hosts import FOUR_NODES

from .standin import Config, Engine, Vm
from .test_commands import run
from .test_set import RELEASE


def engine_config(engine: Engine, printed: str) -> None:
    """Do what the printed commands do on the engine's machine; -m appends."""
    for line in re.findall("^engine-config .*$", printed, re.MULTILINE):
        _, option, assignment, level = shlex.split(line)
        level, value = level.removeprefix("--cver="), assignment.partition("=")[2]
        before = engine.definitions[level] if option == "-m" else ""
        engine.definitions[level] = ";".join(filter(None, [before, value]))


def the_rest(engine: Engine) -> dict[str, Vm]:
    """Everything of each VM but what these commands set."""
    found: dict[str, Vm] = {}
    for vm in copy.deepcopy(engine.vms).values():
        for config in filter(None, (vm.config, vm.pending)):
            config.custom = {name: value for name, value in config.custom.items() if name not in SETTABLE}
            config.topology = (0, 0, 0)
        vm.config, vm.pending = vm.pending or vm.config, None
        found[vm.name] = vm
    return found


def test_a_day(engine: Engine, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    engine.machine("host1", books.large_host(), RELEASE)
    engine.machine("host2", books.large_host(), RELEASE)
    engine.machine("small", FOUR_NODES, RELEASE, cluster="green")
    engine.definitions["4.7"] = "sap=^(true|false)$"
    engine.definitions["4.8"] = "sap=^(true|false)$"
    for number in range(4):
        config = Config(topology=(2, 4, 2), memory=65536, custom={"sap": "true"}, iothreads=number)
        engine.vm(f"db {number} ü", config=config, host=f"id-host{number % 2 + 1}")
    pending = Config(topology=(1, 4, 2), memory=4096, description="is to be larger")
    engine.vm("web", config=Config(topology=(1, 2, 2), memory=1024), pending=pending, host="id-host1")
    untouched = engine.vm("idle", cluster="green", config=Config(custom={"sap": "false"}))
    before, rest = copy.deepcopy(engine.vms), the_rest(engine)

    # define
    engine_config(engine, run(capsys, "config")[1])
    assert run(capsys, "config")[1].count("nothing to do") == 1
    assert engine.definitions["4.7"].startswith("sap=^(true|false)$;cputune=")

    # plan and set
    for number in range(4):
        assert run(capsys, "plan", f"db {number} ü", "--set", "--yes")[0] == 0
    assert run(capsys, "plan", "web", "--hugepages", "1G", "--set", "--yes")[0] == 0
    layouts = {vm.name: dict(vm.next_run.custom) for vm in engine.vms.values()}
    assert [{*SETTABLE} - {*layouts[f"db {number} ü"]} for number in range(4)] == [{"hugepages"}] * 4

    # check all: the next level lacks the definitions, and that is all
    code, out, _ = run(capsys, "check", "--all")
    assert code == 0
    assert 'raising cluster "blue" from 4.7 to 4.8 would remove cputune, numatune, guestnuma from 5 VMs' in out
    kept = tmp_path / "kept.json"
    code, out, _ = run(capsys, "check", "--all", "--json")
    kept.write_text(out)
    assert (code, len(json.loads(out)["vms"])) == (0, 5)

    # somebody raises the level
    engine.raise_level("blue", "4.8")
    assert all("cputune" not in vm.next_run.custom for vm in engine.vms.values())
    code, out, _ = run(capsys, "check", "--all", "--against", str(kept))
    assert code == 1
    assert "largeguest: definitions: level 4.8 does not define cputune, numatune, guestnuma: " in out
    assert out.count(" has lost cputune, numatune, guestnuma: largeguest engine set --from puts them back\n") == 5

    # put back: not before the level has the definitions
    assert run(capsys, "set", "--from", str(kept), "--yes")[0] == 1
    engine_config(engine, run(capsys, "config")[1])
    assert run(capsys, "set", "--from", str(kept), "--yes")[0] == 0
    assert {vm.name: vm.next_run.custom for vm in engine.vms.values()} == layouts
    assert run(capsys, "check", "--all", "--against", str(kept))[0] == 0
    assert engine.definitions["4.8"].startswith("sap=^(true|false)$;cputune=")

    # nothing else of any VM has changed
    assert the_rest(engine) == rest
    assert untouched == before[untouched.id]
    assert [vm.config.memory for vm in engine.vms.values()] == [vm.config.memory for vm in before.values()]

# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest engine, by its commands, against the stand-in."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import sys
from typing import Any

import pytest

from largeguest import PROPERTIES, cli
from largeguest.cli.engine import connect
from largeguest.engine import expressions
from tests import books
from tests.cli.test_cli import commands, long_options
from tests.hosts import FOUR_NODES

from .standin import PASSWORD, Config, Engine

NOW = expressions.user_defined_vm_properties()


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
    first, second = out.split("\n\n")
    twice = "ours, defined 2 times: the last one counts"
    assert first.splitlines()[:4] == ["level 4.6", *(f"  {name:<10} {twice}" for name in PROPERTIES)]
    words = shlex.split(first.splitlines()[4])
    assert words == ["engine-config", "-s", f"UserDefinedVMProperties={NOW}", "--cver=4.6"]
    ours = [f"  {name:<10} ours" for name in PROPERTIES]
    assert second.splitlines() == ["level 4.7", *ours, "  others     sap", "  nothing to do"]
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


def test_the_way_back_names_who_would_not_start(small: Engine, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    code, out, _ = run(capsys, "config", "--remove", "--cver", "4.7")
    assert code == 0
    *_, note, command = out.splitlines()
    assert note == "  first remove them from 1 VM, which then would not start: db01"
    assert shlex.split(command) == ["engine-config", "-s", "UserDefinedVMProperties=sap=^x$", "--cver=4.7"]


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "config") == (0, expressions.command("4.7") + "\n", "")
    code, out, err = run(capsys, "config", "--remove")
    assert (code, out) == (2, "")
    assert err.endswith(": name it with --url or OVIRT_URL\n")


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
    tmp_path: Any,
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
    assert {name: {*re.findall("--[a-z]+", text)} for name, text in synopses.items()} == {
        name: long_options(parser) - {"--help"} - connecting for name, parser in own.items()
    }
    described = set(re.findall(r"^\.T[PQ]\n\.B[RI]? .*?(--[a-z]+)", books.section(MANUAL, "OPTIONS"), re.MULTILINE))
    assert described == set.union(*map(long_options, own.values()))
    assert re.findall(r"^\.TP\n\.B ([a-z]+)$", books.section(MANUAL, "COMMANDS"), re.MULTILINE) == [*own]


def test_help_has_an_example_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name, parser in commands(commands()["engine"]).items():
        parser.print_help()
        assert f"largeguest engine {name} " in capsys.readouterr().out.partition("example")[2], name

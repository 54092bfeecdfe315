# SPDX-License-Identifier: GPL-2.0-or-later
"""The man pages are well-formed, complete and true, and the command lines in them and in README can be run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from largeguest import PROPERTIES, cli, properties
from largeguest.cpuset import CpuSet
from largeguest.record import Record

from .books import PAGES, README, page, section
from .properties.corpus import GOOD

NAMES = [path.name for path in PAGES]


@pytest.mark.skipif(shutil.which("groff") is None, reason="apt-get install groff-base")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_no_mistakes(path: Path) -> None:
    command = ["groff", "-ww", "-t", "-mandoc", "-Tutf8", "-z", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.skipif(shutil.which("groff") is None, reason="apt-get install groff-base")
def test_groff_would_find_one(tmp_path: Path) -> None:
    bad = tmp_path / "bad.1"
    bad.write_text(".TH BAD 1\n.SH NAME\nbad \\- x\n.XX y\n")
    command = ["groff", "-ww", "-t", "-mandoc", "-Tutf8", "-z", str(bad)]
    assert "XX" in subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_the_pages_are_these() -> None:
    assert NAMES == [
        "largeguest-engine.1",
        "largeguest-keeper.8",
        "largeguest-properties.7",
        "largeguest-ui.8",
        "largeguest.1",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_references_between_pages(name: str) -> None:
    references = {f"{found[0]}.{found[1]}" for found in re.findall(r"^\.BR (largeguest\S*) \((\d)\)", page(name), re.M)}
    assert references == set(NAMES) - {name}


# every command line

LINES = [
    *re.findall(r"^    (largeguest [a-z].*?)(?: +# .*)?$", README, re.MULTILINE),
    *(
        line
        for name in NAMES
        for line in re.findall(r"^(largeguest [a-z][a-z-]+(?: .*?)?)(?: \| .*)?$", page(name), re.MULTILINE)
    ),
]
RUN_HERE = ("plan", "check", "apply", "host", "engine config")
"""Without libvirt and without an engine."""


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("line", LINES)
def test_a_command_line_does_what_it_says(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    cli.parser().parse_args(words)
    if command_of(words) in RUN_HERE and "--url" not in words:
        assert cli.main(words) == 0
        assert capsys.readouterr().out


def command_of(words: list[str]) -> str:
    return " ".join(words[:2] if words[0] == "engine" else words[:1])


def test_each_command_that_runs_here_is_among_them() -> None:
    assert {command_of(shlex.split(line)[1:]) for line in LINES} >= {*RUN_HERE, "status"}


def test_a_copy_of_sys_is_made_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = re.findall(r"^(mkdir sys; .*)$", page("largeguest.1"), re.MULTILINE)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=False)  # cp complains of files that root alone can read
    monkeypatch.chdir(tmp_path)
    assert cli.main(["host", "--host", "sys"]) == 0


# largeguest-properties(7)

EXAMPLES = [
    (name, value)
    for name in PROPERTIES
    for value in re.findall(r"^\.TP\n\.B (\S+)$", section(page("largeguest-properties.7"), name.upper()), re.MULTILINE)
]


@pytest.mark.parametrize(("name", "value"), EXAMPLES)
def test_an_example_is_a_value(name: str, value: str) -> None:
    assert properties.parse({name: value})[1] == ()


def forms(name: str, value: str) -> set[object]:
    """The words and signs of a value, and what is in the fields of what it is read as."""
    read, _ = properties.parse({name: value})
    words = re.findall("(?i)#=|ib|[a-z]+?(?=ib)|[a-z]+|[^a-z0-9 ]", value.replace(" ", ""))
    return {*map(str.lower, words), *_fields(getattr(read, name))}


def _fields(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        yield from (form for part in value for form in _fields(part))
    elif isinstance(value, CpuSet):
        yield "several ranges" if "," in str(value) else "one range"
    elif isinstance(value, Record):
        for name in (*value._names, *(["all_but"] if hasattr(value, "all_but") else [])):
            field = getattr(value, name)
            kind = field if field is None or isinstance(field, (str, bool)) else type(field).__name__
            yield type(value).__name__, name, kind
            yield from _fields(field)


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_form_of_a_property_has_an_example(name: str) -> None:
    known = set[object]().union(*(forms(name, value) for kind, value, _ in GOOD if kind == name))
    shown = set[object]().union(*(forms(name, value) for kind, value in EXAMPLES if kind == name))
    assert known - shown == set()
    assert len(known) > 10


def test_the_rest_request_has_values_and_keeps_hugepages() -> None:
    text = page("largeguest-properties.7")
    _, put = re.findall(r"^\.EX\n(curl .*?)^\.EE$", text, re.MULTILINE | re.DOTALL)
    words = shlex.split(put)
    assert words[-1].endswith("?next_run=true")
    vm = etree.fromstring(words[words.index("--data") + 1].strip())
    sent = {own.findtext("name"): own.findtext("value") or "" for own in vm.iter("custom_property")}
    assert set(sent) == {"hugepages", *PROPERTIES}
    assert properties.parse({name: sent[name] for name in PROPERTIES})[1] == ()


def test_the_play_has_values() -> None:
    (play,) = re.findall(r"^\.EX\n(- ovirt.*?)^\.EE$", page("largeguest-properties.7"), re.MULTILINE | re.DOTALL)
    sent = dict(re.findall(r'- name: (\w+)\n +value: "(\S+)"', play))
    assert set(sent) == set(PROPERTIES)
    assert properties.parse(sent)[1] == ()
    assert play.count("next_run: true") == 2

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shells offer, by the scripts that are made for them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from largeguest import planner
from tests import ROOT

from .test_cli import commands, long_options

BASH = """
    . {folder}/bash
    COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _largeguest
    printf '%s\\n' "${{COMPREPLY[@]}}"
    complete -p largeguest >/dev/null
"""
# what zsh's editor does, from the second time on by what the first one has set up
ZSH = """
    autoload -Uz compinit && compinit -u -d {folder}/dump
    compset() {{ return 1; }}
    compadd() {{ print -l -- ${{(M)matches:#$PREFIX*}}; }}
    fpath=({folder} $fpath) words=({words}) CURRENT=$#words PREFIX=$words[-1] IPREFIX= SUFFIX= ISUFFIX=
    autoload -Uz _largeguest
    first=$(_largeguest)
    _largeguest >/dev/null
    second=$(eval $_comps[largeguest])
    [[ $first == $second ]] && print -r -- $first
"""
# fish also offers what has the letters elsewhere
FISH = """
    source {folder}/fish
    complete --do-complete={line} | string match -- {prefix}'*' | string replace -r '\\t.*' ''
    true
"""
COMMANDS = {
    "bash": ["bash", "-uc", BASH],
    "zsh": ["zsh", "-fc", ZSH],
    "fish": ["fish", "-c", FISH],
}


ENGINE = commands()["engine"]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script for each shell by the shell's name, and zsh's where it looks for it."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in COMMANDS:
        command = [sys.executable, "-m", "largeguest.cli.completion", shell]
        (folder / shell).write_bytes(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    (folder / "_largeguest").symlink_to("zsh")
    return folder


def offers(shell: str, scripts: Path, words: list[str]) -> set[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"apt-get install {shell}")
    *command, script = COMMANDS[shell]
    quoted = " ".join(map(shlex.quote, words))
    script = script.format(
        folder=scripts, words=quoted, line=shlex.quote(" ".join(words)), prefix=shlex.quote(words[-1])
    )
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(scripts), "LC_ALL": "C.UTF-8"}
    ended = subprocess.run([*command, script], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return set(filter(None, ended.stdout.splitlines()))


@pytest.mark.parametrize("shell", COMMANDS)
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["largeguest", "pl"], {"plan"}),
        (["largeguest", "--"], {"--help", "--version"}),
        *((["largeguest", name, "--"], long_options(parser)) for name, parser in commands().items()),
        *((["largeguest", "engine", name, "--"], long_options(parser)) for name, parser in commands(ENGINE).items()),
        (["largeguest", "engine", "c"], {name for name in commands(ENGINE) if name.startswith("c")}),
        (["largeguest", "engine", "config", "--cafile", "REA"], {"README"}),
        (["largeguest", "plan", "--vcpus", "8", "config", "--m"], {"--memory", "--mode"}),
        (["largeguest", "plan", "--mode", ""], set(planner.MODES)),
        (["largeguest", "plan", "--vcpus", ""], set()),
        (["largeguest", "check", "--host", "lo"], {"local"}),
        (["largeguest", "check", "--host", "REA"], {"README"}),
        (["largeguest", "apply", "--diff", "REA"], {"README"}),
        (["largeguest", "plan", "--svg", "REA"], {"README"}),
        (["largeguest", "plan", "REA"], set()),
        (["largeguest", "host", "--host", "plan", "--j"], {"--json"}),
    ],
    ids=str,
)
def test_what_fits_is_offered(shell: str, words: list[str], offered: set[str], scripts: Path) -> None:
    assert offers(shell, scripts, words) == offered


@pytest.mark.parametrize("shell", COMMANDS)
def test_commands_are_offered(shell: str, scripts: Path) -> None:
    assert offers(shell, scripts, ["largeguest", ""]) - {"--help", "--version"} == set(commands())

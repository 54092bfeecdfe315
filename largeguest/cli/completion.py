# SPDX-License-Identifier: GPL-2.0-or-later
"""The command's completion for a shell, made from its parser: `python3 -m largeguest.cli.completion bash|zsh|fish`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING

from . import parser

# runs in zsh, too, where `words` and `options` are the shell's own variables
_BASH = """_largeguest() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} names='' values='' files='' line
    case $COMP_CWORD:$command in
        [12]:*) ;;
        {groups}) command=$command.${{COMP_WORDS[2]}} ;;
    esac
    case $COMP_CWORD:$command:${{COMP_WORDS[COMP_CWORD - 1]}} in
        {cases}
    esac
    [[ -n $files && $word != -* ]] || values+=" $names"
    COMPREPLY=()
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
        compgen -W "$values" -- "$word"
        [ -z "$files" ] || compgen -f -- "$word"
    )
}}
complete -o filenames -F _largeguest largeguest
"""
# zsh runs the whole file at the first completion, and from then on what `complete` has set up
_ZSH = "#compdef largeguest\nautoload -Uz bashcompinit && bashcompinit\n{}_bash_complete -o filenames -F _largeguest\n"

if TYPE_CHECKING:
    from .options import Commands


def bash() -> str:
    """A case for what can come after each option, and one for each command; those of a group are `engine.plan`."""
    cases, groups = [], []
    for path, command in _all_commands():
        options = {action.option_strings[-1]: action for action in command._get_optional_actions()}
        own = commands_of(command)
        if own is not None:
            values = " ".join([*own.choices, *options])
            cases.append(f"{len(path) + 1}:{'.'.join(path) or '*'}:*) values='{values}' ;;")
            groups += [f"*:{'.'.join(path)}"] if path else []
            continue
        for option, action in options.items():
            if action.nargs != 0:
                values, files = _values(action)
                cases.append(f"*:{'.'.join(path)}:{option}) values='{values}' files={files} ;;")
        files = "".join(_values(action)[1] for action in command._get_positional_actions())
        cases.append(f"*:{'.'.join(path)}:*) names='{' '.join(options)}' files={files} ;;")
    return _BASH.format(cases="\n        ".join(cases), groups="|".join(groups))


def fish() -> str:
    """A line for each command and each of its arguments, with the help.

    -f is given where no file fits: before fish 3.4, -F does not bring back for arguments what -f has taken from all.
    """
    lines = []
    for path, command in _all_commands():
        words = " ".join(["largeguest", *path])
        own = commands_of(command)
        if own is None:
            here = f'-n \'test (string join -- " " (commandline -opc)[1..{len(path) + 1}]) = "{words}"\''
        else:
            here = f'-n \'test (string join -- " " (commandline -opc)) = "{words}"\''
            lines += [f"{here} -a {one.dest} -d {quote(one.help or '')}" for one in own._choices_actions]
        if not any(_values(action)[1] for action in command._get_positional_actions()):
            lines.append(f"{here} -f")
        for action in command._actions:
            if action is own:
                continue
            values, files = _values(action)
            option = "".join(f" -l {name[2:]}" for name in action.option_strings[-1:])
            value = "" if action.nargs == 0 else f" -r -a '{values}' {'-F' if files else '-f'}"
            text = quote((action.help or "") % vars(action))
            lines.append(f"{here}{option}{value} -d {text}")
    return "".join(f"complete -c largeguest {line}\n" for line in lines)


def commands_of(command: argparse.ArgumentParser) -> Commands | None:
    """The commands of a command; None if it has none."""
    return next((action for action in command._actions if isinstance(action, argparse._SubParsersAction)), None)


def _all_commands() -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """The command itself, and all below it, each with the words that lead there."""
    queue: list[tuple[tuple[str, ...], argparse.ArgumentParser]] = [((), parser())]
    for path, command in queue:
        yield path, command
        own = commands_of(command)
        queue += [((*path, name), one) for name, one in (own.choices if own is not None else {}).items()]


def _values(action: argparse.Action) -> tuple[str, str]:
    """What an argument can be, by its choices or a metavar such as local|DIR: words, and yes for files or nothing."""
    words = list(action.choices or str(action.metavar).split("|"))
    files = any(word in ("FILE", "DIR") or word.endswith(".xml") for word in words)
    return " ".join(word for word in words if word.islower()), "yes" if files else ""


if __name__ == "__main__":
    sys.stdout.write({"bash": bash(), "zsh": _ZSH.format(bash()), "fish": fish()}[sys.argv[1]])

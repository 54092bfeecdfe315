# SPDX-License-Identifier: GPL-2.0-or-later
"""The command's completion for a shell, made from its parser: `python3 -m largeguest.cli.completion bash|zsh|fish`."""

from __future__ import annotations

import argparse
import sys
from shlex import quote

from . import parser

# runs in zsh, too, where `words` and `options` are the shell's own variables
_BASH = """_largeguest() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} names='' values='' files='' line
    case $COMP_CWORD:${{COMP_WORDS[1]}}:${{COMP_WORDS[COMP_CWORD - 1]}} in
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


def bash() -> str:
    """A case for what can come after each option, and one for each command."""
    commands = _commands()
    cases = [f"1:*) values='{' '.join([*commands.choices, *_own_options()])}' ;;"]
    for name, command in commands.choices.items():
        options = {action.option_strings[-1]: action for action in command._get_optional_actions()}
        for option, action in options.items():
            if action.nargs != 0:
                values, files = _values(action)
                cases.append(f"*:{name}:{option}) values='{values}' files={files} ;;")
        files = "".join(_values(action)[1] for action in command._get_positional_actions())
        cases.append(f"*:{name}:*) names='{' '.join(options)}' files={files} ;;")
    return _BASH.format(cases="\n        ".join(cases))


def fish() -> str:
    """A line for each command and each of its arguments, with the help.

    -f is given where no file fits: before fish 3.4, -F does not bring back for arguments what -f has taken from all.
    """
    commands, start = _commands(), "-n 'test (count (commandline -opc)) = 1'"
    lines = [f"{start} -f", *(f"{start} -l {option[2:]}" for option in _own_options())]
    for choice in commands._choices_actions:
        lines.append(f"{start} -a {choice.dest} -d {quote(choice.help or '')}")
        command, here = commands.choices[choice.dest], f"-n 'contains -- {choice.dest} (commandline -opc)[2]'"
        if not any(_values(action)[1] for action in command._get_positional_actions()):
            lines.append(f"{here} -f")
        for action in command._actions:
            values, files = _values(action)
            option = "".join(f" -l {name[2:]}" for name in action.option_strings[-1:])
            value = "" if action.nargs == 0 else f" -r -a '{values}' {'-F' if files else '-f'}"
            text = quote((action.help or "") % vars(action))
            lines.append(f"{here}{option}{value} -d {text}")
    return "".join(f"complete -c largeguest {line}\n" for line in lines)


def _own_options() -> list[str]:
    """Those of the command itself, which come before the name of one of its commands."""
    return [action.option_strings[-1] for action in parser()._get_optional_actions()]


def _commands() -> argparse._SubParsersAction[argparse.ArgumentParser]:
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return commands


def _values(action: argparse.Action) -> tuple[str, str]:
    """What an argument can be, by its choices or a metavar such as local|DIR: words, and yes for files or nothing."""
    words = list(action.choices or str(action.metavar).split("|"))
    files = any(word in ("FILE", "DIR") or word.endswith(".xml") for word in words)
    return " ".join(word for word in words if word.islower()), "yes" if files else ""


if __name__ == "__main__":
    sys.stdout.write({"bash": bash(), "zsh": _ZSH.format(bash()), "fish": fish()}[sys.argv[1]])

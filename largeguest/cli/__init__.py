# SPDX-License-Identifier: GPL-2.0-or-later
"""The `largeguest` command.

Exit code 0: done. 1: the hook would refuse (with check --strict: or warn), there is no plan, or a VM is not as asked.
2: wrong command line, or a file cannot be used; status could not find it out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence

from .. import VERSION
from ..problem import LAYOUT, USAGE, Problem, Refused
from ..wording import quote
from . import apply, check, engine, host, keeper, plan, status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: those of the process); returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        if sys.stdout is None:
            raise Refused([Problem("", "standard output is closed", "leave it open", kind=USAGE)])
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # the names of VMs and files may have any character
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1 if all(problem.kind == LAYOUT for problem in refused.problems) else 2
    except OSError as error:
        name = "output" if error.filename is None else error.filename
        print(f"largeguest: {quote(name, 200)}: {error.strerror}", file=sys.stderr)
        if error.filename is None:  # or Python tries again to write it when it ends, and ends with 120
            with contextlib.suppress(OSError):
                sys.stdout.close()
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line; the manual page and the completion are tested against it."""
    whole = argparse.ArgumentParser(
        prog="largeguest",
        description="NUMA tuning for large virtual machines on oVirt.",
        epilog="""examples:
  largeguest plan --vcpus 64 --memory 512G
  largeguest plan --domain vm.xml --host caps.xml --svg plan.svg
  largeguest check --cputune 0-3#=node0 --guestnuma '0-3#*@0' vm.xml
exit code: 0 done; 1 the hook would refuse, there is no plan, or a VM is not as asked; 2 wrong command line, a file
cannot be used, or it could not be found out""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"largeguest {VERSION}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (plan, apply, check, host, engine, status, keeper):
        command.add(commands)
    return whole

# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a command on a throw-away host with four NUMA nodes, in a copy of a folder. Nothing but its output comes back."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from tests import programs

from . import image, machine


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.numahost",
        description=__doc__,
        epilog=f"Exit status: the command's; {machine.TIMED_OUT}: switched off after -t SECONDS; "
        f"{machine.FAILED}: the machine did not start, or ended early.",
    )
    parser.add_argument("-t", dest="seconds", metavar="SECONDS", type=float, default=600, help="(600) boot included")
    parser.add_argument("-c", dest="console", metavar="FILE", type=Path, help="keep what kernel and libvirt print")
    parser.add_argument("-d", dest="folder", metavar="FOLDER", type=Path, help="the command's working directory")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="(-- in front of it)")
    options = parser.parse_args()
    if line := programs.install_line(image.PROGRAMS):
        parser.error(line)
    if os.getuid() != 0:
        parser.error("run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="largeguest-") as home:
        console = options.console or Path(home, "console")
        try:
            return _run(options.command, options.folder, options.seconds, console)
        except image.BuildError as error:
            print(error, file=sys.stderr)
            return machine.FAILED


def _run(command: list[str], folder: Path | None, seconds: float, console: Path) -> int:
    errors, end = os.pipe()
    pump = threading.Thread(target=_copy, args=(os.fdopen(errors, "rb"), sys.stderr.buffer))
    pump.start()
    with os.fdopen(end, "wb") as stderr, machine.running(command, folder, seconds, console, stderr) as numahost:
        _copy(numahost.stdout, sys.stdout.buffer)
        status = numahost.wait()
    pump.join()
    if status in (machine.TIMED_OUT, machine.FAILED):
        print(f"the four-node machine: exit status {status}, its console ends with", file=sys.stderr)
        print(console.read_text(errors="replace")[-2000:], file=sys.stderr)
    return status


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy what comes, when it comes."""
    while block := os.read(source.fileno(), 1 << 16):
        target.write(block)
        target.flush()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""A keeper that runs on a host of the tests."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .daemon import Daemon

BROKEN_SECONDS = 60.0
"""Whatever takes longer is broken, however busy the machine is."""


class Keeper:
    """A keeper process, and what it says."""

    def __init__(self, where: Daemon, until: str = "connected") -> None:
        self._where = where
        self.output = where.folder / "keeper-output"
        self._from = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("a") as output:
            self._process = where.host.start(
                "/usr/bin/largeguest", "keeper", "--connect", where.uri, environ={}, output=output
            )
        self.wait_for(until)

    def said(self) -> str:
        with self.output.open() as output:
            output.seek(self._from)
            return output.read()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said(), self.said)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """CPU time, as the scheduler counts it: exactly."""
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in self._threads()) / 1e9

    def wakes(self) -> int:
        """How often it has woken up."""
        fields = "\n".join((thread / "status").read_text() for thread in self._threads())
        return sum(map(int, re.findall(r"^voluntary_ctxt_switches:\s+([0-9]+)$", fields, re.MULTILINE)))

    def _threads(self) -> Iterator[Path]:
        return Path(f"/proc/{self.pid}/task").iterdir()

    def end(self, number: int = signal.SIGTERM) -> int:
        self._process.send_signal(number)
        return self._process.wait(BROKEN_SECONDS)


@contextlib.contextmanager
def keeping(where: Daemon) -> Iterator[Keeper]:
    """Run a keeper, which must end cleanly and report no defect."""
    keeper = Keeper(where)
    try:
        yield keeper
        assert keeper.end() == 0
    finally:
        keeper.end(signal.SIGKILL)
    assert "Traceback" not in keeper.said()
    assert "unexpected error" not in keeper.said()


def wait_until(what: Callable[[], bool], otherwise: Callable[[], object]) -> float:
    """Seconds until it is true; fails after BROKEN_SECONDS, with the result of `otherwise`."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() < start + BROKEN_SECONDS, otherwise()
        time.sleep(0.02)
    return time.monotonic() - start

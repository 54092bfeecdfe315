# SPDX-License-Identifier: GPL-2.0-or-later
"""What the keeper reports: one line each on stderr, and each thing once until it is settled."""

from __future__ import annotations

import contextlib
import os
import sys

from ..problem import Problem

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
"""The kernel's priorities, which the journal reads at the beginning of a line."""


def line(text: str, priority: int) -> None:
    """Write a line; a failure to write is not an error."""
    prefix = f"<{priority}>" if "JOURNAL_STREAM" in os.environ else ""
    with contextlib.suppress(OSError):
        print(f"{prefix}{text}", file=sys.stderr, flush=True)


def problem(found: Problem) -> None:
    """Write a line about a problem."""
    line(str(found), WARNING if found.warning else ERROR)


class Once:
    """What was reported about VMs. A topic is a VM's UUID, the matter, and perhaps another VM's UUID."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, ...], set[str]] = {}

    def is_new(self, topic: tuple[str, ...], text: str) -> bool:
        """Whether the text has not been reported on this topic yet; notes that it has been now."""
        texts = self._texts.setdefault(topic, set())
        new = text not in texts
        texts.add(text)
        return new

    def problem(self, topic: tuple[str, ...], found: Problem) -> None:
        """Report a problem if it is new."""
        if self.is_new(topic, str(found)):
            problem(found)

    def settle(self, *topic: str) -> None:
        """Its texts may be reported again."""
        self._texts.pop(topic, None)

    def forget(self, uuid: str) -> None:
        """Settle all topics of a VM."""
        for topic in [topic for topic in self._texts if uuid in topic]:
            del self._texts[topic]

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the keeper has done, as it publishes it for every user of the host: one small JSON file, replaced whole.

It has `version` and `vms`; by its UUID each VM has `corrections` (cause to number), `refused`, `last` and `longest`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ..host.sysfs import read
from ..record import Record, replace

VERSION = 1
NAME = "state.json"

CAUSES = START, MOVED, CONNECTED = "start", "moved", "connected"
"""Why pins are put back: the VM has started, arrived or resumed; a pin was moved; the keeper has reached libvirt."""


class Work(Record):
    """What the keeper has done for a VM since both run."""

    corrections: Mapping[str, int] = {}
    """How often pins were put back, by cause."""
    refused: int = 0
    """How often libvirt refused to pin one of its threads."""
    last: float | None = None
    """Seconds from the event to the pins, of the last correction that an event caused."""
    longest: float | None = None

    def corrected(self, cause: str, seconds: float | None) -> Work:
        """After another correction, so long after the event; None if that is not known."""
        counts = {**self.corrections, cause: self.corrections.get(cause, 0) + 1}
        if seconds is None or cause == CONNECTED:
            return replace(self, corrections=counts)
        return replace(self, corrections=counts, last=seconds, longest=max(seconds, self.longest or 0))

    def refused_again(self, count: int) -> Work:
        """After libvirt has refused to pin so many threads."""
        return replace(self, refused=self.refused + count)


def publish(folder: str, work: Mapping[str, Work]) -> None:
    """Replace the file; one that cannot be written is left as it is, for the pins matter more."""
    vms = {
        uuid: {
            "corrections": done.corrections,
            "refused": done.refused,
            "last": None if done.last is None else round(done.last, 3),
            "longest": None if done.longest is None else round(done.longest, 3),
        }
        for uuid, done in work.items()
    }
    content = json.dumps({"version": VERSION, "vms": vms}).encode()
    path = os.path.join(folder, NAME)
    with contextlib.suppress(OSError):
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask is
            file.write(content)
        os.replace(f"{path}.new", path)


def published(folder: str) -> dict[str, Work]:
    """What the keeper has done, by the UUID of the VM; nothing if there is no such file, or one of another version."""
    try:
        content: Any = json.loads(read(os.path.join(folder, NAME)) or "{}")
        if content.get("version") != VERSION:
            return {}
        return {
            uuid: Work(dict(done["corrections"]), int(done["refused"]), done["last"], done["longest"])
            for uuid, done in content["vms"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the keeper publishes for every user of the host, replaced whole: what running VMs hold, and what it has done.

By its UUID each VM has what host.neighbours reads, and `corrections` (cause to number), `refused`, `last`, `longest`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from ..host import neighbours
from ..record import Record, replace
from ..values import Neighbour

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


def publish(folder: str, connected: bool, vms: Mapping[str, tuple[Neighbour | None, Work]]) -> None:
    """Replace the file; one that cannot be written is left as it is, for the pins matter more.

    What a VM holds is None as long as it is not known. `connected`: whether all VMs that libvirt has are in `vms`.
    """
    entries = {
        uuid: {**({} if held is None else neighbours.as_json(held)), **_as_json(work)}
        for uuid, (held, work) in vms.items()
    }
    content = json.dumps({"version": neighbours.VERSION, "connected": connected, "vms": entries}).encode()
    path = os.path.join(folder, neighbours.NAME)
    with contextlib.suppress(OSError):
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask is
            file.write(content)
        os.replace(f"{path}.new", path)


def _as_json(work: Work) -> dict[str, object]:
    return {
        "corrections": work.corrections,
        "refused": work.refused,
        "last": None if work.last is None else round(work.last, 3),
        "longest": None if work.longest is None else round(work.longest, 3),
    }


def published(folder: str) -> dict[str, Work]:
    """What the keeper has done, by the UUID of the VM; nothing if that cannot be read."""
    try:
        vms = (neighbours.content(os.path.join(folder, neighbours.NAME)) or {"vms": {}})["vms"].items()
        return {uuid: _work(vm) for uuid, vm in vms}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}


def _work(vm: dict[str, Any]) -> Work:
    """Raises ValueError, KeyError, TypeError or OverflowError for what the keeper does not write."""
    last, longest = (None if vm[name] is None else float(vm[name]) for name in ("last", "longest"))
    if not all(seconds is None or math.isfinite(seconds) for seconds in (last, longest)):
        raise ValueError(vm)
    return Work(
        {cause: int(vm["corrections"][cause]) for cause in CAUSES if cause in vm["corrections"]},
        int(vm["refused"]),
        last,
        longest,
    )

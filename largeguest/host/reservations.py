# SPDX-License-Identifier: GPL-2.0-or-later
"""What VMs that are about to run have been given: a file each, until libvirt knows them, and the lock of who chooses.

VDSM creates four VMs at a time, and libvirt knows a VM only after its hook.
"""

from __future__ import annotations

import os
import re

from ..record import Record, replace
from . import neighbours
from .sysfs import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..values import Neighbour

FOLDER = "run/vdsm-largeguest"
"""Of the user vdsm, by tmpfiles.d; has the file `choose`, which is locked, and the folder `reservations`."""

_FILES = "reservations"

SECONDS = 60.0
"""How long a reservation counts for a VM that libvirt does not know."""

LOCK_SECONDS = 10.0
"""How long the lock is waited for: each of three other starts may have to wait for a libvirt that does not answer."""


class Reservation(Record):
    """What one VM has been given."""

    held: Neighbour
    since: float
    """Seconds of CLOCK_MONOTONIC, which all processes share, and which nothing sets."""


def lock(root: str, seconds: float = LOCK_SECONDS) -> int:
    """Wait until nothing else on this host chooses CPUs or memory; closing the descriptor lets others choose.

    Raises OSError, with a reason, if that is not possible, or takes longer. The end of a process closes it, too.
    """
    import fcntl
    import time

    descriptor = os.open(os.path.join(root, FOLDER, "choose"), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(descriptor)
                raise TimeoutError(0, f"one has been choosing for over {seconds:.0f} seconds") from None
            time.sleep(0.005)  # flock itself waits forever
        else:
            return descriptor


def known(root: str, keeper: str | None) -> dict[str, Neighbour] | None:
    """What the VMs hold that run, or are about to, by UUID; None if only libvirt knows.

    `keeper` is the folder of the one that runs, None: there is none.
    """
    running: dict[str, Neighbour] | None = {}
    if neighbours.any_vm_runs(root):
        running = None if keeper is None else neighbours.published(keeper)
    return None if running is None else {**held(root), **running}


def held(root: str) -> dict[str, Neighbour]:
    """What is reserved, by the UUID of the VM."""
    there = ((uuid, reservation.held) for uuid, reservation in _all(root) if _counts(reservation, root))
    return {uuid: replace(own, is_starting=True) for uuid, own in there}


def reserve(root: str, uuid: str, given: Neighbour) -> None:
    """Reserve for a VM what it has been given, if anything, in place of what it had; remove what no longer counts.

    Only with the lock. Raises OSError.
    """
    end(root, {other for other, reservation in _all(root) if not _counts(reservation, root)} | {uuid})
    if given and _is_uuid(uuid):
        _write(root, uuid, given)


def end(root: str, uuids: Collection[str]) -> None:
    """Remove the reservations of these VMs: libvirt knows what they hold, or they no longer start. Raises OSError."""
    folder = os.path.join(root, FOLDER, _FILES)
    ended = [uuid for uuid in _uuids(root) if uuid in uuids]
    if not ended:
        return
    inside = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)  # root does this, too
    try:
        for uuid in ended:
            try:
                os.unlink(uuid, dir_fd=inside)
            except FileNotFoundError:
                pass
    finally:
        os.close(inside)


def _all(root: str) -> Iterator[tuple[str, Reservation]]:
    for uuid in _uuids(root):
        found = neighbours.content(os.path.join(root, FOLDER, _FILES, uuid))
        try:
            if found is not None:
                yield uuid, Reservation(neighbours.of_json(found), float(found["since"]))
        except neighbours.NOT_OURS:
            continue


def _counts(reservation: Reservation, root: str) -> bool:
    """Whether the VM may be about to run: libvirt has a process for it as soon as it allocates its memory."""
    import time

    is_new = time.monotonic() - reservation.since < SECONDS
    return is_new or os.path.exists(os.path.join(root, neighbours.PID_FILES, f"{reservation.held.name}.pid"))


def _write(root: str, uuid: str, given: Neighbour) -> None:
    """Replaced whole, because it is also read without the lock."""
    import json
    import time

    folder = os.path.join(root, FOLDER)
    entry = {"version": neighbours.VERSION, "since": time.monotonic(), **neighbours.as_json(given)}
    temporary = os.path.join(folder, "new")  # of a hook that was killed there may be one
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o644), "wb") as file:
        os.fchmod(file.fileno(), 0o644)  # whatever the umask is
        file.write(json.dumps(entry).encode())
    os.rename(temporary, os.path.join(folder, _FILES, uuid))


def _uuids(root: str) -> list[str]:
    return list(filter(_is_uuid, entries(os.path.join(root, FOLDER, _FILES))))


def _is_uuid(name: str) -> bool:
    """What is not one is no name of a file of ours."""
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) is not None

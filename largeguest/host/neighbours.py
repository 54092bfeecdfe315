# SPDX-License-Identifier: GPL-2.0-or-later
"""What other VMs hold on this host, as JSON: the format, and the file that the keeper publishes."""

from __future__ import annotations

import os
import stat

from ..cpuset import CpuSet, read_ids
from ..record import replace
from ..values import Neighbour, Promise
from .sysfs import entries
from .topology import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

VERSION = 1
"""Of the file."""

NAME = "state.json"

MAX_BYTES = 2**22

PID_FILES = "run/libvirt/qemu"
"""Where libvirt has a file with the process of each running domain of the system's QEMU driver."""


def any_vm_runs(root: str) -> bool:
    """Whether any domain may run here; the files of those that have crashed are left until libvirt notices."""
    files = entries(os.path.join(root, PID_FILES))
    return any(name.endswith(".pid") and name != "driver.pid" for name in files)  # that is libvirt's own


NOT_OURS = (KeyError, TypeError, AttributeError, ValueError, OverflowError)
"""What reading the content of a file raises that nothing of this version has written."""


def content(path: str) -> dict[str, Any] | None:
    """The content of a file; None if there is none, or one that nothing of this version has written."""
    import json

    try:
        found: Any = json.loads(_text(path), parse_constant=float)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None


def _text(path: str) -> bytes:
    """The content of a regular file that is not too large; raises OSError or ValueError."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise ValueError(path)
        return file.read(MAX_BYTES)


def published(folder: str) -> dict[str, Neighbour] | None:
    """What the running VMs hold, by UUID; None if the keeper does not know, because libvirt has left it.

    What it says holds only while the keeper runs.
    """
    found = content(os.path.join(folder, NAME))
    if found is None or found.get("connected") is not True:
        return None
    try:
        return {uuid: of_json(vm) for uuid, vm in found["vms"].items() if "cpus" in vm}
    except NOT_OURS:
        return None


def add(host: Host, held: Mapping[str, Neighbour], is_itself: Callable[[str, Neighbour], bool]) -> Host:
    """The host with what these VMs hold, by UUID; `is_itself` says by UUID and name which one is not another VM."""
    others = (other for uuid, other in held.items() if other and not is_itself(uuid, other))
    return replace(host, neighbours=tuple(others))


def as_json(neighbour: Neighbour) -> dict[str, Any]:
    """The entry of a VM in the file; memory in KiB."""
    return {
        "name": neighbour.name,
        "cpus": str(neighbour.cpus),
        "exclusive": neighbour.is_exclusive,
        "promises": [[str(promise.nodes), promise.page, promise.memory] for promise in neighbour.promises],
    }


def of_json(entry: dict[str, Any]) -> Neighbour:
    """What `as_json` has written; raises NOT_OURS for anything else."""
    promises = (Promise(CpuSet(read_ids(nodes)), int(page), int(memory)) for nodes, page, memory in entry["promises"])
    cpus = CpuSet(read_ids(entry["cpus"])) if entry["cpus"] else CpuSet()
    return Neighbour(str(entry["name"]), cpus, bool(entry["exclusive"]), tuple(promises))

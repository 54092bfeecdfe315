# SPDX-License-Identifier: GPL-2.0-or-later
"""What other VMs hold on this host, as the keeper publishes it in one small JSON file."""

from __future__ import annotations

import os
import stat

from .. import cpuset
from ..cpuset import CpuSet
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


def content(folder: str) -> dict[str, Any] | None:
    """The file in the keeper's folder; None if there is none, or one that no keeper of this version has written."""
    import json

    try:
        found: Any = json.loads(_text(os.path.join(folder, NAME)), parse_constant=float)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None


def _text(path: str) -> bytes:
    """The content of a regular file that is not too large; raises OSError or ValueError."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise ValueError(path)
        return file.read(MAX_BYTES)


def published(folder: str) -> dict[str, Neighbour] | None:
    """What the running VMs hold, by UUID; None if the keeper does not know, because libvirt has left it.

    What it says holds only while the keeper runs.
    """
    found = content(folder)
    if found is None or found.get("connected") is not True:
        return None
    try:
        return {uuid: _read(vm) for uuid, vm in found["vms"].items() if "cpus" in vm}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        return None


def add(host: Host, held: Mapping[str, Neighbour], is_itself: Callable[[str, Neighbour], bool]) -> Host:
    """The host with what these VMs hold, by UUID; `is_itself` says by UUID and name which one is not another VM."""
    others = (other for uuid, other in held.items() if other and not is_itself(uuid, other))
    return replace(host, neighbours=tuple(others))


def _read(vm: dict[str, Any]) -> Neighbour:
    promises = (Promise(cpuset.parse(nodes), int(page), int(memory)) for nodes, page, memory in vm["promises"])
    cpus = cpuset.parse(vm["cpus"]) if vm["cpus"] else CpuSet()
    return Neighbour(str(vm["name"]), cpus, bool(vm["exclusive"]), tuple(promises))


def as_json(neighbour: Neighbour) -> dict[str, Any]:
    """The entry of a VM in the file; memory in KiB."""
    return {
        "name": neighbour.name,
        "cpus": str(neighbour.cpus),
        "exclusive": neighbour.is_exclusive,
        "promises": [[str(promise.nodes), promise.page, promise.memory] for promise in neighbour.promises],
    }

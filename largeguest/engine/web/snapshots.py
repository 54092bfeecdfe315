# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine has answered to a user, kept in memory for a short time: an edit must not ask forty hosts again."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from ...record import Record
from .. import rest
from ..connection import Engine
from ..definitions import Definitions
from ..estate import Estate, read
from ..inventory import Vm
from .gate import HttpError

SECONDS = 120.0
"""How old a snapshot may become. What is saved is checked against new answers."""

MAX = 16
"""Snapshots that are kept; the one that was not used for the longest time is dropped."""

Key = tuple[str, str]


class Snapshot(Record):
    """The estate around a VM, as one user sees it."""

    estate: Estate
    definitions: Definitions
    """Those of the level that counts for the VM."""
    pci: tuple[str, ...]
    """The PCI devices that are passed through to the VM."""

    def is_around(self, vm: Vm) -> bool:
        """Whether it has the hosts of the VM's cluster, and the definitions of its level."""
        own = self.estate.vms[vm.id]
        return vm.cluster == own.cluster and self.estate.level(vm) == self.definitions.level


class Snapshots:
    """Those of the last seconds, each for a token and a VM, so that nobody gets what another user may see."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[float, Snapshot]] = OrderedDict()

    def get(self, engine: Engine, token: str, vm: Vm) -> Snapshot:
        """The one that is kept for this VM as it is now, or a new one; raises Refused."""
        key = _key(token, vm.id)
        with self._lock:
            found = self._kept.get(key)
            if found is not None and self._clock() - found[0] < SECONDS and found[1].is_around(vm):
                self._kept.move_to_end(key)
                return found[1]
        return self.renew(engine, token, vm)

    def renew(self, engine: Engine, token: str, vm: Vm) -> Snapshot:
        """A new one; raises Refused."""
        snapshot = take(engine, vm)
        with self._lock:
            old = [key for key, (since, _) in self._kept.items() if self._clock() - since >= SECONDS]
            for key in old:
                del self._kept[key]
            self._kept[_key(token, vm.id)] = (self._clock(), snapshot)
            self._kept.move_to_end(_key(token, vm.id))
            while len(self._kept) > MAX:
                self._kept.popitem(last=False)
        return snapshot


def take(engine: Engine, vm: Vm) -> Snapshot:
    """Ask the engine for everything around a VM, as its next start will be; raises Refused."""
    clusters = rest.clusters(engine)
    vms = rest.vms(engine, clusters)
    if vm.id not in vms:
        raise not_there()
    estate = read(engine, clusters, vms, {vms[vm.id].cluster})
    level = estate.level(vm)
    definitions = rest.definitions_of(engine, [level]).get(level, Definitions(level, ()))
    return Snapshot(estate, definitions, tuple(rest.pci_devices(engine, vm.id)))


def not_there() -> HttpError:
    """The error for a VM that the engine does not have, or does not show to this user."""
    return HttpError("404 Not Found", "the engine has no such virtual machine, or you may not see it")


def _key(token: str, vm: str) -> Key:
    """The token itself is not kept."""
    return hashlib.sha256(token.encode()).hexdigest(), vm

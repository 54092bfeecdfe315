# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for libvirt's Python binding, which is compiled for the system's Python alone.

It has what the keeper uses: an event loop, in a time of its own that only passes between events, and domains whose pins
can be changed, each change reported as an event. The e2e tests have the real one. `Vdsm` is what moves the pins.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import importlib
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from largeguest import cpuset
from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host

USERS = [f"largeguest.running.{name}" for name in ("keeper", "hold", "link")]
"""The modules that import libvirt at their top."""

CONSTANTS = {
    "VIR_CRED_AUTHNAME": 2,
    "VIR_CRED_PASSPHRASE": 5,
    "VIR_CONNECT_LIST_DOMAINS_ACTIVE": 1,
    "VIR_DOMAIN_AFFECT_LIVE": 1,
    "VIR_DOMAIN_CONTROL_OCCUPIED": 2,
    "VIR_DOMAIN_CONTROL_OK": 0,
    "VIR_DOMAIN_EVENT_CRASHED": 8,
    "VIR_DOMAIN_EVENT_ID_DEVICE_ADDED": 19,
    "VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED": 15,
    "VIR_DOMAIN_EVENT_ID_LIFECYCLE": 0,
    "VIR_DOMAIN_EVENT_ID_TUNABLE": 17,
    "VIR_DOMAIN_EVENT_RESUMED": 4,
    "VIR_DOMAIN_EVENT_STARTED": 2,
    "VIR_DOMAIN_EVENT_STOPPED": 5,
    "VIR_DOMAIN_EVENT_SUSPENDED": 3,
    "VIR_DOMAIN_EVENT_UNDEFINED": 1,
    "VIR_DOMAIN_JOB_NONE": 0,
    "VIR_DOMAIN_METADATA_ELEMENT": 2,
    "VIR_DOMAIN_JOB_UNBOUNDED": 2,
    "VIR_DOMAIN_JOB_OPERATION_BACKUP": 9,
    "VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT": 5,
    "VIR_DOMAIN_PAUSED": 3,
    "VIR_DOMAIN_PAUSED_MIGRATION": 2,
    "VIR_DOMAIN_PAUSED_STARTING_UP": 11,
    "VIR_DOMAIN_RUNNING": 1,
    "VIR_DOMAIN_SHUTOFF": 5,
    "VIR_ERR_INTERNAL_ERROR": 1,
    "VIR_ERR_NO_DOMAIN": 42,
    "VIR_ERR_OPERATION_INVALID": 55,
    "VIR_ERR_OPERATION_TIMEOUT": 68,
    "VIR_ERR_OPERATION_UNSUPPORTED": 84,
    "VIR_EVENT_HANDLE_READABLE": 1,
}


class libvirtError(Exception):
    def __init__(self, text: str, code: int = CONSTANTS["VIR_ERR_INTERNAL_ERROR"]) -> None:
        super().__init__(text)
        self._code = code

    def get_error_code(self) -> int:
        return self._code


@dataclass
class Domain:
    world: World
    called: str
    cputune: str = ""
    policy: str = "none"
    vcpus: int = 4
    pins: dict[str, str] = field(default_factory=dict)
    """`vcpu0`, `emulator` or `iothread1` to a cpuset."""
    status: tuple[int, int] = (CONSTANTS["VIR_DOMAIN_RUNNING"], 1)
    job: dict[str, int] = field(default_factory=lambda: {"type": 0})
    control: int = CONSTANTS["VIR_DOMAIN_CONTROL_OK"]
    broken: libvirtError | None = None
    broken_pins: tuple[str, ...] = ()
    """The threads whose pins fail if it is broken; none: all."""
    calls: list[tuple[float, str, str]] = field(default_factory=list)
    """The pins made through libvirt: moment, thread and CPUs."""
    tried: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    """Namespace to our own element there."""
    unwritable: libvirtError | None = None
    looked: int = 0
    bound: str = ""
    """The nodes of its memory, by strict numatune."""
    memory: int = 2**20
    """KiB, with the devices."""
    devices: str = ""

    def name(self) -> str:
        return self.called

    def connect(self) -> Connection:
        return self.world.connections[-1]

    def UUIDString(self) -> str:
        return f"uuid-of-{self.called}"

    def state(self) -> tuple[int, int]:
        return self.status

    def isActive(self) -> bool:
        return self.status[0] != CONSTANTS["VIR_DOMAIN_SHUTOFF"]

    def controlInfo(self) -> tuple[int, int, int]:
        return self.control, 0, 0

    def jobStats(self) -> dict[str, int]:
        if self.control != CONSTANTS["VIR_DOMAIN_CONTROL_OK"]:
            self.world.now += 30
            raise libvirtError("cannot acquire state change lock", CONSTANTS["VIR_ERR_OPERATION_TIMEOUT"])
        if "unsupported" in self.job:
            raise libvirtError("only at the source", CONSTANTS["VIR_ERR_OPERATION_UNSUPPORTED"])
        return self.job

    def XMLDesc(self) -> str:
        self.looked += 1
        pins = "".join(
            f"<emulatorpin cpuset='{cpus}'/>"
            if thread == "emulator"
            else f"<iothreadpin iothread='{thread[8:]}' cpuset='{cpus}'/>"
            if thread.startswith("iothread")
            else f"<vcpupin vcpu='{thread[4:]}' cpuset='{cpus}'/>"
            for thread, cpus in self.pins.items()
        )
        return (
            f"<domain id='1'><name>{self.called}</name><memory>{self.memory}</memory><vcpu>{self.vcpus}</vcpu>"
            f"<iothreads>1</iothreads><cputune>{pins}</cputune><metadata><o:vm xmlns:o='http://ovirt.org/vm/1.0'>"
            f"<o:custom><o:cputune>{self.cputune}</o:cputune></o:custom><o:cpuPolicy>{self.policy}</o:cpuPolicy>"
            f"</o:vm>{''.join(self.metadata.values())}</metadata>{self._numatune()}<devices>{self.devices}</devices>"
            "</domain>"
        )

    def _numatune(self) -> str:
        return f"<numatune><memory mode='strict' nodeset='{self.bound}'/></numatune>" if self.bound else ""

    def plug(self, kib: int) -> None:
        """A memory device is plugged in."""
        self.memory += kib
        self.devices += f"<memory model='dimm'><target><size>{kib}</size></target></memory>"
        self.world.emit("VIR_DOMAIN_EVENT_ID_DEVICE_ADDED", self, "dimm0")

    def setMetadata(self, kind: int, text: str, key: str, uri: str, _flags: int) -> None:
        """libvirt adds the namespace, and replaces the element that has it."""
        assert kind == CONSTANTS["VIR_DOMAIN_METADATA_ELEMENT"]
        if self.unwritable is not None:
            raise self.unwritable
        self.metadata[uri] = re.sub("<([a-z]+) ", rf"<{key}:\1 xmlns:{key}='{uri}' ", text)

    def move(self, thread: str, cpus: str) -> None:
        """Something else pins."""
        self.pins[thread] = cpus
        kind = thread.rstrip("0123456789")
        self.world.emit("VIR_DOMAIN_EVENT_ID_TUNABLE", self, {f"cputune.{kind}pin{thread[len(kind) :]}": cpus})

    def _pin(self, thread: str, cpumap: tuple[bool, ...]) -> None:
        self.tried.append(thread)
        if self.broken is not None and thread in (self.broken_pins or (thread,)):
            raise self.broken
        cpus = ",".join(str(cpu) for cpu, allowed in enumerate(cpumap) if allowed)
        self.calls.append((self.world.now, thread, cpus))
        self.move(thread, cpus)

    def pinVcpuFlags(self, vcpu: int, cpumap: tuple[bool, ...], _flags: int) -> None:
        self._pin(f"vcpu{vcpu}", cpumap)

    def pinEmulator(self, cpumap: tuple[bool, ...], _flags: int) -> None:
        self._pin("emulator", cpumap)

    def pinIOThread(self, number: int, cpumap: tuple[bool, ...], _flags: int) -> None:
        self._pin(f"iothread{number}", cpumap)


class Vdsm:
    """A stand-in for what VDSM 4.5 does to the pins of running VMs (vdsm.virt.cpumanagement); it is not VDSM.

    Its shared pool is all online CPUs without those of exclusive VMs and, for `siblings` and `isolate-threads`, their
    thread siblings. It pins every vCPU of a VM with the policy `none` to the pool: after the VM's own start, and again
    whenever a `manual` or exclusive VM starts or an exclusive one stops. It knows nothing of cputune.
    """

    def __init__(self, world: World, host: Host) -> None:
        self.world, self._host = world, host

    def pool(self) -> str:
        taken = CpuSet()
        for domain in self.world.domains:
            if domain.policy in ("dedicated", "siblings", "isolate-threads"):
                owned = CpuSet.union(
                    cpuset.parse(cpus) for thread, cpus in domain.pins.items() if thread.startswith("vcpu")
                )
                taken |= owned
                if domain.policy != "dedicated":
                    taken |= CpuSet.union(self._host.cpus[cpu].siblings for cpu in owned)
        return str(self._host.online - taken)

    def start(self, domain: Domain) -> None:
        self.world.domains.append(domain)
        self.world.lifecycle("STARTED", domain)
        self._pin_to_pool([domain] if domain.policy == "none" else self.world.domains)

    def stop(self, domain: Domain) -> None:
        self.world.domains.remove(domain)
        self.world.lifecycle("STOPPED", domain)
        if domain.policy not in ("none", "manual"):
            self._pin_to_pool(self.world.domains)

    def _pin_to_pool(self, domains: list[Domain]) -> None:
        for domain in domains:
            if domain.policy == "none":
                for vcpu in range(domain.vcpus):
                    domain.move(f"vcpu{vcpu}", self.pool())


class Connection:
    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        self.closed_by_us = False
        self.callbacks: dict[int, Callable[..., None]] = {}
        self.on_close: Callable[..., None] | None = None

    def registerCloseCallback(self, callback: Callable[..., None], _: object) -> None:
        self.on_close = callback

    def setKeepAlive(self, _seconds: int, _count: int) -> None:
        pass

    def unregisterCloseCallback(self) -> None:
        self.on_close = None

    def domainEventRegisterAny(self, _domain: None, event: int, callback: Callable[..., None], _: object) -> int:
        self.callbacks[event] = callback
        return event

    def domainEventDeregisterAny(self, number: int) -> None:
        del self.callbacks[number]

    def getCPUMap(self) -> tuple[int, list[bool], int]:
        return self.world.cpus, [], self.world.cpus

    def getCapabilities(self) -> str:
        return self.world.capabilities

    def listAllDomains(self, _flags: int) -> list[Domain]:
        if self.world.list_fails:
            self.world.list_fails -= 1
            raise libvirtError("no list")
        return list(self.world.domains)

    def _find(self, what: str) -> Domain:
        for domain in self.world.domains:
            if what in (domain.UUIDString(), domain.called):
                return domain
        raise libvirtError("Domain not found", CONSTANTS["VIR_ERR_NO_DOMAIN"])

    lookupByUUIDString = lookupByName = _find

    def isAlive(self) -> bool:
        return self.alive

    def close(self) -> None:
        """A registered close callback holds a reference: the connection stays open."""
        self.closed_by_us = not self.alive or self.on_close is None


class World:
    """Everything that the tests control: domains, what happens when, and whether libvirt can be reached."""

    def __init__(self, cpus: int = 16) -> None:
        self.cpus = cpus
        self.now = 1000.0
        self.domains: list[Domain] = []
        self.connections: list[Connection] = []
        self.unreachable = False
        self.capabilities = ""
        self.tries: list[float] = []
        """The moments of the attempts to connect."""
        self.list_fails = 0
        self.credentials: list[list[Any]] = []
        self._timers: dict[int, tuple[float | None, Callable[..., None]]] = {}
        self._handles: list[Callable[..., None]] = []
        self._to_do: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count(1)

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._to_do, (self.now + seconds, next(self._numbers), do))

    def stop_after(self, seconds: float, number: signal.Signals = signal.SIGTERM) -> None:
        def stop() -> None:
            os.kill(os.getpid(), number)
            for handle in self._handles:
                handle()

        self.after(seconds, stop)

    def emit(self, event: str, domain: Domain, *details: object) -> None:
        """Report an event right away."""
        for connection in self.connections:
            callback = connection.callbacks.get(CONSTANTS[event])
            if callback is not None and connection.alive and not connection.closed_by_us:
                self.after(0, functools.partial(callback, connection, domain, *details, None))

    def lifecycle(self, event: str, domain: Domain) -> None:
        self.emit("VIR_DOMAIN_EVENT_ID_LIFECYCLE", domain, CONSTANTS[f"VIR_DOMAIN_EVENT_{event}"], 0)

    def crash(self) -> None:
        """libvirt's daemon ends."""
        for connection in self.connections:
            if connection.alive:
                connection.alive = False
                if connection.on_close is not None:
                    connection.on_close(connection, 0, None)

    def module(self) -> Any:
        return SimpleNamespace(
            **CONSTANTS,
            libvirtError=libvirtError,
            registerErrorHandler=lambda handler, context: None,  # noqa: ARG005
            open=self._open,
            openReadOnly=self._open,
            openAuth=self._open_with_password,
            virEventRegisterDefaultImpl=lambda: None,
            virEventAddTimeout=self._add_timer,
            virEventUpdateTimeout=self._set_timer,
            virEventAddHandle=lambda _fd, _events, callback, _opaque: self._handles.append(callback),
            virEventRunDefaultImpl=self._run,
        )

    @contextlib.contextmanager
    def keeper(self) -> Iterator[ModuleType]:
        """The keeper's module, with this libvirt."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        binding = sys.modules.get("libvirt")
        sys.modules["libvirt"] = self.module()
        for name in USERS:
            sys.modules.pop(name, None)
        try:
            yield importlib.import_module("largeguest.running.keeper")
        finally:
            for name in (*USERS, "libvirt"):
                sys.modules.pop(name, None)
            if binding is not None:
                sys.modules["libvirt"] = binding
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _open(self, _uri: str) -> Connection:
        self.tries.append(self.now)
        if self.unreachable:
            raise libvirtError("Failed to connect socket")
        self.connections.append(Connection(self))
        return self.connections[-1]

    def _open_with_password(self, uri: str, auth: list[Any], _flags: int) -> Connection:
        kinds, answer, _ = auth
        self.credentials = [[kind, "", "", "", None] for kind in kinds]
        assert answer(self.credentials, None) == 0
        return self._open(uri)

    def _add_timer(self, milliseconds: int, callback: Callable[..., None], _: object) -> int:
        number = next(self._numbers)
        self._timers[number] = (None, callback)
        self._set_timer(number, milliseconds)
        return number

    def _set_timer(self, number: int, milliseconds: int) -> None:
        due = None if milliseconds < 0 else self.now + milliseconds / 1000
        self._timers[number] = (due, self._timers[number][1])

    def _run(self) -> None:
        """The next thing that happens."""
        due = {number: (when, call) for number, (when, call) in self._timers.items() if when is not None}
        timer = min(due, key=lambda number: due[number][0], default=None)
        if self._to_do and (timer is None or self._to_do[0][0] <= due[timer][0]):
            when, _, do = heapq.heappop(self._to_do)
            self.now = max(self.now, when)
            do()
            return
        assert timer is not None, "nothing will ever happen"
        when, call = due[timer]
        self.now = max(self.now, when)
        call(timer, None)

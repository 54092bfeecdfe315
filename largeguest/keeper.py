# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the pins of running VMs: where somebody moves what cputune has pinned, it is pinned back.

VDSM pins every vCPU of a VM without a CPU pinning policy to its shared CPUs, after the start and whenever other VMs
come and go. libvirt tells of that with events; nothing is polled, but for a VM that cannot be pinned just now.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import libvirt

from . import connection, fight, host, pinning
from .cpuset import CpuSet
from .errors import Problem, Refused, plural, quote, quote_name
from .guest import Pins
from .hooks import KEEPER_FOLDER, describe

SYS = "/sys"

QUIET_SECONDS = 0.05
MOST_SECONDS = 0.3
"""A burst of events is over when none came for QUIET_SECONDS, and not waited for longer than MOST_SECONDS."""

RECONNECT_SECONDS = (0.2, 5.0)
"""The first and the longest pause between two tries to reach libvirt."""

BUSY_SECONDS = (0.1, 5.0)
TROUBLE_SECONDS = (5.0, 60.0)
"""A VM that libvirt is busy with, or gives an error about, is looked at again after the first of these times, then
after twice as long, up to the second; at an event at once. Each error can take half a minute."""

LOCK_SECONDS = 1.0
"""So long a hook that looks whether there is a keeper may stand in the way of one that starts."""


def keep(uri: str) -> int:
    """Hold the pins of all VMs on the libvirt at `uri` until SIGTERM or SIGINT; returns the exit code."""
    with _only_one():
        return _Keeper(uri).run()


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Hold the lock by which the hook, and a second keeper, know that there is one; wait until no other has it."""
    folder = os.environ.get("RUNTIME_DIRECTORY", KEEPER_FOLDER)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        end = time.monotonic() + LOCK_SECONDS
        while not _lock(lock, fcntl.LOCK_NB):
            if time.monotonic() < end:
                time.sleep(0.05)
            else:
                what, mend = "another one runs on this host", "this one waits until it ends"
                _log(Problem("keeper", what, mend, warning=True))
                _lock(lock)
                break
        yield


def _lock(file: IO[str], flags: int = 0) -> bool:
    """Whether the file could be locked; without LOCK_NB in the `flags` it is waited for."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except BlockingIOError:
        return False
    return True


class _Vm:
    """What the keeper remembers of a running VM. Moments are those of time.monotonic()."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self.first_event: float | None = None
        """The first of those since it was looked at last; None: there was none."""
        self.due: float | None = None
        """When to look at it; None: at the next event."""
        self.patience = 0.0
        """Seconds that were waited for what is in the way; 0: nothing is."""
        self.known: pinning.Running | None = None
        """As it was when it was looked at last."""
        self.pinned = False
        """It has had its pins on this host: what is corrected from then on was moved."""
        self.fight = fight.Fight()
        self.told: set[str] = set()
        """Why its cputune cannot be carried out, as it was told."""
        self.sharing: set[str] = set()
        """UUIDs of the exclusive VMs that were reported to have CPUs it is pinned to, as long as they do."""
        self.troubles: set[str] = set()
        """What was told, and may be told again when it has been held in between."""


class _Keeper:
    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection: Any = None
        self._callbacks: list[int] = []
        self._cpus = 0
        self._vms: dict[str, _Vm] = {}
        self._connected_at = -math.inf
        self._pause = RECONNECT_SECONDS[0]
        self._unreachable = False
        self._stopped = False

    def run(self) -> int:
        libvirt.virEventRegisterDefaultImpl()
        self._listen_to_signals()
        self._timer = libvirt.virEventAddTimeout(-1, self._guarded(lambda *_: self._work()), None)
        self._again = libvirt.virEventAddTimeout(0, self._guarded(lambda *_: self._connect()), None)
        while not self._stopped:
            libvirt.virEventRunDefaultImpl()
        self._close(self._connection)
        return 0

    def _listen_to_signals(self) -> None:
        """A signal interrupts no call of libvirt's; so it is made an event like the others."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # libvirt may write to a daemon that has just ended
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writing)

        def stop(*_: object) -> None:
            os.read(reading, 100)
            self._stopped = True

        libvirt.virEventAddHandle(reading, libvirt.VIR_EVENT_HANDLE_READABLE, stop, None)

    def _guarded(self, work: Callable[..., None]) -> Callable[..., None]:
        """What libvirt calls must not raise. What was not foreseen is told, without the message: it could hold XML."""

        def call(*arguments: Any) -> None:
            try:
                work(*arguments)
            except Exception as error:
                _print(describe(error), 3)

        return call

    # the connection

    def _connect(self) -> None:
        libvirt.virEventUpdateTimeout(self._again, round(self._pause * 1000))
        self._pause = min(self._pause * 2, RECONNECT_SECONDS[1])
        opened = None
        try:
            opened = connection.open_to_change(self._uri)
            self._listen(opened)
        except libvirt.libvirtError as error:
            if not self._unreachable:
                what = f"libvirt cannot be reached: {quote(str(error), 200)}"
                _log(Problem("keeper", what, "it is tried again until it can", warning=True))
            self._unreachable = True
            self._close(opened)
            return
        libvirt.virEventUpdateTimeout(self._again, -1)
        self._connection, self._connected_at, self._unreachable = opened, time.monotonic(), False

    def _listen(self, opened: Any) -> None:
        opened.registerCloseCallback(self._guarded(lambda *_: self._closed(opened)), None)
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE, self._tunable),
        ):
            self._callbacks.append(opened.domainEventRegisterAny(None, event, self._guarded(callback), None))
        self._cpus = opened.getCPUMap()[0]
        running = {domain.UUIDString() for domain in opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
        for uuid in self._vms.keys() - running:
            self._forget(uuid)
        for uuid in running:
            self._look_at(uuid)
        on_it = plural(len(running), "running VM")
        _print(f"largeguest: keeper: connected to {quote(self._uri, 200)}, {on_it} on this host", 6)

    def _closed(self, which: Any) -> None:
        if which is not self._connection:
            return
        self._connection = None
        if time.monotonic() - self._connected_at > RECONNECT_SECONDS[1]:
            self._pause = RECONNECT_SECONDS[0]
        libvirt.virEventUpdateTimeout(self._again, round(self._pause * 1000))
        _print("largeguest: keeper: libvirt has closed the connection", 5)
        self._leave(which)

    def _close(self, opened: Any) -> None:
        if opened is not None:
            with contextlib.suppress(libvirt.libvirtError):
                opened.unregisterCloseCallback()  # which refers to the connection, and so would keep it open
        self._leave(opened)

    def _leave(self, opened: Any) -> None:
        """Close a connection, which may be broken, but for its close callback: that may be what calls us."""
        numbers, self._callbacks = self._callbacks, []
        if opened is None:
            return
        for undo in (*(functools.partial(opened.domainEventDeregisterAny, number) for number in numbers), opened.close):
            with contextlib.suppress(libvirt.libvirtError):
                undo()

    # events

    def _lifecycle(self, _connection: Any, domain: Any, event: int, _detail: int, _: Any) -> None:
        if event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED):
            self._forget(domain.UUIDString())
        elif event in (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_RESUMED):
            self._look_at(domain.UUIDString())

    def _tunable(self, _connection: Any, domain: Any, changed: dict[str, Any], _: Any) -> None:
        vm = self._vms.get(domain.UUIDString())
        if vm is None or vm.known is None or not _as_wanted(vm.known, changed):
            self._look_at(domain.UUIDString())

    def _forget(self, uuid: str) -> None:
        self._vms.pop(uuid, None)
        for vm in self._vms.values():
            vm.sharing.discard(uuid)

    def _look_at(self, uuid: str) -> None:
        """Look at a VM when its events pause."""
        now = time.monotonic()
        vm = self._vms.setdefault(uuid, _Vm(uuid))
        if vm.first_event is None:
            vm.first_event = now
        vm.due = max(vm.fight.not_before, min(now + QUIET_SECONDS, vm.first_event + MOST_SECONDS))
        self._set_timer()

    def _set_timer(self) -> None:
        due = [vm.due for vm in self._vms.values() if vm.due is not None]
        wait = -1 if not due else max(0, math.ceil((min(due) - time.monotonic()) * 1000))
        libvirt.virEventUpdateTimeout(self._timer, wait)

    # work

    def _work(self) -> None:
        """Look at the VMs that are due."""
        libvirt.virEventUpdateTimeout(self._timer, -1)
        now = time.monotonic()
        due = [vm for vm in self._vms.values() if vm.due is not None and vm.due <= now]
        try:
            for vm in due:
                self._hold_or_retry(vm)
        finally:
            self._set_timer()

    def _hold_or_retry(self, vm: _Vm) -> None:
        """Hold the pins of a VM; what goes wrong is told once, and tried again in a while."""
        moved, vm.first_event, vm.due = vm.first_event, None, None
        opened = self._connection
        if opened is None:
            return  # all are looked at when it is there again
        wait: tuple[float, float] | None = TROUBLE_SECONDS
        try:
            wait = self._hold(opened.lookupByUUIDString(vm.uuid), vm, moved)
        except libvirt.libvirtError as error:
            if self._connection is not opened or not opened.isAlive():
                return
            if _is_gone(opened, vm.uuid):
                self._forget(vm.uuid)
                return
            who = quote_name(vm.known.name if vm.known else vm.uuid)
            self._tell_trouble(vm, f"libvirt {error.get_error_code()}", f"VM {who}: libvirt: {quote(str(error), 200)}")
        except Refused as refused:
            for problem in refused.problems:
                if _is_new(str(problem), vm.troubles):
                    _log(problem)
        except Exception as error:
            text = describe(error)
            if _is_new(text, vm.troubles):
                _print(text, 3)
        if wait is None:
            vm.patience = 0.0
            vm.troubles.clear()
            return
        shortest, longest = wait
        vm.patience = min(max(2 * vm.patience, shortest), longest)
        vm.due = time.monotonic() + vm.patience

    def _hold(self, domain: Any, vm: _Vm, moved: float | None) -> tuple[float, float] | None:
        """Put back what has moved; returns how long to wait if that cannot be done now and no event tells when it can.

        The time is BUSY_SECONDS or TROUBLE_SECONDS. `moved` is the moment of the first event since the last look.
        """
        if not domain.isActive():
            self._forget(vm.uuid)
            return None
        if _arrives(domain):
            return None  # an event tells when it is there, or gone
        if _is_busy(domain):
            return BUSY_SECONDS
        vm.known = running = pinning.read(domain.XMLDesc().encode(), host.from_sys(SYS))
        self._tell_problems(vm, running)
        refused = pinning.put_back(domain, running.moved, self._cpus)
        done = running.moved.without(refused)
        if done:
            again = " again" if vm.pinned else ""
            _print(f"largeguest: cputune: VM {quote_name(running.name)}: {done}{again}", 6)
            self._slow_down(vm, moved)
        vm.pinned |= bool(done) or (running.wanted is not None and not refused)
        if refused and self._connection.isAlive():
            what = f"VM {quote_name(running.name)}: libvirt: {pinning.tell_refused(refused)}"
            self._tell_trouble(vm, " ".join(refused), what)
        return TROUBLE_SECONDS if refused else None

    def _slow_down(self, vm: _Vm, moved: float | None) -> None:
        """Do not fight with something that moves the pins as fast as they are put back."""
        was_on, vm.fight = vm.fight.is_on, vm.fight.after(moved, time.monotonic())
        if vm.fight.is_on and not was_on and vm.known is not None:
            what = f"something moves the pins of VM {quote_name(vm.known.name)} again as soon as they are put back"
            fix = (
                f"find out what it is and stop it; until then they are put back every {fight.PAUSE_SECONDS:.0f} seconds"
            )
            _log(Problem("cputune", what, fix, warning=True))

    def _tell_trouble(self, vm: _Vm, trouble: str, what: str) -> None:
        if _is_new(trouble, vm.troubles):
            _log(Problem("cputune", what, "it is tried again until it can be pinned", warning=True))

    def _tell_problems(self, vm: _Vm, running: pinning.Running) -> None:
        for problem in running.problems:
            what = f"VM {quote_name(running.name)}: {problem.what}"
            mend = "; ".join(filter(None, [problem.mend, "its pins are left as they are"]))
            warning = Problem(problem.subject, what, mend, warning=True)
            if _is_new(str(warning), vm.told):
                _log(warning)
        if not running.problems:
            vm.told.clear()
        for other in self._vms.values():
            if other is not vm:
                self._tell_shared(vm, other)
                self._tell_shared(other, vm)

    def _tell_shared(self, held: _Vm, exclusive: _Vm) -> None:
        if held.known is None or exclusive.known is None:
            return
        problem = pinning.check_shared(held.known, exclusive.known)
        if problem is None:
            held.sharing.discard(exclusive.uuid)
        elif _is_new(exclusive.uuid, held.sharing):
            _log(problem)


def _is_new(text: str, told: set[str]) -> bool:
    """Whether it was not told yet; from now on it was."""
    if text in told:
        return False
    told.add(text)
    return True


def _is_gone(opened: Any, uuid: str) -> bool:
    """Whether a VM runs no more."""
    try:
        return not opened.lookupByUUIDString(uuid).isActive()
    except libvirt.libvirtError as error:
        return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def _arrives(domain: Any) -> bool:
    """Whether it waits here for the end of its migration."""
    return tuple(domain.state()) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


def _is_busy(domain: Any) -> bool:
    """Whether libvirt does something with it, such as to move it away: a pin would wait for that, and may time out."""
    if domain.controlInfo()[0] != libvirt.VIR_DOMAIN_CONTROL_OK:
        return True  # QEMU is to answer, which one that hangs never does; the question below would wait for that, too
    try:
        job = domain.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            raise
        return True  # statistics of a migration can be had at its source only
    # a backup takes hours, but stands in nobody's way
    in_the_way = job.get("operation") != libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP
    return bool(job["type"] != libvirt.VIR_DOMAIN_JOB_NONE and in_the_way)


def _as_wanted(running: pinning.Running, changed: dict[str, Any]) -> bool:
    """Whether an event only tells of pins that are as they should be, such as the keeper's own."""
    return running.wanted is not None and all(
        str(_wanted_for(running.wanted, name)) == value for name, value in changed.items()
    )


def _wanted_for(wanted: Pins, name: str) -> CpuSet | None:
    """By the name that libvirt gives the change, such as `cputune.vcpupin3`."""
    for kind, pins in (("cputune.vcpupin", wanted.vcpus), ("cputune.iothreadpin", wanted.iothreads)):
        if name.startswith(kind):
            return pins.get(int(name[len(kind) :]))
    return wanted.emulator if name == "cputune.emulatorpin" else None


def _log(problem: Problem) -> None:
    _print(str(problem), 4 if problem.warning else 3)


def _print(text: str, priority: int) -> None:
    """A line on stderr; the journal reads the kernel's priorities from its beginning."""
    prefix = f"<{priority}>" if "JOURNAL_STREAM" in os.environ else ""
    with contextlib.suppress(OSError):
        print(f"{prefix}{text}", file=sys.stderr, flush=True)

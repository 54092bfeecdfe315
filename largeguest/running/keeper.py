# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the pins of running VMs: if something moves what cputune has pinned, it is pinned back.

VDSM pins every vCPU of a VM without a CPU pinning policy to its shared CPUs, after the start and whenever other VMs
start or stop. libvirt reports that with events; nothing is polled, except a VM that cannot be pinned just now.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import time
from collections.abc import Collection, Iterator
from typing import IO, Any

import libvirt

from ..hooks import KEEPER_FOLDER, ROOT, describe
from ..host import reservations
from ..problem import Problem
from ..wording import plural, quote, quote_name
from . import report, state
from .hold import Holder, Vm, is_on_target
from .link import Link, guarded
from .schedule import TROUBLE_SECONDS


def keep(uri: str) -> int:
    """Hold the pins of all VMs on the libvirt at `uri` until SIGTERM or SIGINT; returns the exit code."""
    folder = os.environ.get("RUNTIME_DIRECTORY", KEEPER_FOLDER)
    with _only_one(folder):
        return Keeper(uri, folder).run()


@contextlib.contextmanager
def _only_one(folder: str) -> Iterator[None]:
    """Hold the lock that shows the hook, and a second keeper, that there is one; wait until no other holds it."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        os.fchmod(lock.fileno(), 0o600)  # or every user could lock it
        if not _lock(lock, fcntl.LOCK_NB):
            what, fix = "another keeper runs on this host", "this one waits until it ends"
            report.problem(Problem("keeper", what, fix, warning=True))
            _lock(lock)
        yield


def _lock(file: IO[str], flags: int = 0) -> bool:
    """Whether the file could be locked; without LOCK_NB in the `flags` this waits."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except BlockingIOError:
        return False
    return True


class Keeper:
    """The VMs of a libvirt, and what is done about their pins."""

    def __init__(self, uri: str, folder: str) -> None:
        self.holder = Holder(ROOT)
        self._uri, self._folder = uri, folder
        self._connected = False
        self._published: object = None
        self._stopped = False

    def run(self) -> int:
        self._publish()
        libvirt.virEventRegisterDefaultImpl()
        self._listen_to_signals()
        self._timer = libvirt.virEventAddTimeout(-1, guarded(lambda *_: self._work()), None)
        self._link = Link(self._uri, self)
        while not self._stopped:
            libvirt.virEventRunDefaultImpl()
        self._link.close()
        return 0

    def _listen_to_signals(self) -> None:
        """A signal does not interrupt a call into libvirt, so it is turned into an event like the others."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # libvirt may write to a daemon that has just exited
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writing)

        def stop(*_: object) -> None:
            os.read(reading, 100)
            self._stopped = True

        libvirt.virEventAddHandle(reading, libvirt.VIR_EVENT_HANDLE_READABLE, stop, None)

    # what the link reports

    def disconnected(self) -> None:
        self._connected = False
        self._publish()

    def connected(self, opened: Any) -> None:
        self.holder.cpus = opened.getCPUMap()[0]
        running = {domain.UUIDString() for domain in opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
        self._connected = True
        for uuid in self.holder.vms.keys() - running:
            self.holder.forget(uuid)
        for uuid in sorted(running):
            self._look_at(uuid, state.CONNECTED)
        on_it = plural(len(running), "running VM")
        report.line(f"largeguest: keeper: connected to {quote(self._uri, 200)}, {on_it} on this host", report.INFO)

    def lifecycle(self, uuid: str, event: int) -> None:
        if event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED):
            vm = self.holder.vms.get(uuid)
            self.holder.forget(uuid)
            self._publish()
            if vm is None or not vm.is_published:  # or its reservation is for its next start
                self._end_reservations([uuid])
            for other in self.holder.vms.values():
                if other.known is not None and other.known.target is None and other.known.problems:
                    self._look_at(other.uuid, state.START)  # auto may now find CPUs for it
        elif event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            self._end_reservations([uuid])  # it could not be started
        elif event in (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_RESUMED):
            self._look_at(uuid, state.START)

    def tunable(self, uuid: str, changed: dict[str, Any]) -> None:
        vm = self.holder.vms.get(uuid)
        if vm is None or vm.known is None or not is_on_target(vm.known, changed):
            self._look_at(uuid, state.MOVED)

    def device(self, uuid: str) -> None:
        self._look_at(uuid, state.MOVED)  # with memory it holds more, or less

    def _look_at(self, uuid: str, cause: str) -> None:
        """Check a VM when its events pause."""
        vm = self.holder.vms.setdefault(uuid, Vm(uuid))
        if vm.since is None:
            vm.cause, vm.since = cause, time.monotonic()
        vm.schedule = vm.schedule.after_event(time.monotonic())
        self._set_timer()

    def _set_timer(self) -> None:
        due = [vm.schedule.due for vm in self.holder.vms.values() if vm.schedule.due is not None]
        wait = -1 if not due else max(0, math.ceil((min(due) - time.monotonic()) * 1000))
        libvirt.virEventUpdateTimeout(self._timer, wait)

    # work

    def _work(self) -> None:
        """Check the VMs that are due."""
        libvirt.virEventUpdateTimeout(self._timer, -1)
        now = time.monotonic()
        due = [vm for vm in self.holder.vms.values() if vm.schedule.due is not None and vm.schedule.due <= now]
        try:
            for vm in due:
                self._hold_or_retry(vm)
        finally:
            self._set_timer()
            self._publish()

    def _publish(self) -> None:
        """Publish what the VMs hold and what has been done for them, if that has changed."""
        connected = self._connected and all(vm.looked_at for vm in self.holder.vms.values())
        known = {uuid: (vm.known.holds if vm.known else None, vm.work) for uuid, vm in self.holder.vms.items()}
        vms = {uuid: (held, work) for uuid, (held, work) in known.items() if held or work != state.Work()}
        if (connected, vms) != self._published:
            state.publish(self._folder, connected, vms)
            self._published = connected, vms
        new = [vm for vm in self.holder.vms.values() if vm.known is not None and not vm.is_published]
        if new:
            self._end_reservations([vm.uuid for vm in new])
        for vm in new:
            vm.is_published = True

    def _end_reservations(self, uuids: Collection[str]) -> None:
        """What has been reserved for these VMs is now published, or not needed; if it stays, it ends by itself."""
        with contextlib.suppress(OSError):
            reservations.end(ROOT, uuids)

    def _hold_or_retry(self, vm: Vm) -> None:
        """Hold the pins of a VM; an error is reported once, and retried after a while."""
        moved, vm.schedule = vm.schedule.first_event, vm.schedule.after_look()
        opened = self._link.opened
        if opened is None:
            return  # all are checked when it is back
        wait: tuple[float, float] | None = TROUBLE_SECONDS
        try:
            wait = self.holder.hold(opened, vm, moved)
        except libvirt.libvirtError as error:
            if self._link.opened is not opened or not opened.isAlive():
                return
            if _is_gone(opened, vm.uuid):
                self.holder.forget(vm.uuid)
                return
            name = quote_name(vm.known.name if vm.known else vm.uuid)
            what = f"VM {name}: libvirt: {quote(str(error), 200)}"
            self.holder.trouble(vm, f"libvirt {error.get_error_code()}", what)
        except Exception as error:
            text = describe(error)
            if self.holder.reports.is_new((vm.uuid, "trouble"), text):
                report.line(text, report.ERROR)
        if wait is None:
            vm.schedule, vm.since = vm.schedule.after_success(), None
            self.holder.reports.settle(vm.uuid, "trouble")
        else:
            vm.schedule = vm.schedule.after_failure(wait, time.monotonic())


def _is_gone(opened: Any, uuid: str) -> bool:
    """Whether a VM no longer runs."""
    try:
        return not opened.lookupByUUIDString(uuid).isActive()
    except libvirt.libvirtError as error:
        return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)

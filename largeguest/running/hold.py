# SPDX-License-Identifier: GPL-2.0-or-later
"""Check one VM: put its pins back, and report what prevents that."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import libvirt

from ..cpuset import CpuSet
from ..host import neighbours, reservations, sysfs
from ..host.topology import Host
from ..problem import Problem, Refused
from ..values import Pins
from ..wording import quote_name
from . import fight, pins, report
from .schedule import BUSY_SECONDS, TROUBLE_SECONDS, Schedule
from .state import START, Work


class Vm:
    """What the keeper remembers of a running VM."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self.schedule = Schedule()
        self.looked_at = False
        """What it holds is known, or can only be known after an event."""
        self.is_published = False
        """What it holds has been published since it runs here; until then its reservation counts."""
        self.known: pins.Running | None = None
        """As it was when it was last checked, if it could be read."""
        self.pinned = False
        """It has had its pins on this host: whatever is corrected from then on has been moved."""
        self.cause = START
        """What the first event since the last check that succeeded was."""
        self.since: float | None = None
        """When it was; None: there was none."""
        self.work = Work()


class _NotNowError(Exception):
    """CPUs cannot be chosen yet: not all VMs have been looked at, as after the keeper's start, or a hook chooses."""


class Holder:
    """Holds the pins of the VMs of a host that numbers its CPUs up to `cpus`; `root` has its /run."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.vms: dict[str, Vm] = {}
        self.cpus = 0
        self.reports = report.Once()

    def forget(self, uuid: str) -> None:
        """It no longer runs here."""
        self.vms.pop(uuid, None)
        self.reports.forget(uuid)

    def hold(self, opened: Any, vm: Vm, moved: float | None) -> tuple[float, float] | None:
        """Put back what has moved; returns how long to wait if that is not possible now and no event reports when.

        The time is BUSY_SECONDS or TROUBLE_SECONDS. `moved` is the moment of the first event since the last check.
        """
        domain = opened.lookupByUUIDString(vm.uuid)
        if not domain.isActive():
            self.forget(vm.uuid)
            return None
        if pins.is_half_there(domain):
            vm.looked_at = True
            return None  # an event reports its arrival or its end
        is_busy = _is_busy(domain)
        try:
            if is_busy and vm.known is not None:
                return BUSY_SECONDS
            running = self._read(vm, domain, is_busy)
        except _NotNowError:
            return BUSY_SECONDS
        except Refused as error:
            vm.looked_at = True
            self._report_unread(vm, domain.name(), error)
            return TROUBLE_SECONDS
        vm.looked_at = True
        if is_busy:
            return BUSY_SECONDS
        self._report_problems(vm, running)
        refused = pins.put_back(domain, running.moved, self.cpus)
        corrected = running.moved.without(refused)
        vm.work = vm.work.refused_again(len(refused))
        if corrected:
            vm.work = vm.work.corrected(vm.cause, None if vm.since is None else time.monotonic() - vm.since)
        if running.unrecorded is not None:
            pins.record(domain, running.unrecorded)
        if corrected:
            again = " again" if vm.pinned else ""
            report.line(f"largeguest: cputune: VM {quote_name(running.name)}: {corrected}{again}", report.INFO)
            self._slow_down(vm, running.name, moved)
        vm.pinned |= bool(corrected) or (running.target is not None and not refused)
        if refused and opened.isAlive():
            what = f"VM {quote_name(running.name)}: libvirt: {pins.refused_text(refused)}"
            self.trouble(vm, " ".join(refused), what)
        return TROUBLE_SECONDS if refused else None

    def _read(self, vm: Vm, domain: Any, is_busy: bool) -> pins.Running:
        """Read it; if CPUs have to be chosen, they are reserved before anything else chooses.

        Raises Refused, and _NotNowError. Of a VM that libvirt is busy with, nothing is chosen.
        """
        host, document = sysfs.from_sys(sysfs.SYS), domain.XMLDesc().encode()
        if is_busy:
            vm.known = pins.read(document, host)
            return vm.known
        is_new = vm.known is None and vm.cause == START
        with contextlib.ExitStack() as chosen:

            def choose() -> Host:
                if not all(other.looked_at for other in self.vms.values() if other is not vm):
                    raise _NotNowError
                self._lock(vm, chosen)
                known = {uuid: other.known.holds for uuid, other in self.vms.items() if other.known is not None}
                return neighbours.add(host, {**reservations.held(self._root), **known}, lambda uuid, _: uuid == vm.uuid)

            vm.known = pins.read(document, host, choose, is_new)
        return vm.known

    def _lock(self, vm: Vm, chosen: contextlib.ExitStack) -> None:
        """Let nothing else choose until the CPUs of this VM are reserved, or go on without that after a while."""
        try:
            chosen.callback(os.close, reservations.lock(self._root, 0))
            chosen.callback(self._reserve, vm)
        except TimeoutError as error:
            if vm.since is not None and time.monotonic() < vm.since + reservations.LOCK_SECONDS:
                raise _NotNowError from None
            self._report_unlocked(vm, str(error.strerror))
        except OSError as error:
            self._report_unlocked(vm, str(error.strerror))

    def _report_unlocked(self, vm: Vm, why: str) -> None:
        what = f"a VM that starts now may get the CPUs chosen for VM {quote_name(vm.uuid)}: {why}"
        fix = "look at /run/vdsm-largeguest: fuser -v /run/vdsm-largeguest/choose"
        self.reports.problem((vm.uuid, "unlocked"), Problem("keeper", what, fix, warning=True))

    def _reserve(self, vm: Vm) -> None:
        if vm.known is not None:
            with contextlib.suppress(OSError):
                reservations.reserve(self._root, vm.uuid, vm.known.holds)

    def _report_unread(self, vm: Vm, name: str, refused: Refused) -> None:
        for problem in refused.problems:
            what, fix = f"VM {quote_name(name)}: {problem.what}", f"{problem.fix}; its pins are left as they are"
            self.reports.problem((vm.uuid, "trouble"), Problem(problem.subject, what, fix, warning=True))

    def _slow_down(self, vm: Vm, name: str, moved: float | None) -> None:
        """Slow down if something moves the pins as fast as they are put back."""
        before, vm.schedule = vm.schedule, vm.schedule.after_correction(moved, time.monotonic())
        if vm.schedule.fight.is_on and not before.fight.is_on:
            what = f"something moves the pins of VM {quote_name(name)} again as soon as they are put back"
            often = f"every {fight.PAUSE_SECONDS:.0f} seconds"
            fix = f"find out what it is and stop it; until then they are put back {often}"
            report.problem(Problem("cputune", what, fix, warning=True))

    def trouble(self, vm: Vm, trouble: str, what: str) -> None:
        """Report what prevents pinning, unless it has been reported and still persists."""
        if self.reports.is_new((vm.uuid, "trouble"), trouble):
            report.problem(Problem("cputune", what, "this is retried until it succeeds", warning=True))

    def _report_problems(self, vm: Vm, running: pins.Running) -> None:
        for problem in running.problems:
            what = f"VM {quote_name(running.name)}: {problem.what}"
            left = [] if running.target is not None else ["its pins are left as they are"]
            fix = "; ".join(filter(None, [problem.fix, *left]))
            self.reports.problem((vm.uuid, "cputune"), Problem(problem.subject, what, fix, warning=True))
        if not running.problems:
            self.reports.settle(vm.uuid, "cputune")
        for other in self.vms.values():
            if other is not vm:
                self._report_shared(vm, other)
                self._report_shared(other, vm)

    def _report_shared(self, held: Vm, exclusive: Vm) -> None:
        if held.known is None or exclusive.known is None:
            return
        problem = pins.check_shared(held.known, exclusive.known)
        if problem is None:
            self.reports.settle(held.uuid, "shared", exclusive.uuid)
        elif self.reports.is_new((held.uuid, "shared", exclusive.uuid), ""):
            report.problem(problem)


def _is_busy(domain: Any) -> bool:
    """Whether libvirt is busy with it, such as migrating it: a pin would wait for that, and may time out."""
    if domain.controlInfo()[0] != libvirt.VIR_DOMAIN_CONTROL_OK:
        return True  # waiting for QEMU, which never answers if it hangs; the query below would wait as well
    try:
        job = domain.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            raise
        return True  # statistics of a migration are available only at its source
    # a backup takes hours, but blocks nothing
    in_the_way = job.get("operation") != libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP
    return bool(job["type"] != libvirt.VIR_DOMAIN_JOB_NONE and in_the_way)


def is_on_target(running: pins.Running, changed: dict[str, Any]) -> bool:
    """Whether an event only reports pins that are as they should be, such as the keeper's own."""
    return running.target is not None and all(
        str(_target_of(running.target, name)) == value for name, value in changed.items()
    )


def _target_of(target: Pins, name: str) -> CpuSet | None:
    """The CPUs for the name that libvirt gives the change, such as `cputune.vcpupin3`."""
    for kind, by_number in (("cputune.vcpupin", target.vcpus), ("cputune.iothreadpin", target.iothreads)):
        if name.startswith(kind):
            return by_number.get(int(name[len(kind) :]))
    return target.emulator if name == "cputune.emulatorpin" else None

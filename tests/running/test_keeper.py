# SPDX-License-Identifier: GPL-2.0-or-later
"""The keeper in a world in which time passes only between events; the e2e tests run it on a real libvirt."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from largeguest.cpuset import CpuSet
from largeguest.domxml import NAMESPACE
from largeguest.host import neighbours, reservations, sysfs
from largeguest.record import replace
from largeguest.running import connection, fight, pins, report, schedule, state
from largeguest.running.state import Work
from largeguest.values import Neighbour
from tests import vdsm

from .fake_libvirt import CONSTANTS, Domain, Vdsm, World, libvirtError

RECONNECT_SECONDS = (0.2, 5.0)
"""The first and the longest pause between two attempts to reach libvirt, as largeguest.running.link has them."""

TARGET = {"vcpu0": "0", "vcpu1": "0", "vcpu2": "1", "vcpu3": "1"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def keeper(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, four_nodes: str) -> Iterator[ModuleType]:
    """The module, with this world's libvirt."""
    vdsm.make_run_folder(tmp_path)
    with world.keeper() as module:
        monkeypatch.setattr(sysfs, "SYS", four_nodes)
        monkeypatch.setattr(module, "KEEPER_FOLDER", str(tmp_path / "run"))
        monkeypatch.setattr(module, "ROOT", str(tmp_path))
        monkeypatch.setattr(module.time, "monotonic", lambda: world.now)
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        yield module


def vm(world: World, cputune: str = "0-1#0,2-3#1", **more: object) -> Domain:
    domain = Domain(world, str(more.pop("name", "db01")), cputune)
    for name, value in more.items():
        setattr(domain, name, value)
    world.domains.append(domain)
    return domain


def move_all(domain: Domain, cpus: str = "0-15") -> None:
    for vcpu in range(domain.vcpus):
        domain.move(f"vcpu{vcpu}", cpus)


def test_what_runs_already_is_pinned(world: World, keeper: ModuleType) -> None:
    domain = vm(world)
    world.stop_after(1)
    assert keeper.keep("qemu:///system") == 0
    assert domain.pins == TARGET
    assert world.connections[0].closed_by_us


def test_only_what_has_moved_is_pinned(world: World, keeper: ModuleType) -> None:
    domain = vm(world, "0-1#0,2-3#1,emulator#2,iothread1#3", pins={**TARGET, "vcpu2": "0-15", "iothread1": "3"})
    world.after(1, lambda: domain.move("iothread1", "0-15"))
    world.stop_after(2)
    keeper.keep("qemu:///system")
    assert [(thread, cpus) for _, thread, cpus in domain.calls] == [
        ("vcpu2", "1"),
        ("emulator", "2"),
        ("iothread1", "3"),
    ]


def test_a_burst_is_handled_once_and_its_own_pins_are_ignored(world: World, keeper: ModuleType) -> None:
    domain = vm(world, "0-63#1", vcpus=64)
    for vcpu in range(64):
        world.after(1 + vcpu / 500, lambda vcpu=vcpu: domain.move(f"vcpu{vcpu}", "0-15"))  # type: ignore[misc]
    world.stop_after(5)
    keeper.keep("qemu:///system")
    assert len(domain.calls) == 2 * 64  # at its start, and after the burst
    assert domain.looked == 2
    at = domain.calls[64][0] - 1000
    assert 1 + 63 / 500 < at < 1 + 64 / 500 + schedule.QUIET_SECONDS + 0.01


def test_a_burst_without_end_is_not_waited_for(world: World, keeper: ModuleType) -> None:
    domain = vm(world)
    for step in range(100):
        world.after(1 + step / 50, lambda: domain.move("vcpu0", "0-15"))
    world.stop_after(2)
    keeper.keep("qemu:///system")
    assert domain.calls[4][0] - 1001 <= schedule.MAX_SECONDS + 0.001


@pytest.mark.parametrize("event", ["STARTED", "RESUMED"])
def test_a_vm_that_starts_or_resumes(event: str, world: World, keeper: ModuleType) -> None:
    domain = Domain(world, "db02", "0#3")

    def come() -> None:
        world.domains.append(domain)
        world.lifecycle(event, domain)

    world.after(1, come)
    world.stop_after(3)
    keeper.keep("qemu:///system")
    assert domain.pins == {"vcpu0": "3"}
    assert domain.calls[0][0] < 1001.2


def test_a_vm_that_is_paused_or_goes_is_left_alone(world: World, keeper: ModuleType) -> None:
    domain = vm(world)

    def go() -> None:
        move_all(domain)
        world.domains.remove(domain)
        world.lifecycle("STOPPED", domain)

    world.after(1, lambda: world.lifecycle("SUSPENDED", domain))
    world.after(2, go)
    world.stop_after(3)
    keeper.keep("qemu:///system")
    assert (len(domain.calls), domain.looked) == (4, 1)


def test_a_migration_is_waited_for(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    going = vm(world, job={"type": 2, "operation": CONSTANTS["VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT"]})
    coming = vm(world, name="db02", status=(CONSTANTS["VIR_DOMAIN_PAUSED"], CONSTANTS["VIR_DOMAIN_PAUSED_MIGRATION"]))
    saved = vm(world, name="db03", job={"type": 2, "operation": CONSTANTS["VIR_DOMAIN_JOB_OPERATION_BACKUP"]})

    def arrive() -> None:
        coming.status, coming.job = (CONSTANTS["VIR_DOMAIN_RUNNING"], 1), {"unsupported": 1}  # not fully arrived
        world.lifecycle("RESUMED", coming)
        world.after(0.1, lambda: setattr(coming, "job", {"type": 0}))

    world.after(2, lambda: setattr(going, "job", {"type": 0}))  # it failed, which libvirt reports with no event
    world.after(3, arrive)
    world.stop_after(20)
    keeper.keep("qemu:///system")
    assert [domain.pins for domain in (going, coming, saved)] == [TARGET] * 3
    assert 1002 < going.calls[0][0] < 1002 + schedule.BUSY_SECONDS[1] + 1
    assert 1003 < coming.calls[0][0] < 1003.5  # soon, though libvirt was still busy with it
    assert saved.calls[0][0] < 1000.2  # a backup blocks nothing
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("count", "pause"), [(40, 0.5), (40, 0.1), (40, 0.13), (40, 0.2), (400, 0.5), (400, 0.2), (400, 0.125)]
)
def test_a_boot_storm_is_no_fight(
    count: int, pause: float, world: World, keeper: ModuleType, four_nodes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """VDSM moves the pins at each start of a manual VM; each time they are back within the usual pause."""
    vdsm = Vdsm(world, sysfs.from_sys(four_nodes))
    domain = vm(world)

    def start(number: int) -> None:
        vdsm.start(Domain(world, f"vm{number}", policy="manual", vcpus=1))
        moved_at.append(world.now)

    moved_at: list[float] = []
    for number in range(count):
        world.after(1 + number * pause, functools.partial(start, number))
    world.stop_after(1 + count * pause + 1)
    keeper.keep("qemu:///system")
    back_at = [at for at, thread, _ in domain.calls if thread == "vcpu0"][1:]
    assert len(back_at) == count
    assert max(back - moved for back, moved in zip(back_at, moved_at)) < schedule.QUIET_SECONDS + 0.01
    assert domain.pins == TARGET
    assert "warning" not in capfd.readouterr().err


def undo(world: World, domain: Domain, seconds: float) -> None:
    """From now on something moves vCPU 0 so many seconds after each of its pins."""
    pin = domain.pinVcpuFlags

    def pin_and_undo(vcpu: int, *more: Any) -> None:
        pin(vcpu, *more)
        if vcpu == 0:
            world.after(seconds, lambda: domain.move("vcpu0", "0-15"))

    domain.pinVcpuFlags = pin_and_undo  # type: ignore[assignment,method-assign]
    domain.move("vcpu0", "0-15")


def stop_undoing(domain: Domain) -> None:
    del domain.pinVcpuFlags


def test_it_slows_down_in_a_fight(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    domain, other = vm(world), vm(world, name="db02")
    world.after(1, lambda: undo(world, domain, 0.003))
    world.after(60, lambda: move_all(other))
    world.after(60.1, lambda: others.append(dict(other.pins)))
    world.after(100, lambda: stop_undoing(domain))
    world.stop_after(120)
    others: list[dict[str, str]] = []
    keeper.keep("qemu:///system")
    corrections = [at for at, thread, _ in domain.calls if thread == "vcpu0"]
    soon, late = fight.MAX_UNDONE + 2, 100 / fight.PAUSE_SECONDS
    assert soon + late - 3 <= len(corrections) <= soon + late + 1
    assert domain.pins == TARGET
    assert others == [TARGET]  # which is not delayed
    said = capfd.readouterr().err
    assert said.count("warning") == 1
    assert 'largeguest: warning: cputune: something moves the pins of VM "db01" again as soon as they are put' in said
    # it checks no more often than it may correct
    assert domain.looked < len(corrections) + 10


def test_a_second_fight_is_reported_too(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    domain = vm(world)
    for start in (1, 10000):
        world.after(start, lambda: undo(world, domain, 0.003))
        world.after(start + 30, lambda: stop_undoing(domain))
    world.stop_after(10060)
    keeper.keep("qemu:///system")
    assert domain.pins == TARGET
    assert capfd.readouterr().err.count("again as soon as they are put back") == 2


def test_a_vm_that_resumes_again_and_again_is_held_each_time(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    domain = vm(world)

    def resume() -> None:
        world.lifecycle("RESUMED", domain)
        domain.move("vcpu0", "0-15")

    for second in range(200):
        world.after(1 + second, resume)
        world.after(1.1 + second, lambda: soon.append(domain.pins == TARGET))
    world.stop_after(230)
    soon: list[bool] = []
    keeper.keep("qemu:///system")
    assert soon == [True] * 200
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize("pause", [0.1, 7])
def test_libvirt_ends_and_comes_back(
    pause: float, world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    domain = vm(world)
    gone = vm(world, name="db02")

    def crash() -> None:
        world.unreachable = True
        world.crash()

    def come_back() -> None:
        world.unreachable = False
        world.domains.remove(gone)
        domain.pins["vcpu0"] = "0-15"  # while there was no connection

    world.after(1, crash)
    world.after(1 + pause, come_back)
    world.stop_after(30)
    keeper.keep("qemu:///system")
    assert domain.pins == TARGET
    assert len(world.connections) == 2
    assert world.connections[0].closed_by_us
    said = capfd.readouterr().err
    assert said.count("libvirt closed the connection") == 1
    assert said.count('libvirt cannot be reached: "Failed to connect socket"') == (pause > 0.2)
    assert world.connections[0].callbacks == {}


def test_it_reconnects_less_and_less_often_and_soon_after_a_new_loss(world: World, keeper: ModuleType) -> None:
    world.unreachable = True
    world.after(100, lambda: setattr(world, "unreachable", False))
    world.after(200, world.crash)
    world.stop_after(210)
    keeper.keep("qemu:///system")
    first, second = world.tries[:-1], world.tries[-1]
    assert len(first) < 30
    assert max(later - earlier for earlier, later in zip(first, first[1:])) <= RECONNECT_SECONDS[1]
    assert 1200 < second <= 1200 + RECONNECT_SECONDS[0] + 0.001


def test_a_libvirt_that_closes_every_connection_is_tried_less_and_less_often(world: World, keeper: ModuleType) -> None:
    for step in range(600):
        world.after(step / 10, world.crash)
    world.stop_after(60)
    keeper.keep("qemu:///system")
    assert len(world.tries) < 30


def test_a_vm_that_was_gone_when_libvirt_came_back_is_forgotten(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = vm(world, "0#99")
    world.after(1, world.domains.clear)
    world.after(2, world.crash)
    world.after(10, lambda: world.domains.append(bad))
    world.after(11, lambda: world.lifecycle("STARTED", bad))
    world.stop_after(15)
    keeper.keep("qemu:///system")
    assert capfd.readouterr().err.count("CPU 99 is not online") == 2  # a new VM, so it is reported again


@pytest.mark.parametrize("code", ["VIR_ERR_INTERNAL_ERROR", "VIR_ERR_OPERATION_TIMEOUT"])
def test_libvirt_ends_in_the_middle_of_the_work(
    code: str, world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    domain = vm(world, broken=libvirtError("end of file while reading data", CONSTANTS[code]))

    def die() -> None:
        world.connections[0].alive = False  # this is reported to the keeper later

    def be_told() -> None:
        world.connections[0].on_close(world.connections[0], 0, None)  # type: ignore[misc]
        domain.broken = None

    world.after(0.01, die)
    world.after(3, be_told)
    world.stop_after(10)
    keeper.keep("qemu:///system")
    assert domain.pins == TARGET
    assert "end of file" not in capfd.readouterr().err


def test_errors_of_libvirt(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    busy = vm(world, broken=libvirtError("busy", CONSTANTS["VIR_ERR_OPERATION_INVALID"]))
    world.after(8, lambda: setattr(busy, "broken", None))
    later = vm(world, name="db02", broken=libvirtError("no\nluck"))
    fine = vm(world, name="db03")
    world.after(12, lambda: setattr(later, "broken", None))
    world.stop_after(20)
    keeper.keep("qemu:///system")
    said = capfd.readouterr().err
    assert said.count('libvirt: "busy"') == 1
    assert said.count('cputune: VM "db02": libvirt: vcpu0, vcpu1, vcpu2, vcpu3 cannot be pinned: "no\\nluck": ') == 1
    assert [fine.pins, later.pins, busy.pins] == [TARGET] * 3
    assert later.looked < 10


def test_a_second_trouble_is_reported_too(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    domain = vm(world)
    for start in (10, 5000):
        world.after(start, lambda: setattr(domain, "broken", libvirtError("trouble")))
        world.after(start, lambda: domain.move("vcpu0", "0-15"))
        world.after(start + 60, lambda: setattr(domain, "broken", None))
    world.stop_after(6000)
    keeper.keep("qemu:///system")
    assert domain.pins == TARGET
    assert capfd.readouterr().err.count('libvirt: vcpu0 cannot be pinned: "trouble"') == 2
    assert domain.looked < 20  # ever less often while it lasts


def test_a_refused_pin_does_not_block_the_others(world: World, keeper: ModuleType) -> None:
    domain = vm(world, "0#0,1#1,emulator#2,iothread1#3", broken=libvirtError("Invalid argument", 38))
    domain.broken_pins = ("vcpu0", "emulator")
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.pins == {"vcpu1": "1", "iothread1": "3"}


def test_a_pin_that_is_always_refused_delays_no_other_and_is_reported_once(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    domain = vm(world, "0-1#0,2-3#1,emulator#2,iothread1#3", broken=libvirtError("Invalid argument", 38))
    domain.broken_pins = ("emulator", "iothread1")
    for at in (10, 100, 1000, 3620):
        world.after(at, lambda: move_all(domain))
        world.after(at + 1, lambda: soon.append(dict(domain.pins)))
    world.stop_after(4000)
    soon: list[dict[str, str]] = []
    keeper.keep("qemu:///system")
    assert soon == [TARGET] * 4
    said = capfd.readouterr().err
    assert said.count('VM "db01": libvirt: emulator, iothread1 cannot be pinned: "Invalid argument"') == 1
    assert said.count('VM "db01": 4 vCPUs pinned again') == 4
    assert domain.looked < 4000 / schedule.TROUBLE_SECONDS[1] + 30
    assert "as soon as they are put back" not in said


@pytest.mark.parametrize("how", ["it moves", "it resumes", "libvirt comes back"])
def test_after_a_long_trouble_it_is_held_at_once(how: str, world: World, keeper: ModuleType) -> None:
    domain = vm(world, broken=libvirtError("lock", CONSTANTS["VIR_ERR_OPERATION_TIMEOUT"]))

    def recover() -> None:
        domain.broken = None
        if how == "it moves":
            domain.move("vcpu0", "0-15")
        elif how == "it resumes":
            world.lifecycle("RESUMED", domain)
        else:
            world.crash()

    world.after(3630, recover)
    world.after(3631, lambda: soon.append(dict(domain.pins)))
    world.stop_after(3640)
    soon: list[dict[str, str]] = []
    keeper.keep("qemu:///system")
    assert soon == [TARGET]


def test_a_second_trouble_waits_like_the_first(world: World, keeper: ModuleType) -> None:
    domain = vm(world, broken=libvirtError("trouble"))

    def trouble() -> None:
        domain.broken = libvirtError("trouble")
        domain.move("vcpu0", "0-15")

    world.after(600, lambda: setattr(domain, "broken", None))
    world.after(1000, trouble)
    world.after(1001, lambda: setattr(domain, "broken", None))
    world.after(1006, lambda: soon.append(dict(domain.pins)))
    world.stop_after(1100)
    soon: list[dict[str, str]] = []
    keeper.keep("qemu:///system")
    assert soon == [TARGET]


def test_what_cannot_be_applied_is_reported_again_if_it_could_in_between(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    domain = vm(world, "0#99")

    def change(cputune: str) -> None:
        domain.cputune = cputune
        domain.metadata.clear()  # or the record would hold
        domain.move("vcpu1", "0-15")

    for at, cputune in ((1, "0#99"), (2, "0#1"), (3, "0#99"), (4, "0#99")):
        world.after(at, functools.partial(change, cputune))
    world.stop_after(5)
    keeper.keep("qemu:///system")
    assert capfd.readouterr().err.count("CPU 99 is not online") == 2


def test_after_one_pin_has_timed_out_the_others_are_not_tried(world: World, keeper: ModuleType) -> None:
    timeout = libvirtError("cannot acquire state change lock", CONSTANTS["VIR_ERR_OPERATION_TIMEOUT"])
    domain = vm(world, broken=timeout)
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.tried == ["vcpu0"]


def test_a_vm_that_hangs_holds_up_no_other(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    hung = vm(world, name="db02", control=CONSTANTS["VIR_DOMAIN_CONTROL_OCCUPIED"])
    fine = vm(world)
    for second in range(10, 60, 10):
        world.after(second, lambda: fine.move("vcpu0", "0-15"))
        world.after(second + 1, lambda: assert_pinned(fine))
    world.after(90, lambda: setattr(hung, "control", CONSTANTS["VIR_DOMAIN_CONTROL_OK"]))
    world.stop_after(100)

    def assert_pinned(domain: Domain) -> None:
        assert domain.pins == TARGET

    keeper.keep("qemu:///system")
    assert_pinned(hung)
    assert "warning" not in capfd.readouterr().err


def test_a_vm_that_resumes_is_held_at_once_however_long_it_was_busy(world: World, keeper: ModuleType) -> None:
    domain = vm(world, job={"unsupported": 1})

    def resume() -> None:
        domain.job = {"type": 0}
        world.lifecycle("RESUMED", domain)

    world.after(103, resume)
    world.stop_after(110)
    keeper.keep("qemu:///system")
    assert 1103 <= domain.calls[0][0] < 1103.1


def test_a_vm_that_stops_in_the_middle_is_no_trouble(
    world: World, keeper: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    domain = vm(world, broken=libvirtError("domain is not running", CONSTANTS["VIR_ERR_OPERATION_INVALID"]))
    put_back = pins.put_back

    def go_off(*arguments: Any) -> None:
        domain.status = (CONSTANTS["VIR_DOMAIN_SHUTOFF"], 0)
        put_back(*arguments)

    monkeypatch.setattr(pins, "put_back", go_off)
    world.after(10, lambda: domain.move("vcpu0", "0-15"))  # if it is defined, it can still have events
    world.stop_after(300)
    keeper.keep("qemu:///system")
    assert domain.looked == 1
    assert "warning" not in capfd.readouterr().err


def test_a_defect_is_reported_without_its_message(
    world: World, keeper: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "hidden-word"

    def fail(*_: object) -> None:
        raise ValueError(secret)

    domain = vm(world)
    read = pins.read
    monkeypatch.setattr(pins, "read", fail)
    world.after(12, lambda: monkeypatch.setattr(pins, "read", read))
    world.stop_after(20)
    assert keeper.keep("qemu:///system") == 0
    said = capfd.readouterr().err
    assert said.count("unexpected error, please report it") == 1
    assert domain.pins == TARGET
    assert "ValueError" in said
    assert secret not in said


@pytest.mark.parametrize(
    ("cputune", "policy", "message"),
    [
        ("", "none", None),
        ("0#0", "siblings", "the VM has the CPU pinning policy siblings, under which the engine sets the layout"),
        ("", "siblings", None),
        ("0#x", "none", '"0#x" at 2: "x" is not a CPU, a range or a place (node0, socket0.core1, cell): its pins'),
        ("0#node9", "none", "node9 is not on this host"),
        ("0#16", "none", "CPU 16 is not online on this host"),
        ("0#0,0#1", "none", "vCPU 0 is pinned more than once"),
        ("0#0,9#1", "none", "vCPU 9 does not exist, the VM has vCPUs 0-3"),
    ],
)
def test_what_it_leaves_alone(
    cputune: str,
    policy: str,
    message: str | None,
    world: World,
    keeper: ModuleType,
    capfd: pytest.CaptureFixture[str],
) -> None:
    domain = vm(world, cputune, policy=policy, pins={"vcpu0": "1"})
    for second in (1, 2, 3):
        world.after(second, lambda: domain.move("vcpu0", "2"))
    world.stop_after(5)
    keeper.keep("qemu:///system")
    assert domain.calls == []
    warnings = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == (message is not None)
    if message is not None:
        assert warnings[0].startswith('largeguest: warning: cputune: VM "db01": ' + message)
        assert warnings[0].endswith(" its pins are left as they are")
        assert ": ;" not in warnings[0]


@pytest.mark.parametrize(
    ("policy", "cpus"), [("dedicated", "CPU 0"), ("siblings", "CPUs 0-1"), ("isolate-threads", "CPUs 0-1")]
)
def test_a_vm_that_owns_its_cpus(
    policy: str, cpus: str, world: World, keeper: ModuleType, four_nodes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    vdsm = Vdsm(world, sysfs.from_sys(four_nodes))
    held = vm(world)
    owner = Domain(world, "db02", policy=policy, pins={"vcpu0": "0"})

    world.after(1, lambda: vdsm.start(owner))
    for step, (thread, cpu) in enumerate([("vcpu0", "0"), ("vcpu1", "4"), ("vcpu2", "5"), ("vcpu1", "1")]):
        world.after(2 + step, functools.partial(owner.move, thread, cpu))
    world.stop_after(10)
    keeper.keep("qemu:///system")
    assert held.pins == TARGET
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert line == (
        f'largeguest: warning: cputune: VM "db01" is pinned to {cpus}, which VM "db02" has exclusively: migrate '
        'one of them, or name other CPUs in the cputune of "db01" and start it again'
    )


def test_the_first_pins_of_a_vm_are_not_reported_as_again(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    moved = vm(world)
    vm(world, name="db02", broken=libvirtError("no luck"))
    kept = vm(world, name="db03", pins=dict(TARGET))
    world.after(2, lambda: moved.move("vcpu0", "0-15"))
    world.after(3, lambda: kept.move("vcpu1", "0-15"))
    world.after(3.5, lambda: setattr(world.domains[1], "broken", None))
    world.stop_after(20)
    keeper.keep("qemu:///system")
    said = [line for line in capfd.readouterr().err.splitlines() if "pinned" in line and "warning" not in line]
    assert said == [
        'largeguest: cputune: VM "db01": 4 vCPUs pinned',
        'largeguest: cputune: VM "db01": 1 vCPU pinned again',
        'largeguest: cputune: VM "db03": 1 vCPU pinned again',  # its first pins were there when the keeper came
        'largeguest: cputune: VM "db02": 4 vCPUs pinned',
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rac-production-frankfurt-database-node-number-1", "rac-production-frankfurt-database-node-number-1"),
        ("größe", "größe"),
        ("a\n\u202eb", "a\\n\\u202eb"),
    ],
)
def test_names_are_whole(
    name: str,
    shown: str,
    world: World,
    keeper: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the journal, which is UTF-8."""
    vm(world, name=name)
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert f'VM "{shown}": 4 vCPUs pinned' in capsys.readouterr().err


@pytest.mark.parametrize(("policy", "pool"), [("dedicated", "1-15"), ("siblings", "2-15"), ("isolate-threads", "2-15")])
def test_the_keeper_counts_the_cpus_that_vdsms_pool_leaves_out(
    policy: str, pool: str, world: World, keeper: ModuleType, four_nodes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """CPUs that VDSM keeps from other VMs are the exclusive VM's: also the thread sibling 1 of its CPU 0."""
    vdsm = Vdsm(world, sysfs.from_sys(four_nodes))
    held, free = vm(world, "0-3#1"), vm(world, "", name="db03")
    owner = Domain(world, "db02", policy=policy, pins={"vcpu0": "0"})
    world.after(1, lambda: vdsm.start(owner))
    world.stop_after(2)
    keeper.keep("qemu:///system")
    assert vdsm.pool() == pool
    assert set(free.pins.values()) == {pool}
    assert set(held.pins.values()) == {"1"}
    assert capfd.readouterr().err.count('VM "db01" is pinned to CPU 1, which VM "db02" has') == (policy != "dedicated")


def test_a_vm_that_owns_its_cpus_is_reported_each_time_it_starts(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    vm(world)
    owner = Domain(world, "db02", policy="dedicated", pins={"vcpu0": "0"})

    def come() -> None:
        world.domains.append(owner)
        world.lifecycle("STARTED", owner)

    def go() -> None:
        world.domains.remove(owner)
        world.lifecycle("STOPPED", owner)

    for start in (10, 20):
        world.after(start, come)
        world.after(start + 5, go)
    world.stop_after(30)
    keeper.keep("qemu:///system")
    assert capfd.readouterr().err.count("has exclusively") == 2


def test_a_vm_that_cannot_be_read_is_named(world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    fine, broken = vm(world), vm(world, name="db02")
    broken.XMLDesc = lambda: "<domain><vcpu>x"  # type: ignore[method-assign]
    world.stop_after(100)
    keeper.keep("qemu:///system")
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "not well-formed" in line]
    assert line.startswith('largeguest: warning: domain XML: VM "db02": not well-formed at line 1')
    assert line.endswith("; its pins are left as they are")
    assert fine.pins == TARGET


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(number: signal.Signals, world: World, keeper: ModuleType) -> None:
    world.stop_after(1, number)
    assert keeper.keep("qemu:///system") == 0


def test_the_journal_gets_priorities(
    world: World, keeper: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    vm(world, "0#99")
    vm(world, name="db02")
    world.stop_after(1)
    keeper.keep("qemu:///system")
    starts = [line.partition("largeguest: ")[0] for line in capfd.readouterr().err.splitlines()]
    assert sorted(starts) == ["<4>", "<6>", "<6>"]


def test_a_second_keeper_waits_for_the_first(
    world: World, keeper: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = os.open(tmp_path / "run/lock", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(first, fcntl.LOCK_EX)

    def note(problem: object) -> None:
        assert world.tries == []
        os.close(first)
        lines.append(str(problem))

    def look() -> None:
        with (tmp_path / "run/lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        lines.append("locked")

    lines: list[str] = []
    monkeypatch.setattr(report, "problem", note)
    domain = vm(world)
    world.after(2, look)
    world.stop_after(5)
    assert keeper.keep("qemu:///system") == 0
    assert domain.pins == TARGET
    assert lines == [
        "largeguest: warning: keeper: another keeper runs on this host: this one waits until it ends",
        "locked",
    ]


def test_a_connection_that_breaks_while_it_is_made(world: World, keeper: ModuleType) -> None:
    domain = vm(world)
    world.list_fails = 3
    world.after(10, lambda: world.connections[0].on_close and world.connections[0].on_close(None, 0, None))
    world.stop_after(20)
    keeper.keep("qemu:///system")
    assert [connection_.closed_by_us for connection_ in world.connections] == [True] * 4  # the last one at the end
    assert len(world.connections) == 4
    assert domain.pins == TARGET


def test_a_password_that_cannot_be_read(
    world: World, keeper: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libvirt_password").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(connection, "SASL_PASSWORD", str(tmp_path / "libvirt_password"))
    domain = vm(world)
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert (world.credentials, domain.pins) == ([], TARGET)


def test_what_migrates_away_is_forgotten(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    domain = vm(world)

    def go() -> None:
        world.domains.remove(domain)
        world.lifecycle("STOPPED", domain)

    held = keeper.Keeper("qemu:///system", str(tmp_path))
    world.after(1, go)
    world.after(1.001, lambda: seen.append(len(held.holder.vms)))
    world.stop_after(3)
    seen: list[int] = []
    assert held.run() == 0
    assert seen == [0]


def test_sasl_where_vdsm_has_a_password(
    world: World, keeper: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    password = tmp_path / "libvirt_password"
    password.write_text("hidden word\na second line\n")
    monkeypatch.setattr(connection, "SASL_PASSWORD", str(password))
    domain = vm(world)
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert [credential[4] for credential in world.credentials] == ["vdsm@ovirt", "hidden word"]
    assert domain.pins == TARGET


@pytest.mark.usefixtures("keeper")
def test_pins_are_put_back_once_for_a_vm_that_has_arrived(world: World, four_nodes: str) -> None:
    domain = vm(world)
    here = sysfs.from_sys(four_nodes)
    done, refused = pins.put_back_once("uuid-of-db01", here, lambda: here)
    assert (str(done), refused, domain.pins) == ("4 vCPUs pinned", {}, TARGET)
    done, refused = pins.put_back_once("uuid-of-db01", here, lambda: here)
    assert (bool(done), refused, len(domain.calls)) == (False, {}, 4)
    domain.broken, domain.broken_pins = libvirtError("no luck"), ("vcpu1", "vcpu2")
    move_all(domain)
    done, refused = pins.put_back_once("uuid-of-db01", here, lambda: here)
    assert (str(done), refused) == ("2 vCPUs pinned", {"vcpu1": "no luck", "vcpu2": "no luck"})


def test_what_it_has_done_is_published(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    moved, refused = vm(world), vm(world, name="db02", broken=libvirtError("Invalid argument", 38))
    vm(world, "", name="db03")
    started = Domain(world, "db04", "0#3")
    published = []

    def look() -> None:
        published.append(state.published(str(tmp_path / "run")))

    def start() -> None:
        world.domains.append(started)
        world.lifecycle("STARTED", started)

    def stop() -> None:
        world.domains.remove(moved)
        world.lifecycle("STOPPED", moved)
        world.lifecycle("RESUMED", started)

    world.after(1, look)
    world.after(2, lambda: move_all(moved))
    world.after(3, lambda: move_all(moved))
    world.after(3.02, lambda: move_all(moved))
    world.after(3.5, start)
    world.after(4.5, look)
    world.after(5, stop)
    world.after(6, look)
    world.stop_after(7)
    keeper.keep("qemu:///system")
    first, second, third = published
    assert first == {"uuid-of-db01": Work({"connected": 1}), "uuid-of-db02": Work(refused=4)}
    quiet = schedule.QUIET_SECONDS
    assert second["uuid-of-db01"] == Work({"connected": 1, "moved": 2}, 0, quiet + 0.02, quiet + 0.02)
    assert second["uuid-of-db04"] == Work({"start": 1}, 0, quiet, quiet)
    assert third.keys() == {"uuid-of-db02", "uuid-of-db04"}
    assert refused.pins == {}
    assert (tmp_path / "run" / neighbours.NAME).stat().st_mode & 0o777 == 0o644


def test_what_vms_hold_is_published_while_libvirt_is_there(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    """Until all have been looked at, and while the connection is gone, nobody may rely on it."""
    seen: list[tuple[float, dict[str, Neighbour] | None]] = []
    for name, cputune, policy, real in (
        ("db01", "0-1#=4,5", "none", {}),
        ("db02", "", "dedicated", {"vcpu0": "8"}),
        ("plain", "", "none", {"vcpu0": "0-7"}),
        ("broken", "0#0", "none", {}),
    ):
        vm(world, cputune, name=name, policy=policy, pins=real)
    world.domains[3].XMLDesc = lambda: "<domain"  # type: ignore[method-assign]

    def look() -> None:
        seen.append((world.now - 1000, neighbours.published(str(tmp_path / "run"))))

    def crash() -> None:
        world.unreachable = True
        world.crash()

    for at in (0.01, 1, 2.01, 4):
        world.after(at, look)
    world.after(2, crash)
    world.after(3, lambda: setattr(world, "unreachable", False))
    world.stop_after(5)
    keeper.keep("qemu:///system")
    held = {
        "uuid-of-db01": Neighbour("db01", CpuSet([4, 5])),
        "uuid-of-db02": Neighbour("db02", CpuSet([8]), True),
    }
    assert [found for _, found in seen] == [None, held, None, held]


OTHERS = {"emulator": "4,5,6,7", "iothread1": "4,5,6,7"}


def test_auto_is_chosen_where_a_vm_arrives_and_stays(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    """Beside what runs there, and what is about to; whoever comes later, and whatever restarts."""
    uuid = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a03"
    reservations.reserve(str(tmp_path), uuid, Neighbour("db03", CpuSet([6])))
    vm(world, "0#4", name="db02", vcpus=1)
    arrived = vm(world, "auto", vcpus=2, bound="1", pins={"vcpu0": "0-15", "vcpu1": "0-15"})
    found: list[dict[str, str]] = []
    world.after(1, lambda: found.append(dict(arrived.pins)))
    world.after(2, lambda: arrived.move("vcpu1", "0-15"))
    world.after(3, world.crash)
    world.after(20, lambda: vm(world, "0#7", name="db04", vcpus=1, pins={"vcpu0": "7"}))
    world.after(21, lambda: world.lifecycle("STARTED", world.domains[-1]))
    world.after(22, lambda: arrived.move("vcpu0", "0-15"))
    world.stop_after(30)
    keeper.keep("qemu:///system")
    assert found == [{"vcpu0": "5", "vcpu1": "7", "emulator": "5,7", "iothread1": "5,7"}]
    assert arrived.pins == found[0]
    assert {connection.alive for connection in world.connections} == {True, False}


def test_auto_that_has_no_room_is_reported_until_it_has(
    world: World, keeper: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    vm(world, "0-3#=node1", name="db02", pins={f"vcpu{n}": str(4 + n) for n in range(4)})
    arrived = vm(world, "auto", bound="1")

    def leave() -> None:
        other = world.domains.pop(0)
        world.lifecycle("STOPPED", other)

    world.after(5, leave)
    world.stop_after(60)
    keeper.keep("qemu:///system")
    warnings = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert warnings == [
        'largeguest: warning: cputune: VM "db01": auto: vCPUs 0-3 need 4 CPUs of their own, but node 1 has none '
        "that no other VM is pinned to: choose another host, or make room on this one; its pins are left as they are"
    ]
    assert arrived.pins == {"vcpu0": "4", "vcpu1": "6", "vcpu2": "5", "vcpu3": "7", **OTHERS}


@pytest.mark.parametrize(("event", "cpus"), [("STARTED", ("6", "7")), ("RESUMED", ("6", "7")), (None, ("4", "5"))])
def test_a_record_whose_cpus_another_vm_has(
    event: str | None,
    cpus: tuple[str, str],
    world: World,
    keeper: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that resumes on the same boot gets others; one that runs while the keeper starts keeps its own."""
    real = sysfs.from_sys
    monkeypatch.setattr(sysfs, "from_sys", lambda path: replace(real(path), boot="here"))
    vm(world, "0-1#=4,5", name="db02", vcpus=2, pins={"vcpu0": "4", "vcpu1": "5"})
    record = f"<l:layout xmlns:l='{NAMESPACE}' host='here' cputune='0#4,1#5,emulator#4-5,iothread1#4-5'/>"
    resumed = Domain(world, "db01", "auto", vcpus=2, bound="1", metadata={NAMESPACE: record})

    def appear() -> None:
        world.domains.append(resumed)
        if event is not None:
            world.lifecycle(event, resumed)

    if event is None:
        appear()
    else:
        world.after(1, appear)
    world.stop_after(3)
    keeper.keep("qemu:///system")
    assert (resumed.pins["vcpu0"], resumed.pins["vcpu1"]) == cpus


def test_a_vm_that_is_busy_when_the_keeper_starts_is_known(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    """It migrates away for an hour; nothing else may get its CPUs."""
    vm(world, "0-1#=4,5", vcpus=2, pins={"vcpu0": "4", "vcpu1": "5"}, job={"unsupported": 1})
    arrived = vm(world, "auto", name="db02", vcpus=2, bound="1")
    seen: list[dict[str, Neighbour] | None] = []
    world.after(2, lambda: seen.append(neighbours.published(str(tmp_path / "run"))))
    world.stop_after(3)
    keeper.keep("qemu:///system")
    assert {arrived.pins["vcpu0"], arrived.pins["vcpu1"]} == {"6", "7"}
    (found,) = seen
    assert found is not None
    assert found["uuid-of-db01"].cpus == CpuSet([4, 5])


def test_a_late_stop_does_not_end_the_reservation_of_the_next_start(
    world: World, keeper: ModuleType, tmp_path: Path
) -> None:
    root, uuid = str(tmp_path), "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a02"
    domain, other = vm(world, name="db02", UUIDString=lambda: uuid), vm(world, name="db03")
    reserved = Neighbour("db02", CpuSet([8, 9]), is_starting=True)

    def start_again() -> None:
        """The keeper was busy: it is told of the stop when the hook of the next start has been here."""
        world.domains.remove(domain)
        reservations.reserve(root, uuid, reserved)
        world.lifecycle("STOPPED", domain)
        other.move("vcpu0", "0-15")

    seen: list[Neighbour | None] = []
    world.after(1, start_again)
    world.after(2, lambda: seen.append(reservations.held(root).get(uuid)))
    world.stop_after(3)
    keeper.keep("qemu:///system")
    assert seen == [reserved]


@pytest.mark.parametrize("free_again", [True, False])
def test_a_hook_that_chooses_is_waited_for(
    free_again: bool,
    world: World,
    keeper: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Others are pinned meanwhile. If the hook hangs, the VM is pinned after a while, with a warning."""
    lock = reservations.lock

    def taken(root: str, seconds: float) -> int:
        if free_again and world.now > 1003:
            return lock(root, seconds)
        raise TimeoutError(0, "one has been choosing")

    monkeypatch.setattr(reservations, "lock", taken)
    arrived, moved = vm(world, "auto", vcpus=2, bound="1"), vm(world, name="db02")
    world.stop_after(60)
    keeper.keep("qemu:///system")
    assert max(when for when, *_ in moved.calls) < 1001
    first = min(when for when, *_ in arrived.calls) - 1000
    assert 3 <= first < 12 if free_again else 10 <= first < 20
    assert ("one has been choosing" in capfd.readouterr().err) != free_again


def test_a_vcpu_that_is_plugged_in_has_a_free_cpu(world: World, keeper: ModuleType) -> None:
    domain = vm(world, "auto", vcpus=2, bound="1")

    def plug() -> None:
        domain.vcpus = 3
        domain.move("vcpu2", "0-15")

    world.after(1, plug)
    world.stop_after(5)
    keeper.keep("qemu:///system")
    assert domain.pins == {"vcpu0": "4", "vcpu1": "6", "vcpu2": "5", **OTHERS}


def test_what_is_plugged_in_is_published(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    domain = vm(world, "", bound="1")
    found: list[int] = []

    def look() -> None:
        held = neighbours.published(str(tmp_path / "run")) or {}
        found.extend(promise.memory for promise in held[domain.UUIDString()].promises)

    for at in (1, 3):
        world.after(at, look)
    world.after(2, lambda: domain.plug(2**18))
    world.stop_after(5)
    keeper.keep("qemu:///system")
    assert found == [2**20, 2**20, 2**18]


@pytest.mark.parametrize("end", ["STARTED", "STOPPED", "UNDEFINED"])
def test_a_reservation_ends_when_it_is_not_needed(world: World, keeper: ModuleType, tmp_path: Path, end: str) -> None:
    """Not before the file has what the VM holds."""
    root, uuid = str(tmp_path), "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a02"
    reserved = Neighbour("db02", CpuSet([0, 1]))
    reservations.reserve(root, uuid, reserved)
    domain = vm(world, name="db02", UUIDString=lambda: uuid)
    world.domains.clear()
    seen: list[bool] = []

    def look() -> None:
        published = neighbours.published(str(tmp_path / "run")) or {}
        held = {**reservations.held(root), **published}
        seen.append(uuid in held and held[uuid].cpus == reserved.cpus)

    def appear() -> None:
        domain.status = (CONSTANTS["VIR_DOMAIN_PAUSED"], CONSTANTS["VIR_DOMAIN_PAUSED_STARTING_UP"])
        world.domains.append(domain)
        world.lifecycle("STARTED", domain)

    def happen() -> None:
        domain.status = (CONSTANTS["VIR_DOMAIN_RUNNING"], 1)
        if end != "STARTED":
            world.domains.clear()
        world.lifecycle(end, domain)

    world.after(1, appear)
    for tenth in range(10, 31):
        world.after(tenth / 10, look)
    world.after(2, happen)
    world.stop_after(5)
    keeper.keep("qemu:///system")
    assert seen[:10] == [True] * 10
    assert seen[-1] == (end == "STARTED")
    assert set(seen) == ({True} if end == "STARTED" else {True, False})
    assert reservations.held(root) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2, "vms": {}}',
        '{"version": 1}',
        '{"version": 1, "vms": []}',
        '{"version": 1, "vms": {"a": {}}}',
        '{"version": 1, "vms": {"a": {"corrections": 1, "refused": 0, "last": null, "longest": null}}}',
        '{"version": 1, "vms": {"a": {"corrections": {}, "refused": "x", "last": null, "longest": null}}}',
    ],
)
def test_a_file_of_another_version_or_a_broken_one_says_nothing(content: str, tmp_path: Path) -> None:
    assert state.published(str(tmp_path)) == {}
    (tmp_path / neighbours.NAME).write_text(content)
    assert state.published(str(tmp_path)) == {}


def test_a_full_disk_does_not_stop_it(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "run" / f"{neighbours.NAME}.new").mkdir(parents=True)
    domain = vm(world)
    world.stop_after(1)
    keeper.keep("qemu:///system")
    assert domain.pins == TARGET


def test_nobody_else_can_take_the_lock(keeper: ModuleType, tmp_path: Path) -> None:
    """One that was started by hand leaves a file that every user can open, and so lock: RuntimeDirectoryPreserve."""
    before = os.umask(0o022)
    try:
        with keeper._only_one(str(tmp_path)):
            assert (tmp_path / "lock").stat().st_mode & 0o077 == 0
    finally:
        os.umask(before)


def test_the_time_that_libvirt_was_busy_counts(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    """Moved at 1 s, back at 7.4 s."""
    domain = vm(world)

    def move() -> None:
        domain.job = {"type": 2, "operation": CONSTANTS["VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT"]}
        domain.move("vcpu0", "0-15")

    world.after(1, move)
    world.after(5, lambda: setattr(domain, "job", {"type": 0}))
    world.stop_after(20)
    keeper.keep("qemu:///system")
    (done,) = state.published(str(tmp_path / "run")).values()
    assert (done.longest or 0) > 6


def test_the_cause_survives_a_wait(world: World, keeper: ModuleType, tmp_path: Path) -> None:
    domain = vm(world, "0-3#3", name="db02")
    world.domains.remove(domain)

    def come() -> None:
        domain.control = CONSTANTS["VIR_DOMAIN_CONTROL_OCCUPIED"]
        world.domains.append(domain)
        world.lifecycle("STARTED", domain)

    def answer() -> None:
        domain.control = CONSTANTS["VIR_DOMAIN_CONTROL_OK"]
        domain.move("vcpu0", "0-15")

    world.after(1, come)
    world.after(1.5, answer)
    world.stop_after(20)
    keeper.keep("qemu:///system")
    (done,) = state.published(str(tmp_path / "run")).values()
    assert done.corrections == {"start": 1}


def test_a_state_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.json")
    reader = threading.Thread(target=state.published, args=[str(tmp_path)], daemon=True)
    reader.start()
    reader.join(2)
    hangs = reader.is_alive()
    with contextlib.suppress(OSError):
        os.close(os.open(tmp_path / "state.json", os.O_WRONLY | os.O_NONBLOCK))
    assert not hangs

# SPDX-License-Identifier: GPL-2.0-or-later
"""The keeper on a real libvirt: pins that something moves are put back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from largeguest import VERSION
from tests import DATA

from . import daemon
from .daemon import Daemon
from .host import Host
from .keeping import Keeper, keeping, wait_until

PLAIN = (DATA / "plain.xml").read_text(encoding="utf-8")
MOVER = str(Path(__file__).with_name("mover.py"))
EVERYWHERE = "0,1"


@pytest.fixture(scope="module")
def here(workplace: Path, ovirt_host: Host) -> Iterator[Daemon]:
    with daemon.system(workplace / "kept", 4, ovirt_host) as running:
        yield running


def domain(cputune: str, vcpus: int = 4, policy: str = "none", name: str = "db01", pins: str = "") -> bytes:
    """A running VM for which the engine has stored this property; `pins` are those in its XML."""
    text = PLAIN.replace("<name>db01<", f"<name>{name}<")
    uuid = f"00000000-0000-4000-8000-{int.from_bytes(name.encode(), 'big') % 10**12:012}"
    for old, new in (
        ("0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01", uuid),
        ('<vcpu current="4">4<', f'<vcpu current="{vcpus}">{vcpus}<'),
        ('cores="1" threads="2" sockets="2"', f'cores="1" threads="1" sockets="{vcpus}"'),
        ("Memory>524288<", "Memory>131072<"),
        ("<memory>524288<", "<memory>131072<"),
        ("<ovirt-vm:custom>", f"<ovirt-vm:custom><ovirt-vm:cputune>{cputune}</ovirt-vm:cputune>"),
        ("<ovirt-vm:cpuPolicy>none<", f"<ovirt-vm:cpuPolicy>{policy}<"),
        (
            "<cputune>",
            "<cputune>" + "".join('<vcpupin vcpu="{}" cpuset="{}"/>'.format(*pin.split("#")) for pin in pins.split()),
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def pins(where: Daemon, name: str = "db01") -> dict[int, str]:
    return {
        int(pin.get("vcpu", "")): pin.get("cpuset", "") for pin in where.libvirt.live(name).iterfind("cputune/vcpupin")
    }


def move(
    where: Daemon, name: str = "db01", cpus: str = EVERYWHERE, count: int = 0, times: int = 1, pause: float = 0
) -> dict[str, float]:
    """Move pins as VDSM does and wait for them to come back."""
    command = ["/usr/bin/python3", "-I", MOVER, where.uri, name, cpus, str(count), str(times), str(pause)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return dict(json.loads(result.stdout))


def test_pins_are_made_when_it_starts_and_when_a_vm_starts(here: Daemon) -> None:
    with here.libvirt.running(domain("0-1#0,2-3#1,emulator#1"), "--paused"):
        assert pins(here) == {}
        with keeping(here) as keeper:
            wait_until(lambda: pins(here) == {0: "0", 1: "0", 2: "1", 3: "1"}, keeper.said)
            with here.libvirt.running(domain("0#=0,1#=1", name="db02"), "--paused"):
                wait_until(lambda: pins(here, "db02") == {0: "0", 1: "1"}, keeper.said)
            assert keeper.said().count(" pinned\n") == 2
            assert "4 vCPUs, the emulator pinned\n" in keeper.said()


@pytest.mark.parametrize(("vcpus", "cputune"), [(4, "0-1#0,2-3#1"), (64, "0-31#0,32-63#1")])
def test_pins_that_are_moved_are_back_within_a_second(
    vcpus: int, cputune: str, here: Daemon, record_property: Callable[[str, object], None]
) -> None:
    with here.libvirt.running(domain(cputune, vcpus), "--paused"), keeping(here) as keeper:
        wait_until(lambda: len(pins(here)) == vcpus, keeper.said)
        everything = move(here)
        # only the pins that are needed are made
        assert (everything["back"], everything["events"]) == (True, 2 * vcpus)
        some = move(here, count=3)
        assert (some["back"], some["events"]) == (True, 6)
        assert keeper.said().count(" pinned\n") == 1
        print(f"{vcpus} vCPUs are back after {everything['seconds']:.3f} s, 3 of them after {some['seconds']:.3f} s")
        record_property("seconds", everything["seconds"])


def test_emulator_and_iothread_come_back(here: Daemon) -> None:
    with here.libvirt.running(domain("emulator#1,iothread1#0"), "--paused"), keeping(here) as keeper:

        def others() -> tuple[str, str]:
            cputune = here.libvirt.live("db01").find("cputune")
            assert cputune is not None
            emulator, iothread = cputune.find("emulatorpin"), cputune.find("iothreadpin")
            assert emulator is not None
            assert iothread is not None
            return emulator.get("cpuset", ""), iothread.get("cpuset", "")

        wait_until(lambda: others() == ("1", "0"), others)
        here.libvirt.virsh("emulatorpin", "db01", "0-1", "--live")
        here.libvirt.virsh("iothreadpin", "db01", "1", "0-1", "--live")
        wait_until(lambda: others() == ("1", "0"), keeper.said)
        assert pins(here) == {}


def test_it_costs_nothing_while_nothing_happens(here: Daemon) -> None:
    with here.libvirt.running(domain("0-3#1"), "--paused"), keeping(here) as keeper:
        wait_until(lambda: len(pins(here)) == 4, keeper.said)
        time.sleep(10)  # by then the start has finished everything
        used, wakes = keeper.cpu_seconds(), keeper.wakes()
        time.sleep(60)
        used, wakes = keeper.cpu_seconds() - used, keeper.wakes() - wakes
        print(f"{used:.4f} s of CPU in 60 s; woken {wakes} times")
        # libvirtd sends a keepalive every 5 s; a keeper that polls wakes every second or more often
        assert wakes < 2 * 60 / 5


def test_a_second_keeper_takes_over(here: Daemon) -> None:
    with keeping(here) as first:
        second = Keeper(here, until="another keeper runs on this host: this one waits until it ends")
        assert first.said().count("connected") == 1
        assert first.end() == 0
        second.wait_for("connected")
        assert second.end() == 0


def test_a_vm_that_hangs_holds_up_no_other(here: Daemon) -> None:
    with (
        here.libvirt.running(domain("0-3#1"), "--paused"),
        here.libvirt.running(domain("0-3#0", name="db02"), "--paused"),
    ):
        hung = here.libvirt.pid("db02")
        os.kill(hung, signal.SIGSTOP)
        asks = subprocess.Popen(
            ["virsh", "-c", here.uri, "qemu-monitor-command", "db02", '{"execute": "query-status"}']
        )
        try:
            wait_until(lambda: "occupied" in here.libvirt.virsh("domcontrol", "db02"), lambda: "it answers")
            with keeping(here) as keeper:
                wait_until(lambda: len(pins(here)) == 4, keeper.said)
                assert move(here)["back"]
                assert asks.poll() is None
                assert pins(here, "db02") == {}
                os.kill(hung, signal.SIGCONT)
                wait_until(lambda: set(pins(here, "db02").values()) == {"0"}, keeper.said)
                assert "warning" not in keeper.said()
        finally:
            os.kill(hung, signal.SIGCONT)
            asks.wait(10)


def test_it_does_not_fight_in_a_circle(here: Daemon) -> None:
    with here.libvirt.running(domain("0-3#1"), "--paused"), keeping(here) as keeper:
        wait_until(lambda: len(pins(here)) == 4, keeper.said)
        command = ["/usr/bin/python3", "-I", MOVER, here.uri, "db01", EVERYWHERE, "0", "10000"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as mover:
            keeper.wait_for('largeguest: warning: cputune: something moves the pins of VM "db01" again as soon as')
            before = keeper.said().count("again\n")
            time.sleep(12)
            assert keeper.said().count("again\n") - before <= 6  # without the pause it was more every second
            mover.kill()
        wait_until(lambda: set(pins(here).values()) == {"1"}, keeper.said)
        assert keeper.said().count("warning") == 1


def test_a_boot_storm_is_no_fight(here: Daemon, record_property: Callable[[str, object], None]) -> None:
    with here.libvirt.running(domain("0-3#1"), "--paused"), keeping(here) as keeper:
        wait_until(lambda: len(pins(here)) == 4, keeper.said)
        moved = move(here, times=60, pause=0.4)
        record_property("seconds", moved["seconds"])
        print(f"after each of 60 moves the pins are back after {moved['seconds']:.3f} s at the latest")
        assert moved["back"]
        assert "warning" not in keeper.said()


@pytest.mark.parametrize(
    ("cputune", "policy", "message"),
    [
        ("0#0", "dedicated", "the VM has the CPU pinning policy dedicated, under which the engine sets the layout"),
        ("0#x", "none", '"0#x" at 2: "x" is not a CPU'),
        ("0#node7", "none", "node7 is not on this host"),
        ("0#99", "none", "CPU 99 is not online on this host"),
    ],
)
def test_what_cannot_be_applied_is_reported_once_and_left_alone(
    cputune: str, policy: str, message: str, here: Daemon
) -> None:
    with here.libvirt.running(domain(cputune, policy=policy, pins="0#1"), "--paused"), keeping(here) as keeper:
        keeper.wait_for(message)
        for cpus in ("0", "0-1", "1"):
            here.libvirt.virsh("vcpupin", "db01", "0", cpus, "--live")
            time.sleep(0.3)
        assert pins(here)[0] == "1"
        (line,) = [line for line in keeper.said().splitlines() if message in line]
        assert line.startswith('largeguest: warning: cputune: VM "db01": ')
        assert line.endswith(" its pins are left as they are")
        found = status(here)
        assert (found.returncode, message in found.stdout) == (1, True)


def test_a_pin_on_the_cpu_of_an_exclusive_vm_is_kept_and_reported(here: Daemon) -> None:
    with here.libvirt.running(domain("0-3#1"), "--paused"), keeping(here) as keeper:
        wait_until(lambda: len(pins(here)) == 4, keeper.said)
        exclusive = domain("", policy="dedicated", name="db02", pins="0#1 1#1")
        with here.libvirt.running(exclusive, "--paused"):
            keeper.wait_for(
                'largeguest: warning: cputune: VM "db01" is pinned to CPU 1, which VM "db02" has exclusively'
            )
            assert move(here)["back"]
        assert keeper.said().count("has exclusively") == 1


def status(where: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    return where.host.run("/usr/bin/largeguest", "status", "--connect", where.uri, *arguments, environ={})


def test_status_sees_the_threads_and_what_the_keeper_does(here: Daemon) -> None:
    with here.libvirt.running(domain("0-1#1,emulator#0", pins="0#1"), "--paused") as name:
        found = status(here, name)
        assert (found.returncode, found.stderr) == (1, "")
        assert [line for line in found.stdout.splitlines() if line.startswith(("cputune: ", "keeper: it does"))] == [
            "cputune: may run elsewhere: vCPU 1 on CPUs 0-1 instead of CPU 1, emulator on CPUs 0-1 instead of CPU 0: "
            "start the keeper, which puts them back: systemctl enable --now vdsm-largeguest-keeper",
            "keeper: it does not run here, so nothing puts back the pins that VDSM moves: "
            "systemctl enable --now vdsm-largeguest-keeper",
        ]
        with keeping(here) as keeper:
            keeper.wait_for("emulator pinned")
            here.libvirt.virsh("vcpupin", name, "0", "0", "--live")
            wait_until(
                lambda: "corrections" in status(here, "--json").stdout and status(here).returncode == 0, keeper.said
            )
            (vm,) = json.loads(status(here, "--json").stdout)["vms"]
            assert vm["keeper"]["corrections"] == {"connected": 1, "moved": 1}
            assert 0 < vm["keeper"]["last_seconds"] <= vm["keeper"]["longest_seconds"]
            threads = {thread: seen["cpus"] for thread, seen in vm["threads"].items()}
            assert {thread: threads[thread] for thread in ("vcpu0", "vcpu1", "emulator")} == {
                "vcpu0": "1",
                "vcpu1": "1",
                "emulator": "0",
            }
            assert threads["vcpu1"] == here.libvirt.threads(name)[1].cpus_allowed
    missing = status(here, "db01")
    assert missing.returncode == 2
    assert missing.stderr.startswith('largeguest: libvirt: "Domain not found')


def test_status_while_vms_come_and_go(here: Daemon) -> None:
    """Whatever it finds half there: a line for each VM, and never a traceback."""
    stop = threading.Event()
    with here.libvirt.running(domain("0-1#0", name="db02"), "--paused"):
        path = here.libvirt.file("db02.xml", here.libvirt.virsh("dumpxml", "db02", "--migratable").encode())

    def start_and_stop() -> None:
        while not stop.is_set():
            with contextlib.suppress(RuntimeError):
                here.libvirt.virsh("create", path, "--paused")
            with contextlib.suppress(RuntimeError):
                here.libvirt.virsh("destroy", "db02")
            stop.wait(0.1)

    seen = list[bool]()
    with here.libvirt.running(domain("0-3#1"), "--paused"), keeping(here) as keeper:
        wait_until(lambda: len(pins(here)) == 4, keeper.said)
        other = threading.Thread(target=start_and_stop)
        other.start()
        try:
            while len(seen) < 30 or len(set(seen)) < 2:
                assert len(seen) < 300
                found = status(here)
                assert found.stderr == ""
                assert re.search("^db01  cputune .* warns$", found.stdout, re.MULTILINE), found.stdout
                seen.append("db02" in found.stdout)
        finally:
            stop.set()
            other.join()


@pytest.mark.parametrize("kept", [True, False])
def test_a_start_on_the_cpus_of_another_vm(kept: bool, here: Daemon) -> None:
    """The keeper knows what it holds; without one the hook asks libvirt."""
    with here.libvirt.running(domain("0-3#1", name="db02"), "--paused"), contextlib.ExitStack() as stack:
        if kept:
            keeper = stack.enter_context(keeping(here))
            wait_until(lambda: len(pins(here, "db02")) == 4, keeper.said)
        _, said = here.host.run_hooks("before_vm_start", PLAIN, {"cputune": "0#1"})
        assert 'largeguest: warning: cputune: CPU 1 is also pinned by VM "db02": largeguest plan leaves out' in said


def test_a_start_without_a_keeper_while_libvirt_hangs(here: Daemon) -> None:
    with here.libvirt.running(domain("0-3#1", name="db02"), "--paused"):
        here.process.send_signal(signal.SIGSTOP)
        try:
            _, said = here.host.run_hooks("before_vm_start", PLAIN, {"cputune": "0#1"})
        finally:
            here.process.send_signal(signal.SIGCONT)
    assert 'what other VMs hold is not known: "libvirt does not answer within 2 seconds": start the keeper' in said


def test_libvirt_is_killed_and_comes_back(here: Daemon) -> None:
    target = {0: "0", 1: "0", 2: "1", 3: "1"}
    with here.libvirt.running(domain("0-1#0,2-3#1"), "--paused"), keeping(here) as keeper:
        wait_until(lambda: pins(here) == target, keeper.said)
        for _ in range(2):
            before = keeper.said().count("connected to")
            here.restart()
            wait_until(lambda before=before: keeper.said().count("connected to") > before, keeper.said)  # type: ignore[misc]
            moved = move(here)
            assert (moved["back"], moved["events"]) == (True, 8)
        assert pins(here) == target


def test_the_keeper_is_killed_and_comes_back(here: Daemon) -> None:
    with here.libvirt.running(domain("0-3#1"), "--paused"):
        killed = Keeper(here)
        wait_until(lambda: len(pins(here)) == 4, killed.said)
        assert killed.end(signal.SIGKILL) == -signal.SIGKILL
        for vcpu in range(4):
            here.libvirt.virsh("vcpupin", "db01", str(vcpu), "0-1", "--live")
        with keeping(here) as keeper:
            wait_until(lambda: set(pins(here).values()) == {"1"}, keeper.said)


def test_a_vm_is_destroyed_in_the_middle_of_a_burst(here: Daemon) -> None:
    with keeping(here) as keeper:
        for _ in range(5):
            with here.libvirt.running(domain("0-63#1", 64), "--paused"):
                wait_until(lambda: len(pins(here)) == 64, keeper.said)
                command = ["/usr/bin/python3", "-I", MOVER, here.uri, "db01", EVERYWHERE, "0", "50"]
                with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as mover:
                    time.sleep(0.5)
                    here.libvirt.virsh("destroy", "db01")
                    mover.wait()
        with here.libvirt.running(domain("0-3#1"), "--paused"):
            wait_until(lambda: set(pins(here).values()) == {"1"}, keeper.said)


def test_it_has_the_password_of_vdsm(workplace: Path, ovirt_host: Host) -> None:
    with (
        daemon.system(workplace / "sasl", 5, ovirt_host, sasl=True) as there,
        there.libvirt.running(domain("0-3#1"), "--paused"),
    ):
        without = there.host.run("virsh", "-c", there.uri, "vcpupin", "db01", "0", "0", "--live", environ={})
        assert "authentication" in without.stderr
        with keeping(there) as keeper:
            wait_until(lambda: set(pins(there).values()) == {"1"}, keeper.said)
            assert "hidden-word" not in keeper.said()
            # reading needs no password
            found = there.host.run("/usr/bin/largeguest", "status", environ={})
            assert (found.returncode, found.stdout.splitlines()[-1]) == (
                0,
                "not as asked: 0 of 1 VM with properties",
            )


def test_the_hook_reports_what_holds_the_pins(here: Daemon) -> None:
    plain = PLAIN
    unpinned = (
        "; largeguest: warning: cputune: vCPUs 1-3 are not pinned, and may run on the CPUs of the others: "
        "pin all vCPUs, as in all#=cell"
    )
    _, said = here.host.run_hooks("before_vm_start", plain, {"cputune": "0#0"})
    assert said == (
        f"largeguest {VERSION}: cputune: 1 vCPU pinned{unpinned}; "
        "largeguest: warning: cputune: VDSM moves the pins of a VM with the CPU pinning policy none, and the keeper is "
        "not active: systemctl enable --now vdsm-largeguest-keeper, or choose the policy Manual\n"
    )
    with keeping(here):
        _, said = here.host.run_hooks("before_vm_start", plain, {"cputune": "0#0"})
        assert said == f"largeguest {VERSION}: cputune: 1 vCPU pinned; the keeper holds the pins{unpinned}\n"
    _, said = here.host.run_hooks("before_vm_start", plain.replace(">none<", ">manual<"), {"cputune": "0#0"})
    assert said == f"largeguest {VERSION}: cputune: 1 vCPU pinned{unpinned}\n"


def test_the_unit_is_sound_and_hardened(here: Daemon) -> None:
    unit = "vdsm-largeguest-keeper.service"
    verified = here.host.run("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{unit}", environ={})
    assert (verified.returncode, verified.stderr) == (0, "")
    security = here.host.run(
        "systemd-analyze",
        "security",
        "--offline=true",
        f"/usr/lib/systemd/system/{unit}",
        environ={"LC_ALL": "C.UTF-8"},
    )
    exposure = re.search(r"Overall exposure level for \S+ ([0-9.]+)", security.stdout)
    assert exposure, security.stderr
    assert float(exposure[1]) <= 4.9  # which systemd-analyze rates OK

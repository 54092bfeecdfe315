# SPDX-License-Identifier: GPL-2.0-or-later
"""The keeper's unit under a real systemd, with stand-ins for libvirtd and for the keeper.

systemd is process 1 of a PID namespace, with its own /run, units and control group; everything else of the machine is
read-only there. The stand-in for libvirtd has units like those of EL 9's monolithic daemon, as far as they matter: a
socket that starts it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

from .keeping import wait_until

UNIT = "vdsm-largeguest-keeper.service"

SYSTEMD = """
set -e
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/systemd/system-preset
cp "$1"/*.preset /run/systemd/system-preset
# The machine's own units are not started, as some remove files; and nothing of the machine can be written.
mount --bind "$1/units" /etc/systemd/system
mount -t tmpfs none /usr/lib/systemd/system
mount -t tmpfs none /usr/lib/systemd/system-generators
mount --bind "$1" "$1"
mount -o remount,bind,ro /
mount -t cgroup2 none /sys/fs/cgroup
export container=test
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no
"""

START = """
echo $$ >"$1/cgroup.procs"
exec unshare --mount --pid --fork --cgroup --uts --ipc --mount-proc bash -c "$2" systemd "$3"
"""

LIBVIRTD = """
import socket, sys
with open(sys.argv[1], "a") as log: log.write("libvirtd\\n")
listening, clients = socket.socket(fileno=3), []
while True: clients.append(listening.accept())
"""

KEEPER = """
import socket, sys, time
while True:
    try:
        with socket.socket(socket.AF_UNIX) as libvirt:
            libvirt.connect("/run/libvirt-sock")
            with open(sys.argv[1], "a") as log: log.write("keeper\\n")
            libvirt.recv(1)
    except OSError:
        pass
    time.sleep(0.05)
"""

UNITS = {
    "sysinit.target": "[Unit]\nDefaultDependencies=no",
    "basic.target": "[Unit]\nDefaultDependencies=no",
    "multi-user.target": "[Unit]\nDefaultDependencies=no",
    "libvirtd.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/libvirt-sock",
    "libvirtd.service": "[Unit]\nDefaultDependencies=no\nWants=libvirtd.socket\nAfter=libvirtd.socket\n"
    "StartLimitIntervalSec=0\n"
    "[Service]\nRestart=on-failure\nRestartSec=0\nExecStart=/usr/bin/python3 {folder}/libvirtd {folder}/log",
}


class Systemd:
    """A systemd that has booted; called with the arguments of systemctl, it gives what that prints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "libvirtd").write_text(LIBVIRTD)
        (folder / "keeper").write_text(KEEPER)
        (folder / "units").mkdir()
        for name, text in UNITS.items():
            (folder / "units" / name).write_text(text.format(folder=folder) + "\n")
        (folder / "units" / UNIT).write_text(_with_stand_in(folder))
        shutil.copy(ROOT / f"largeguest/85-{UNIT.removesuffix('.service')}.preset", folder)
        # systemd 256 refuses version 1; a machine that uses that has version 2 beside it
        mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        cgroup2 = next(at for _, at, kind, *_ in mounts if kind == "cgroup2")
        self._cgroup = Path(cgroup2) / folder.parent.name
        self._cgroup.mkdir()
        self._output = (folder / "output").open("w")
        command = ["bash", "-c", START, "start", str(self._cgroup), SYSTEMD, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output)

    def wait(self) -> None:
        wait_until(lambda: self("is-active", "multi-user.target") == "active", self.said)

    def said(self) -> str:
        return (self._folder / "output").read_text()

    def log(self) -> Counter[str]:
        """How often libvirtd has started, and how often the keeper has connected."""
        path = self._folder / "log"
        return Counter(path.read_text().split() if path.exists() else [])

    def __call__(self, *arguments: str) -> str:
        command = ["nsenter", f"--target={self._first()}", "--mount", "--pid", "systemctl", *arguments]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=self._output, text=True, check=False)
        return ended.stdout.strip()

    def _first(self) -> int:
        """Its process 1; 0 where there is none yet."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int((children.read_text().split() or ["0"])[0])

    def end(self) -> None:
        os.kill(self._first() or self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            wait_until(lambda at=folder: _is_removed(at), lambda at=folder: at)  # type: ignore[misc]


def _with_stand_in(folder: Path) -> str:
    """The unit, but with the stand-in as its program, which runs without the user vdsm and without confinement."""
    unit = (ROOT / "largeguest" / UNIT).read_text()
    confinement = re.compile("^# It reads /sys.*?(?=^\\[Install])", re.MULTILINE | re.DOTALL)
    unit, removed = confinement.subn("", unit)
    assert removed == 1
    command = f"ExecStart=/usr/bin/python3 {folder}/keeper {folder}/log"
    return re.sub("^User=.*$", "", re.sub("^ExecStart=.*$", command, unit, flags=re.MULTILINE), flags=re.MULTILINE)


def _is_removed(cgroup: str) -> bool:
    """A control group can be removed once its last process has ended."""
    try:
        Path(cgroup).rmdir()
    except OSError:
        return False
    return True


@pytest.fixture
def systemctl(workplace: Path) -> Iterator[Systemd]:
    folder = workplace / "systemd"
    folder.mkdir()
    systemd = Systemd(folder)
    try:
        systemd.wait()
        yield systemd
    finally:
        systemd.end()
        shutil.rmtree(folder)


def test_the_keeper_stops_and_starts_with_libvirtd(systemctl: Systemd) -> None:
    def wait_for_connection(number: int) -> None:
        wait_until(
            lambda: systemctl("is-active", UNIT) == "active" and systemctl.log()["keeper"] == number,
            lambda: (systemctl.log(), systemctl.said()),
        )

    systemctl("preset", UNIT)
    assert systemctl("is-enabled", UNIT) == "enabled"
    systemctl("daemon-reload")
    systemctl("start", "libvirtd.service")
    wait_for_connection(1)
    wait_until(lambda: systemctl.log() == {"libvirtd": 1, "keeper": 1}, systemctl.said)

    # as the engine's host-deploy does
    systemctl("stop", "libvirtd.service")
    assert systemctl("is-active", UNIT) == "inactive"
    time.sleep(1)  # a keeper would connect many times meanwhile, and so start libvirtd
    assert (systemctl("is-active", "libvirtd.service"), systemctl.log()) == ("inactive", {"libvirtd": 1, "keeper": 1})
    systemctl("stop", "libvirtd.socket")
    systemctl("start", "libvirtd.socket")
    systemctl("start", "libvirtd.service")
    wait_for_connection(2)

    for number in range(3, 11):  # in a row, more often than systemd starts a unit by default
        systemctl("restart", "libvirtd.service")
        wait_for_connection(number)

    before = systemctl.log()
    systemctl("kill", "--signal=KILL", "libvirtd.service")
    wait_until(lambda: (systemctl.log() - before).keys() == {"libvirtd", "keeper"}, systemctl.said)
    wait_until(lambda: systemctl("is-active", UNIT) == "active", systemctl.said)


def test_a_boot_starts_the_keeper_and_libvirtd(systemctl: Systemd) -> None:
    systemctl("preset", UNIT)
    systemctl("daemon-reload")
    systemctl("start", "multi-user.target")  # starts what it pulls in, as at boot
    wait_until(lambda: systemctl.log() == {"libvirtd": 1, "keeper": 1}, systemctl.said)
    assert systemctl("is-active", UNIT) == "active"

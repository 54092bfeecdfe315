# SPDX-License-Identifier: GPL-2.0-or-later
"""What a change of one VM costs the keeper beside many others, in a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from largeguest.host import sysfs
from tests import ROOT, hosts
from tests.running.fake_libvirt import Domain, World

VCPUS = 8
CHANGES = 50


def cost(vms: int) -> tuple[float, float]:
    """Seconds of CPU time for a change, and the process's MiB."""
    command = [sys.executable, "-m", __name__, str(vms)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, memory = map(float, result.stdout.split())
    return seconds, memory


def _measure(vms: int) -> None:
    """VDSM moves one of the VMs to its pool of shared CPUs, again and again."""
    world = World(256)
    nodes = 8
    for number in range(vms):
        typed = f"all#=node{number % nodes}"
        world.domains.append(Domain(world, f"db{number:03}", typed, vcpus=VCPUS))
    moments: list[float] = []

    def move() -> None:
        moments.append(time.process_time())
        for vcpu in range(VCPUS):
            world.domains[vms // 2].move(f"vcpu{vcpu}", "0-255")

    for change in range(CHANGES + 1):
        world.after(100 + 100 * change, move)
    world.stop_after(100 * (CHANGES + 2))
    with tempfile.TemporaryDirectory() as folder, world.keeper() as keeper:
        host = hosts.build(4, 2, 16, 2, 128 * hosts.GIB, siblings_apart=True)
        sysfs.SYS = hosts.save(host, Path(folder))
        os.environ["RUNTIME_DIRECTORY"] = folder
        keeper.time.monotonic = lambda: world.now
        with contextlib.redirect_stderr(io.StringIO()):
            keeper.keep("qemu:///system")
    print((moments[-1] - moments[0]) / CHANGES, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    _measure(int(sys.argv[1]))

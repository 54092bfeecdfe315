# SPDX-License-Identifier: GPL-2.0-or-later
"""`largeguest status` of many VMs, on the stand-ins for libvirt and the kernel that its tests have."""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import pytest

from largeguest import cli
from largeguest.host import sysfs
from tests import hosts
from tests.cli.stage import Stage, on_stage

VCPUS = 4


def seconds(vms: int, runs: int = 5) -> float:
    """The median time that it takes for so many VMs with all three properties."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        host = hosts.save(hosts.build(2, 4, 16, 2, 512 * hosts.GIB), Path(folder, "host"))
        stage = on_stage(patch, host, Path(folder))
        for number in range(vms):
            _start(stage, number, host)
        taken = []
        for _ in range(runs):
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                if cli.main(["status"]) != 0:
                    raise RuntimeError("a VM is not as asked")
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)


def _start(stage: Stage, number: int, host: str) -> None:
    nodes = sysfs.from_sys(host).nodes
    node = number % len(nodes)
    threads = {f"vcpu{vcpu}": str(cpu) for vcpu, cpu in zip(range(VCPUS), nodes[node].cpus)}
    typed = {"cputune": "all#=cell", "numatune": f"strict#{node}", "guestnuma": f"0-3#*@{node}"}
    memory = {node: 400 * 1024}
    stage.start(
        typed, f"db{number:03}", threads={**threads, "emulator": "0-255"}, memory=memory, pid=1000 + 10 * number
    )

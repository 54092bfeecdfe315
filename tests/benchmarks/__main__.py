# SPDX-License-Identifier: GPL-2.0-or-later
"""Run all benchmarks: `python -m tests.benchmarks`, in the virtual environment."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from largeguest.host import Host
from tests import ROOT, hosts

GIB = hosts.GIB
BASE = [sys.executable, "-I", "-c", "import lxml.etree"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        benchmark_plan(Path(folder))


def benchmark_plan(folder: Path) -> None:
    print("largeguest plan, whole process, against importing lxml:")
    base = median_seconds(BASE)
    print(f"  import lxml.etree                                  {base:6.3f} s")
    large = hosts.build(8, 8, 16, 2, 128 * GIB, siblings_apart=True)
    for name, host, vcpus, memory in (
        ("8 vCPUs on 16 CPUs in 4 nodes", hosts.FOUR_NODES, 8, "2G"),
        ("64 vCPUs on 2,048 CPUs in 64 nodes", large, 64, "512G"),
        ("1,024 vCPUs on 2,048 CPUs in 64 nodes", large, 1024, "2T"),
    ):
        report_plan(name, save(host, folder / str(len(host.cpus))), vcpus, memory, base)


def save(host: Host, folder: Path) -> str:
    return str(folder / "sys") if folder.exists() else hosts.save(host, folder)


def report_plan(name: str, host: str, vcpus: int, memory: str, base: float) -> None:
    command = [sys.executable, "-m", "largeguest", "plan"]
    seconds = median_seconds([*command, "--vcpus", str(vcpus), "--memory", memory, "--host", host])
    print(f"  {name:<50} {seconds:6.3f} s  {seconds / base:6.2f} x")


def median_seconds(command: list[str], runs: int = 11) -> float:
    """The median wall-clock time of a command."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Run all benchmarks: `python -m tests.benchmarks`, in the virtual environment. Takes two minutes."""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from largeguest.cpuset import CpuSet
from largeguest.running import state
from largeguest.running.state import Work
from largeguest.values import Neighbour, Promise
from tests import ROOT, hosts, vdsm

from . import documents, keeper, status

GIB = hosts.GIB
METER = str(Path(__file__).with_name("meter.py"))
MINIDOM = str(Path(__file__).with_name("minidom_hook.py"))
TYPED = {"cputune": "0-15#=node0,node1", "numatune": "strict#0-1", "guestnuma": "0-7#*@0,8-15#*@1"}


@dataclass(frozen=True)
class Cost:
    """Medians over many runs of a whole process: seconds of wall-clock and CPU time, peak KiB."""

    wall: float
    cpu: float
    memory: float

    def against(self, base: Cost) -> str:
        return (
            f"{self.wall * 1000:8.1f} ms {self.wall / base.wall:6.2f} x   CPU {self.cpu / base.cpu:6.2f} x   "
            f"{self.memory / 1024:6.1f} MiB {self.memory / base.memory:6.2f} x"
        )


class Bench:
    """Runs hooks on hosts and documents that are laid out in a folder."""

    def __init__(self, folder: Path) -> None:
        self._meter = subprocess.Popen([sys.executable, "-I", "-S", METER], stdin=PIPE, stdout=PIPE, text=True)
        self._folder = folder
        self._domxml = folder / "domxml"
        self._idle = str(folder / "idle")
        vdsm.make_run_folder(folder / "idle")
        small, large = hosts.build(), hosts.build(8, 8, 16, 2, 128 * GIB, siblings_apart=True)
        self.small = hosts.save(hosts.build(cores_per_node=8, memory=64 * GIB), folder / "small")
        self.four = hosts.save(small, folder / "four")
        self.large = hosts.save(large, folder / "large")

    def costs(
        self, commands: Mapping[str, Callable[[], list[str]]], environ: Mapping[str, str], runs: int
    ) -> list[Cost]:
        """The cost of each command; they run in turn so that what disturbs one disturbs all."""
        taken: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, prepare in commands.items():
                taken[name].append(self._cost(prepare(), environ))
        return [
            Cost(*(statistics.median(getattr(cost, what) for cost in costs) for what in ("wall", "cpu", "memory")))
            for costs in taken.values()
        ]

    def script(self) -> Callable[[], list[str]]:
        """The hook where VDSM has it, with nothing to do."""
        folder = self._folder / "before_vm_start"
        folder.mkdir()
        script = shutil.copy(ROOT / "vdsm_hooks/largeguest/hook.py", folder / "50_largeguest")
        return lambda: [sys.executable, "-I", str(script)]

    def keeper(self, vms: int) -> str:
        """A folder as a keeper has it that knows of so many VMs with 8 vCPUs; it is locked until the end."""
        folder = self._folder / f"keeper{vms}"
        (folder / "run/libvirt/qemu").mkdir(parents=True)
        vdsm.make_run_folder(folder)
        (folder / "run/libvirt/qemu/vm0.pid").touch()
        held = {
            f"00000000-0000-4000-8000-{number:012}": (
                Neighbour(
                    f"vm{number}",
                    CpuSet.span(8 * number + 32, 8 * number + 39),
                    False,
                    (Promise(CpuSet([number % 4]), 0, GIB // 4),),
                ),
                Work({"start": 1, "moved": 3}, 0, 0.07, 0.3),
            )
            for number in range(vms)
        }
        state.publish(str(folder), True, held)
        self._lock = (folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return str(folder)

    def hook(self, host: str, document: bytes, keeper: str = "") -> Callable[[], list[str]]:
        keeper = keeper or self._idle
        code = (
            f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from largeguest import hooks; hooks.SYS = {host!r}; "
            f"hooks.KEEPER_FOLDER = {keeper!r}; hooks.ROOT = {keeper!r}; "
        )
        code += "os._exit(hooks.before_vm_start())"
        return self._on(document, [sys.executable, "-I", "-c", code])

    def minidom(self, document: bytes) -> Callable[[], list[str]]:
        return self._on(document, [sys.executable, "-I", MINIDOM])

    def _on(self, document: bytes, command: list[str]) -> Callable[[], list[str]]:
        fresh = self._folder / f"{len(document)}.xml"
        fresh.write_bytes(document)

        def prepare() -> list[str]:
            shutil.copyfile(fresh, self._domxml)
            return command

        return prepare

    def _cost(self, command: list[str], environ: Mapping[str, str]) -> Cost:
        fields = [str(len(command)), *command, *(f"{name}={value}" for name, value in environ.items())]
        assert self._meter.stdin
        assert self._meter.stdout
        self._meter.stdin.write("\0".join(fields) + "\n")
        self._meter.stdin.flush()
        code, *cost = self._meter.stdout.readline().split()
        if code != "0":
            raise RuntimeError(f"{command} failed with {environ}")
        return Cost(*map(float, cost))

    def environ(self, values: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "_hook_domxml": str(self._domxml), **values}


def python(code: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-I", "-c", code]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        sixteen = documents.domain(vcpus=16, memory=16 * GIB)

        print("(a) the hook without any property set, against python3 -I -c pass")
        base, cost = bench.costs({"base": python("pass"), "hook": bench.script()}, bench.environ({}), 101)
        print(f"    python3 -I -c pass          {base.against(base)}")
        print(f"    hook                        {cost.against(base)}")

        print("(b) three properties on a domain with 16 vCPUs, against importing lxml")
        commands = {"base": python("import lxml.etree"), "hook": bench.hook(bench.small, sixteen)}
        base, cost = bench.costs(commands, bench.environ(TYPED), 101)
        print(f"    import lxml.etree           {base.against(base)}")
        print(f"    hook                        {cost.against(base)}")

        def against_lxml(name: str, command: Callable[[], list[str]], environ: Mapping[str, str], runs: int) -> None:
            base, cost = bench.costs({"base": python("import lxml.etree"), "it": command}, environ, runs)
            print(f"    {name:<27} {cost.against(base)}")

        base, cost = bench.costs(
            {"none": bench.hook(bench.small, sixteen), "200": bench.hook(bench.small, sixteen, bench.keeper(200))},
            bench.environ(TYPED),
            101,
        )
        print(f"    beside 200 VMs              {cost.against(base)}   (against the same without a keeper)")

        print("(c) 1,024 vCPUs one to one, 64 cells, 2,048 CPUs, 2 MB of XML with 1,000 disks, against the same")
        large = documents.domain(vcpus=1024, memory=1024 * GIB, disks=1000)
        against_lxml("hook", bench.hook(bench.large, large), bench.environ(documents.one_to_one(1024)), 51)

        print("(d) growth, against the same")
        for vcpus in (64, 256, 1024):
            hook = bench.hook(bench.large, documents.domain(vcpus=vcpus, memory=1024 * GIB))
            against_lxml(f"{vcpus:5} vCPUs", hook, bench.environ(documents.one_to_one(vcpus)), 21)
        for size in (100_000, 1_000_000, 10_000_000):
            hook = bench.hook(bench.small, documents.domain(16, 16 * GIB, disks=size // documents.BYTES_OF_A_DISK))
            against_lxml(f"{size / 1e6:5} MB of XML", hook, bench.environ(TYPED), 21)

        print("(e) a hook that pins with minidom, against this one with the same property (no checks, no names)")
        pins = {"cputune": ",".join(f"{vcpu}#{vcpu}" for vcpu in range(16))}
        for name, document in (("16 vCPUs", sixteen), ("2 MB of XML", large)):
            commands = {"hook": bench.hook(bench.large, document), "minidom": bench.minidom(document)}
            ours, theirs = bench.costs(commands, bench.environ(pins), 31)
            print(f"    {name:<12} minidom         {theirs.against(ours)}")

        print("(f) status of VMs with 4 vCPUs and three properties on 256 CPUs, against one such VM")
        one = status.seconds(1)
        for count in (50, 200):
            many = status.seconds(count)
            print(f"    {count:5} VMs                   {many * 1000:8.1f} ms {many / one:6.2f} x")

        print(f"(g) the keeper, for a change of one VM with {keeper.VCPUS} vCPUs beside others, against one VM alone")
        alone, _ = keeper.cost(1)
        for count in (50, 200):
            cpu, mebibytes = keeper.cost(count)
            print(f"    {count:5} VMs   CPU          {cpu * 1000:8.1f} ms {cpu / alone:6.2f} x   {mebibytes:6.1f} MiB")

        print("(h) auto, against importing lxml")
        auto = {"cputune": "auto", "guestnuma": "auto"}
        small = documents.domain(vcpus=8, memory=2 * GIB)
        against_lxml("8 vCPUs on 16 CPUs", bench.hook(bench.four, small), bench.environ(auto), 51)
        large = documents.domain(vcpus=256, memory=512 * GIB)
        against_lxml(
            "256 on 2,048, 100 VMs", bench.hook(bench.large, large, bench.keeper(100)), bench.environ(auto), 21
        )

        print("(i) largeguest plan, against importing lxml")
        for vcpus, memory, host in ((8, "2G", bench.four), (64, "512G", bench.large), (1024, "2T", bench.large)):
            code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from largeguest.cli import main; sys.exit(main("
            code += f"['plan', '--vcpus', '{vcpus}', '--memory', '{memory}', '--host', {host!r}]))"
            cpus = 16 if host == bench.four else 2048
            against_lxml(f"{vcpus:5} vCPUs on {cpus:5} CPUs", python(code), bench.environ({}), 11)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""A host with running VMs for `largeguest status`, on stand-ins for libvirt, the kernel and the keeper."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from largeguest import cli
from largeguest.cli import others
from largeguest.cli import status as command
from largeguest.host import sysfs
from largeguest.rewrite import rewrite
from largeguest.running import state
from largeguest.running.state import Work
from tests import DATA
from tests.running import fake_kernel, fake_libvirt
from tests.running.fake_kernel import QEMUS_OWN, mapping

PLAIN = (DATA / "plain.xml").read_bytes()
UUID = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01"
MIB = 1024
PID = 4711
PAGES = 60 * MIB // 4

TYPED = {"cputune": "all#=cell,emulator#cell", "numatune": "strict#0-1", "guestnuma": "0-1#*@0,2-3#*@1"}
THREADS = {"vcpu0": "0", "vcpu1": "1", "vcpu2": "4", "vcpu3": "5", "emulator": "0-7", "iothread1": "0-1"}
MEMORY = {0: 230 * MIB, 1: 180 * MIB}
MAPPINGS = QEMUS_OWN + mapping("bind:0", {0: PAGES}) + mapping("bind:1", {1: PAGES})


class Stage:
    """A host with running VMs, on stand-ins for libvirt, the kernel and the keeper."""

    def __init__(self, world: fake_libvirt.World, root: Path, sys_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.root, self._sys = world, root, sys_root
        self._patch = monkeypatch
        self.keeper(True)

    def keeper(self, runs: bool, **work: Work) -> None:
        """Whether a keeper runs, and what it has done for VMs by their names."""
        for module in (command, others):
            self._patch.setattr(module, "keeper_is_active", lambda: runs)
        folder = self.root / "keeper"
        folder.mkdir(exist_ok=True)
        state.publish(str(folder), True, {self.uuid(name): (None, done) for name, done in work.items()})
        for module in (command, others):
            self._patch.setattr(module, "KEEPER_FOLDER", str(folder))

    def uuid(self, name: str) -> str:
        return UUID.replace("a01", f"{sum(map(ord, name)) % 4096:03x}")

    def start(
        self,
        typed: Mapping[str, str] = TYPED,
        name: str = "db01",
        *,
        hook: bool = True,
        edit: Callable[[str], str] = str,
        threads: Mapping[str, str] | None = THREADS,
        memory: Mapping[int, int] | None = MEMORY,
        mappings: str | None = None,
        pid: int = PID,
    ) -> fake_libvirt.Domain:
        """Start a VM as the real hook lets it start; without `hook` the host lacks it. `edit` changes its XML."""
        custom = "".join(f"<ovirt-vm:{key}>{value}</ovirt-vm:{key}>" for key, value in typed.items())
        document = PLAIN.decode().replace("<ovirt-vm:custom>", f"<ovirt-vm:custom>{custom}").replace("db01", name)
        document = document.replace(UUID, self.uuid(name))
        if hook and typed:
            document = rewrite(typed, document.encode(), sysfs.from_sys(self._sys)).document.decode()
        document = edit(document.replace("<domain ", '<domain id="7" ', 1))
        domain = fake_libvirt.Domain(self.world, name)
        domain.XMLDesc = lambda: document  # type: ignore[method-assign]
        domain.UUIDString = lambda: self.uuid(name)  # type: ignore[method-assign]
        self.world.domains.append(domain)
        if threads is not None:  # or /proc hides the process
            fake_kernel.show(self.root, name, pid, threads, memory, mappings)
        return domain


DIMM = '<devices><memory model="dimm"><target><size>262144</size><node>0</node></target></memory>'
HUGE = '<memoryBacking><hugepages><page size="2048" unit="KiB"/></hugepages></memoryBacking><devices>'


def on_stage(patch: pytest.MonkeyPatch, host: str, root: Path) -> Stage:
    """A stage on the host whose /sys is at `host`, without VMs."""
    world = fake_libvirt.World()
    patch.setitem(sys.modules, "libvirt", world.module())
    patch.setattr(sysfs, "SYS", host)
    for module in (command, others):
        patch.setattr(module, "ROOT", str(root))
    return Stage(world, root, host, patch)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["status", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from largeguest.host import sysfs
from tests import ROOT, programs, vdsm
from tests.e2e.guest import BUSYBOX, KERNEL, NOBODY, Libvirt
from tests.e2e.host import HOOKS, Host
from tests.numahost import inside, replay

from .keeping import kept

__all__ = ["kept"]

NODES = [number for number, node in sysfs.from_sys().nodes.items() if node.memory and node.cpus]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is one node, the tests run in tests/numahost."""
    folder = Path(__file__).parent
    several = len(NODES) > 1
    if not several:
        config.pluginmanager.register(replay.Replay(folder, inside.run_tests))
    reasons = list(filter(None, _missing_here() if several else _missing_for_numahost()))
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.numa)
            if reasons:
                item.add_marker(pytest.mark.skip(reason="; ".join(reasons)))


def _missing_here() -> Iterator[str]:
    if os.getuid() != 0:
        yield "run as root"
    if not (Path("/") / HOOKS / "before_vm_start/50_largeguest").exists():
        yield "install vdsm-hook-largeguest and largeguest first: make rpm"
    if not KERNEL.exists() or not BUSYBOX.exists():
        yield ".ci/install (for the guest's kernel)"


def _missing_for_numahost() -> Iterator[str]:
    yield programs.install_line(inside.PROGRAMS)
    if os.getuid() != 0:
        yield "run as root"
    if not KERNEL.exists():
        yield ".ci/install (for the guest's kernel)"
    if not (ROOT / ".git").exists():
        yield "run in a git checkout"


@pytest.fixture(scope="session")
def this_host() -> Host:
    if not Path("/run/vdsm-largeguest").exists():
        vdsm.make_run_folder(Path("/"), NOBODY)
    return Host(Path("/"))


@pytest.fixture(autouse=True)
def no_reservations(this_host: Host) -> Iterator[None]:
    """A VM that has ended holds nothing; without a keeper that is known only after a minute."""
    yield
    for file in this_host.tree.glob("run/vdsm-largeguest/reservations/0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6*"):
        file.unlink()


@pytest.fixture(scope="session")
def nodes() -> tuple[int, int]:
    """The last two nodes of this host: the first is where everything is by default."""
    return NODES[-2], NODES[-1]


@pytest.fixture(scope="session")
def libvirt() -> Iterator[Libvirt]:
    with tempfile.TemporaryDirectory(prefix="largeguest-") as home:
        yield Libvirt(Path(home), "qemu:///system", boot_seconds=900)  # the host may be emulated itself

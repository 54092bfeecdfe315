# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from largeguest.host import sysfs
from tests.e2e.guest import BUSYBOX, KERNEL, Libvirt
from tests.e2e.host import HOOKS, Host

NODES = [number for number, node in sysfs.from_sys().nodes.items() if node.memory and node.cpus]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = []
    if len(NODES) < 2:
        reasons.append("needs two NUMA nodes or more")
    elif os.getuid() != 0:
        reasons.append("run as root")
    elif not (Path("/") / HOOKS / "before_vm_start/50_largeguest").exists():
        reasons.append("install vdsm-hook-largeguest first: make rpm")
    elif not KERNEL.exists() or not BUSYBOX.exists():
        reasons.append(".ci/install (for the guest's kernel)")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.numa)
            if reasons:
                item.add_marker(pytest.mark.skip(reason="; ".join(reasons)))


@pytest.fixture(scope="session")
def this_host() -> Host:
    return Host(Path("/"))


@pytest.fixture(scope="session")
def nodes() -> tuple[int, int]:
    """The last two nodes of this host: the first is where everything is by default."""
    return NODES[-2], NODES[-1]


@pytest.fixture(scope="session")
def libvirt() -> Iterator[Libvirt]:
    with tempfile.TemporaryDirectory(prefix="largeguest-") as home:
        yield Libvirt(Path(home), "qemu:///system", boot_seconds=300)  # the host may be emulated itself

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT, programs

from . import guest, host

PROGRAMS = {
    **programs.RPM,
    "unshare": "util-linux",
    "virsh": "libvirt-clients",
    "libvirtd": "libvirt-daemon-system",
    "qemu-system-x86_64 /usr/libexec/qemu-kvm": "qemu-system-x86",
    "cpio": "cpio",
    "busybox": "busybox-static",
    "systemd-analyze": "systemd",
    "saslpasswd2": "sasl2-bin libsasl2-modules",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    reasons = list(filter(None, [programs.install_line(PROGRAMS)]))
    if not guest.KERNEL.exists():
        reasons.append(".ci/install (for the guest's kernel)")
    if not (ROOT / ".git").exists():
        reasons.append("run in a git checkout")
    if os.getuid() != 0:
        reasons.append("run as root")
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if reasons:
                item.add_marker(pytest.mark.skip(reason="; ".join(reasons)))


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="largeguest-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def sources(workplace: Path) -> Path:
    return host.copy_sources(workplace)


@pytest.fixture(scope="session")
def rpm(sources: Path) -> Path:
    return host.build_rpm(sources)


@pytest.fixture(scope="session")
def ovirt_host(rpm: Path, workplace: Path) -> host.Host:
    return host.install_rpm(rpm, workplace / "tree")


@pytest.fixture(scope="session")
def libvirt() -> Iterator[guest.Libvirt]:
    with guest.session() as libvirt:
        yield libvirt

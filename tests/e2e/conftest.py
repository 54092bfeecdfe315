# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
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
def workplace(open_folder: Path) -> Path:
    """In these tests it takes the place of the one for README's command lines."""
    return open_folder


@pytest.fixture(scope="session")
def ovirt_host(rpm: Path, workplace: Path) -> host.Host:
    return host.install_rpm(rpm, workplace / "tree")


@pytest.fixture(scope="session")
def libvirt() -> Iterator[guest.Libvirt]:
    with guest.session() as libvirt:
        yield libvirt

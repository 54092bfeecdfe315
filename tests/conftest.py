# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from largeguest.cli import others
from largeguest.host import sysfs

from . import DATA, books, hosts
from .e2e import host

settings.register_profile("no time limit", deadline=None)  # a busy machine makes any example slow
settings.load_profile("no time limit")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    """If CI is set, everything is there to run every test: a skipped one has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"


@pytest.fixture(autouse=True)
def no_vms(monkeypatch: pytest.MonkeyPatch) -> None:
    """No VM runs here, whatever runs on this machine."""
    monkeypatch.setattr(others, "ROOT", "/nowhere")


@pytest.fixture(scope="session")
def four_nodes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The /sys of a host with four nodes and 16 CPUs."""
    return hosts.save(hosts.FOUR_NODES, tmp_path_factory.mktemp("four_nodes"))


@pytest.fixture(scope="session")
def host_of_readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the /sys of the host in README's last example, and its capabilities."""
    folder = tmp_path_factory.mktemp("readme")
    hosts.save(books.large_host(), folder)
    (folder / "caps.xml").write_bytes(hosts.capabilities(books.large_host()))
    return folder


@pytest.fixture
def workplace(host_of_readme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """We are on that host, in a folder with the files that the command lines of README and the man pages name."""
    monkeypatch.setattr(sysfs, "SYS", str(host_of_readme / "sys"))
    monkeypatch.chdir(tmp_path)
    for name, there in (
        ("sys", host_of_readme / "sys"),
        ("caps.xml", host_of_readme / "caps.xml"),
        ("caps2.xml", host_of_readme / "caps.xml"),
        ("vm.xml", DATA / "plain.xml"),
    ):
        (tmp_path / name).symlink_to(there)


@pytest.fixture(scope="session")
def large_host(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The /sys of a host with 64 nodes and 2,048 CPUs."""
    return hosts.save(hosts.build(sockets=8, nodes_per_socket=8, cores_per_node=16), tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="largeguest-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def sources(open_folder: Path) -> Path:
    return host.copy_sources(open_folder)


@pytest.fixture(scope="session")
def rpm(sources: Path) -> Path:
    return host.build_rpm(sources)

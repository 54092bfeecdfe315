# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import ROOT, books, programs, tls
from tests.e2e import host
from tests.engine import standin
from tests.engine.standin import Config, Engine
from tests.engine.web.conftest import NOW, RELEASE

from . import httpd
from .httpd import Site

PROGRAMS = {
    **programs.RPM,
    "apache2": "apache2-bin",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "openssl": "openssl",
}
PACKAGES = ("largeguest", "largeguest-engine", "ovirt-engine-ui-largeguest")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = list(filter(None, [programs.install_line(PROGRAMS)]))
    if not (httpd.MODULES / "mod_wsgi.so").exists():
        reasons.append("apt-get install libapache2-mod-wsgi-py3")
    if importlib.util.find_spec("selenium") is None:
        reasons.append("pip install -e .[dev]")
    if not (ROOT / ".git").exists():
        reasons.append("run in a git checkout")
    if os.getuid() != 0:
        reasons.append("run as root")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(programs.NEEDS_SDK)
            if reasons:
                item.add_marker(pytest.mark.skip(reason="; ".join(reasons)))


@pytest.fixture(scope="session")
def tree(rpm: Path, open_folder: Path) -> Path:
    """The engine's machine: what the RPMs install there."""
    host.install_in_tree(open_folder / "engine", *(host.beside(rpm, name) for name in PACKAGES))
    return open_folder / "engine"


@pytest.fixture(scope="session")
def certificate(open_folder: Path) -> Path:
    return tls.make_certificate(open_folder)


@pytest.fixture(scope="session")
def python_path(tree: Path, open_folder: Path) -> str:
    """Where httpd's Python finds the package and oVirt's SDK, which pip has installed elsewhere."""
    sdk = open_folder / "sdk"
    for name in ("ovirt-engine-sdk-python", "pycurl"):
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts:
                (sdk / file.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), sdk / file)
    (site,) = tree.glob("usr/lib*/python3*/*-packages")
    return f"{site}:{sdk}"


Serve = Callable[[str], AbstractContextManager[Site]]


@pytest.fixture
def serve(tree: Path, python_path: str, certificate: Path, open_folder: Path, request: pytest.FixtureRequest) -> Serve:
    """Starts httpd in front of the engine with a URL."""

    def start(engine: str) -> AbstractContextManager[Site]:
        folder = open_folder / f"httpd-{abs(hash(request.node.nodeid))}"
        folder.mkdir()
        return httpd.serve(folder, tree, python_path, engine, certificate)

    return start


@pytest.fixture
def engine() -> Engine:
    """Eight hosts with VMs that run there; db01 and db02 do not run."""
    engine = Engine()
    engine.definitions["4.7"] = f"sap=.*;{NOW}"
    for number in range(8):
        engine.machine(f"host{number}", books.large_host(), RELEASE)
    for number in range(16):
        node = number // 8
        custom = {"cputune": "all#=cell,emulator#cell", "numatune": f"{node}", "guestnuma": f"0-15#*@{node}"}
        config = Config(topology=(2, 4, 2), memory=65536, custom=custom)
        engine.vm(f"web{number}", host=f"id-host{number % 8}", config=config)
    for name in ("db01", "db02"):
        engine.vm(name, config=Config(topology=(2, 8, 2), memory=131072, custom={"sap": "a=b"}))
    return engine


@pytest.fixture
def site(engine: Engine, certificate: Path, serve: Serve) -> Iterator[Site]:
    with standin.serve(engine, tls.server_context(certificate)) as url, serve(url) as site:
        yield site

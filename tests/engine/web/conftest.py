# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from largeguest import VERSION
from largeguest.engine import expressions, web
from largeguest.engine.releases import RELEASES
from largeguest.engine.web.snapshots import Snapshots
from tests import books, programs, tls
from tests.engine import standin
from tests.engine.standin import Config, Engine
from tests.hosts import FOUR_NODES

from .client import Client

NOW = expressions.user_defined_vm_properties()
RELEASE = next(md5 for md5, version in RELEASES.items() if version == VERSION)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name != "test_form.py":
            item.add_marker(programs.NEEDS_SDK)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tls.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def client(engine: Engine, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The application with nothing in its memory, before an engine with TLS."""
    monkeypatch.setattr(web, "_snapshots", Snapshots())
    with standin.serve(engine, tls.server_context(certificate)) as url:
        yield Client(url, str(certificate))


@pytest.fixture
def world(engine: Engine) -> Engine:
    """Two hosts, a VM with properties and one without."""
    engine.machine("host1", FOUR_NODES, RELEASE)
    engine.machine("host2", books.large_host(), RELEASE)
    engine.definitions["4.7"] = f"sap=.*;{NOW}"
    custom = {"sap": "a=b", "cputune": "all#=cell,emulator#cell", "numatune": "strict#0", "guestnuma": "0-7#*@0"}
    engine.vm("db01", config=Config(topology=(2, 2, 2), memory=1024, custom=custom, iothreads=0))
    engine.vm("db02", config=Config(topology=(2, 4, 2), memory=65536, custom={"sap": "x"}))
    return engine

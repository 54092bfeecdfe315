# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import standin
from .standin import Engine

SDK_LINE = "apt-get install libcurl4-openssl-dev libssl-dev libxml2-dev python3-dev gcc; pip install -e .[engine]"
NEEDS_SDK = {"test_commands.py", "test_connection.py", "test_day.py", "test_size.py", "test_same_plan.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("ovirtsdk4") is None:
        for item in items:
            if item.path.parent == Path(__file__).parent and item.path.name in NEEDS_SDK:
                item.add_marker(pytest.mark.skip(reason=SDK_LINE))


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def url(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The engine serves, and the environment says how to connect; it has no TLS, so the commands have --insecure."""
    for name in ("URL", "USERNAME", "PASSWORD", "TOKEN", "CAFILE"):
        monkeypatch.delenv(f"OVIRT_{name}", raising=False)
    with standin.serve(engine) as url:
        monkeypatch.setenv("OVIRT_URL", url)
        monkeypatch.setenv("OVIRT_USERNAME", "admin@internal")
        monkeypatch.setenv("OVIRT_PASSWORD", standin.PASSWORD)
        yield url

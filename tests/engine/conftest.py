# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import programs

from . import standin
from .standin import Engine

NEEDS_SDK = {f"test_{name}.py" for name in ("commands", "connection", "day", "same_plan", "set", "size")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name in NEEDS_SDK:
            item.add_marker(programs.NEEDS_SDK)


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

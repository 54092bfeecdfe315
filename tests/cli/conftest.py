# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from largeguest.host.topology import Pages
from largeguest.record import replace
from tests import hosts

from .stage import Stage, on_stage


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The /sys of a host with huge pages, all of them in use."""
    nodes = {n: replace(node, pages={2048: Pages(512, 0)}) for n, node in hosts.FOUR_NODES.nodes.items()}
    return hosts.save(replace(hosts.FOUR_NODES, nodes=nodes), tmp_path_factory.mktemp("host"))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, host: str, tmp_path: Path) -> Stage:
    return on_stage(monkeypatch, host, tmp_path)

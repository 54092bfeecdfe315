# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest's plugin on this machine: the tests of a folder run elsewhere, and their reports count as if they ran here."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

Lines = Generator[bytes, None, str]
"""The lines of tests/numahost/reports.py, as they come; its value is how the run ended, for tests without a report."""


class Replay:
    """Waits for the reports of each test of the folder; all that are selected are run when the first one is due."""

    def __init__(self, folder: Path, run: Callable[[Sequence[str]], Lines]) -> None:
        """`run` gets the ids of the tests."""
        self._folder, self._run = folder, run
        self._lines: Lines | None = None
        self._reports: dict[str, list[pytest.TestReport]] = defaultdict(list)
        self._end = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not self._has(item) or item.get_closest_marker("skip"):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._wait(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _has(self, item: pytest.Item) -> bool:
        return self._folder in item.path.parents

    def _wait(self, item: pytest.Item) -> list[pytest.TestReport]:
        """The reports of a test, as soon as there are all; in place of those that never come, a failure."""
        if self._lines is None:
            self._lines = self._run([item.nodeid for item in item.session.items if self._has(item)])
            item.config.add_cleanup(self._lines.close)
        reports = self._reports[item.nodeid]
        while not reports or reports[-1].when != "teardown":
            try:
                line = next(self._lines)
            except StopIteration as stop:
                self._end = self._end or stop.value
                return [*reports, pytest.TestReport(item.nodeid, item.location, {}, "failed", self._end, "call")]
            hook = item.config.hook
            report = hook.pytest_report_from_serializable(config=item.config, data=json.loads(line))
            self._reports[report.nodeid].append(report)
        return reports

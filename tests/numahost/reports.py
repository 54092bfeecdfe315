# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest's plugin in the machine, `-p tests.numahost.reports`: writes each report to a file, as a line of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reports", type=Path, metavar="FILE", required=True)


def pytest_configure(config: pytest.Config) -> None:
    file = open(config.getoption("--reports"), "w")  # noqa: SIM115 (see add_cleanup)
    config.add_cleanup(file.close)
    config.pluginmanager.register(Writer(config, file))


class Writer:
    def __init__(self, config: pytest.Config, file: TextIO) -> None:
        self._config, self._file = config, file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        print(json.dumps(data), file=self._file, flush=True)

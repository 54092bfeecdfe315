# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a user waits, measured in the browser, each against an empty request: pytest tests/browser/test_times.py -rP

It asserts no time: that depends on the machine.
"""

from __future__ import annotations

import statistics

import pytest

pytest.importorskip("selenium", reason="pip install -e .[dev]")

from tests.engine.standin import Engine

from .httpd import Site
from .portal import Portal, browser

TIMES = 9

OPENING = """
const done = arguments[0];
const start = performance.timeOrigin + performance.now();
document.querySelector("#actions button").click();
const look = setInterval(() => {
    const own = document.querySelector(".modal iframe").contentWindow;
    const [mark] = own.performance ? own.performance.getEntriesByName("judged") : [];
    if (mark) {
        clearInterval(look);
        done(own.performance.timeOrigin + mark.startTime - start);
    }
}, 5);
"""

EDIT = """
const [value, done] = arguments;
const field = document.getElementById("numatune");
new PerformanceObserver((found, self) => {
    self.disconnect();
    done(found.getEntries()[0].startTime - start);
}).observe({ entryTypes: ["mark"] });
const start = performance.now();
field.value = value;
field.dispatchEvent(new Event("input"));
"""

EMPTY = """
const done = arguments[0];
const start = performance.now();
fetch("/ovirt-engine-largeguest/judge", { method: "POST" }).then(() => done(performance.now() - start));
"""


def test_how_long_it_takes(site: Site, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """A cluster of 8 hosts with 4 nodes each, with 16 VMs that run there."""
    openings = []
    with browser() as portal:
        for _ in range(TIMES):
            portal.enter(site, engine)
            portal.choose("db01")
            openings.append(portal.driver.execute_async_script(OPENING))
        portal.enter_frame(".modal iframe")
        portal.click("#plan")
        empty = [portal.driver.execute_async_script(EMPTY) for _ in range(TIMES)]
        edits = [edit(portal, f"strict#{number % 3}-3") for number in range(TIMES)]
        assert portal.values["numatune"] == "strict#2-3"
    base = statistics.median(empty)
    with capsys.disabled():
        for name, times in (("opening to the first picture", openings[1:]), ("edit to its judgement", edits)):
            middle = statistics.median(times)
            print(f"\n{name}: {middle:.0f} ms, {middle / base:.0f} x an empty request ({base:.1f} ms)")
        print(f"the first opening, with the service's start: {openings[0]:.0f} ms")


def edit(portal: Portal, value: str) -> float:
    taken: float = portal.driver.execute_async_script(EDIT, value)
    portal.settle()
    return taken

# SPDX-License-Identifier: GPL-2.0-or-later
"""A hundred VMs by forty hosts: the requests are counted. How long it takes is printed with -rP, not asserted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from largeguest import cli
from largeguest.engine import expressions
from largeguest.engine.releases import RELEASES
from largeguest.host.topology import Host
from largeguest.record import replace
from tests import books

from .standin import API, Config, Engine

VMS, HOSTS = 100, 40


def unlike(number: int) -> Host:
    """A host of the same model, with a little less memory than the others."""
    host = books.large_host()
    nodes = {n: replace(node, memory=(node.memory or 0) - number * 1024) for n, node in host.nodes.items()}
    return replace(host, nodes=nodes)


LAYOUTS: dict[str, Callable[[int], dict[str, str]]] = {
    "places": lambda number: {
        "cputune": f"all#=cell.core{number % 8}-15",
        "numatune": f"strict#{number % 4}",
        "guestnuma": f"0-15#*@{number % 4}",
    },
    "auto": lambda _: {"cputune": "auto", "guestnuma": "auto"},
}


@pytest.fixture(params=LAYOUTS)
def hundred(request: pytest.FixtureRequest, engine: Engine, url: str) -> Engine:  # noqa: ARG001
    engine.definitions.update(dict.fromkeys(engine.definitions, expressions.user_defined_vm_properties()))
    for number in range(HOSTS):
        engine.machine(f"host{number:02}", unlike(number), next(iter(RELEASES)))
    for number in range(VMS):
        typed = LAYOUTS[request.param](number)
        config = Config(topology=(2, 4, 2), memory=16 * 1024 + number % 5 * 1024, custom=typed)
        engine.vm(f"db{number:03}", host=f"id-host{number % HOSTS:02}", config=config)
    return engine


def test_check_all(hundred: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    code = cli.main(["engine", "check", "--all", "--json", "--insecure"])
    seconds = time.monotonic() - start
    found = json.loads(capsys.readouterr().out)
    print(f"{VMS} VMs by {HOSTS} hosts: {seconds:.1f} s, {sum(hundred.asked.values())} requests, stand-in included")
    assert (code, found["findings"]) == (0, [])
    assert [len(vm["hosts"]) for vm in found["vms"]] == [HOSTS] * VMS
    assert hundred.most_at_once <= 4
    asked = hundred.asked
    kinds = ("numanodes", "cpuunits", "statistics", "hooks")
    assert {asked[f"GET /hosts/{host}/{kind}"] for host in hundred.machines for kind in kinds} == {1}
    assert {asked[f"GET /vms/{vm}/numanodes"] for vm in hundred.vms} == {1}
    assert sum(asked.values()) <= HOSTS * len(kinds) + VMS + len(hundred.definitions) + 7
    assert asked[f"GET {API}"] == 0

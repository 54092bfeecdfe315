# SPDX-License-Identifier: GPL-2.0-or-later
"""The real SDK against the stand-in: log-in, TLS, faults, slow answers, pages, and requests at the same time."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from largeguest.engine import connection, rest
from largeguest.engine.settings import Settings
from largeguest.problem import Refused
from tests import tls
from tests.hosts import FOUR_NODES

from . import standin
from .standin import Engine, FaultError


def settings(url: str, **more: Any) -> Settings:
    known = {"username": "admin@internal", "password": standin.PASSWORD, "insecure": True, "timeout": 20, **more}
    return Settings(url=url, **known)


def refusal(settings: Settings) -> str:
    with pytest.raises(Refused) as caught, connection.connect(settings) as engine:
        rest.clusters(engine)
    return str(caught.value).removeprefix("largeguest: engine: ")


def test_logs_in_and_out(engine: Engine, url: str) -> None:
    with connection.connect(settings(url)) as opened:
        assert rest.clusters(opened) == {}
    assert engine.asked["POST /ovirt-engine/sso/oauth/token"] == 1
    assert engine.asked["POST /ovirt-engine/services/sso-logout"] == 1


def test_a_token_is_used_and_stays_valid(engine: Engine, url: str) -> None:
    with connection.connect(settings(url, username="", password="", token="the-token")) as opened:
        assert rest.clusters(opened) == {}
    assert [path for path in engine.asked if "POST" in path] == []


def test_a_token_that_is_not_accepted(engine: Engine, url: str) -> None:
    """The SDK does not log in instead, which would have no limit of time."""
    assert refusal(settings(url, username="", password="", token="of-yesterday")) == (
        "the engine refuses: the token is not accepted: look at user, password or token"
    )
    assert [path for path in engine.asked if "POST" in path] == []


def test_a_wrong_password(url: str) -> None:
    assert refusal(settings(url, password="guess")) == (
        "the engine refuses: Error during SSO authentication access_denied : Cannot authenticate user.: "
        "look at user, password or token"
    )


def fail_with(*fault: Any) -> Any:
    def fail(_method: str, path: str) -> None:
        if standin.API in path:
            raise FaultError(*fault)

    return fail


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            (403, "Forbidden", "no right\nto see it"),
            "the engine refuses: Forbidden: no right\\nto see it: the user needs a role with the right to do that",
        ),
        (
            (400, "Operation Failed", "[Internal Engine Error]"),
            "the engine reports: Operation Failed: [Internal Engine Error]",
        ),
        ((500, "", "x" * 1000), f"the engine reports: {'x' * 397}..."),
    ],
)
def test_a_fault_is_one_line(engine: Engine, url: str, fault: tuple[Any, ...], line: str) -> None:
    engine.before = fail_with(*fault)
    assert refusal(settings(url)) == line


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/html", b"<html>The page you are looking for is not here</html>"),
        ("application/xml", b"<clusters><cluster"),
        ("application/xml", b"<clusters><cluster id='1'><version><major>x</major></version></cluster></clusters>"),
    ],
)
def test_what_no_engine_answers(url: str, monkeypatch: pytest.MonkeyPatch, kind: str, content: bytes) -> None:
    monkeypatch.setattr(standin.Handler, "_api", lambda self, *_: self.send(200, kind, content))
    line = refusal(settings(url))
    assert line.startswith(("no answer of an engine: ", "the engine reports: The response content type"))
    assert "\n" not in line


@pytest.mark.parametrize("where", ["/ovirt-engine/sso", standin.API])
def test_a_slow_answer(engine: Engine, url: str, where: str) -> None:
    done = threading.Event()

    def wait(_method: str, path: str) -> None:
        if where in path:
            done.wait(30)

    engine.before = wait
    line = refusal(settings(url, timeout=1))
    done.set()
    assert line.startswith("the engine did not answer in time")
    assert line.endswith("try again, or write a larger --timeout")


def test_nobody_answers() -> None:
    line = refusal(settings("http://localhost:1/ovirt-engine/api"))
    assert line.startswith("the engine cannot be reached: ")


def test_at_most_four_at_once(engine: Engine, url: str) -> None:
    four = threading.Barrier(4, timeout=20)
    for number in range(8):
        engine.machine(f"host{number}", FOUR_NODES, None)

    def wait(_method: str, path: str) -> None:
        if path.endswith("/hooks") or "/numanodes" in path or "/cpuunits" in path or "/statistics" in path:
            four.wait()  # none is answered before there are four

    engine.before = wait
    progress: list[tuple[int, int]] = []
    with connection.connect(settings(url), lambda done, total: progress.append((done, total))) as opened:
        chosen = rest.hosts(opened)
        progress.clear()
        assert [machine.name for machine in rest.machines(opened, chosen, {})] == [f"host{n}" for n in range(8)]
    assert engine.most_at_once == 4
    assert progress == [(done, 32) for done in range(1, 33)]


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (99, 1), (100, 2), (250, 3)])
def test_pages(engine: Engine, url: str, count: int, pages: int) -> None:
    for number in range(count):
        engine.vm(f"vm{number}")
    with connection.connect(settings(url)) as opened:
        assert {vm.name for vm in rest.vms(opened, {"blue"}).values()} == {f"vm{number}" for number in range(count)}
    assert engine.asked["GET /vms"] == pages


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tls.make_certificate(tmp_path_factory.mktemp("tls"))


def test_tls_is_verified(engine: Engine, certificate: Path) -> None:
    with standin.serve(engine, tls.server_context(certificate)) as url:
        line = refusal(settings(url, insecure=False))
        assert line.startswith("the certificate of the engine cannot be verified: ")
        assert line.endswith("with the engine's CA (/etc/pki/ovirt-engine/ca.pem there)")
        for known in ({"ca_file": str(certificate), "insecure": False}, {"insecure": True}):
            with connection.connect(settings(url, **known)) as opened:
                assert rest.clusters(opened) == {}
        other = refusal(settings(url.replace("localhost", "127.0.0.1"), ca_file=str(certificate), insecure=False))
        assert other.startswith("the certificate of the engine cannot be verified: ")


def test_a_ca_that_is_not_there() -> None:
    line = refusal(settings("https://localhost/ovirt-engine/api", ca_file="/nowhere.pem", insecure=False))
    assert "/nowhere.pem" in line


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ovirtsdk4", None)
    assert refusal(settings("https://localhost")) == (
        "oVirt's SDK for Python is not installed: "
        "dnf install largeguest-engine, or pip install vdsm-hook-largeguest[engine]"
    )

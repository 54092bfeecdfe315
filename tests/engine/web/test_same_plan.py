# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dialog plans is what `largeguest engine plan` and `largeguest plan` print, and what it saves is checked."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from largeguest import PROPERTIES, cli
from largeguest.engine import web
from largeguest.engine.web.snapshots import Snapshots
from largeguest.host.topology import Host
from tests import hosts, tls
from tests.engine import standin
from tests.engine.standin import Config, Engine
from tests.hosts import GIB

from .conftest import NOW, RELEASE


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """The test reads the answers."""


@contextlib.contextmanager
def http(url: str, ca_file: str) -> Iterator[str]:
    """The application behind a real HTTP server."""

    def application(environ: dict[str, Any], start: Any) -> Any:
        return web.application({**environ, "OVIRT_URL": url, "OVIRT_CAFILE": ca_file}, start)

    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(address: str, action: str, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": "Bearer the-token", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/{action}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def command(*words: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    return code, out.getvalue() or err.getvalue()


HOSTS = st.builds(
    hosts.build,
    sockets=st.integers(1, 2),
    nodes_per_socket=st.integers(1, 3),
    cores_per_node=st.integers(1, 4),
    threads=st.integers(1, 2),
    memory=st.sampled_from([2 * GIB, 4 * GIB, 16 * GIB]),
).map(standin.as_the_engine_sees)

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 2))

WISHES = st.fixed_dictionaries(
    {"mode": st.sampled_from(["strict", "preferred", "interleave"])},
    optional={
        "nodes": st.integers(1, 4),
        "spread": st.just(True),
        "threads": st.integers(1, 2),
        "reserve": st.sampled_from(["node0.core0", "0", "0-1"]),
    },
).filter(lambda wishes: not {"nodes", "spread"} <= {*wishes})


def options(wishes: dict[str, Any]) -> list[str]:
    words = [f"--{name}={value}" for name, value in wishes.items() if value is not True]
    return [*words, *(["--spread"] if "spread" in wishes else [])]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tls.make_certificate(tmp_path_factory.mktemp("tls"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTS, SIZES, st.sampled_from([512, 1024, 3072]), st.integers(0, 2), WISHES)
def test_the_same_plan_and_it_passes_the_check(
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: Host,
    size: tuple[int, int, int],
    memory: int,
    iothreads: int,
    wishes: dict[str, Any],
) -> None:
    engine = Engine()
    engine.machine("host1", host, RELEASE)
    engine.definitions["4.7"] = f"sap=.*;{NOW}"
    vm = engine.vm("db01", config=Config(topology=size, memory=memory, custom={"sap": "x"}, iothreads=iothreads))
    monkeypatch.setattr(web, "_snapshots", Snapshots())
    with standin.serve(engine, tls.server_context(certificate)) as url, http(url, str(certificate)) as address:
        for name, value in (("URL", url), ("TOKEN", "the-token"), ("CAFILE", str(certificate))):
            monkeypatch.setenv(f"OVIRT_{name}", value)
        code, printed = command("engine", "plan", "db01", "--json", *options(wishes))
        status, found = post(address, "plan", vm=vm.id, values={}, **wishes)
        if code:
            assert status == 422
            assert f"largeguest: {found['problems'][0]['subject']}: {found['problems'][0]['what']}" in printed
            return
        plan = json.loads(printed)["plan"]
        assert found["values"] == plan["properties"]
        assert found["problems"] == [] or all(problem["warning"] for problem in found["problems"])
        saved = post(address, "save", vm=vm.id, values=found["values"], topology=found["topology"], seen=found["seen"])
    assert saved == (200, {"changes": found["changes"]})
    assert vm.config.custom == {"sap": "x", **plan["properties"]}
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={vm.config.custom[name]}" for name in PROPERTIES]
        assert command("check", "--host", hosts.save(host, Path(folder)), *words)[0] == 0

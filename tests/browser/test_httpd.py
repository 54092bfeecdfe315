# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as httpd and mod_wsgi run it: who it is, and what becomes of requests that no browser sends."""

from __future__ import annotations

import json
import os
import pwd
import socket
import ssl
from pathlib import Path

from tests.engine.standin import Engine

from . import httpd
from .httpd import Site

LOOK = b'{"vm": "vm-0016"}'
PATH = "/ovirt-engine-largeguest/look"
GOOD = {
    "Host": "localhost",
    "Authorization": "Bearer the-token",
    "Content-Type": "application/json",
    "Content-Length": str(len(LOOK)),
    "Connection": "close",
}


def exchange(site: Site, request: bytes) -> tuple[int, bytes]:
    """The status and the rest of the answer to raw bytes."""
    context = ssl._create_unverified_context()
    with (
        socket.create_connection(("localhost", site.port), 60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head + body


def request(method: str = "POST", path: str = PATH, body: bytes = LOOK, **headers: str | None) -> bytes:
    whole = {**GOOD, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{name}: {value}" for name, value in whole.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


HOSTILE: dict[str, tuple[bytes, int]] = {
    "no token": (request(Authorization=None), 401),
    "two tokens": (request(Authorization="Bearer a, Bearer the-token"), 401),
    "a page of another server": (request(Origin="https://evil.example.com"), 403),
    "GET": (request("GET"), 405),
    "TRACE": (request("TRACE"), 413),
    "a method that nobody knows": (request("BREW"), 405),
    "no length": (request(Content_Length=None), 411),
    "in pieces": (request(Content_Length=None, Transfer_Encoding="chunked", body=b'5\r\n{"vm"\r\n0\r\n\r\n'), 411),
    "two lengths": (request(X=f"y\r\nContent-Length: {len(LOOK) + 1}"), 400),
    "too long": (request(Content_Length="70000", body=b"x" * 70_000), 413),
    "a way up": (request(path="/ovirt-engine-largeguest/../ovirt-engine-largeguest/%2e%2e/look"), 404),
    "the script itself": (request(path="/ovirt-engine-largeguest/application.wsgi"), 404),
    "a slash in other words": (request(path="/ovirt-engine-largeguest%2flook"), 404),
    "a byte of zero": (request(path="/ovirt-engine-largeguest/look%00"), 404),
    "a header of 10,000 characters": (request(X="x" * 10_000), 400),
    "the engine of somebody else": (request(OVIRT_URL="https://evil.example.com"), 200),
}


def test_requests_that_no_browser_sends(site: Site) -> None:
    statuses = {name: exchange(site, sent) for name, (sent, _) in HOSTILE.items()}
    assert {name: status for name, (status, _) in statuses.items()} == {
        name: expected for name, (_, expected) in HOSTILE.items()
    }
    assert not any(word in said for _, said in statuses.values() for word in (b"Traceback", b"Set-Cookie", b".py"))
    assert "Traceback" not in site.log.read_text()


def test_it_does_not_answer_without_tls(site: Site) -> None:
    with socket.create_connection(("localhost", site.port), 60) as plain:
        plain.sendall(request())
        assert plain.recv(65536).split()[1] == b"400"


def test_the_service_is_a_user_of_its_own_and_writes_nothing(site: Site, engine: Engine, tree: Path) -> None:
    status, said = exchange(site, request())
    assert (status, json.loads(said.partition(b"{")[1] + said.partition(b"{")[2])["vm"]["name"]) == (200, "db01")
    service = Path(f"/proc/{site.service()}")
    uids = service.joinpath("status").read_text().partition("Uid:")[2].split()[:4]
    assert {*map(int, uids)} == {pwd.getpwnam(httpd.USER).pw_uid}
    assert os.readlink(service / "cwd") == "/"
    kept = [os.readlink(entry) for entry in service.joinpath("fd").iterdir()]
    own = {str(site.log), str(site.log.with_name("output"))}
    assert {name for name in kept if name.startswith("/") and not name.startswith("/dev/")} <= own
    assert [path for path in tree.rglob("*") if path.stat().st_uid] == []
    assert engine.asked["GET /vms/vm-0016"] == 1

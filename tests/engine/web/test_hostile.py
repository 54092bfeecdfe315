# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that no page of ours sends: none is carried out, each gets one clear line, and the engine is left alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from largeguest.engine import web
from largeguest.engine.web.gate import MAX_BODY
from tests.engine.standin import Engine

from .client import Client

LOOK = b'{"vm": "vm-0000"}'
JUDGE = {"vm": "vm-0000", "values": {}}
FORM = {"affinity": "manual", "mode": "strict", "nodes": "0", "cells": [], "pinning": "each", "cputune": ""}


class Broken:
    """A connection that ends while the body is read."""

    def read(self, _: int) -> bytes:
        raise OSError("the client has gone")


# what is changed of a good request, status, what is said
AT_THE_GATE: dict[str, tuple[dict[str, Any], int, str]] = {
    "no token": ({"HTTP_AUTHORIZATION": None}, 401, "no token"),
    "an empty token": ({"HTTP_AUTHORIZATION": "Bearer "}, 401, "no token"),
    "a password": ({"HTTP_AUTHORIZATION": "Basic YWRtaW46c3dvcmRmaXNo"}, 401, "no token"),
    "a token with a line break": ({"HTTP_AUTHORIZATION": "Bearer the-token\r\nX: y"}, 401, "no token"),
    "a token that is not ASCII": ({"HTTP_AUTHORIZATION": "Bearer t\u00f6ken"}, 401, "no token"),
    "a token without end": ({"HTTP_AUTHORIZATION": "Bearer " + "x" * 7000}, 401, "no token"),
    "the token in a cookie": ({"HTTP_AUTHORIZATION": None, "HTTP_COOKIE": "token=the-token"}, 401, "no token"),
    "the token in the address": ({"HTTP_AUTHORIZATION": None, "QUERY_STRING": "token=the-token"}, 401, "no token"),
    "another page": ({"HTTP_ORIGIN": "https://evil.example.com"}, 403, "a page of another server"),
    "another scheme": ({"HTTP_ORIGIN": "http://engine.example.com"}, 403, "a page of another server"),
    "another port": ({"HTTP_ORIGIN": "https://engine.example.com:8443"}, 403, "a page of another server"),
    "a page of nobody": ({"HTTP_ORIGIN": "null"}, 403, "a page of another server"),
    "another site": ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403, "a page of another server"),
    "a sister": ({"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": None}, 403, "a page of another server"),
    "an address typed in": ({"HTTP_SEC_FETCH_SITE": "none"}, 403, "a page of another server"),
    "GET": ({"REQUEST_METHOD": "GET"}, 405, "only POST"),
    "PUT": ({"REQUEST_METHOD": "PUT"}, 405, "only POST"),
    "OPTIONS": ({"REQUEST_METHOD": "OPTIONS"}, 405, "only POST"),
    "a method that nobody knows": ({"REQUEST_METHOD": "BREW"}, 405, "only POST"),
    "no action": ({"PATH_INFO": "/"}, 404, 'no ""'),
    "no path": ({"PATH_INFO": ""}, 404, 'no ""'),
    "another action": ({"PATH_INFO": "/_snapshots"}, 404, 'no "_snapshots"'),
    "a way up": ({"PATH_INFO": "/../look"}, 404, 'no "../look"'),
    "more path": ({"PATH_INFO": "/look/look"}, 404, 'no "look/look"'),
    "a path with control characters": ({"PATH_INFO": "/\x00\n\x1b[2J"}, 404, r'no "\x00\n\x1b[2J"'),
    "a form of HTML": ({"CONTENT_TYPE": "application/x-www-form-urlencoded"}, 415, "not application/json"),
    "plain text": ({"CONTENT_TYPE": "text/plain"}, 415, "not application/json"),
    "no type": ({"CONTENT_TYPE": None}, 415, "not application/json"),
    "no length": ({"CONTENT_LENGTH": None}, 411, "length"),
    "a length below zero": ({"CONTENT_LENGTH": "-1"}, 411, "length"),
    "a length in other digits": ({"CONTENT_LENGTH": "\u0663"}, 411, "length"),
    "a length of ten thousand digits": ({"CONTENT_LENGTH": "9" * 10_000}, 411, "length"),
    "too long": ({"CONTENT_LENGTH": str(MAX_BODY + 1)}, 413, "more than 65536 bytes"),
    "shorter than it says": ({"CONTENT_LENGTH": "100"}, 400, "shorter than its length"),
    "a broken connection": ({"wsgi.input": Broken()}, 400, "shorter than its length"),
}


def assert_refused(answer: tuple[int, dict[str, str], bytes], status: int, said: str) -> None:
    """One line, in JSON, without a trace."""
    found, headers, body = answer
    assert found == status
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers
    (problem, *_) = json.loads(body)["problems"]
    assert said in problem["what"]
    assert not re.search(r"Traceback|File \\|\.py|line \d", body.decode())


@pytest.mark.parametrize(("changed", "status", "said"), AT_THE_GATE.values(), ids=AT_THE_GATE)
def test_it_is_not_let_in(client: Client, world: Engine, changed: dict[str, Any], status: int, said: str) -> None:
    assert_refused(client.send("look", LOOK, **changed), status, said)
    assert not world.asked
    assert client.log.getvalue() == ""


BODIES: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("look", b"", "not JSON"),
    "no JSON": ("look", b"vm=vm-0000", "not JSON"),
    "half of it": ("look", b'{"vm": "vm-0', "not JSON"),
    "a list": ("look", b"[]", "not a JSON object"),
    "a number": ("look", b"1", "not a JSON object"),
    "not a number": ("look", b'{"vm": NaN}', "not JSON"),
    "very deep": ("look", b"[" * 60_000, "not JSON"),
    "very deep in an object": ("look", b'{"a":' * 10_000, "not JSON"),
    "bytes that are no text": ("look", b'{"vm": "\xff\xfe"}', "not JSON"),
    "a number of sixty thousand digits": ("look", b'{"vm": ' + b"9" * 60_000 + b"}", ""),
    "no VM": ("look", b"{}", '"vm" is not a text'),
    "a VM that is a number": ("look", b'{"vm": 1}', '"vm" is not a text'),
    "a VM that is a list": ("look", b'{"vm": ["vm-0000"]}', '"vm" is not a text'),
    "a VM with a name of 5,000 characters": ("look", json.dumps({"vm": "x" * 5000}).encode(), '"vm" is not a text'),
    "half a character": ("look", b'{"vm": "\\ud800"}', "half a character"),
}


@pytest.mark.parametrize(("action", "body", "said"), BODIES.values(), ids=BODIES)
def test_a_body_that_cannot_be_read(client: Client, world: Engine, action: str, body: bytes, said: str) -> None:
    assert_refused(client.send(action, body), 400, said)
    assert not world.asked
    assert client.log.getvalue() == ""


FIELDS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "another way to a VM": ("look", {"vm": "../hosts/id-host1"}, 404, "no such virtual machine"),
    "a VM with a query": ("judge", {"vm": "vm-0000?next_run=false", "values": {}}, 404, "no such virtual machine"),
    "a VM by its name": ("look", {"vm": "db01"}, 404, "no such virtual machine"),
    "no values": ("judge", {"vm": "vm-0000"}, 400, "no values"),
    "values that are a list": ("judge", {**JUDGE, "values": []}, 400, '"values" is not an object'),
    "a value that is a number": ("judge", {**JUDGE, "values": {"cputune": 0}}, 400, '"cputune" is not a text'),
    "a value that is too long": ("judge", {**JUDGE, "values": {"cputune": "0" * 4001}}, 400, '"cputune" is not a text'),
    "another host": ("judge", {**JUDGE, "host": "id-nowhere"}, 400, "may not run on this host"),
    "a host that is true": ("judge", {**JUDGE, "host": True}, 400, '"host" is not a text'),
    "more vCPUs": ("judge", {**JUDGE, "topology": {"sockets": 4, "dies": 1, "cores": 2, "threads": 2}}, 400, "vCPUs"),
    "no cores": ("judge", {**JUDGE, "topology": {"sockets": 8, "dies": 1, "cores": 0, "threads": 1}}, 400, '"cores"'),
    "a million sockets": ("judge", {**JUDGE, "topology": {"sockets": 10**6}}, 400, '"sockets" is not a whole number'),
    "half a socket": ("judge", {**JUDGE, "topology": {"sockets": 0.5}}, 400, '"sockets" is not a whole number'),
    "a form without cells": ("judge", {"vm": "vm-0000", "form": {}}, 400, '"cells" is not a list'),
    "a form with cells of text": ("judge", {"vm": "vm-0000", "form": {"cells": ["0"]}}, 400, '"cells" is not a list'),
    "a form with 600 cells": ("judge", {"vm": "vm-0000", "form": {"cells": [{}] * 600}}, 400, '"cells" is not a list'),
    "another mode": ("judge", {"vm": "vm-0000", "form": {**FORM, "mode": "*"}}, 400, '"mode" is not one of strict,'),
    "a pinning that is a list": ("judge", {"vm": "vm-0000", "form": {**FORM, "pinning": []}}, 400, '"pinning"'),
    "another edit": ("judge", {"vm": "vm-0000", "form": FORM, "edit": {"kind": "exec"}}, 400, '"kind"'),
    "a cell that is not there": (
        "judge",
        {"vm": "vm-0000", "form": FORM, "edit": {"kind": "split", "cell": 7}},
        422,
        "there is no cell 7",
    ),
    "a cell below zero": (
        "judge",
        {"vm": "vm-0000", "form": FORM, "edit": {"kind": "split", "cell": -1}},
        400,
        '"cell" is not a whole number',
    ),
    "a plan in another mode": ("plan", {**JUDGE, "mode": "any"}, 400, '"mode" is not one of strict,'),
    "a plan on no nodes": ("plan", {**JUDGE, "mode": "strict", "nodes": 0}, 400, '"nodes" is not a whole number'),
    "a plan on 10**30 nodes": ("plan", {**JUDGE, "mode": "strict", "nodes": 10**30}, 400, '"nodes" is not a whole'),
    "a plan spread by a text": ("plan", {**JUDGE, "mode": "strict", "spread": "yes"}, 400, '"spread" is not true'),
    "a plan that reserves a word": ("plan", {**JUDGE, "mode": "strict", "reserve": "mem"}, 422, '"mem" at 0'),
    "save without what was seen": ("save", JUDGE, 400, '"seen" is not a text'),
    "save what somebody else has changed": ("save", {**JUDGE, "seen": "0" * 64}, 409, "has changed meanwhile"),
}


@pytest.mark.parametrize(("action", "body", "status", "said"), FIELDS.values(), ids=FIELDS)
def test_a_field_that_is_not_as_expected(
    client: Client, world: Engine, action: str, body: dict[str, Any], status: int, said: str
) -> None:
    assert_refused(client.send(action, json.dumps(body).encode()), status, said)
    assert not [asked for asked in world.asked if asked.startswith("PUT")]
    assert client.log.getvalue() == ""


def test_without_a_token_the_body_is_not_read(client: Client, world: Engine) -> None:
    assert_refused(client.send("look", LOOK, HTTP_AUTHORIZATION=None, **{"wsgi.input": None}), 401, "no token")
    assert not world.asked


def test_what_nobody_has_thought_of_is_logged_and_not_shown(
    client: Client, world: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError(f"secret of {len(world.vms)} VMs")

    monkeypatch.setattr(web, "ACTIONS", {"look": fail})
    assert_refused(client.send("look", LOOK), 500, "unexpected error")
    assert "ZeroDivisionError: secret of 2 VMs" in client.log.getvalue()
    assert "the-token" not in client.log.getvalue()

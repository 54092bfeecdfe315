# SPDX-License-Identifier: GPL-2.0-or-later
"""The service behind the dialog in the web administration portal: a WSGI application, for Apache httpd's mod_wsgi.

It has no password and keeps nothing on disk: the user's token comes with each request, and goes with each request to
the engine, so that a user can do here exactly what the engine lets that user do. The URL of the engine and the file
with its CA are OVIRT_URL and OVIRT_CAFILE, which SetEnv sets.
"""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...problem import Problem, Refused
from ..change import ChangedError
from ..connection import FailedError, RejectedError, connect
from ..settings import Settings, whole_url
from .actions import ACTIONS
from .gate import Call, HttpError, admit
from .judgement import problem_values
from .snapshots import Snapshots

SETUP = "/etc/ovirt-engine/engine.conf.d/10-setup-protocols.conf"
"""Where engine-setup writes the engine's name (ENGINE_FQDN=...)."""

SECONDS = 20
"""For an answer of the engine."""

ALL_SECONDS = 65.0
"""For all answers of the engine that a request needs; the browser waits for 90 seconds."""

HEADERS = [
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]

_snapshots = Snapshots()


def application(environ: Mapping[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer a request of WSGI with JSON: what was asked for, or `problems`."""
    status, answer = _answer(environ)
    body = json.dumps(answer).encode()
    start_response(status, [*HEADERS, ("Content-Length", str(len(body)))])
    return [body]


def _answer(environ: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    try:
        return "200 OK", _carry_out(admit(environ, ACTIONS), environ)
    except Refused as refused:
        return _status(refused), {"problems": problem_values(refused.problems)}
    except Exception:
        environ["wsgi.errors"].write(f"largeguest: {traceback.format_exc()}")
        problem = Problem("", "unexpected error", "please report it, with the lines in the error log of httpd")
        return "500 Internal Server Error", {"problems": problem_values([problem])}


def _carry_out(call: Call, environ: Mapping[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + ALL_SECONDS

    def report(done: int, total: int) -> None:
        if done < total and time.monotonic() > end:
            what = f"the engine needs over {ALL_SECONDS:.0f} seconds for {total} answers, of which there are {done}"
            raise HttpError("504 Gateway Timeout", what, "try again when it has less to do")

    with connect(_settings(environ, call.token), report) as engine:
        return ACTIONS[call.action](engine, _snapshots, call)


def _status(refused: Refused) -> str:
    """HTTP's code and reason."""
    if isinstance(refused, HttpError):
        return refused.status
    if isinstance(refused, RejectedError):
        return "403 Forbidden" if refused.code == 403 else "401 Unauthorized"
    if isinstance(refused, FailedError):
        return "502 Bad Gateway"
    return "409 Conflict" if isinstance(refused, ChangedError) else "422 Unprocessable Content"


def _settings(environ: Mapping[str, Any], token: str) -> Settings:
    """The engine is that of the configuration, never one that the request names."""
    url = whole_url(environ.get("OVIRT_URL") or _name_of_engine())
    return Settings(url=url, token=token, ca_file=environ.get("OVIRT_CAFILE", ""), timeout=SECONDS)


def _name_of_engine() -> str:
    try:
        with open(SETUP, encoding="utf-8") as file:
            found = re.search("^ENGINE_FQDN=(\\S+)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    if found is None:
        fix = f"set OVIRT_URL in the configuration of httpd: {SETUP} has no name"
        raise HttpError("503 Service Unavailable", "no engine is named", fix)
    return found[1].strip("\"'")

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the service lets in: a POST of a small JSON object from a page of the same server, with the user's token.

A page of another server cannot send such a request: neither the header with the token nor the content type is among
those that a browser sends there without being allowed to, and this service allows it to nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...problem import Problem, Refused
from ...record import Record
from ...wording import quote

MAX_BODY = 65_536
"""Bytes: all properties of a VM together have at most 4,000 characters."""

_TOKEN = re.compile(r"Bearer ([A-Za-z0-9._~+/-]{1,6000}=*)", re.ASCII)
"""RFC 6750. The engine's own tokens have 86 characters, those of Keycloak some thousand."""


class HttpError(Refused):
    """The request is not answered: `status` is HTTP's code and reason."""

    def __init__(self, status: str, what: str, fix: str = "") -> None:
        super().__init__([Problem("request", what, fix)])
        self.status = status


class Call(Record):
    """A request that was let in."""

    action: str
    token: str
    body: Mapping[str, Any]


def admit(environ: Mapping[str, Any], actions: Iterable[str]) -> Call:
    """The call in a request of WSGI; raises HttpError. Without a token nothing else of it is looked at."""
    found = _TOKEN.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        raise HttpError("401 Unauthorized", "no token in the header Authorization", "log in again")
    _check_origin(environ)
    action = environ.get("PATH_INFO", "").lstrip("/")
    if action not in actions:
        raise HttpError("404 Not Found", f"there is no {quote(action)} here")
    if environ["REQUEST_METHOD"] != "POST":
        raise HttpError("405 Method Not Allowed", "only POST is answered")
    return Call(action, found[1], _body(environ))


def _check_origin(environ: Mapping[str, Any]) -> None:
    """Browsers say which page a POST comes from, and newer ones whether it is of the same server."""
    own = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
    if environ.get("HTTP_ORIGIN", own) != own or environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
        raise HttpError("403 Forbidden", "the request comes from a page of another server")


def _body(environ: Mapping[str, Any]) -> dict[str, Any]:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpError("415 Unsupported Media Type", "the body is not application/json")
    try:
        found = json.loads(_read(environ), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise HttpError("400 Bad Request", "the body is not JSON") from None
    if not isinstance(found, dict):
        raise HttpError("400 Bad Request", "the body is not a JSON object")
    return found


def _read(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH", "")
    if not re.fullmatch("[0-9]{1,19}", length, re.ASCII):
        raise HttpError("411 Length Required", "the length of the body is not known")
    if int(length) > MAX_BODY:
        raise HttpError("413 Content Too Large", f"the body has more than {MAX_BODY} bytes")
    try:
        found: bytes = environ["wsgi.input"].read(int(length))
    except OSError:  # whoever sends it has gone, or takes too long
        found = b""
    if len(found) != int(length):
        raise HttpError("400 Bad Request", "the body is shorter than its length")
    return found


def _refuse_constant(name: str) -> None:
    """NaN and Infinity, which JSON does not have."""
    raise ValueError(name)

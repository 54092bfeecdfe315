# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to the application, as a WSGI server makes them of what a browser sends."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

from largeguest.engine import web

ORIGIN = "https://engine.example.com"


@dataclass
class Client:
    """Sends what a page of the same server sends; `environ` replaces parts of it."""

    url: str
    ca_file: str
    token: str = "the-token"
    log: io.StringIO = field(default_factory=io.StringIO)
    """What the application wrote to the server's log."""

    def environ(self, action: str, body: bytes) -> dict[str, Any]:
        return {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/{action}",
            "wsgi.url_scheme": "https",
            "HTTP_HOST": "engine.example.com",
            "HTTP_ORIGIN": ORIGIN,
            "HTTP_SEC_FETCH_SITE": "same-origin",
            "HTTP_AUTHORIZATION": f"Bearer {self.token}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "OVIRT_URL": self.url,
            "OVIRT_CAFILE": self.ca_file,
        }

    def send(self, action: str, body: bytes, **environ: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; a part of the environ that is None is left out."""
        whole = {**self.environ(action, body), "wsgi.input": io.BytesIO(body), "wsgi.errors": self.log, **environ}
        started: list[Any] = []
        parts = web.application(
            {name: value for name, value in whole.items() if value is not None},
            lambda status, headers: started.append((int(status.split()[0]), dict(headers))),
        )
        ((status, headers),) = started
        return status, headers, b"".join(parts)

    def ask(self, action: str, **body: Any) -> dict[str, Any]:
        """The answer to a request that is in order."""
        status, _, answer = self.send(action, json.dumps(body).encode())
        found: dict[str, Any] = json.loads(answer)
        assert status == 200, found
        return found

    def refused(self, action: str, **body: Any) -> tuple[int, str]:
        """The status of a refusal, and what is wrong."""
        status, _, answer = self.send(action, json.dumps(body).encode())
        problems = json.loads(answer)["problems"]
        return status, "; ".join(": ".join(filter(None, (one["subject"], one["what"]))) for one in problems)

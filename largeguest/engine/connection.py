# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection to the engine, through oVirt's SDK for Python: a few requests at once, and every failure in one line."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..problem import INPUT, USAGE, Problem, Refused
from ..wording import printable, quote, shorten
from .settings import Settings

AT_ONCE = 4
"""Requests that the engine has to answer at the same time."""

PAGE = 100
"""Entries of a collection that are asked for with one request."""

LOGOUT_SECONDS = 5.0

_SDK_IS_MISSING = Problem(
    "engine",
    "oVirt's SDK for Python is not installed",
    "dnf install largeguest-engine, or pip install vdsm-hook-largeguest[engine]",
    kind=USAGE,
)

_CA = "write --cafile, or set OVIRT_CAFILE, with the engine's CA (/etc/pki/ovirt-engine/ca.pem there)"

_REASONS = {
    5: ("the proxy is unknown", "look at http_proxy and https_proxy"),
    6: ("the name of the engine is unknown", "look at its URL"),
    7: ("the engine cannot be reached", "look at its URL, and whether it runs"),
    28: ("the engine did not answer in time", "try again, or write a larger --timeout"),
    60: ("the certificate of the engine cannot be verified", _CA),
    77: ("the file with the engine's CA cannot be used", _CA),
}
"""By libcurl's error codes."""

Request = Callable[[Any], Any]
"""Takes the SDK's system service, and starts a request: returns its future."""


class FailedError(Refused):
    """The engine cannot be asked, or does not do what it was asked for."""


class RejectedError(FailedError):
    """The engine does not know who asks, or does not let them; `code` is HTTP's 401 or 403, None if it is another."""

    def __init__(self, problem: Problem, code: int | None) -> None:
        super().__init__([problem])
        self.code = code


class Engine:
    """The engine, ready to be asked."""

    def __init__(self, connection: Any, sdk: Any, report: Callable[[int, int], None]) -> None:
        self._root = connection.system_service()
        self._sdk = sdk
        self._report = report

    @property
    def types(self) -> Any:
        """The SDK's types, of which requests are made."""
        return self._sdk.types

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """The answers, in order; raises Refused. At most AT_ONCE are asked for at the same time."""
        answers, waiting = list[Any](), deque[Any]()
        with failures(self._sdk):
            for request in requests:
                if len(waiting) == AT_ONCE:
                    self._wait(waiting, answers, len(requests))
                waiting.append(request(self._root))
            while waiting:
                self._wait(waiting, answers, len(requests))
        return answers

    def _wait(self, waiting: deque[Any], answers: list[Any], total: int) -> None:
        answers.append(waiting.popleft().wait())
        self._report(len(answers), total)

    def ask_one(self, request: Request) -> Any:
        """One answer; raises Refused."""
        return self.ask([request])[0]

    def ask_if_there(self, request: Request) -> Any:
        """One answer; None if the engine does not have what is asked for. Raises Refused."""
        with failures(self._sdk):
            try:
                return request(self._root).wait()
            except self._sdk.NotFoundError:
                return None

    def all_of(self, collection: Callable[[Any], Any]) -> list[Any]:
        """All entries of a collection, in pages; raises Refused.

        The engine keeps nothing between two pages: what comes or goes meanwhile may be missing, but is not there twice.
        """
        found: dict[str, Any] = {}
        for page in range(1, 10_000):
            search = f"sortby name page {page}"
            entries = self.ask_one(lambda root: collection(root).list(search=search, max=PAGE, wait=False))  # noqa: B023
            found.update((entry.id, entry) for entry in entries)
            if len(entries) < PAGE:
                break
        return list(found.values())


@contextlib.contextmanager
def connect(settings: Settings, report: Callable[[int, int], None] = lambda _done, _total: None) -> Iterator[Engine]:
    """Connect to the engine; `report` is told how many answers have come, of how many. Raises Refused."""
    settings.check()
    sdk = load_sdk()
    with failures(sdk):
        connection = _class_for(settings, sdk)(
            url=settings.url,
            username=settings.username,
            password=settings.password,
            token=settings.token or None,
            ca_file=settings.ca_file or None,
            insecure=settings.insecure,
            timeout=settings.timeout,
            connections=AT_ONCE,
        )
        _within(settings.timeout, connection.authenticate)
    try:
        yield Engine(connection, sdk, report)
    finally:
        with contextlib.suppress(Exception):  # whatever the engine says now, the work is done or has failed
            _within(LOGOUT_SECONDS, lambda: connection.close(logout=not settings.token))


def _class_for(settings: Settings, sdk: Any) -> Any:
    """The SDK's connection. With a token that the engine does not accept it would log in with an empty password."""
    if not settings.token:
        return sdk.Connection

    class WithToken(sdk.Connection):  # type: ignore[misc]
        def _get_access_token(self) -> str:
            raise sdk.AuthError("the token is not accepted", 401)

    return WithToken


def load_sdk() -> Any:
    """The SDK; raises Refused without it."""
    try:
        import ovirtsdk4
        import ovirtsdk4.types
    except ImportError:
        raise Refused([_SDK_IS_MISSING]) from None
    return ovirtsdk4


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Do it; raises what it raises, or Refused when it takes longer: the SDK sets no limit for log-in and log-out."""
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise _refused(*_REASONS[28])
    if raised:
        raise raised[0]


@contextlib.contextmanager
def failures(sdk: Any) -> Iterator[None]:
    """Raise FailedError for whatever the SDK raises."""
    try:
        yield
    except Refused:
        raise
    except sdk.AuthError as error:
        what, fix = f"the engine refuses: {_fault(error)}", "look at user, password or token"
        if error.code == 403:
            fix = "the user needs a role with the right to do that"
        raise RejectedError(Problem("engine", what, fix, kind=INPUT), error.code) from None
    except sdk.Error as error:
        raise _of_curl(str(error)) or _refused(f"the engine reports: {_fault(error)}", "") from None
    except Exception as error:  # what the SDK's parsers raise on what no engine sends: any, also Exception itself
        fix = "look at the URL: it ends in /ovirt-engine/api"
        raise _refused(f"no answer of an engine: {quote(str(error), 100)}", fix) from None


def _of_curl(text: str) -> FailedError | None:
    """The failure of libcurl in an error of the SDK, which has the code as text only; None if it is another one."""
    found = re.search(r"""\((?:<[^>]*>, )?(\d+), ["'](.*?)["']\)""", text)
    if found is None:
        return None
    reason, fix = _REASONS.get(int(found[1]), ("the connection to the engine failed", ""))
    return _refused(f"{reason}: {quote(found[2], 200)}", fix)


def _fault(error: Any) -> str:
    """What the engine says, on one line."""
    fault = error.fault
    parts = [str(error)] if fault is None else [fault.reason, fault.detail]
    return shorten(printable(": ".join(filter(None, parts))), 400)


def _refused(what: str, fix: str) -> FailedError:
    return FailedError([Problem("engine", what, fix, kind=INPUT)])

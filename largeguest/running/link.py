# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection to libvirt with its events, which reconnects when it is lost."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import libvirt

from ..hooks import describe
from ..problem import Problem
from ..wording import quote
from . import connection, report

KEEPALIVE = (5, 5)
"""A daemon that has not answered so many questions, each after so many seconds, is gone: the connection is closed."""

RECONNECT_SECONDS = (0.2, 5.0)
"""The first and the longest pause between two attempts to reach libvirt."""


class Listener(Protocol):
    """What the connection reports to; each method may raise libvirtError."""

    def connected(self, opened: Any) -> None: ...

    def disconnected(self) -> None: ...

    def lifecycle(self, uuid: str, event: int) -> None: ...

    def tunable(self, uuid: str, changed: dict[str, Any]) -> None: ...

    def device(self, uuid: str) -> None: ...


def guarded(work: Callable[..., None]) -> Callable[..., None]:
    """A callback for libvirt, which must not raise. A defect is reported without its message, which could hold XML."""

    def call(*arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:
            report.line(describe(error), report.ERROR)

    return call


class Link:
    """The connection, in libvirt's event loop; `opened` is None while there is none."""

    def __init__(self, uri: str, listener: Listener) -> None:
        self.opened: Any = None
        self._uri, self._listener = uri, listener
        self._callbacks: list[int] = []
        self._connected_at = -math.inf
        self._pause = RECONNECT_SECONDS[0]
        self._unreachable = False
        self._again = libvirt.virEventAddTimeout(0, guarded(lambda *_: self._connect()), None)

    def close(self) -> None:
        self._close(self.opened)

    def _connect(self) -> None:
        libvirt.virEventUpdateTimeout(self._again, round(self._pause * 1000))
        self._pause = min(self._pause * 2, RECONNECT_SECONDS[1])
        opened = None
        try:
            opened = connection.open_to_change(self._uri)
            opened.setKeepAlive(*KEEPALIVE)
            self._listen(opened)
            self._listener.connected(opened)
        except libvirt.libvirtError as error:
            if not self._unreachable:
                what = f"libvirt cannot be reached: {quote(str(error), 200)}"
                report.problem(Problem("keeper", what, "this is retried until it succeeds", warning=True))
            self._unreachable = True
            self._close(opened)
            return
        libvirt.virEventUpdateTimeout(self._again, -1)
        self.opened, self._connected_at, self._unreachable = opened, time.monotonic(), False

    def _listen(self, opened: Any) -> None:
        opened.registerCloseCallback(guarded(lambda *_: self._closed(opened)), None)
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE, self._tunable),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, self._device),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._device),
        ):
            self._callbacks.append(opened.domainEventRegisterAny(None, event, guarded(callback), None))

    def _lifecycle(self, _connection: Any, domain: Any, event: int, _detail: int, _: Any) -> None:
        self._listener.lifecycle(domain.UUIDString(), event)

    def _tunable(self, _connection: Any, domain: Any, changed: dict[str, Any], _: Any) -> None:
        self._listener.tunable(domain.UUIDString(), changed)

    def _device(self, _connection: Any, domain: Any, _alias: str, _: Any) -> None:
        self._listener.device(domain.UUIDString())

    def _closed(self, which: Any) -> None:
        if which is not self.opened:
            return
        self.opened = None
        if time.monotonic() - self._connected_at > RECONNECT_SECONDS[1]:
            self._pause = RECONNECT_SECONDS[0]
        libvirt.virEventUpdateTimeout(self._again, round(self._pause * 1000))
        report.line("largeguest: keeper: libvirt closed the connection", report.NOTICE)
        self._listener.disconnected()
        self._leave(which)

    def _close(self, opened: Any) -> None:
        if opened is not None:
            with contextlib.suppress(libvirt.libvirtError):
                opened.unregisterCloseCallback()  # it refers to the connection, and would keep it open
        self._leave(opened)

    def _leave(self, opened: Any) -> None:
        """Close a connection, which may be broken, except for its close callback, which may be running right now."""
        numbers, self._callbacks = self._callbacks, []
        if opened is None:
            return
        for undo in (*(functools.partial(opened.domainEventDeregisterAny, number) for number in numbers), opened.close):
            with contextlib.suppress(libvirt.libvirtError):
                undo()

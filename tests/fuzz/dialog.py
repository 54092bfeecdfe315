# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz the service behind the dialog, before the stand-in of the engine: python -m tests.fuzz.dialog --seconds 600

No request gets an unexpected error or, since the engine does not fail, one of the engine; none takes long, no trace is
shown or logged, and memory is bounded.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from largeguest import PROPERTIES
from largeguest.engine.web.actions import ACTIONS
from largeguest.engine.web.form import AFFINITIES, PINNINGS
from largeguest.values import MODES
from tests import books, tls
from tests.engine import standin
from tests.engine.standin import Config, Engine
from tests.engine.web.client import Client
from tests.engine.web.conftest import NOW, RELEASE
from tests.hosts import FOUR_NODES

from .__main__ import any_value

MAX_SECONDS = 5.0
MAX_GROWTH = 100 * 1024
"""KiB of memory after the first tenth of the time."""

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 10**6, 10**400, 1.5, -0.0, 1e308),
    *("", " ", "0", "auto", "\x00", "\ud800", "\u202e", "x" * 4000, "9" * 4000, "../x", "<svg onload=x>", "'\"&<>"),
    *([], {}, [[]], [{}], {"vcpus": "0"}, [None] * 600),
]
HEADERS = ("HTTP_AUTHORIZATION", "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH")
TEXTS = ("0", "0-3", "4-7", "0-31", "^1", "*", "1G", "", "auto")
ODD_HEADERS = (None, "", "\x00", "x" * 9000, "-1", "null", "Bearer", "Bearer \u00e4")
EDITS = ("affinity", "node", "split", "join", "add")


def world() -> Engine:
    engine = Engine()
    engine.machine("host1", FOUR_NODES, RELEASE)
    engine.machine("host2", books.large_host(), RELEASE)
    engine.machine("bare", books.large_host(), None, status="maintenance")
    engine.definitions["4.7"] = NOW
    engine.vm("db01", config=Config(topology=(2, 2, 2), memory=1024, iothreads=1))
    engine.vm("db02", config=Config(topology=(2, 8, 2), memory=131072), host="id-host2")
    engine.vm("nowhere", only_on=("id-gone",))
    return engine


def any_body(chance: random.Random, seen: str) -> dict[str, Any]:
    """A request that is in order, as far as its fields go."""
    body: dict[str, Any] = {"vm": chance.choice(["vm-0000", "vm-0001", "vm-0002"]), "seen": seen}
    body["host"] = chance.choice(["", "id-host1", "id-host2", "id-bare"])
    body["values"] = {name: any_value(chance, name)[:4000] for name in PROPERTIES}
    body["mode"] = chance.choice(MODES)
    if chance.random() < 0.5:
        body["form"] = any_form(chance)
        body["edit"] = {
            "kind": chance.choice(EDITS),
            "affinity": chance.choice(AFFINITIES),
            "cell": chance.choice([None, 0, 1, 5]),
            "node": chance.randrange(6),
        }
    for name, values in (("nodes", range(1, 6)), ("threads", (1, 2, 3)), ("spread", (True, False))):
        if chance.random() < 0.2:
            body[name] = chance.choice(list(values))
    if chance.random() < 0.2:
        body["reserve"] = any_value(chance, "cputune").partition("#")[2][:4000]
    return body


def any_form(chance: random.Random) -> dict[str, Any]:
    def text() -> str:
        return chance.choice([*TEXTS, any_value(chance, "guestnuma")])[:4000]

    rows = [{"vcpus": text(), "memory": text(), "nodes": text()} for _ in range(chance.choice([0, 1, 2, 2, 3, 9]))]
    return {
        **{"affinity": chance.choice(AFFINITIES), "mode": chance.choice(MODES), "nodes": text(), "cells": rows},
        **{"pinning": chance.choice(PINNINGS), "cputune": any_value(chance, "cputune")[:4000]},
    }


def spoil(chance: random.Random, thing: Any) -> Any:
    """With something odd in a place of it."""
    if not isinstance(thing, (dict, list)) or not thing or chance.random() < 0.2:
        return chance.choice(ODD)
    if isinstance(thing, list):
        place = chance.randrange(len(thing))
        return [*thing[:place], spoil(chance, thing[place]), *thing[place + 1 :]]
    name = chance.choice(list(thing))
    return {**thing, name: spoil(chance, thing[name])}


def any_request(chance: random.Random, seen: str) -> tuple[str, bytes, dict[str, Any]]:
    """An action, a body, and what else is odd about the request."""
    body = any_body(chance, seen)
    for _ in range(chance.choice([0, 0, 1, 1, 3])):
        body = spoil(chance, body)
    raw = json.dumps(body).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(raw) + 1)
        more = bytes([chance.randrange(256)]) * chance.choice([0, 1, 70_000])
        raw = raw[:at] + more + raw[at + chance.randrange(9) :]
    odd = {}
    if chance.random() < 0.1:
        odd[chance.choice(HEADERS)] = chance.choice(ODD_HEADERS)
    return chance.choice([*ACTIONS, *ACTIONS, "", "save/", "\x00"]), raw, odd


def judge(client: Client, action: str, raw: bytes, odd: dict[str, Any]) -> tuple[int, str]:
    """The status, and what is wrong with the answer, if anything."""
    start = time.monotonic()
    status, _, answer = client.send(action, raw, **odd)
    seconds = time.monotonic() - start
    if status in (500, 502, 503):
        return status, answer.decode()[:300]
    if client.log.getvalue() or b"Traceback" in answer:
        return status, f"a trace: {client.log.getvalue()[:300]}"
    if (status == 200) == ("problems" in (found := json.loads(answer)) and len(found) == 1):
        return status, "a refusal that is none"
    return status, f"took {seconds:.1f} s" if seconds > MAX_SECONDS else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.dialog")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    chance = random.Random(options.seed)
    statuses: Counter[int] = Counter()
    wrong, first = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        certificate = tls.make_certificate(Path(folder))
        with standin.serve(world(), tls.server_context(certificate)) as url:
            client = Client(url, str(certificate))
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                seen = client.ask("look", vm="vm-0000")["judgement"]["seen"] if chance.random() < 0.1 else "0"
                request = any_request(chance, seen)
                status, complaint = judge(client, *request)
                statuses[status] += 1
                if complaint:
                    wrong += 1
                    print(f"seed {options.seed}, request {sum(statuses.values())}: {request!r:.2000}: {complaint}")
                if end - time.monotonic() > options.seconds * 0.9:
                    first = memory()
    growth = memory() - first
    print(f"seed {options.seed}: {sum(statuses.values())} requests, {dict(sorted(statuses.items()))}, {wrong} wrong")
    print(f"memory {memory() // 1024} MiB, {growth // 1024} MiB more than after a tenth of the time")
    return 1 if wrong or growth > MAX_GROWTH else 0


def memory() -> int:
    """The most KiB that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""The options with which the commands find the engine, the password if it has to be asked for, and the progress."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...engine import connection, settings
from ...engine.connection import Engine
from ...engine.settings import Settings
from ...record import replace
from .. import files, options

MAX_FILE = 2**16


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the engine is."""
    parser.add_argument("--url", metavar="URL", help="the engine: https://engine.example.com (default: OVIRT_URL)")
    parser.add_argument(
        "--username", metavar="NAME", help="the user, such as admin@ovirt@internalsso (default: OVIRT_USERNAME)"
    )
    parser.add_argument("--cafile", metavar="FILE", help="the CA of the engine (default: OVIRT_CAFILE)")
    parser.add_argument("--config", metavar="FILE", help="a file with ovirt_url=... and so on, as Ansible's ovirt.ini")
    parser.add_argument("--insecure", action="store_true", help="do not verify the engine's certificate")
    parser.add_argument(
        "--timeout", type=options.positive, default=60, metavar="SECONDS", help="for an answer (default: %(default)s)"
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What is known of the engine, without asking anybody; raises Refused or OSError."""
    given = {"url": arguments.url, "username": arguments.username, "ca_file": arguments.cafile}
    file = {} if arguments.config is None else settings.read_file(_text(arguments.config))
    known = settings.gather(given, os.environ, file)
    return Settings(**known, insecure=arguments.insecure, timeout=arguments.timeout)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(MAX_FILE)


@contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[Engine]:
    """The engine; asks for the password if there is none. Raises Refused or OSError."""
    known = settings_of(arguments)
    known.check()
    connection.load_sdk()  # before the password is asked for in vain
    if not known.token and not known.password:
        known = replace(known, password=_ask_password(known))
    with connection.connect(known, progress() if sys.stderr.isatty() else _no_progress) as engine:
        yield engine


def _ask_password(known: Settings) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise files.unusable("no password is known", "set OVIRT_PASSWORD or OVIRT_TOKEN, or write it into --config")
    return getpass.getpass(f"Password of {known.username}: ")


def _no_progress(_done: int, _total: int) -> None:
    """Nobody looks at it."""


def progress() -> Callable[[int, int], None]:
    """Shows on a line of the terminal how many answers have come, where there are many."""

    def show(done: int, total: int) -> None:
        if total >= connection.AT_ONCE * 2:
            line = f"answers: {done} of {total}" if done < total else ""
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    return show

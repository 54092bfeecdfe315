# SPDX-License-Identifier: GPL-2.0-or-later
"""VDSM's hook points: environment in, exit code out (0: go on, 2: refuse).

VDSM runs a hook for every VM that starts, also for those without any of the properties: so nothing is imported before
it is needed. What is printed on stderr is ASCII and never holds any of the domain XML.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from . import PROPERTIES


def before_vm_start(environ: Mapping[str, str] = os.environ) -> int:
    """Rewrite the domain XML in the file `_hook_domxml` as the properties in `environ` ask; returns the exit code.

    The file is replaced whole or not at all.
    """
    values = {name: environ[name] for name in PROPERTIES if environ.get(name, "").strip(" ")}
    if not values:
        return 0
    try:
        return _rewrite_file(values, environ.get("_hook_domxml", ""))
    except Exception as error:
        _print_traceback(error)
        return 2


def _rewrite_file(values: Mapping[str, str], path: str) -> int:
    from .errors import Problem, Refused, quote
    from .rewrite import rewrite

    try:
        with open(path, "rb") as file:
            old = file.read()
        new, done = rewrite(values, old)
        _replace(path, new)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    except OSError as error:
        what = f"cannot replace the file {quote(path, 200)}: {error.strerror}"
        print(
            Problem("_hook_domxml", what, "let VDSM run the hook, with space in its temporary folder"), file=sys.stderr
        )
        return 2
    print(f"largeguest: {done}", file=sys.stderr)
    return 0


def _replace(path: str, content: bytes) -> None:
    """Put `content` in the place of the file, keeping owner and mode; on OSError the file is as it was."""
    path = os.path.realpath(path)
    old = os.stat(path)
    temporary = f"{path}.{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            new = os.fstat(descriptor)
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, old.st_mode & 0o7777)
            file.write(content)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _print_traceback(error: BaseException) -> None:
    """Where it happened and the kind of error, but not its message: that could quote the domain XML."""
    import traceback

    frames = "".join(traceback.format_tb(error.__traceback__))
    text = f"largeguest: not foreseen, please report this:\n{frames}{type(error).__name__}"
    print(text.encode("ascii", "backslashreplace").decode("ascii"), file=sys.stderr)

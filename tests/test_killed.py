# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook is killed at any moment: the file is the old or the new document, whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import documents

from . import ROOT

TIMES = int(os.environ.get("LARGEGUEST_KILLS", "100"))

# Forks for each run, so that a thousand take a minute; a child reports its start, and is killed some time later.
CHILD = """
import os, sys
sys.path.insert(0, {root!r})
from largeguest import hooks, rewrite
from largeguest.host import sysfs
hooks.SYS = {sys!r}
environ = {{"_hook_domxml": {path!r}, "numatune": "0", "cputune": "0-15#node0"}}
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(1, b"%d\\n" % os.getpid())
        os._exit(hooks.before_vm_start(environ))
    _, status = os.waitpid(child, 0)
    os.write(1, b"%d\\n" % status)
"""


def test_a_kill_leaves_the_old_or_the_new_document(tmp_path: Path, four_nodes: str) -> None:
    path = tmp_path / "folder/domxml"
    path.parent.mkdir()
    old = documents.domain(16, 2**20, disks=400)
    path.write_bytes(old)
    code = CHILD.format(root=str(ROOT), sys=four_nodes, path=str(path))
    chance = random.Random(TIMES)
    outcomes = {"old": 0, "old, in the middle of the write": 0, "new": 0, "not killed": 0}
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as forker:
        assert forker.stdin
        assert forker.stdout

        def run(seconds: float | None) -> int:
            path.write_bytes(old)
            forker.stdin.write("\n")  # type: ignore[union-attr]
            child = int(forker.stdout.readline())  # type: ignore[union-attr]
            if seconds is not None:
                time.sleep(seconds)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            return int(forker.stdout.readline())  # type: ignore[union-attr]

        assert run(None) == 0
        start = time.monotonic()
        for _ in range(5):
            assert run(None) == 0
        whole = (time.monotonic() - start) / 5
        new = path.read_bytes()
        assert new != old
        for number in range(TIMES):
            # most of the time passes before the write; the first is killed at once, however fast the others may be
            moment = chance.uniform(0.4, 1) * whole if number else 0
            killed = os.waitstatus_to_exitcode(run(moment)) == -signal.SIGKILL
            content = path.read_bytes()
            assert content in (old, new), f"{len(content)} bytes"
            assert killed or content == new
            left_over = set(path.parent.iterdir()) - {path}
            kind = "old, in the middle of the write" if left_over else "new" if content == new else "old"
            outcomes[kind if killed else "not killed"] += 1
            for file in left_over:
                file.unlink()
        forker.stdin.close()
    print(f"killed {TIMES} times: {outcomes}")
    assert outcomes["old"] + outcomes["old, in the middle of the write"]

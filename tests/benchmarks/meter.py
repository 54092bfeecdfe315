# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure commands: a line is the number of words of the command, the words, and the environment, separated by NULs.

The answer is the exit code, seconds of wall-clock and CPU time, and peak KiB of memory. It runs as a process of its
own, with -I -S, because a child starts with its parent's memory until it has executed its program: the parent must be
small.
"""

import os
import sys
import time

for line in sys.stdin.buffer:
    count, *fields = line.rstrip(b"\n").split(b"\0")
    command, environ = fields[: int(count)], dict(field.split(b"=", 1) for field in fields[int(count) :])
    start = time.perf_counter()
    actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawn(command[0], command, environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, flush=True)

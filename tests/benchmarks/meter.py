# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure commands: a line is how many words the command has, the words, and the environment, with NULs between.

The answer is the exit code, seconds by the clock and of CPU, and the most KiB of memory. Run by itself, with -I -S,
for until a process is another program its memory counts as that of the one that started it, so that has to be small.
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

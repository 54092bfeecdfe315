# SPDX-License-Identifier: GPL-2.0-or-later
"""The four-node machine itself: QEMU's command line, and what goes in and out."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .image import Image, image

INIT = Path(__file__).with_name("init")
NODES = 4
NODES_PER_SOCKET = 2
CPUS_PER_NODE = 4

# A kernel that runs on an Intel server accepts a socket with several nodes (sub-NUMA clusters). On QEMU's own model, an
# AMD, it takes each CPU for a socket. Without la57, page tables have four levels: less to emulate. Without erms and
# fsrm, memory is cleared in words, not in bytes, which QEMU emulates one by one: a kernel was seen stuck in that.
CPU = "max,vendor=GenuineIntel,family=6,model=106,stepping=6,la57=off,svm=off,erms=off,fsrm=off"
# While it moves huge pages between the nodes by itself, an emulated kernel now and then hangs.
CMDLINE = "console=ttyS0 panic=-1 mitigations=off nokaslr tsc=reliable nowatchdog apparmor=0 numa_balancing=disable"

BOOT_SECONDS = 90.0
"""It takes 7 on a quiet machine to reach init."""

TIMED_OUT, FAILED = 124, 125
"""Exit statuses: switched off after so many seconds; it ended without the command's exit status."""


class Machine:
    """The running machine."""

    def __init__(self, process: subprocess.Popen[bytes], status: Path) -> None:
        assert process.stdout
        self.stdout: IO[bytes] = process.stdout
        """What the command prints, as it comes."""
        self._process, self._status = process, status

    def wait(self) -> int:
        """Wait until the machine is off; gives the command's exit status, or one of ours."""
        qemu = self._process.wait()
        if self._status.stat().st_size:
            return int(self._status.read_text())
        return TIMED_OUT if qemu == TIMED_OUT else FAILED


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path | None, seconds: float, console: Path, stderr: IO[bytes]
) -> Iterator[Machine]:
    """Boot the machine, which runs the command in a copy of the folder; it is off after the block.

    It is switched off after so many seconds, those of the boot included. `console` gets what its kernel and libvirt
    print. `stderr`, a file that is open for appending, or a pipe, gets QEMU's own errors, too. Raises BuildError if
    there is no image.
    """
    booted = image()
    with tempfile.TemporaryDirectory(prefix="largeguest-") as name:
        archive, status = Path(name, "archive"), Path(name, "status")
        _pack(command, folder, archive)
        status.touch()
        # it ends with us: `timeout` hands the signal on to QEMU
        qemu = ["setpriv", "--pdeathsig", "TERM", "timeout", str(seconds), *_qemu(booted, archive, status, console)]
        with _booted(qemu, console, stderr) as process:
            try:
                yield Machine(process, status)
            finally:
                process.terminate()


def _booted(qemu: Sequence[str], console: Path, stderr: IO[bytes], tries: int = 3) -> subprocess.Popen[bytes]:
    """The process of a machine that has reached its init. An emulated kernel now and then hangs before: try again."""
    for left in reversed(range(tries)):
        process = subprocess.Popen(qemu, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
        end = time.monotonic() + BOOT_SECONDS
        while process.poll() is None and time.monotonic() < end:
            if console.exists() and b"Run /init" in console.read_bytes():
                return process
            time.sleep(0.5)
        if not left or process.poll() is not None:
            break
        with process:
            process.terminate()
    return process


def _pack(command: Sequence[str], folder: Path | None, archive: Path) -> None:
    """Write the archive that the machine unpacks: its init, the command and the folder."""
    with tarfile.open(archive, "w") as tar:
        tar.add(INIT, "numahost/init")
        script = f"{shlex.join(command)}\n".encode()
        entry = tarfile.TarInfo("numahost/command")
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script))
        if folder:
            tar.add(folder, "numahost/folder")
        else:
            entry = tarfile.TarInfo("numahost/folder")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)


def _qemu(image: Image, archive: Path, status: Path, console: Path) -> list[str]:
    return [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", CPU, *_topology()),
        *("-nodefaults", "-no-reboot", "-display", "none", "-nic", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", CMDLINE),
        *("-drive", f"file={image.disk},format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={archive},format=raw,if=virtio,readonly=on"),
        *("-serial", f"file:{console}", "-device", "virtio-serial-pci"),
        *_port("stdout", "/dev/stdout"),
        *_port("stderr", "/dev/stderr"),
        *_port("status", str(status)),
    ]


def _topology() -> Iterator[str]:
    """2 sockets x 4 cores x 2 threads, 4 nodes of 1 GiB."""
    sockets = NODES // NODES_PER_SOCKET
    cpus = NODES * CPUS_PER_NODE
    yield from ("-m", f"{NODES}G", "-smp", f"{cpus},sockets={sockets},cores={cpus // sockets // 2},threads=2")
    for node in range(NODES):
        first = node * CPUS_PER_NODE
        yield from ("-object", f"memory-backend-ram,id=memory{node},size=1G")
        yield from ("-numa", f"node,nodeid={node},memdev=memory{node},cpus={first}-{first + CPUS_PER_NODE - 1}")
    for node in range(NODES):
        for other in range(NODES):
            yield from ("-numa", f"dist,src={node},dst={other},val={_distance(node, other)}")


def _distance(node: int, other: int) -> int:
    if node == other:
        return 10
    return 12 if node // NODES_PER_SOCKET == other // NODES_PER_SOCKET else 21


def _port(name: str, path: str) -> tuple[str, ...]:
    """A port of the machine that writes to a file of ours."""
    return (
        "-chardev",
        f"file,id={name},path={path},append=on",
        "-device",
        f"virtserialport,chardev={name},name={name}",
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts with a libvirt daemon of the system each (`qemu:///system`), side by side on this machine.

Each daemon runs in a mount namespace with its own libvirt folders, in which /sys can show other NUMA nodes to programs
(the kernel itself keeps its nodes). The machine's own libvirt is not touched.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests import vdsm

from .guest import NOBODY, Libvirt, end_process
from .host import Host

SCRIPT = """
set -e
mount --make-rprivate /
for name in run lib cache log; do
    case $name in run) at=/run/libvirt;; *) at=/var/$name/libvirt;; esac
    mkdir -p $at "$1/$name"
    mount --bind "$1/$name" $at
done
mkdir -p /etc/libvirt
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/boot_id" /proc/sys/kernel/random/boot_id
mkdir -p /run/vdsm-largeguest-keeper /run/vdsm-largeguest
mount --bind "$1/keeper" /run/vdsm-largeguest-keeper
mount --bind "$1/run/vdsm-largeguest" /run/vdsm-largeguest
if [ -d "$1/keys" ]; then
    mkdir -p /etc/pki/vdsm/keys
    mount --bind "$1/keys" /etc/pki/vdsm/keys
    mount --bind "$1/etc/sasl2" /etc/sasl2
fi
[ -z "$2" ] || mount --bind "$2" /sys/devices/system/node
exec libvirtd --pid-file /run/libvirt/libvirtd.pid
"""

LIBVIRTD_CONF = """
host_uuid = "00000000-0000-4000-8000-{number:012}"
auth_unix_ro = "none"
auth_unix_rw = "{auth}"
unix_sock_ro_perms = "0777"
"""

QEMU_CONF = """
cgroup_controllers = []
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
stdio_handler = "file"
"""


@dataclass
class Daemon:
    """A running daemon, and the oVirt host whose hooks and programs see the same files."""

    libvirt: Libvirt
    uri: str
    folder: Path
    nodes: str
    host: Host
    process: subprocess.Popen[bytes]

    def restart(self) -> None:
        """Kill it, as in a crash, and start it again; its guests keep running."""
        self.process.kill()
        self.process.wait()
        self.process = _start(self.folder, self.nodes)
        self.host = replace(self.host, namespace=self.process.pid)
        _wait_for(self.libvirt, self.process, self.folder / "output")


@contextlib.contextmanager
def system(folder: Path, number: int, host: Host, nodes: str = "", sasl: bool = False) -> Iterator[Daemon]:
    """Start a daemon with its files in `folder`; `nodes` is a folder to have as /sys/devices/system/node.

    With `sasl`, changes need VDSM's password, as on an oVirt host.
    """
    (folder / "etc/sasl2").mkdir(parents=True)
    conf = LIBVIRTD_CONF.format(number=number, auth="sasl" if sasl else "none")
    for name, text in (("libvirtd.conf", conf), ("qemu.conf", QEMU_CONF)):
        (folder / "etc" / name).write_text(text)
    (folder / "boot_id").write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    (folder / "home").mkdir()
    (folder / "keeper").mkdir()
    vdsm.make_run_folder(folder, NOBODY)
    os.chown(folder / "keeper", NOBODY, NOBODY)
    folder.chmod(0o755)
    if sasl:
        _set_password(folder)
    process = _start(folder, nodes)
    uri = f"qemu:///system?socket={folder}/run/libvirt-sock"
    changing = f"{uri}&authfile={folder}/etc/auth.conf" if sasl else uri
    daemon = Daemon(
        Libvirt(folder / "home", changing), uri, folder, nodes, replace(host, namespace=process.pid), process
    )
    try:
        _wait_for(daemon.libvirt, process, folder / "output")
        yield daemon
    finally:
        if daemon.process.poll() is None:
            end_process(daemon.process.pid)
        daemon.process.wait()


def _set_password(folder: Path) -> None:
    """As VDSM's installation does it."""
    password = "hidden-word"
    database = folder / "etc/passwd.db"
    (folder / "etc/sasl2/libvirt.conf").write_text(f"mech_list: scram-sha-256\nsasldb_path: {database}\n")
    command = ["saslpasswd2", "-p", "-f", str(database), "-a", "libvirt", "vdsm@ovirt"]
    subprocess.run(command, input=password.encode(), check=True)
    (folder / "keys").mkdir()
    for path, owner in ((folder / "keys/libvirt_password", NOBODY), (folder / "etc/auth.conf", 0)):
        path.touch(0o600)
        os.chown(path, owner, owner)
    (folder / "keys/libvirt_password").write_text(password)
    (folder / "etc/auth.conf").write_text(
        f"[credentials-vdsm]\nauthname=vdsm@ovirt\npassword={password}\n[auth-libvirt-default]\ncredentials=vdsm\n"
    )


def _start(folder: Path, nodes: str) -> subprocess.Popen[bytes]:
    command = ["unshare", "--mount", "bash", "-c", SCRIPT, "libvirtd", str(folder), nodes]
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _wait_for(libvirt: Libvirt, process: subprocess.Popen[bytes], output: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            libvirt.virsh("uri")
            return
        except RuntimeError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"libvirtd did not start: {output.read_text()}") from None
        time.sleep(0.1)

# SPDX-License-Identifier: GPL-2.0-or-later
"""An oVirt host as seen by a hook: the RPM is built and installed in a tree, and the hook runs from there.

VDSM itself is not available here: tests/vdsm.py replaces the part of it that runs hooks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests import ROOT, vdsm

from .guest import NOBODY

HOOKS = "usr/libexec/vdsm/hooks"

LAY_OVER = """
mount -t overlay none -o "lowerdir=$0/usr:/usr" /usr || exit
mkdir -p /run/vdsm-largeguest
mountpoint -q /run/vdsm-largeguest || mount --bind "$0/run/vdsm-largeguest" /run/vdsm-largeguest || exit
exec "$@"
"""


@dataclass(frozen=True)
class Host:
    """A tree in which the RPM is installed, seen by its programs as if it were this machine's."""

    tree: Path
    """`/` is this machine itself."""
    namespace: int | None = None
    """A process whose mount namespace is the host's."""

    def run(self, *command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command as an unprivileged user, with the tree's /usr laid over the machine's."""
        with self.start(*command, environ=environ, output=subprocess.PIPE) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def start(
        self, *command: str, environ: dict[str, str], output: int | IO[str] = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start it, with stdout and stderr going to `output`, and do not wait."""
        enter = [] if self.namespace is None else ["nsenter", f"--mount=/proc/{self.namespace}/ns/mnt"]
        if self.tree != Path("/"):
            enter += ["unshare", "--mount", "bash", "-c", LAY_OVER, str(self.tree)]
        enter += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        return subprocess.Popen(
            [*enter, *command],
            env={"PATH": os.environ["PATH"], **environ},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
        )

    def run_hooks(self, point: str, domxml: str, custom: dict[str, str]) -> tuple[str, str]:
        """Run the hooks of a hook point on a domain XML; gives the new XML, and what they said.

        Raises vdsm.HookError when one of them fails.
        """
        descriptor, name = tempfile.mkstemp()
        try:
            with open(descriptor, "wb") as file:
                file.write(domxml.encode())
            os.chown(name, NOBODY, NOBODY)
            environ = {"vmId": "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01", **custom}
            environ |= {"PYTHONPATH": ":/usr/lib/python3/dist-packages/vdsm/hook", "_hook_domxml": name}
            said = vdsm.run_scripts(
                point,
                self.tree / HOOKS / point,
                lambda script: self.run(f"/{script.relative_to(self.tree)}", environ=environ),
            )
            return Path(name).read_text(encoding="utf-8"), said
        finally:
            Path(name).unlink()


def copy_sources(folder: Path) -> Path:
    """The project as in git, including uncommitted changes, in a folder of its own."""
    files = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    sources = folder / "sources"
    for name in filter(None, files.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, sources / name)
    return sources


def build_rpm(sources: Path) -> Path:
    """`make rpm`, from a fresh configure, without the unit tests; gives the hook's RPM, with the others beside it."""
    make = ["make", "rpm", "RPMBUILDFLAGS=--without tests"]
    for command in (["autoreconf", "-i"], ["./configure"], make):
        result = subprocess.run(
            command, cwd=sources, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout[-3000:]}")
    (rpm,) = sources.glob("rpmbuild/RPMS/noarch/vdsm-hook-largeguest-*.rpm")
    return rpm


def beside(rpm: Path, name: str) -> Path:
    """The RPM of another package that was built with the hook's."""
    return rpm.with_name(rpm.name.replace("vdsm-hook-largeguest-", f"{name}-"))


def install_rpm(rpm: Path, tree: Path) -> Host:
    """Install the hook's RPM and the command's in a tree, without the other dependencies, which are not there."""
    install_in_tree(tree, rpm, beside(rpm, "largeguest"))
    vdsm.make_run_folder(tree, NOBODY)
    return Host(tree)


def install_in_tree(tree: Path, *rpms: Path) -> None:
    """Install RPMs in a new tree, without their dependencies."""
    tree.mkdir()
    tree.chmod(0o755)
    # the tree has no shell
    command = ["rpm", "--root", str(tree), "--install", "--nodeps", "--noscripts", *map(str, rpms)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"rpm --install failed: {result.stderr}")

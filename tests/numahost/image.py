# SPDX-License-Identifier: GPL-2.0-or-later
"""What the four-node machine boots: a Debian of this machine's release, made once with this machine's apt sources."""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import programs
from tests.e2e.guest import pack

CACHE = Path("/var/cache/largeguest/numahost")
"""The images, one for each recipe; all checkouts of this machine share them."""
UNUSED_DAYS = 14
"""When the next one is built, those that nothing has used for so long are removed."""

PACKAGES = (
    *("python3", "python3-lxml", "python3-libvirt", "python3-pytest", "python3-hypothesis", "rpm"),
    *("libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients", "qemu-system-x86"),
    *("numactl", "hwloc-nox", "iproute2", "procps", "busybox-static", "kmod", "cpio"),
    "linux-image-cloud-amd64",
)
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "modprobe": "kmod",
    "cpio": "cpio",
    "qemu-system-x86_64": "qemu-system-x86",
}

EARLY_INIT = Path(__file__).with_name("early-init")


@dataclass(frozen=True)
class Image:
    """A folder with the files of an image."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def disk(self) -> Path:
        """An ext4 file system."""
        return self.folder / "disk.img"


class BuildError(RuntimeError):
    """The image cannot be made; the text has the end of what the program printed."""


def image() -> Image:
    """The image, which is built if it is not there yet: some minutes, and about 1 GB.

    Raises BuildError.
    """
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)  # apt's configuration may have a proxy's password
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = Image(CACHE / _recipe())
        if not built.folder.exists():
            print(f"building {built.folder}: some minutes", file=sys.stderr)
            _remove_unused()
            with tempfile.TemporaryDirectory(dir=CACHE) as home:
                unfinished = Image(Path(home, "image"))
                unfinished.folder.mkdir()
                _build(unfinished)
                unfinished.folder.rename(built.folder)
        os.utime(built.folder)
    return built


def _remove_unused() -> None:
    for folder in filter(Path.is_dir, CACHE.iterdir()):
        if folder.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
            shutil.rmtree(folder)


def _recipe() -> str:
    sources = (Path(__file__), EARLY_INIT)
    digest = hashlib.sha256(_suite().encode() + b"".join(source.read_bytes() for source in sources))
    return digest.hexdigest()[:16]


def _suite() -> str:
    found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    if not found:
        raise BuildError("this machine is no Debian: /etc/os-release has no VERSION_CODENAME")
    return found[1]


def _build(image: Image) -> None:
    root = image.folder / "root"
    _debootstrap(root)
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    shutil.copyfile(kernel, image.kernel)
    _make_initrd(root, kernel.name.partition("-")[2], image)
    with open(image.disk, "wb") as disk:
        disk.truncate(4 << 30)
    _run("mkfs.ext4", "-q", "-d", str(root), str(image.disk))
    shutil.rmtree(root)


def _debootstrap(root: Path) -> None:
    """Install the packages in a folder, in the way that this machine's apt gets them."""
    options = root.with_name("apt.conf")
    options.write_text(_run("apt-config", "dump", "Acquire"))
    _run(
        # what it mounts disappears with it, and it ends with us: see setpriv(1), unshare(1)
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"),
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--aptopt={options}"),
        *(_suite(), str(root), *map(str, _apt_sources())),
    )


def _apt_sources() -> list[Path]:
    """Files of this machine that name the release."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *folder.glob("sources.list.d/*.list"), *folder.glob("sources.list.d/*.sources")]
    word = re.compile(rf"^[^#\n]*\b{_suite()}\b", re.MULTILINE)
    found = [file for file in files if file.exists() and word.search(file.read_text())]
    if not found:
        raise BuildError(f"no file in {folder} names {_suite()}")
    return found


def _make_initrd(root: Path, version: str, image: Image) -> None:
    early = image.folder / "early"
    (early / "bin").mkdir(parents=True)
    shutil.copy(root / "bin/busybox", early / "bin")
    (early / "bin/sh").symlink_to("busybox")
    shutil.copyfile(EARLY_INIT, early / "init")
    (early / "init").chmod(0o755)
    (early / "modules").mkdir()
    names = []
    for module in _modules(root, version):
        names.append(module.name.partition(".")[0])
        content = module.read_bytes()
        (early / "modules" / names[-1]).write_bytes(lzma.decompress(content) if module.suffix == ".xz" else content)
    (early / "modules/order").write_text("".join(f"{name}\n" for name in names))
    image.initrd.write_bytes(pack(early))
    shutil.rmtree(early)


def _modules(root: Path, version: str) -> Iterator[Path]:
    """The kernel's modules to load, each after those that it needs."""
    commands = _run("modprobe", "--dirname", str(root), "--set-version", version, "--show-depends", "-a", *MODULES)
    for path in dict.fromkeys(re.findall(r"^insmod (\S+)", commands, re.MULTILINE)):
        yield Path(path)


def _run(*command: str) -> str:
    environ = {**os.environ, "PATH": programs.SBIN, "LC_ALL": "C"}
    environ["INITRD"] = "No"  # for initramfs-tools
    result = subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        raise BuildError(f"{command[0]} failed:\n{result.stdout[-3000:]}")
    return result.stdout

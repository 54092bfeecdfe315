# SPDX-License-Identifier: GPL-2.0-or-later
"""VDSM's hook points: environment in, exit code out (0: continue, 2: refuse).

A hook runs at every VM start, so nothing is imported before it is needed, no garbage is collected, and the script ends
with os._exit: nothing is buffered, and shutting down the interpreter would take half as long as the work itself.

What is written to stderr is ASCII and never contains any of the domain XML. Only `before_vm_start` reports what was
done: at the other hook points VDSM shows the stderr of the last script as the error of whichever one failed.
"""

from __future__ import annotations

import os
import stat

from . import MAX_DOCUMENT, PROPERTIES

TYPE_CHECKING = False  # importing it from typing takes longer than all the rest when there is nothing to do
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .host.topology import Host
    from .values import Neighbour

    Done = tuple[bytes, str, "Callable[[], str] | None"]
    """The new content, a line to report, and what is done when the file has been replaced; it may add to the line."""

SYS = "/sys"

VM_FOLDERS = "/run/vdsm"
"""Has VDSM's folder of each VM, by UUID, with a file `launchflags` while `before_vm_start` runs at a start."""

ROOT = "/"
"""Where /run is: libvirt's, and the folder of the reservations."""

KEEPER_FOLDER = "/run/vdsm-largeguest-keeper"
"""Where the keeper holds a lock, which shows that it is active."""


def before_vm_start(environ: Mapping[str, str] = os.environ) -> int:
    """Rewrite the domain XML in the file `_hook_domxml` as the properties in `environ` require; returns the exit code.

    The file is replaced atomically. That of a VM that is resumed is left alone.
    """

    def write_layout(values: Mapping[str, str], document: bytes) -> Done:
        from .host import reservations, sysfs
        from .rewrite import RESUMED, rewrite

        uuid = environ.get("vmId", "")
        if _is_resumed(uuid):
            return document, RESUMED, None
        keeper, warnings = keeper_is_active(), list[str]()
        _attempt(warnings, reservations.lock, ROOT)  # until this process ends
        rewritten = rewrite(values, document, _beside_others(sysfs.from_sys(SYS), uuid, keeper), keeper)

        def reserve() -> str:
            _attempt(warnings, reservations.reserve, ROOT, uuid, rewritten.holds)
            return "; ".join(dict.fromkeys(warnings))

        return rewritten.document, rewritten.line, reserve

    return _run(environ, PROPERTIES, write_layout)


def _beside_others(host: Host, uuid: str, keeper: bool | None) -> Host:
    """The host with what its VMs hold, other than this one."""
    from .host import neighbours, reservations

    def is_itself(other_uuid: str, _: Neighbour) -> bool:
        return other_uuid == uuid

    known = reservations.known(ROOT, KEEPER_FOLDER if keeper else None)
    if known is not None:
        return neighbours.add(host, known, is_itself)
    from .running import neighbours as running

    return running.beside(host, None, ROOT, is_itself)


def _attempt(warnings: list[str], work: Callable[..., object], *arguments: object) -> None:
    """Do what keeps VMs apart that start at the same time; a VM also starts without it, with a warning."""
    from .problem import Problem

    try:
        work(*arguments)
    except OSError as error:
        what = f"VMs that start at the same time may get the same CPUs and memory: {error.strerror}"
        fix = "systemd-tmpfiles --create vdsm-largeguest.conf"
        if isinstance(error, TimeoutError):
            fix = "end the process that fuser -v /run/vdsm-largeguest/choose shows"
        warnings.append(str(Problem("host", what, fix, warning=True)))


def _is_resumed(uuid: str) -> bool:
    """Whether VDSM has called `before_vm_start` for a resume; False also if only the XML shows it.

    After a memory snapshot the XML has no `id`, just as at a start.
    """
    is_known = bool(uuid) and os.path.isdir(VM_FOLDERS)
    return is_known and not os.path.exists(os.path.join(VM_FOLDERS, uuid, "launchflags"))


def before_vm_migrate_destination(environ: Mapping[str, str] = os.environ) -> int:
    """Refuse, while the VM still runs at the source, what this host cannot hold; the file is only read."""
    return _check(environ, suspended=False)


def before_vm_dehibernate(environ: Mapping[str, str] = os.environ) -> int:
    """Refuse to resume a VM whose layout this host cannot hold; the file is only read."""
    return _check(environ, suspended=True)


def _check(environ: Mapping[str, str], suspended: bool) -> int:
    def check(values: Mapping[str, str], document: bytes) -> Done:
        from .host import reservations, sysfs
        from .rewrite import check_again

        host, uuid = sysfs.from_sys(SYS), environ.get("vmId", "")
        _attempt([], reservations.lock, ROOT)  # until this process ends; no warning is reported here
        if "auto" in values.get("cputune", ""):
            host = _beside_others(host, uuid, keeper_is_active())
        holds = check_again(values, document, host, suspended)

        def reserve() -> str:
            _attempt([], reservations.reserve, ROOT, uuid, holds)
            return ""

        return document, "", reserve

    return _run(environ, PROPERTIES, check)


def after_vm_migrate_destination(environ: Mapping[str, str] = os.environ) -> int:
    """Pin the VM `vmId`, which has just arrived, if no keeper is there to do it.

    A failure can no longer stop the VM: the exit code is then 1, so that the other hooks still run.
    """
    if not environ.get("cputune", "").strip(" ") or keeper_is_active():
        return 0
    try:
        return _put_back(environ.get("vmId", ""))
    except Exception as error:
        _report(describe(error))
        return 1


def _put_back(uuid: str) -> int:
    from .problem import Problem, Refused
    from .wording import quote

    start = "start the keeper: systemctl enable --now vdsm-largeguest-keeper"
    fix = f"the VM runs without its pins; {start}"
    try:
        import libvirt
    except ImportError:
        _report(str(Problem("cputune", "libvirt's Python binding is not installed", fix)))
        return 1
    from .host import reservations, sysfs
    from .running import pins

    host = sysfs.from_sys(SYS)

    def choose() -> Host:
        _attempt([], reservations.lock, ROOT)  # until this process ends
        return _beside_others(host, uuid, keeper=False)

    try:
        _, not_pinned = pins.put_back_once(uuid, host, choose)
    except Refused as refused:
        _report(str(refused))
        return 1
    except libvirt.libvirtError as error:
        _report(str(Problem("cputune", f"libvirt could not pin the VM: {quote(str(error), 200)}", fix)))
        return 1
    if not_pinned:
        what, fix = f"libvirt: {pins.refused_text(not_pinned)}", f"the VM runs without these pins; {start}"
        _report(str(Problem("cputune", what, fix)))
        return 1
    return 0


def keeper_is_active() -> bool | None:
    """Whether a keeper runs on this host: it holds a lock as long as it runs. None: that is not known.

    VDSM's user tries the lock; a keeper that starts in this moment waits for it.
    """
    path = os.path.join(KEEPER_FOLDER, "lock")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return _is_listed(path)
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_listed(path: str) -> bool | None:
    """Whether the kernel lists a lock of this file; None: that cannot be seen.

    It does so for every user, also for those who must not open the file, because they could lock it themselves. That
    takes some 10 ms, in which nothing on the host can lock a file.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}".encode()
    try:
        # an entry may be missing if locks come and go while the kernel lists them
        return any(_is_locked(file) for _ in range(3))
    except OSError:
        return None


def _is_locked(file: bytes) -> bool:
    with open("/proc/locks", "rb") as locks:
        return any(line.split()[1:2] == [b"FLOCK"] and file in line.split() for line in locks.read().splitlines())


def before_memory_hotplug(environ: Mapping[str, str] = os.environ) -> int:
    """Plug a memory device, whose XML is in `_hook_domxml`, into the cell of the VM `vmId` that has the least memory.

    The engine always names guest node 0.
    """

    def plug(_: Mapping[str, str], device: bytes) -> Done:
        from .rewrite import retarget

        running = _running(environ.get("vmId", ""))
        return device if running is None else retarget(device, running), "", None

    return _run(environ, ("guestnuma",), plug)


def _running(uuid: str) -> bytes | None:
    """The XML of a running VM, over libvirt's read-only connection, which needs no password; None if that fails."""
    try:
        import libvirt
    except ImportError:
        return None
    from .running import connection

    try:
        opened = connection.open_read_only(connection.SYSTEM)
        try:
            return str(opened.lookupByUUIDString(uuid).XMLDesc()).encode()
        finally:
            opened.close()
    except libvirt.libvirtError:
        return None


def _run(
    environ: Mapping[str, str],
    names: tuple[str, ...],
    work: Callable[[Mapping[str, str], bytes], Done],
) -> int:
    """Run `work` on the properties `names` and the file `_hook_domxml`.

    If none of the properties is set, nothing is done.
    """
    values = {name: environ[name] for name in names if environ.get(name, "").strip(" ")}
    if not values:
        return 0
    import gc

    gc.disable()  # the process ends before there is garbage worth collecting
    try:
        return _run_on_file(environ.get("_hook_domxml", ""), lambda document: work(values, document))
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        fix = "reinstall vdsm-hook-largeguest" if package == "largeguest" else f"install python3-{package}"
        _report(f"largeguest: the Python module {error.name} is not installed: dnf {fix}")
    except Exception as error:
        _report(describe(error))
    return 2


def _run_on_file(path: str, work: Callable[[bytes], Done]) -> int:
    from .problem import Problem, Refused

    try:
        if not path:
            raise Refused([Problem("_hook_domxml", "is not set", "let VDSM run the hook")])
        old = _read(path)
        new, line, finish = work(old)
        if new != old:
            _replace(path, new)
        line = "; ".join(filter(None, [line, finish and finish()]))
    except Refused as refused:
        _report(str(refused))
        return 2
    if line:
        _report(line)
    return 0


def _read(path: str) -> bytes:
    """The content of a file, at most one byte more than is allowed; raises Refused."""
    try:
        # opening a pipe would block forever
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(0, "Not a regular file")
            return file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise _cannot("read", path, error, "let VDSM run the hook") from None


def _replace(path: str, content: bytes) -> None:
    """Replace the file's content, keeping owner and mode; raises Refused, with the file unchanged."""
    try:
        _replace_whole(path, content)
    except OSError as error:
        raise _cannot("replace", path, error, "its folder must be writable, with free space") from None


def _cannot(do: str, path: str, error: OSError, fix: str) -> Exception:
    from .problem import Problem, Refused
    from .wording import quote

    return Refused([Problem("_hook_domxml", f"cannot {do} the file {quote(path, 200)}: {error.strerror}", fix)])


def _replace_whole(path: str, content: bytes) -> None:
    path = os.path.realpath(path)
    old = os.stat(path)
    temporary = f"{path}.{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def describe(error: BaseException) -> str:
    """The traceback of a defect and the type of the error, but not its message, which could quote the domain XML."""
    import traceback

    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"largeguest: unexpected error, please report it:\n{frames}{type(error).__name__}"


def _report(text: str) -> None:
    """Write a line to stderr, unbuffered; a closed stderr is not an error."""
    try:
        os.write(2, text.encode("ascii", "backslashreplace") + b"\n")
    except OSError:
        pass

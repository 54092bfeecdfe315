# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook as a process of its own, as VDSM starts it, but from this tree and without VDSM."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from largeguest import VERSION, hooks
from largeguest.cpuset import CpuSet
from largeguest.host import reservations
from largeguest.running import pins, state
from largeguest.running.state import Work
from largeguest.values import Neighbour, Promise

from . import COVERAGE, DATA, ROOT, hosts, vdsm
from .refusals import THREE_REFUSALS

PLAIN = (DATA / "plain.xml").read_bytes()

UUID = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01"

Hook = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the /run of a host on which no VM runs."""
    root = tmp_path_factory.mktemp("root")
    vdsm.make_run_folder(root)
    return root


@pytest.fixture
def domxml(tmp_path: Path) -> Path:
    path = tmp_path / "domxml"
    path.write_bytes(PLAIN)
    return path


@pytest.fixture
def start_hook(four_nodes: str, root: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the hook of a hook point as VDSM does, on a host with four nodes; `first` is code to run before it."""

    def start(
        domxml: Path, environ: dict[str, str], first: str = "", point: str = "before_vm_start"
    ) -> subprocess.Popen[str]:
        # `-I` would not find the package in this tree
        prepare = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from largeguest import hooks; "
        prepare += f"hooks.SYS = {four_nodes!r}; hooks.ROOT = {str(root)!r}; "
        return subprocess.Popen(
            [sys.executable, "-I", "-c", f"{prepare}{first}sys.exit(hooks.{point}())"],
            env={**COVERAGE, "_hook_domxml": str(domxml), "vmId": UUID, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_hook(start_hook: Callable[..., subprocess.Popen[str]]) -> Hook:
    """Run it to its end."""

    def run(*arguments: Any, **named: Any) -> subprocess.CompletedProcess[str]:
        with start_hook(*arguments, **named) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"cputune": "0-3#=0-3", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"},
            "cputune: 4 vCPUs pinned; numatune: memory strict on host node 0; guestnuma: 2 cells, 4 vCPUs, 512 MiB; "
            "4 of 4 vCPUs on the nodes of their cells",
        ),
        ({"cputune": "0-3#0-3", "numatune": "", "guestnuma": "  "}, "cputune: 4 vCPUs pinned"),
    ],
)
def test_done(run_hook: Hook, domxml: Path, environ: dict[str, str], message: str) -> None:
    domxml.write_bytes(PLAIN.replace(b"cpuPolicy>none<", b"cpuPolicy>manual<"))
    result = run_hook(domxml, environ)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", f"largeguest {VERSION}: {message}\n")
    assert b"<vcpupin" in domxml.read_bytes()


NO_KEEPER = (
    "; largeguest: warning: cputune: VDSM moves the pins of a VM with the CPU pinning policy none, and the keeper is not "
    "active: systemctl enable --now vdsm-largeguest-keeper, or choose the policy Manual"
)


@pytest.mark.parametrize(
    ("policy", "keeper", "message"),
    [
        (b"none", True, "; the keeper holds the pins"),
        (b"none", False, NO_KEEPER),
        (b"manual", True, ""),
        (b"manual", False, ""),
        (None, False, ""),
    ],
)
def test_what_holds_the_pins(
    run_hook: Hook, domxml: Path, tmp_path: Path, policy: bytes | None, keeper: bool, message: str
) -> None:
    element = b"<ovirt-vm:cpuPolicy>none</ovirt-vm:cpuPolicy>"
    assert element in PLAIN
    domxml.write_bytes(PLAIN.replace(element, b"" if policy is None else element.replace(b"none", policy)))
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as lock:
        if keeper:
            fcntl.flock(lock, fcntl.LOCK_EX)
        result = run_hook(domxml, {"cputune": "0-3#node0"}, f"hooks.KEEPER_FOLDER = {str(tmp_path)!r}; ")
        assert (result.returncode, result.stderr) == (0, f"largeguest {VERSION}: cputune: 4 vCPUs pinned{message}\n")
        # no pins, no keeper needed
        domxml.write_bytes(PLAIN)
        assert "keeper" not in run_hook(domxml, {"numatune": "0"}).stderr


UNKNOWN = (
    "; largeguest: warning: host: what other VMs hold is not known: "
    '"libvirt\'s Python binding is missing": start the keeper: systemctl enable --now vdsm-largeguest-keeper'
)


@pytest.mark.parametrize(
    ("connected", "runs", "message"),
    [
        (
            True,
            True,
            '; largeguest: warning: cputune: CPU 0 is also pinned by VM "db09": largeguest plan leaves out what',
        ),
        (False, True, UNKNOWN),  # it does not know of VMs that have started since libvirt left it
        (True, False, UNKNOWN),
    ],
)
def test_what_other_vms_hold(
    run_hook: Hook, domxml: Path, tmp_path: Path, root: Path, connected: bool, runs: bool, message: str
) -> None:
    others = {"a": (Neighbour("db09", CpuSet([0])), Work()), UUID: (Neighbour("db01", CpuSet([1])), Work())}
    state.publish(str(tmp_path), connected, others)
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as lock:
        if runs:
            fcntl.flock(lock, fcntl.LOCK_EX)
        (root / "run/libvirt/qemu").mkdir(parents=True)
        first = f"hooks.KEEPER_FOLDER = {str(tmp_path)!r}; sys.modules['libvirt'] = None; "
        none_runs = run_hook(domxml, {"cputune": "0-3#=node0"}, first)
        assert "VMs" not in none_runs.stderr
        domxml.write_bytes(PLAIN)
        (root / "run/libvirt/qemu/db09.pid").touch()
        result = run_hook(domxml, {"cputune": "0-3#=node0"}, first)
    assert result.returncode == 0
    assert message in result.stderr
    assert ("pinned by VM" in result.stderr) == (connected and runs)


RACING = {
    "one CPU each on a node of four": ([{"cputune": f"all#=node{node}"} for node in (0, 1, 1, 2)], 3, "pinned by VM"),
    "more than half of a node": ([{"numatune": f"strict#{node}"} for node in (0, 0, 0, 3)], 2, "promised to VM"),
}


@pytest.mark.parametrize(("typed", "fit", "warning"), RACING.values(), ids=RACING.keys())
def test_four_starts_at_once(
    start_hook: Callable[..., subprocess.Popen[str]],
    root: Path,
    tmp_path: Path,
    typed: list[dict[str, str]],
    fit: int,
    warning: str,
) -> None:
    """libvirt knows none of them yet; whoever comes second is warned."""
    memory = 3 * hosts.GIB  # of 4
    started = []
    for number, properties in enumerate(typed):
        domxml = tmp_path / f"domxml{number}"
        document = PLAIN.replace(b">db01<", f">db1{number}<".encode()).replace(b">524288<", f">{memory}<".encode())
        domxml.write_bytes(document)
        environ = {**properties, "vmId": UUID[:-1] + str(number)}
        # with the lock, each waits: without it, all of them would have looked before one reserves
        slow = "import time; from largeguest import rewrite; old = rewrite.rewrite; "
        slow += "rewrite.rewrite = lambda *all: (time.sleep(0.2), old(*all))[1]; "
        started.append(start_hook(domxml, environ, slow))
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert sum(warning not in text for text in errors) == fit, errors
    assert len(reservations.held(str(root))) == 4


def test_four_starts_at_once_with_auto(
    start_hook: Callable[..., subprocess.Popen[str]], run_hook: Hook, root: Path, tmp_path: Path
) -> None:
    """Each on a node of its own; a fifth fits nowhere."""
    auto = {"cputune": "auto", "guestnuma": "auto"}
    paths = [tmp_path / f"domxml{number}" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(PLAIN.replace(b">db01<", f">db1{number}<".encode()))
    started = [
        start_hook(path, {**auto, "vmId": f"{UUID[:-1]}{number}"}, "sys.setswitchinterval(1e-4); ")
        for number, path in enumerate(paths[:4])
    ]
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert all("warning: " not in text.replace(NO_KEEPER[2:], "") for text in errors), errors
    held = reservations.held(str(root)).values()
    assert sorted(str(other.cpus) for other in held) == ["0-3", "12-15", "4-7", "8-11"]
    assert sorted(str(promise.nodes) for other in held for promise in other.promises) == ["0", "1", "2", "3"]
    assert all(b"<vcpupin" in path.read_bytes() for path in paths[:4])
    fifth = run_hook(paths[4], {**auto, "vmId": f"{UUID[:-1]}5"})
    assert fifth.returncode == 2
    assert fifth.stderr.startswith("largeguest: guestnuma: auto: 4 vCPUs and 512 MiB do not fit: the host has 4 nodes ")
    assert fifth.stderr.endswith(": choose another host, or make room on this one\n")
    again = run_hook(paths[0], {**auto, "vmId": f"{UUID[:-1]}0"})  # its own reservation is no other VM's
    assert again.returncode == 0


def test_a_hook_that_is_killed_blocks_nothing(
    start_hook: Callable[..., subprocess.Popen[str]], run_hook: Hook, domxml: Path
) -> None:
    stop = "import os, signal; from largeguest.host import reservations; work = reservations.reserve; "
    stop += "reservations.reserve = lambda *all: (work(*all), os.kill(os.getpid(), signal.SIGSTOP)); "
    with start_hook(domxml, {"cputune": "all#node0", "vmId": UUID[:-1] + "2"}, stop) as process:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        short = "from largeguest.host import reservations; reservations.lock.__defaults__ = (0.1,); "
        waiting = run_hook(domxml, {"cputune": "all#node1"}, short)
        process.kill()
    assert waiting.returncode == 0
    assert "may get the same CPUs and memory: one has been choosing for over 0 seconds" in waiting.stderr
    after = run_hook(domxml, {"cputune": "all#node1"})
    assert (after.returncode, "may get the same" in after.stderr) == (0, False)


def test_reservations_that_cannot_be_written(run_hook: Hook, domxml: Path, root: Path) -> None:
    shutil.rmtree(root / "run/vdsm-largeguest")
    result = run_hook(domxml, {"cputune": "0#0"})
    assert result.returncode == 0
    assert result.stderr.count("VMs that start at the same time may get the same CPUs and memory: No such file") == 1
    assert result.stderr.endswith("systemd-tmpfiles --create vdsm-largeguest.conf\n")


@pytest.mark.parametrize(("others", "code"), [([8, 9], 2), ([7, 12], 0)])
def test_auto_is_resolved_again_where_a_vm_arrives(
    run_hook: Hook, domxml: Path, root: Path, others: list[int], code: int
) -> None:
    """Beside the VMs of that host, near the nodes that its cells have in numbers."""
    auto = {"cputune": "auto", "guestnuma": "auto"}
    cells = b"<cpu match=\"exact\"><numa><cell id='0' cpus='0-3' memory='524288'/></numa>"
    nodes = b"<numatune><memory mode='strict' nodeset='2'/></numatune><cputune><vcpupin vcpu='0' cpuset='0'/>"
    domxml.write_bytes(RAN.replace(b"<cputune>", nodes).replace(b'<cpu match="exact">', cells))
    reservations.reserve(str(root), f"{UUID[:-1]}2", Neighbour("db02", CpuSet(others)))
    result = run_hook(domxml, auto, point="before_vm_migrate_destination")
    assert result.returncode == code
    if code:
        assert result.stderr == (
            "largeguest: cputune: auto: vCPUs 0-3 need 4 CPUs of their own, but node 2 has only 2 that no other VM is "
            "pinned to: choose another host, or make room on this one\n"
        )
    else:
        assert result.stderr == ""
        assert reservations.held(str(root))[UUID].cpus == CpuSet.span(8, 11)


def test_auto_does_not_arrive_on_memory_that_is_promised(run_hook: Hook, domxml: Path, root: Path) -> None:
    """Its nodes travel as numbers, so there is no other choice; a typed layout may be meant so."""
    memory = 3 * hosts.GIB  # of 4, of which 2 are free
    bound = b"<numatune><memory mode='strict' nodeset='2'/></numatune><cputune>"
    other = Neighbour("db02", CpuSet(), False, (Promise(CpuSet([2]), 0, memory),))
    for cputune, code in (("auto", 2), ("all#=cell", 0)):
        domxml.write_bytes(RAN.replace(b"<cputune>", bound).replace(b">524288<", f">{memory}<".encode()))
        reservations.reserve(str(root), f"{UUID[:-1]}2", other)
        typed = {"cputune": cputune, "numatune": "strict#2"}
        result = run_hook(domxml, typed, point="before_vm_migrate_destination")
        assert result.returncode == code, result.stderr
        assert code == 0 or result.stderr == (
            "largeguest: numatune: 3 GiB is bound to node 2, where only 2 GiB is free now: choose another host; "
            'largeguest: numatune: 3 GiB is bound to node 2, where 3 GiB is promised to VM "db02": choose another host\n'
        )


def test_a_start_that_fails_leaves_no_reservation(run_hook: Hook, domxml: Path, root: Path) -> None:
    fail = "hooks._replace_whole = lambda *_: (_ for _ in ()).throw(OSError(28, 'No space left on device')); "
    assert run_hook(domxml, {"cputune": "0#0"}, fail).returncode == 2
    assert reservations.held(str(root)) == {}


def test_what_a_killed_hook_leaves_is_used_by_the_next_one(run_hook: Hook, domxml: Path, root: Path) -> None:
    kill = "import os, signal; from largeguest.host import reservations; old = reservations.os.rename; "
    kill += (
        "reservations.os = type('os', (), {**vars(os), 'rename': lambda *_: os.kill(os.getpid(), signal.SIGKILL)}); "
    )
    assert run_hook(domxml, {"cputune": "0#0"}, kill).returncode == -9
    domxml.write_bytes(PLAIN)
    assert run_hook(domxml, {"cputune": "0#0"}).returncode == 0
    assert sorted(os.listdir(root / "run/vdsm-largeguest")) == ["choose", "reservations"]


@pytest.mark.parametrize("point", ["before_vm_migrate_destination", "before_vm_dehibernate"])
def test_a_vm_that_arrives_has_its_place_reserved(run_hook: Hook, domxml: Path, root: Path, point: str) -> None:
    domxml.write_bytes(RAN.replace(b"<cputune>", b"<numatune><memory mode='strict' nodeset='1'/></numatune><cputune>"))
    result = run_hook(domxml, {"cputune": "all#node2", "numatune": "strict#1"}, point=point)
    assert (result.returncode, result.stderr) == (0, "")
    held = reservations.held(str(root))[UUID]
    assert (held.cpus, [promise.nodes for promise in held.promises]) == (CpuSet.span(8, 11), [CpuSet([1])])


# A stand-in for libvirt's binding; the e2e tests have the real one.
FAKE_TO_PIN = """
from tests.running import fake_libvirt
world = fake_libvirt.World()
domain = fake_libvirt.Domain(world, "db01", {cputune!r})
world.domains.append(domain)
sys.modules["libvirt"] = world.module()
domain.UUIDString = lambda: "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01"
import atexit
atexit.register(lambda: print(domain.calls and [(thread, cpus) for _, thread, cpus in domain.calls]))
{more}
"""
NOT_PINNED = "the VM runs without its pins; start the keeper: systemctl enable --now vdsm-largeguest-keeper"


@pytest.mark.parametrize(
    ("cputune", "more", "code", "calls", "message"),
    [
        ("0#node1,1#3", "", 0, "[('vcpu0', '4,5,6,7'), ('vcpu1', '3')]", ""),
        ("0#node9", "", 1, "[]", "cputune: node9 is not on this host, which has nodes 0-3: name CPUs that exist"),
        (
            "0#1",
            "domain.broken = fake_libvirt.libvirtError('no luck')",
            1,
            "[]",
            f'cputune: libvirt: vcpu0 cannot be pinned: "no luck": {NOT_PINNED.replace("its pins", "these pins")}',
        ),
        (
            "0#1",
            "world.domains.clear()",
            1,
            "[]",
            f'cputune: libvirt could not pin the VM: "Domain not found": {NOT_PINNED}',
        ),
        (
            "0#1",
            "sys.modules['libvirt'] = None",
            1,
            "[]",
            f"cputune: libvirt's Python binding is not installed: {NOT_PINNED}",
        ),
    ],
)
def test_a_vm_that_has_arrived_is_pinned(
    run_hook: Hook, domxml: Path, four_nodes: str, cputune: str, more: str, code: int, calls: str, message: str
) -> None:
    fake = FAKE_TO_PIN.format(cputune=cputune, more=more)
    prepare = f"exec({fake!r}); hooks.SYS = {four_nodes!r}; "
    result = run_hook(domxml, {"cputune": cputune}, prepare, "after_vm_migrate_destination")
    assert (result.returncode, result.stderr) == (code, f"largeguest: {message}\n" if message else "")
    assert result.stdout.strip() == calls


@pytest.mark.parametrize("keeper", [True, False])
def test_a_vm_that_has_arrived_and_needs_no_pins(run_hook: Hook, domxml: Path, tmp_path: Path, keeper: bool) -> None:
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as lock:
        if keeper:
            fcntl.flock(lock, fcntl.LOCK_EX)
        first = f"hooks.KEEPER_FOLDER = {str(tmp_path)!r}; sys.modules['libvirt'] = None; "
        environ = {"cputune": "0#1"} if keeper else {"numatune": "0"}
        result = run_hook(domxml, environ, first, "after_vm_migrate_destination")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(("environ", "message"), THREE_REFUSALS, ids=lambda value: repr(value)[:60])
def test_refused(run_hook: Hook, domxml: Path, environ: dict[str, str], message: str) -> None:
    before = domxml.stat()
    result = run_hook(domxml, environ)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"largeguest: {message}\n")
    assert domxml.read_bytes() == PLAIN
    assert (domxml.stat().st_ino, domxml.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(domxml.parent.iterdir()) == [domxml]


SCRIPT = ROOT / "vdsm_hooks/largeguest/hook.py"
POINTS = sorted(name for name in vars(hooks) if name.startswith(("before_", "after_")))


def script_of(point: str, folder: Path) -> Path:
    """The hook where VDSM has it."""
    (folder / point).mkdir(parents=True)
    return Path(shutil.copy(SCRIPT, folder / point / "50_largeguest"))


def imported(command: list[str], environ: dict[str, str]) -> tuple[int, set[str]]:
    result = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", *command], env=environ, capture_output=True, text=True, check=False
    )
    lines = result.stderr.splitlines()
    assert all(line.startswith("import time:") for line in lines), result.stderr
    return result.returncode, {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    "environ", [{}, {"cputune": ""}, {"cputune": " ", "numatune": "", "guestnuma": ""}, {"CPUTUNE": "x"}]
)
def test_without_properties_nothing_is_touched_or_imported(point: str, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = {"_hook_domxml": "/nowhere", **environ}  # which is not even opened
    _, always = imported([os.devnull], environ)  # an empty script: "-c" itself imports more in Python 3.14
    assert imported([str(script_of(point, tmp_path))], environ) == (0, always)


BROKEN = "largeguest: the Python package largeguest cannot be imported ({}): dnf reinstall vdsm-hook-largeguest\n"


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    ("environ", "package", "error"),
    [
        ({}, None, ""),
        ({"numatune": "0"}, None, "ModuleNotFoundError"),
        ({}, "def", ""),
        ({"cputune": "0#0"}, "def", "SyntaxError"),
    ],
)
def test_a_package_that_is_missing_or_broken_stops_no_other_vm(
    point: str, environ: dict[str, str], package: str | None, error: str, tmp_path: Path
) -> None:
    if package is not None:
        (tmp_path / "lib/largeguest").mkdir(parents=True)
        (tmp_path / "lib/largeguest/__init__.py").write_text(package)
    script = script_of(point, tmp_path)
    code = f"import runpy, sys; sys.path.insert(0, {str(tmp_path / 'lib')!r}); runpy.run_path({str(script)!r})"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    expected = 0 if not error else 2 if point.startswith("before_") else 1
    assert (result.returncode, result.stderr) == (expected, BROKEN.format(error) if error else "")


@pytest.mark.parametrize(
    ("module", "fix"),
    [("lxml", "install python3-lxml"), ("largeguest.placement.deal", "reinstall vdsm-hook-largeguest")],
)
def test_a_module_is_missing(run_hook: Hook, domxml: Path, module: str, fix: str) -> None:
    result = run_hook(domxml, {"cputune": "0#0"}, first=f"sys.modules[{module!r}] = None; ")
    assert (result.returncode, result.stderr) == (
        2,
        f"largeguest: the Python module {module} is not installed: dnf {fix}\n",
    )


def test_a_closed_stderr(run_hook: Hook, domxml: Path) -> None:
    result = run_hook(domxml, {"cputune": "0#0"}, first="import os; os.close(2); ")
    assert result.returncode == 0
    assert b"<vcpupin" in domxml.read_bytes()


def test_1024_vcpus_on_2048_cpus_fit_what_the_engine_stores(run_hook: Hook, domxml: Path, large_host: str) -> None:
    typed = {
        "cputune": ",".join(f"{32 * n}-{32 * n + 31}#=node{n}" for n in range(32)) + ",emulator#^0-31",
        "numatune": "0-31",
        "guestnuma": ",".join(f"{32 * n}-{32 * n + 31}#*@{n}" for n in range(32)),
    }
    assert len(";".join(f"{name}={value}" for name, value in typed.items())) < 4000
    domxml.write_bytes(b"<domain><memory unit='GiB'>32</memory><vcpu>1024</vcpu></domain>")
    result = run_hook(domxml, typed, first=f"hooks.SYS = {large_host!r}; ")
    assert (result.returncode, result.stderr) == (
        0,
        f"largeguest {VERSION}: cputune: 1024 vCPUs, the emulator pinned; numatune: memory strict on host nodes 0-31; "
        "guestnuma: 32 cells on host nodes 0-31, 1024 vCPUs, 32 GiB; "
        "1024 of 1024 vCPUs on the nodes of their cells\n",
    )
    written = domxml.read_bytes()
    assert (written.count(b"<vcpupin "), written.count(b"<cell "), written.count(b"<sibling ")) == (1024, 32, 32 * 32)
    cpus = re.findall(rb'<vcpupin vcpu="\d+" cpuset="(\d+)"/>', written)
    assert len(set(cpus)) == 1024


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        # the lists of CPUs and of nodes
        ({"cputune": "0#0-1,1#2047"}, 2),
        ({"guestnuma": "0-3#*"}, 2),
        # and of each node that is named cpulist, distance, meminfo, and how many huge pages there are of 2 sizes
        ({"cputune": "0-3#96-97", "numatune": "strict#3"}, 2 + 5),
        ({"numatune": "0,7", "guestnuma": "0-1#*@0,2-3#*@7"}, 2 + 2 * 5),
    ],
)
def test_only_what_is_needed_is_read_from_the_host(
    run_hook: Hook, domxml: Path, large_host: str, environ: dict[str, str], files: int
) -> None:
    count = (
        f"hooks.SYS = {large_host!r}; opened = []; sys.addaudithook(lambda event, args: opened.append(args[0]) "
        "if event == 'open' and str(args[0]).startswith(hooks.SYS) else None); "
        "import atexit; atexit.register(lambda: print(len(opened))); "
    )
    result = run_hook(domxml, environ, first=count)
    assert (result.returncode, result.stdout) == (0, f"{files}\n"), result.stderr


def test_owner_and_mode_are_kept(run_hook: Hook, domxml: Path) -> None:
    domxml.chmod(0o640)
    if os.getuid() == 0:
        os.chown(domxml, 36, 107)
    before = domxml.stat()
    assert run_hook(domxml, {"cputune": "0#0"}).returncode == 0
    after = domxml.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o640)
    assert after.st_ino != before.st_ino
    assert list(domxml.parent.iterdir()) == [domxml]


def test_a_link_stays_a_link(run_hook: Hook, domxml: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(domxml)
    assert run_hook(link, {"cputune": "0#0"}).returncode == 0
    assert link.is_symlink()
    assert b"vcpupin" in domxml.read_bytes()


CANNOT = 'cannot read the file "{}": {}: let VDSM run the hook'


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"_hook_domxml": "/nowhere/domxml"}, CANNOT.format("/nowhere/domxml", "No such file or directory")),
        ({"_hook_domxml": ""}, "is not set: let VDSM run the hook"),
        ({"_hook_domxml": "/"}, CANNOT.format("/", "Is a directory")),
        ({"_hook_domxml": "/dev/null"}, CANNOT.format("/dev/null", "Not a regular file")),
        ({"_hook_domxml": "/caf\u00e9"}, CANNOT.format("/caf\\xe9", "No such file or directory")),
    ],
)
def test_no_file(run_hook: Hook, domxml: Path, environ: dict[str, str], message: str) -> None:
    result = run_hook(domxml, {"cputune": "0#0", "LC_ALL": "C.UTF-8", **environ})
    assert (result.returncode, result.stderr) == (2, f"largeguest: _hook_domxml: {message}\n")


def test_too_many_open_files(run_hook: Hook, domxml: Path) -> None:
    full = "from largeguest import problem; import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); "
    result = run_hook(domxml, {"cputune": "0#0"}, first=full)
    assert (result.returncode, result.stderr) == (
        2,
        f"largeguest: _hook_domxml: {CANNOT.format(domxml, 'Too many open files')}\n",
    )


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(run_hook: Hook, domxml: Path) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(PLAIN) // 2},) * 2); "
    result = run_hook(domxml, {"cputune": "0#0"}, first="import signal; signal.signal(25, signal.SIG_IGN); " + limit)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr == (
        f'largeguest: _hook_domxml: cannot replace the file "{domxml}": File too large: '
        "its folder must be writable, with free space\n"
    )
    assert domxml.read_bytes() == PLAIN
    assert list(domxml.parent.iterdir()) == [domxml]


def test_an_unexpected_error_is_a_traceback_without_the_xml(run_hook: Hook, domxml: Path) -> None:
    broken = (
        "from largeguest import rewrite; "
        "rewrite.place = lambda request, guest, host: int(open(__import__('os').environ['_hook_domxml']).read()); "
    )
    result = run_hook(domxml, {"cputune": "0#0"}, first=broken)
    assert result.returncode == 2
    assert result.stderr.startswith("largeguest: unexpected error, please report it:\n  File ")
    assert result.stderr.endswith("\nValueError\n")
    assert "hidden-word" not in result.stderr
    assert domxml.read_bytes() == PLAIN


def test_broken_xml_is_reported_without_its_content(run_hook: Hook, domxml: Path) -> None:
    domxml.write_bytes(PLAIN.replace(b'passwd="hidden-word"', b'passwd="hidden-word'))
    result = run_hook(domxml, {"cputune": "0#0"})
    assert result.returncode == 2
    assert result.stderr.startswith("largeguest: domain XML: not well-formed at line ")
    assert "hidden" not in result.stderr


def test_a_warning_does_not_stop_the_vm(run_hook: Hook, domxml: Path) -> None:
    result = run_hook(domxml, {"guestnuma": "0#262144,1-3#262144"})
    assert (result.returncode, result.stderr) == (
        0,
        f"largeguest {VERSION}: guestnuma: 2 cells, 4 vCPUs, 512 MiB; largeguest: warning: guestnuma: guest socket 0 is cut by "
        "a cell boundary (a socket has 2 vCPUs): give each cell whole sockets, or change the VM's sockets\n",
    )


RAN = PLAIN.replace(b'<domain type="kvm"', b'<domain id="3" type="kvm"')


@pytest.mark.parametrize("ran", [RAN, RAN.replace(b"<memory>", b"<memory unit='odd'>")])
def test_a_vm_that_is_resumed_is_left_alone(run_hook: Hook, domxml: Path, ran: bytes) -> None:
    domxml.write_bytes(ran)
    before = domxml.stat()
    result = run_hook(domxml, {"cputune": "0#0", "guestnuma": "0#1"})
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert result.stderr.startswith("largeguest: nothing changed: ")
    assert (domxml.read_bytes(), domxml.stat().st_ino) == (ran, before.st_ino)


FITS = ""
NO_NODE_4 = "largeguest: numatune: node 4 is not on this host, which has nodes 0-3: name nodes of this host"


@pytest.mark.parametrize("point", ["before_vm_migrate_destination", "before_vm_dehibernate"])
@pytest.mark.parametrize(
    ("environ", "inside", "message"),
    [
        ({}, "", ""),
        (
            {"cputune": "0#15", "numatune": "strict#3", "guestnuma": "0-1#1024,2-3#1024"},
            "<numatune><memory mode='strict' nodeset='3'/></numatune>",
            FITS,
        ),
        # neither the guest's sums are checked, as memory may have been plugged in, nor its vCPUs
        ({"guestnuma": "0-99#7"}, "", FITS),
        # VDSM removes the pins of vCPUs, and the property sets them here
        ({"cputune": "0#node1"}, "<cputune><vcpupin vcpu='0' cpuset='99'/></cputune>", FITS),
        (
            {"cputune": "0#node4"},
            "",
            "largeguest: cputune: node4 is not on this host, which has nodes 0-3: name CPUs that exist\n",
        ),
        (
            {"cputune": "0#16,1#99"},
            "",
            "largeguest: cputune: CPUs 16,99 are not online on this host, which has 0-15: pin to CPUs that are online\n",
        ),
        # everything else travels as it is in the XML, whatever the property would mean here
        ({"numatune": "^0"}, "<numatune><memory mode='strict' nodeset='1-4'/></numatune>", f"{NO_NODE_4}\n"),
        ({"numatune": "strict#77"}, "", FITS),
        (
            {"cputune": "emulator#node0"},
            "<cputune><emulatorpin cpuset='20'/><iothreadpin iothread='1' cpuset='21'/></cputune>",
            "largeguest: cputune: CPU 20 is not online on this host, which has 0-15, but emulator is pinned there until the "
            "VM runs here: choose another host, or shut the VM down and start it here; largeguest: domain XML: CPU 21 is "
            "not online on this host, which has 0-15, but iothread1 is pinned there by the engine: choose another host, or "
            "change the VM's CPU pinning in the engine\n",
        ),
        (
            {"cputune": "emulator#20"},
            "<cputune><emulatorpin cpuset='20'/></cputune>",
            "largeguest: cputune: CPU 20 is not online on this host, which has 0-15: pin to CPUs that are online\n",
        ),
        # what the engine has written is not blamed on a property
        (
            {"cputune": "0#0"},
            "<cputune><emulatorpin cpuset='99,3'/></cputune>"
            "<cpu><numa><cell id='0' cpus='0-1' memory='1024'/><cell id='1' cpus='2-3' memory='1024'/></numa></cpu>"
            "<numatune><memnode cellid='1' mode='strict' nodeset='7'/></numatune>",
            "largeguest: domain XML: CPU 99 is not online on this host, which has 0-15, but emulator is pinned there by the "
            "engine: choose another host, or change the VM's CPU pinning in the engine; "
            "largeguest: domain XML: the engine's NUMA pinning: node 7 is not on this host, which has nodes 0-3: choose "
            "another host, or change it in the engine\n",
        ),
        (
            {"cputune": "0#0"},
            "<cpu><numa><cell id='0' cpus='0-3' memory='5242880'/></numa></cpu>"
            "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>",
            "largeguest: domain XML: the engine's NUMA pinning: 5 GiB is bound to node 1, where only 4 GiB fits: "
            "choose another host, or change it in the engine\n",
        ),
        (
            {"cputune": "0#0"},
            "<cpu><numa><cell id='0' cpus='0-3' memory='3145728'/></numa></cpu>"
            "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>",
            FITS,
        ),
        (
            {"guestnuma": "0-1#*@0,2-3#*@1"},
            "<cpu><numa><cell id='0' cpus='0-1' memory='1024'/><cell id='1' cpus='2-3' memory='1024'/></numa></cpu>"
            "<numatune><memnode cellid='1' mode='strict' nodeset='5'/></numatune>",
            "largeguest: guestnuma: node 5 is not on this host, which has nodes 0-3: name nodes of this host\n",
        ),
        (
            {"cputune": "x", "numatune": "strict#4"},
            "<numatune><memory mode='strict' nodeset='4'/></numatune>",
            'largeguest: cputune: "x" at 0: "x" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3; ' + f"{NO_NODE_4}\n",
        ),
    ],
)
def test_a_host_that_takes_over_a_vm(
    run_hook: Hook, domxml: Path, point: str, environ: dict[str, str], inside: str, message: str
) -> None:
    ran = RAN.replace(b"<emulatorpin", b"<!-- none --><x").replace(b"</emulatorpin>", b"</x>")
    ran = ran.replace(b"<devices>", f"{inside}<devices>".encode())
    domxml.write_bytes(ran)
    before = domxml.stat()
    result = run_hook(domxml, environ, point=point)
    code = 0 if message == FITS else 2
    assert (result.returncode, result.stdout, result.stderr) == (code, "", message)
    assert (domxml.read_bytes(), domxml.stat().st_ino) == (ran, before.st_ino)


NODE_9 = "cputune: node9 is not on this host, which has nodes 0-3: name CPUs that exist"


@pytest.mark.parametrize("point", ["before_vm_migrate_destination", "before_vm_dehibernate"])
@pytest.mark.parametrize("policy", ["none", "manual", None, "dedicated"])
@pytest.mark.parametrize(
    ("cputune", "message"),
    [
        ("0#node9", NODE_9),
        ("emulator#node9", NODE_9),
        ("9#0", "cputune: vCPU 9 does not exist, the VM has vCPUs 0-3: remove its pin"),
        ("0#0,0#1", "cputune: vCPU 0 is pinned more than once: write one pin for each vCPU"),
        ("0-3#=0,1", "cputune: 0-3#=0,1 needs 4 CPUs, only 2 are available: name more CPUs, or write # without ="),
        ("0#0,3,1#2", None),  # a warning, but its start has reported that
    ],
)
def test_a_host_takes_over_only_what_the_keeper_will_apply(
    run_hook: Hook, domxml: Path, point: str, policy: str | None, cputune: str, message: str | None
) -> None:
    element = b"<ovirt-vm:cpuPolicy>none</ovirt-vm:cpuPolicy>"
    assert element in RAN
    ran = RAN.replace(element, b"" if policy is None else element.replace(b"none", policy.encode()))
    custom = f"<ovirt-vm:custom><ovirt-vm:cputune>{cputune}</ovirt-vm:cputune>".encode()
    ran = ran.replace(b"<ovirt-vm:custom>", custom)
    domxml.write_bytes(ran)
    result = run_hook(domxml, {"cputune": cputune}, point=point)
    if policy == "dedicated":  # under which the engine sets the layout, and the keeper does nothing
        assert (result.returncode, result.stderr) == (0, FITS)
        return
    assert (result.returncode, result.stderr) == ((0, FITS) if message is None else (2, f"largeguest: {message}\n"))
    kept = pins.read(ran, hosts.FOUR_NODES)
    assert (kept.target is None) == bool(message)
    assert [str(problem) for problem in kept.problems] == ([] if message is None else [f"largeguest: {message}"])


@pytest.mark.parametrize(("policy", "code"), [(b"none", 2), (b"dedicated", 0), (b"isolate-threads", 0)])
def test_under_an_exclusive_policy_vdsm_rewrites_what_travels(
    run_hook: Hook, domxml: Path, policy: bytes, code: int
) -> None:
    elsewhere = (
        b"<cputune><emulatorpin cpuset='99'/></cputune><cpu><numa><cell id='0' cpus='0-3' memory='1024'/></numa></cpu>"
        b"<numatune><memnode cellid='0' mode='strict' nodeset='9'/></numatune><devices>"
    )
    domxml.write_bytes(RAN.replace(b"cpuPolicy>none<", b"cpuPolicy>%s<" % policy).replace(b"<devices>", elsewhere))
    assert run_hook(domxml, {"cputune": "0#0"}, point="before_vm_migrate_destination").returncode == code


@pytest.mark.parametrize(
    ("point", "policy", "code"),
    [
        ("before_vm_migrate_destination", b"<ovirt-vm:cpuPolicy>manual</ovirt-vm:cpuPolicy>", 2),
        ("before_vm_migrate_destination", b"<ovirt-vm:cpuPolicy>none</ovirt-vm:cpuPolicy>", 0),
        ("before_vm_migrate_destination", b"", 2),
        # VDSM writes those of the engine over them
        ("before_vm_dehibernate", b"<ovirt-vm:cpuPolicy>manual</ovirt-vm:cpuPolicy>", 0),
    ],
)
def test_under_manual_the_pins_of_vcpus_travel(
    run_hook: Hook, domxml: Path, point: str, policy: bytes, code: int
) -> None:
    pinned = RAN.replace(b"<shares>", b"<vcpupin vcpu='0' cpuset='16'/><vcpupin vcpu='3' cpuset='17'/><shares>")
    domxml.write_bytes(pinned.replace(b"<ovirt-vm:cpuPolicy>none</ovirt-vm:cpuPolicy>", policy))
    result = run_hook(domxml, {"cputune": "0#=node1"}, point=point)
    assert result.returncode == code
    for message in (
        "cputune: CPU 16 is not online on this host, which has 0-15, but vcpu0 is pinned there until the VM runs here",
        "domain XML: CPU 17 is not online on this host, which has 0-15, but vcpu3 is pinned there by the engine",
    ):
        assert (message in result.stderr) == (code == 2)


def test_a_warning_is_not_reported_where_vdsm_shows_it_as_an_error(run_hook: Hook, domxml: Path) -> None:
    domxml.write_bytes(
        RAN.replace(b"<memory>524288", b"<memory>3145728").replace(
            b"<devices>", b"<numatune><memory mode='strict' nodeset='1'/></numatune><devices>"
        )
    )
    result = run_hook(domxml, {"numatune": "strict#1"}, point="before_vm_migrate_destination")
    assert (result.returncode, result.stderr) == (0, "")


DIMM = b"<memory model='dimm'><target><size unit='MiB'>1024</size><node>0</node></target><alias name='ua-1'/></memory>"
CELLS = (
    "<cell id='0' cpus='0' memory='3072'/><cell id='1' cpus='1' memory='1024'/><cell id='2' cpus='2' memory='1024'/>"
)

# A stand-in for libvirt's binding, which is for the system's Python; the e2e tests have the real one.
FAKE_LIBVIRT = """
import types
class Domain:
    def XMLDesc(self):
        return {xml!r}
class Connection:
    def lookupByUUIDString(self, uuid):
        assert uuid == "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01"
        return Domain()
    def close(self):
        pass
class libvirtError(Exception):
    pass
def openReadOnly(uri):
    assert uri == "qemu:///system"
    if not {xml!r}:
        raise libvirtError("no daemon")
    return Connection()
sys.modules["libvirt"] = types.SimpleNamespace(
    openReadOnly=openReadOnly, libvirtError=libvirtError, registerErrorHandler=lambda handler, context: None
)
"""


def running(cells: str, devices: str = "") -> str:
    return (
        f"<domain id='1'><memory>5120</memory><vcpu>4</vcpu><cpu><numa>{cells}</numa></cpu>"
        f"<devices>{devices}</devices></domain>"
    )


@pytest.mark.parametrize(
    ("xml", "node"),
    [
        (running(CELLS), 1),
        (running(CELLS, "<memory model='dimm'><target><size>512</size><node>1</node></target></memory>"), 2),
        (running("<cell id='1' cpus='1' memory='1024'/><cell id='0' cpus='0' memory='3072'/>"), 1),
        # unreadable cells, no cells, or no libvirt: the engine's choice is kept
        (running("<cell id='0' cpus='0' memory='some'/>"), 0),
        (running(""), 0),
        ("", 0),
    ],
)
def test_memory_is_plugged_into_the_cell_that_has_the_least(run_hook: Hook, domxml: Path, xml: str, node: int) -> None:
    domxml.write_bytes(DIMM)
    result = run_hook(domxml, {"guestnuma": "0#1024"}, FAKE_LIBVIRT.format(xml=xml), "before_memory_hotplug")
    assert (result.returncode, result.stderr) == (0, "")
    assert domxml.read_bytes().replace(b'"', b"'").strip() == DIMM.replace(b"<node>0", b"<node>%d" % node)


def test_memory_hotplug_without_libvirts_binding(run_hook: Hook, domxml: Path) -> None:
    domxml.write_bytes(DIMM)
    result = run_hook(domxml, {"guestnuma": "0#1024"}, "sys.modules['libvirt'] = None; ", "before_memory_hotplug")
    assert (result.returncode, result.stderr, domxml.read_bytes()) == (0, "", DIMM)


@pytest.mark.parametrize("environ", [{}, {"cputune": "x", "numatune": "y"}])
def test_memory_hotplug_concerns_guestnuma_only(run_hook: Hook, domxml: Path, environ: dict[str, str]) -> None:
    domxml.unlink()
    result = run_hook(domxml, environ, point="before_memory_hotplug")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (b"<disk/>", "the root element is not <memory>: give libvirt's <memory> XML"),
        (b"", "not well-formed at line 1, column 1: find out what wrote it, perhaps another hook"),
    ],
)
def test_memory_hotplug_of_something_else(run_hook: Hook, domxml: Path, device: bytes, message: str) -> None:
    domxml.write_bytes(device)
    result = run_hook(domxml, {"guestnuma": "0#1024"}, FAKE_LIBVIRT.format(xml=running(CELLS)), "before_memory_hotplug")
    assert (result.returncode, result.stderr) == (2, f"largeguest: device XML: {message}\n")
    assert domxml.read_bytes() == device


def test_the_script_is_what_vdsm_can_run() -> None:
    assert SCRIPT.read_text().startswith("#!/usr/bin/python3 -I\n")
    assert os.access(SCRIPT, os.X_OK)
    installed = (SCRIPT.parent / "Makefile.am").read_text().partition("EXTRA_DIST")[0]
    assert re.findall(r"^\t(\w+)", installed, re.MULTILINE) == POINTS
    assert sorted(re.findall(r"^(\w+_\w+)  ", SCRIPT.read_text(), re.MULTILINE)) == POINTS


@pytest.mark.parametrize(
    ("vdsm_runs", "is_start", "document", "rewritten"),
    [
        (True, True, PLAIN, True),
        (True, False, PLAIN, False),  # a memory snapshot's XML has no id
        (True, False, PLAIN.replace(b"<memory>", b"<memory unit='odd'>"), False),
        (True, False, RAN, False),
        (False, False, PLAIN, True),
        (False, False, RAN, False),
    ],
)
def test_a_start_is_known_by_its_launch_flags(
    run_hook: Hook, domxml: Path, tmp_path: Path, vdsm_runs: bool, is_start: bool, document: bytes, rewritten: bool
) -> None:
    run_folder = tmp_path / "run"
    if vdsm_runs:
        (run_folder / "another-vm").mkdir(parents=True)
    domxml.write_bytes(document)
    with vdsm.starting(run_folder, UUID) if is_start else contextlib.nullcontext():
        result = run_hook(domxml, {"numatune": "0"}, f"hooks.VM_FOLDERS = {str(run_folder)!r}; ")
    assert result.returncode == 0
    assert (domxml.read_bytes() != document) == rewritten
    assert result.stderr.startswith("largeguest: nothing changed: the VM is resumed, not started") != rewritten


def test_a_vm_that_vdsm_does_not_name_is_not_taken_for_a_resumed_one(
    run_hook: Hook, domxml: Path, tmp_path: Path
) -> None:
    result = run_hook(domxml, {"numatune": "0", "vmId": ""}, f"hooks.VM_FOLDERS = {str(tmp_path)!r}; ")
    assert (result.returncode, domxml.read_bytes() != PLAIN) == (0, True)


@pytest.mark.parametrize(
    ("point", "environ", "document"),
    [
        ("before_vm_migrate_destination", {"numatune": "strict#1"}, RAN),
        ("before_vm_dehibernate", {"cputune": "0#0"}, RAN),
        ("before_memory_hotplug", {"guestnuma": "0#1024"}, DIMM),
        ("before_vm_start", {"cputune": "0#0"}, PLAIN),
    ],
)
@pytest.mark.parametrize("ours", ["40_", "60_"])
def test_what_the_user_sees_when_another_hook_fails_is_not_ours(
    run_hook: Hook, domxml: Path, tmp_path: Path, point: str, environ: dict[str, str], document: bytes, ours: str
) -> None:
    folder = tmp_path / "hooks"
    folder.mkdir()
    for name in (f"{ours}ours", "50_other"):
        (folder / name).touch(0o755)
    domxml.write_bytes(document)

    def run(script: Path) -> subprocess.CompletedProcess[str]:
        if script.name == "50_other":
            command = [sys.executable, "-c", "import sys; sys.exit('the other one')"]
            return subprocess.run(command, capture_output=True, text=True, check=False)
        return run_hook(domxml, environ, FAKE_LIBVIRT.format(xml=running(CELLS)), point)

    with pytest.raises(vdsm.HookError) as caught:
        vdsm.run_scripts(point, folder, run)
    assert "largeguest" not in str(caught.value)


LOOK = "import sys; sys.path.insert(0, {root!r}); from largeguest import hooks; hooks.KEEPER_FOLDER = {folder!r}; "
OTHER_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
HIDDEN = ["unshare", "-m", "sh", "-c", 'mount -t proc -o subset=pid p /proc && exec "$@"', "-"]


@pytest.mark.skipif(os.getuid() != 0, reason="run as root")
@pytest.mark.parametrize(
    ("runs", "user", "is_active"),
    [
        (True, [], "True"),
        (False, [], "False"),
        (True, OTHER_USER, "True"),
        (False, OTHER_USER, "False"),
        (True, HIDDEN, "True"),
        (True, [*HIDDEN, *OTHER_USER], "None"),  # in a unit with ProcSubset=pid it cannot be seen
    ],
)
def test_whether_a_keeper_is_active(
    sources: Path, open_folder: Path, runs: bool, user: list[str], is_active: str
) -> None:
    folder = open_folder / "keeper"
    folder.mkdir(exist_ok=True)
    look = LOOK.format(root=str(sources), folder=str(folder)) + "print(hooks.keeper_is_active())"
    with (folder / "lock").open("w") as lock:
        os.fchmod(lock.fileno(), 0o600)
        if runs:
            fcntl.flock(lock, fcntl.LOCK_EX)
        found = subprocess.check_output([*user, "/usr/bin/python3", "-I", "-c", look], cwd="/", text=True)
        assert found == f"{is_active}\n"
        if not runs:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # who looks leaves nothing that would hold up a keeper

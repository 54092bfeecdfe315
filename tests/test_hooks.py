# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook as a process of its own, as VDSM starts it, but out of this tree and without VDSM."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from largeguest import hooks

from . import DATA, ROOT

PLAIN = (DATA / "plain.xml").read_bytes()

# `-I` would not find the package in this tree
RUN = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from largeguest import hooks; "


@pytest.fixture
def domxml(tmp_path: Path) -> Path:
    path = tmp_path / "domxml"
    path.write_bytes(PLAIN)
    return path


def run_hook(domxml: Path, environ: dict[str, str], first: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", f"{RUN}{first}sys.exit(hooks.before_vm_start())"],
        env={"_hook_domxml": str(domxml), "vmId": "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a01", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": "0-1#262144,2-3#262144"},
            "cputune: 2 vCPUs pinned; numatune: memory strict on host node 0; guestnuma: 2 cells, 4 vCPUs, 524288 KiB",
        ),
        ({"cputune": "3#0", "numatune": "", "guestnuma": "  "}, "cputune: 1 vCPU pinned"),
    ],
)
def test_done(domxml: Path, environ: dict[str, str], message: str) -> None:
    result = run_hook(domxml, environ)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", f"largeguest: {message}\n")
    assert b"<vcpupin" in domxml.read_bytes()


REFUSALS = [
    ({"cputune": "0"}, 'cputune: "0" at 0: "0" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ({"cputune": "a#0"}, 'cputune: "a#0" at 0: "a" is not a vCPU: write its number, as in 0#0-3'),
    ({"cputune": "0#b"}, 'cputune: "0#b" at 2: "b" is not an id or a range: write for example 3, 2-5 or ^3'),
    (
        {"cputune": "0#0,,1"},
        'cputune: "0#0,,1" at 4: "" stands where an id is missing: write an id or take the comma out',
    ),
    ({"cputune": "0#3-1"}, 'cputune: "0#3-1" at 2: "3-1" runs backwards: write 1-3'),
    ({"cputune": "0#99999"}, 'cputune: "0#99999" at 2: "99999" is too large: ids go from 0 to 16383'),
    (
        {"cputune": "0#1,^1"},
        'cputune: "0#1,^1" at 2: "1,^1" leaves nothing: name at least one id that no later ^ takes out',
    ),
    ({"cputune": "0#0#0"}, 'cputune: "0#0#0" at 0: "0#0#0" has one # too many: put a comma between two entries'),
    ({"cputune": "4#0"}, "cputune: vCPU 4 does not exist, the VM has vCPUs 0-3: take their pins out"),
    ({"cputune": "0#0,0#1"}, "cputune: vCPU 0 is pinned more than once: write one pin for each vCPU"),
    (
        {"numatune": "local#0"},
        'numatune: "local#0" at 0: "local" is not a mode: write strict#, preferred# or interleave# before the nodes',
    ),
    (
        {"numatune": "strict"},
        'numatune: "strict" at 0: "strict" names no nodes: write strict#<nodeset>, as in strict#0',
    ),
    (
        {"numatune": "strict#"},
        'numatune: "strict#" at 7: "" stands where an id is missing: write an id or take the comma out',
    ),
    ({"numatune": "preferred#0-1"}, "numatune: preferred takes one node but 0-1 are 2: name one, or write interleave#"),
    ({"guestnuma": "0-3"}, 'guestnuma: "0-3" at 0: "0-3" has no memory: write <vcpus>#<KiB>, for example 0-3#4194304'),
    (
        {"guestnuma": "0-3#lots"},
        'guestnuma: "0-3#lots" at 4: "lots" is not an amount of memory: write KiB in digits, as in 4194304',
    ),
    (
        {"guestnuma": "all#524288"},
        'guestnuma: "all#524288" at 0: "all" is not a vCPU or a range of vCPUs: write for example 3 or 0-7',
    ),
    (
        {"guestnuma": "0-7#524288"},
        "guestnuma: vCPUs 4-7 do not exist, the VM has vCPUs 0-3: let the cells end with vCPU 3",
    ),
    ({"guestnuma": "0-1#524288"}, "guestnuma: vCPUs 2-3 are in no cell: name all of 0-3"),
    (
        {"guestnuma": "0-1#262144,1-3#262144"},
        "guestnuma: vCPU 1 is in more than one cell: name each vCPU once",
    ),
    (
        {"guestnuma": "0-1#262144,2-3#262145"},
        "guestnuma: cell 1 has 262145 KiB, which is no multiple of 1 MiB: write 262144 or 263168; largeguest: "
        "guestnuma: the cells hold 524289 KiB but the VM has 524288 KiB: take 1 KiB away",
    ),
    (
        {"guestnuma": "0-3#524289"},
        "guestnuma: cell 0 has 524289 KiB, which is no multiple of 1 MiB: write 524288 or 525312; largeguest: "
        "guestnuma: the cells hold 524289 KiB but the VM has 524288 KiB: take 1 KiB away",
    ),
    ({"guestnuma": "0-3#262144"}, "guestnuma: the cells hold 262144 KiB but the VM has 524288 KiB: add 262144 KiB"),
    (
        {"cputune": "0#\u00e9", "numatune": "strict#\x07"},
        'cputune: "0#\\xe9" at 2: "\\xe9" is not an id or a range: write for example 3, 2-5 or ^3; largeguest: '
        'numatune: "strict#\\x07" at 7: "\\x07" is not an id or a range: write for example 3, 2-5 or ^3',
    ),
    (
        {"cputune": "x", "numatune": "preferred#0-1", "guestnuma": "0-3#1048576"},
        'cputune: "x" at 0: "x" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3; largeguest: '
        "numatune: preferred takes one node but 0-1 are 2: name one, or write interleave#; largeguest: "
        "guestnuma: the cells hold 1048576 KiB but the VM has 524288 KiB: take 524288 KiB away",
    ),
]


@pytest.mark.parametrize(("environ", "message"), REFUSALS, ids=lambda value: repr(value)[:60])
def test_refused(domxml: Path, environ: dict[str, str], message: str) -> None:
    before = domxml.stat()
    result = run_hook(domxml, environ)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"largeguest: {message}\n")
    assert domxml.read_bytes() == PLAIN
    assert (domxml.stat().st_ino, domxml.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(domxml.parent.iterdir()) == [domxml]


@pytest.mark.parametrize(
    "environ", [{}, {"cputune": ""}, {"cputune": " ", "numatune": "", "guestnuma": ""}, {"CPUTUNE": "x"}]
)
def test_nothing_asked_for_touches_and_imports_nothing(domxml: Path, environ: dict[str, str]) -> None:
    domxml.unlink()  # it is not even looked at
    leak = "import atexit; atexit.register(lambda: print(*sorted(m for m in sys.modules if 'l' in m))); "
    result = run_hook(domxml, environ, first=leak)
    assert (result.returncode, result.stderr) == (0, "")
    loaded = result.stdout.split()
    assert [name for name in loaded if name.startswith("largeguest")] == ["largeguest", "largeguest.hooks"]
    assert not [name for name in loaded if name.startswith("lxml")]
    assert "dataclasses" not in loaded


def test_owner_and_mode_are_kept(domxml: Path) -> None:
    domxml.chmod(0o640)
    if os.getuid() == 0:
        os.chown(domxml, 36, 107)
    before = domxml.stat()
    assert run_hook(domxml, {"cputune": "0#0"}).returncode == 0
    after = domxml.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o640)
    assert after.st_ino != before.st_ino
    assert list(domxml.parent.iterdir()) == [domxml]


def test_a_link_stays_a_link(domxml: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(domxml)
    assert run_hook(link, {"cputune": "0#0"}).returncode == 0
    assert link.is_symlink()
    assert b"vcpupin" in domxml.read_bytes()


@pytest.mark.parametrize(
    ("environ", "strerror"),
    [
        ({"_hook_domxml": "/nowhere/domxml"}, '"/nowhere/domxml": No such file or directory'),
        ({"_hook_domxml": ""}, '"": No such file or directory'),
        ({"_hook_domxml": "/"}, '"/": Is a directory'),
        ({"_hook_domxml": "/caf\u00e9"}, '"/caf\\xe9": No such file or directory'),
    ],
)
def test_no_file(domxml: Path, environ: dict[str, str], strerror: str) -> None:
    result = run_hook(domxml, {"cputune": "0#0", "LC_ALL": "C.UTF-8", **environ})
    assert (result.returncode, result.stderr) == (
        2,
        f"largeguest: _hook_domxml: cannot replace the file {strerror}: "
        "let VDSM run the hook, with space in its temporary folder\n",
    )


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(domxml: Path) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(PLAIN) // 2},) * 2); "
    result = run_hook(domxml, {"cputune": "0#0"}, first="import signal; signal.signal(25, signal.SIG_IGN); " + limit)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f'largeguest: _hook_domxml: cannot replace the file "{domxml}": File too large: ')
    assert domxml.read_bytes() == PLAIN
    assert list(domxml.parent.iterdir()) == [domxml]


def test_not_foreseen_is_a_traceback_without_the_xml(domxml: Path) -> None:
    broken = (
        "from largeguest import placement; "
        "placement.place = lambda wanted, guest: int(open(__import__('os').environ['_hook_domxml']).read()); "
    )
    result = run_hook(domxml, {"cputune": "0#0"}, first=broken)
    assert result.returncode == 2
    assert result.stderr.startswith("largeguest: not foreseen, please report this:\n  File ")
    assert result.stderr.endswith("\nValueError\n")
    assert "hidden-word" not in result.stderr
    assert domxml.read_bytes() == PLAIN


def test_broken_xml_is_told_without_its_content(domxml: Path) -> None:
    domxml.write_bytes(PLAIN.replace(b'passwd="hidden-word"', b'passwd="hidden-word'))
    result = run_hook(domxml, {"cputune": "0#0"})
    assert result.returncode == 2
    assert result.stderr.startswith("largeguest: domain XML: not well-formed at line ")
    assert "hidden" not in result.stderr


def test_in_process(domxml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hooks.before_vm_start({}) == 0
    assert hooks.before_vm_start({"_hook_domxml": str(domxml), "cputune": "0#0"}) == 0
    assert hooks.before_vm_start({"_hook_domxml": str(domxml), "cputune": "0"}) == 2
    assert hooks.before_vm_start({"cputune": "0#0"}) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_the_script_is_what_vdsm_can_run() -> None:
    script = ROOT / "vdsm_hooks/largeguest/before_vm_start.py"
    assert script.read_text().startswith("#!/usr/bin/python3 -I\n")
    assert os.access(script, os.X_OK)

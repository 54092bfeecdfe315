# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile properties, documents and file systems: one clear line, the file unchanged, no more memory than needed.

The benchmark and the fuzzer print times; here only what takes forever fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from largeguest import VERSION
from tests.benchmarks import documents

from . import COVERAGE, DATA, ROOT
from .hosts import GIB

PLAIN = (DATA / "plain.xml").read_bytes()
METER = str(ROOT / "tests/benchmarks/meter.py")

Measured = Callable[..., "tuple[int, float, str]"]


@pytest.fixture
def hook(tmp_path: Path, four_nodes: str) -> Measured:
    """Run the hook; gives its exit code, its peak memory in MiB, and what it said."""

    def run(path: Path, **environ: str) -> tuple[int, float, str]:
        said = tmp_path / "said"
        code = (
            f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from largeguest import hooks; "
            f"hooks.SYS = {four_nodes!r}; os.dup2(os.open({str(said)!r}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2); "
            "os._exit(hooks.before_vm_start())"
        )
        command = [sys.executable, "-I", "-c", code]
        named = {**COVERAGE, "_hook_domxml": str(path), **environ}
        fields = [str(len(command)), *command, *(f"{name}={value}" for name, value in named.items())]
        meter = subprocess.run(
            [sys.executable, "-I", "-S", METER],
            input=b"\0".join(os.fsencode(field) for field in fields) + b"\n",
            capture_output=True,
            check=True,
            timeout=60,
        )
        exit_code, _, _, kib = meter.stdout.split()
        return int(exit_code), float(kib) / 1024, said.read_bytes().decode("ascii")

    return run


LOOK = ": find out what wrote it, perhaps another hook"
DOCUMENTS = [
    (b"", f"not well-formed at line 1, column 1{LOOK}"),
    (b"\0" * 1000, f"not well-formed at line 1, column 1{LOOK}"),
    (b"domain", f"not well-formed at line 1, column 1{LOOK}"),
    (b"<domain>" + b"\0</domain>", f"not well-formed at line 1, column 9{LOOK}"),
    (b"<domain>\xc3\x28</domain>", f"not well-formed at line 1, column 9{LOOK}"),
    (b"<domain>&undefined;</domain>", f"not well-formed at line 1, column 20{LOOK}"),
    (b"<domain>" * 100_000, "not well-formed at line 1, column 205"),
    (b"<domain>" + b"<a>" * 250_000 + b"</a>" * 250_000 + b"</domain>", "not well-formed at line 1, column 77"),
    (b"<a/>", "the root element is not <domain>: give libvirt's <domain> XML"),
    (b"<o:domain xmlns:o='o'/>", "the root element is not <domain>: give libvirt's <domain> XML"),
    (PLAIN.decode().encode("utf-16"), f"not well-formed at line 1, column 1{LOOK}"),
    (b"<?xml version='1.0' encoding='UTF-7'?><domain>+ADw-/domain>", None),
    (
        b"<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'>"
        + b"".join(b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
        + b"]><domain><memory>&j;</memory></domain>",
        "has a document type declaration, which libvirt does not need",
    ),
    (
        b"<!DOCTYPE domain SYSTEM 'http://192.0.2.1/a.dtd'><domain/>",
        "has a document type declaration, which libvirt does not need",
    ),
    (b"<domain>" + b"<a/>" * 1_000_000 + b"</domain>", f"has more than 600000 tags{LOOK}"),
    (
        b"<domain " + b" ".join(b"a%d=''" % n for n in range(200_000)) + b"/>",
        f"has an element with more than 10000 attributes{LOOK}",
    ),
    (b"<domain>" + b" " * 17 * 2**20 + b"</domain>", f"is larger than 16 MiB{LOOK}"),
]


@pytest.mark.parametrize(("document", "message"), DOCUMENTS, ids=lambda value: repr(value)[:50])
def test_documents(hook: Measured, tmp_path: Path, document: bytes, message: str | None) -> None:
    path = tmp_path / "domxml"
    path.write_bytes(document)
    code, mebibytes, said = hook(path, numatune="0")
    assert code == 2
    assert said.startswith(f"largeguest: domain XML: {message or ''}")
    assert (said.count("\n"), said.isascii(), "unexpected error" in said) == (1, True, False)
    assert path.read_bytes() == document
    assert mebibytes < 100


def test_a_large_valid_domain(hook: Measured, tmp_path: Path) -> None:
    path = tmp_path / "domxml"
    document = documents.domain(16, GIB, disks=10_000_000 // documents.BYTES_OF_A_DISK)
    path.write_bytes(document)
    code, mebibytes, said = hook(path, numatune="0", cputune="0-15#node0")
    assert code == 0
    assert said.startswith(f"largeguest {VERSION}: cputune: 16 vCPUs pinned; numatune: memory strict on")
    assert len(path.read_bytes()) > len(document) > 9_900_000
    assert mebibytes < 300


@pytest.mark.parametrize("name", ["cputune", "numatune", "guestnuma"])
@pytest.mark.parametrize(
    "value",
    [
        "0" * 130_000,
        "0#0," * 32_000,
        "0-99999999999#0",
        "0#0-99999999999",
        "0-16383#=0-16383",
        "0#" + "^0," * 1300 + "0,^0",
        "\u0661#\u0661",
        "0\u22121#0",
        "0#0\udcff",
        "0#0\x1b[31m",
        "9" * 3999 + "#",
        "0#" + "9" * 3000,
        ",".join(f"{n}#{n}" for n in range(0, 1200, 3)),
        "@" * 4000,
        "#" * 4000,
        "node" * 1000,
    ],
    ids=lambda text: repr(text)[:30],
)
def test_properties(hook: Measured, tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "domxml"
    path.write_bytes(PLAIN)
    code, mebibytes, said = hook(path, **{name: value})
    assert (code, path.read_bytes()) == (2, PLAIN)
    assert (said.startswith(f"largeguest: {name}: "), said.count("\n"), "unexpected error" in said) == (True, 1, False)
    assert all(32 <= ord(character) < 127 for character in said.rstrip("\n"))
    assert len(said) < 4000
    assert mebibytes < 100


CANNOT = 'largeguest: _hook_domxml: cannot {do} the file "{path}": {why}: {fix}\n'


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "Not a regular file"),
        (lambda path: path.symlink_to("/nowhere/domxml"), "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_a_path_that_is_not_a_file(hook: Measured, tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    path = tmp_path / "domxml"
    make(path)
    code, _, said = hook(path, numatune="0")
    assert (code, said) == (2, CANNOT.format(do="read", path=path, why=why, fix="let VDSM run the hook"))


def test_a_link_stays_a_link(hook: Measured, tmp_path: Path) -> None:
    path, target = tmp_path / "domxml", tmp_path / "target"
    target.write_bytes(PLAIN)
    path.symlink_to(target)
    assert hook(path, numatune="0")[0] == 0
    assert path.is_symlink()
    assert b'<memory mode="strict" nodeset="0"/>' in target.read_bytes()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount a file system: run as root")
@pytest.mark.parametrize(("options", "why"), [("ro", "Read-only file system"), ("", "No space left on device")])
def test_file_systems(tmp_path: Path, four_nodes: str, options: str, why: str) -> None:
    """In a mount namespace of its own; a tmpfs of 16 KiB holds the document, but not a second one."""
    path = tmp_path / "mnt/domxml"
    path.parent.mkdir()
    (tmp_path / "document").write_bytes(PLAIN)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from largeguest import hooks; hooks.SYS = {four_nodes!r}; "
        "sys.exit(hooks.before_vm_start())"
    )
    script = """
        mount -t tmpfs -o size=16k none "$1" && cp "$2" "$1/domxml" && head -c 10000 /dev/zero >"$1/filler" &&
        { [ -z "$3" ] || mount -o remount,"$3" "$1"; } || exit 99
        "$4" -I -c "$5"; code=$?
        cmp "$1/domxml" "$2" && [ "$(ls "$1")" = "$(printf 'domxml\\nfiller')" ] && exit $code
        exit 98
    """
    arguments = [str(path.parent), str(tmp_path / "document"), options, sys.executable, code]
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *arguments],
        env={"PATH": os.environ["PATH"], "_hook_domxml": str(path), "numatune": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        CANNOT.format(do="replace", path=path, why=why, fix="its folder must be writable, with free space"),
    )

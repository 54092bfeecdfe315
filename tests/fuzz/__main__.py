# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the hook on random properties and corrupted domain XML: `python -m tests.fuzz [--seconds N] [--seed N]`.

Whatever it gets, it ends with 0 or 2 and one line of ASCII, in under a second; on 2 the file is as it was, and on 0 it
holds a domain that the hook would not write otherwise. What breaks that is printed and kept in the folder.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from largeguest import PROPERTIES, VERSION, hooks
from tests import DATA, hosts
from tests.properties import corpus

MAX_SECONDS = 1.0

GOOD = {name: [text for its_name, text, *_ in corpus.GOOD if its_name == name] for name in PROPERTIES}
WRONG = [text for _, text, _ in corpus.WRONG_IN_SHAPE + corpus.WRONG_IN_MEANING + corpus.NOT_YET]
PIECES: list[str] = [
    *"0123456789,#^@*+-=. \n\t\0",
    "node",
    "socket",
    "cell",
    ".core",
    ".core0-1",
    ".thread",
    "all",
    "emulator",
    "iothread",
    "strict",
    "preferred",
    "interleave",
    "restrictive",
    "auto",
    "#=",
    "#==",
    "KiB",
    "T",
    "16383",
    "16384",
    "99999999999999999999",
    "-1",
    "\u0663",
    "\u2212",
    "\u00b2",
]
TAGS = [
    b"<",
    b">",
    b"/>",
    b"</",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?x?>",
    b"&",
    b"&lt;",
    b"&#0;",
    b"&#x110000;",
    b"\0",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"\xff\xfe",
    b"\xc3\x28",
    b" xmlns=''",
    b" xmlns:a='b'",
    b"a:b",
    b"</domain>",
    b"'",
    b'"',
    b"<vcpu>2</vcpu>",
    b"<memory unit='EiB'>1</memory>",
    b"<cpu><numa><cell cpus='0' memory='1024'/></numa></cpu>",
    b"<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>",
    b"<numatune><memory mode='strict' placement='auto'/></numatune>",
    b"<memory model='dimm'><target><size>1</size><node>0</node></target></memory>",
    b"<page size='2048' nodeset='1'/>",
]
NUMBERS = [
    b"",
    b"-1",
    b"0",
    b"1",
    b"16383",
    b"16384",
    b"1048577",
    b"18446744073709551616",
    b"1e9",
    b" 2 ",
    b"+3",
    b"0x10",
]


FITTING = {
    "cputune": [
        "0#0",
        "0-1#=node0",
        "0-3#node1,^4",
        "emulator#^0",
        "iothread1#1",
        "0#1,1#2",
        "1#=socket0.core1",
        "all#=cell",
    ],
    "numatune": ["strict#0", "0-3", "^3", "preferred#1", "interleave#0-1", "restrictive#2"],
    "guestnuma": ["0#*", "0-1#*,2-3#*", "0-3#*@1", "0-7#*,8-15#*", "0-1#128M,2-3#*"],
}
"""Values that fit most of the documents."""


def any_environ(chance: random.Random) -> dict[str, str]:
    if chance.random() < 0.6:
        return {name: any_value(chance, name) for name in PROPERTIES}
    return {name: chance.choice(["", *FITTING[name]]) for name in PROPERTIES}


def any_value(chance: random.Random, name: str) -> str:
    """A value that is valid, nearly valid, or arbitrary."""
    kind = chance.random()
    if kind < 0.2:
        return ""
    if kind < 0.5:
        return chance.choice(GOOD[name])
    if kind < 0.6:
        return "".join(chance.choice(PIECES) for _ in range(chance.randrange(40)))
    if kind < 0.62:
        return chance.choice(PIECES) * chance.choice((1000, 4000, 131_000))
    text = chance.choice(GOOD[name] + WRONG)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(PIECES) * chance.choice((0, 1, 1, 1, 2)) + text[at + chance.randrange(3) :]
    return text


def any_document(chance: random.Random, documents: list[bytes]) -> bytes:
    """A domain XML, usually corrupted in a few places."""
    document = chance.choice(documents)
    for _ in range(chance.choice([0, 1, 1, 2, 3, 8])):
        at = chance.randrange(len(document) + 1)
        end = min(len(document), at + chance.choice([0, 1, 3, 20, 200]))
        kind = chance.randrange(6)
        if kind == 0:
            document = document[:at] + document[end:]
        elif kind == 1:
            document = document[:at] + chance.choice(TAGS) + document[at:]
        elif kind == 2:
            document = document[:end] + document[at:end] * chance.choice([1, 2, 50]) + document[end:]
        elif kind == 3:
            document = document[:at] + bytes([chance.randrange(256)]) + document[at + 1 :]
        elif kind == 4 and (found := list(re.finditer(rb"(?<=['\">])[0-9]+", document))):
            number = chance.choice(found)
            document = document[: number.start()] + chance.choice(NUMBERS) + document[number.end() :]
        else:
            start = document.rfind(b"<", 0, at)
            stop = document.find(b">", at) + 1
            document = document[: max(0, start)] + chance.choice(TAGS) + document[stop:]
    return document


def run(environ: dict[str, str], path: Path, stderr: int) -> tuple[int, str, float]:
    """Run the hook in this process; gives its exit code, what it said, and seconds."""
    os.ftruncate(stderr, 0)
    os.lseek(stderr, 0, os.SEEK_SET)
    start = time.process_time()
    code = hooks.before_vm_start({**environ, "_hook_domxml": str(path)})
    seconds = time.process_time() - start
    return code, os.pread(stderr, 10**6, 0).decode("ascii"), seconds


def judge(environ: dict[str, str], document: bytes, path: Path, stderr: int) -> tuple[str, str]:
    """Run the hook on a document; gives the outcome, and what is wrong with it, if anything."""
    path.write_bytes(document)
    code, said, seconds = run(environ, path, stderr)
    after = path.read_bytes()
    if seconds > MAX_SECONDS:
        return "slow", f"took {seconds:.1f} s"
    if not any(text.strip(" ") for text in environ.values()):
        return "nothing set", "" if (code, said, after) == (0, "", document) else f"{code} {said}"
    if not re.fullmatch(rf"largeguest(?: {re.escape(VERSION)})?: [ -~]+\n", said) or "unexpected error" in said:
        return "said", said
    if code == 2:
        return "refused", "" if after == document else "the file has changed"
    if code != 0:
        return "code", str(code)
    again, _, _ = run(environ, path, stderr)
    # the indentation may grow if there is text next to elements
    same = re.sub(rb"\s+", b"", path.read_bytes()) == re.sub(rb"\s+", b"", after)
    return "done", "" if again == 0 and same else "a second time does something else"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for what breaks it")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    documents: list[bytes] = [(DATA / name).read_bytes() for name in ("plain.xml", "vnuma.xml", "hotplug.xml")]
    outcomes: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as stderr:
        hooks.SYS = hosts.save(hosts.FOUR_NODES, Path(folder) / "host")
        shown = os.dup(2)
        os.dup2(stderr.fileno(), 2)
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            environ = any_environ(chance)
            document = any_document(chance, documents)
            outcome, complaint = judge(environ, document, Path(folder) / "domxml", stderr.fileno())
            outcomes[outcome] += 1
            if complaint:
                wrong += 1
                options.keep.mkdir(exist_ok=True)
                kept = options.keep / f"{options.seed}-{sum(outcomes.values())}.xml"
                kept.write_bytes(document)
                os.write(shown, f"{kept} {environ!r}: {outcome}: {complaint}\n".encode("ascii", "backslashreplace"))
        os.dup2(shown, 2)
    print(f"seed {options.seed}: {sum(outcomes.values())} runs, {dict(outcomes)}, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

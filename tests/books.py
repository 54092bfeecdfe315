# SPDX-License-Identifier: GPL-2.0-or-later
"""README and the man pages as plain text, for the tests that hold them against the code."""

from __future__ import annotations

import re

from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host, Pages
from largeguest.record import replace

from . import ROOT, hosts
from .hosts import GIB

README = (ROOT / "README").read_text(encoding="utf-8")
HOOK_README = (ROOT / "vdsm_hooks/largeguest/README").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "largeguest/man").iterdir())

_CHARACTERS = {"\\-": "-", "\\(ha": "^", "\\(aq": "'", "\\e": "\\"}


def plain(roff: str) -> str:
    """The source of a page without the escapes of characters."""
    return re.sub("|".join(map(re.escape, _CHARACTERS)), lambda found: _CHARACTERS[found[0]], roff)


def page(name: str) -> str:
    """The source of a man page such as `largeguest.1`, without the escapes of characters."""
    return plain((ROOT / "largeguest/man" / name).read_text(encoding="utf-8"))


def section(text: str, heading: str) -> str:
    """What is below a heading (.SH) of a man page."""
    return text.partition(f"\n.SH {heading}\n")[2].partition("\n.SH ")[0]


def chapter(number: int) -> str:
    """A chapter of README."""
    found = re.search(rf"^{number}\. [^\n]*\n-+\n(.*?)(?=^\d+\. [^\n]*\n-+\n|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README has no chapter {number}"
    return found[1]


def large_host() -> Host:
    """The host of README's large guest: 4 nodes, 2 sockets, 128 CPUs, 2 TiB, some of it in huge pages of 1 GiB."""
    host = hosts.build(cores_per_node=16, memory=512 * GIB, siblings_apart=True)
    nodes = {number: replace(node, free=440 * GIB, pages={GIB: Pages(64, 64)}) for number, node in host.nodes.items()}
    return replace(host, nodes=nodes)


def cpus_by_node(host: Host) -> list[str]:
    """The text for the CPUs of each node."""
    return [str(CpuSet(node.cpus)) for node in host.nodes.values()]

# SPDX-License-Identifier: GPL-2.0-or-later
"""The host from libvirt's capabilities XML, which has no free memory and no free pages."""

from __future__ import annotations

from .. import cpuset
from ..cpuset import MAX_ID, CpuSet
from ..domxml import parse
from ..problem import INPUT, Problem, Refused
from .topology import BASE_PAGES, UNKNOWN_MEMORY, Cpu, Host, Node, Pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lxml import etree

    Sharing = Callable[[int], Iterable[int]]

_NO_TOPOLOGY = Problem(
    "host", "the capabilities contain no readable topology", "use the output of virsh capabilities", kind=INPUT
)


def from_capabilities(document: bytes) -> Host:
    """The host of `virsh capabilities`; raises Refused."""
    root = parse.xml(document, "host", "capabilities", _NO_TOPOLOGY.fix).getroot()
    nodes, cpus = {}, {}
    try:
        for cell in root.iterfind("host/topology/cells/cell"):
            # offline CPUs have only an id
            online = {_id(cpu.get("id")): cpu for cpu in cell.iterfind("cpus/cpu") if cpu.get("siblings")}
            for number, cpu in online.items():
                cpus[number] = Cpu(
                    socket=_number_of(cpu.get("socket_id", "0"), MAX_ID),
                    die=_number_of(cpu.get("die_id", "0"), MAX_ID),
                    core=_number_of(cpu.get("core_id", "0"), MAX_ID),
                    siblings=cpuset.parse(cpu.get("siblings", "")),
                )
            nodes[_id(cell.get("id"))] = Node(
                cpus=CpuSet(online),
                memory=_memory_of(cell.findtext("memory")),
                free=None,
                pages={
                    int(pages.get("size", "")): Pages(int(pages.text or ""), None)
                    for pages in cell.iterfind("pages")
                    if int(pages.get("size", "")) not in BASE_PAGES
                },
                distances={
                    int(sibling.get("id", "")): _number_of(sibling.get("value"), 255)
                    for sibling in cell.iterfind("distances/sibling")
                },
            )
        sharing = (_sharing_l3(root), _in_clusters(root))
    except ValueError:
        raise Refused([_NO_TOPOLOGY]) from None
    if not nodes or not cpus:
        raise Refused([_NO_TOPOLOGY])
    return Host(nodes, cpus, arch=root.findtext("host/cpu/arch"), sharing=sharing)


def _sharing_l3(root: etree._Element) -> Sharing:
    """The CPUs that share the L3 of a CPU; raises ValueError."""
    banks = [cpuset.parse(bank.get("cpus", "")) for bank in root.iterfind("host/cache/bank[@level='3']")]
    by_cpu = {cpu: bank for bank in banks for cpu in bank}
    return lambda cpu: by_cpu.get(cpu, ())


def _in_clusters(root: etree._Element) -> Sharing:
    """The CPUs of the cluster of a CPU, which libvirt tells from 10.1 on; raises ValueError."""
    clusters: dict[tuple[str | None, ...], list[int]] = {}
    cluster_of = {}
    for cpu in root.iterfind("host/topology/cells/cell/cpus/cpu[@cluster_id]"):
        own = clusters.setdefault(tuple(map(cpu.get, ("socket_id", "die_id", "cluster_id"))), [])
        own.append(_id(cpu.get("id")))
        cluster_of[own[-1]] = own
    return lambda cpu: cluster_of.get(cpu, ())


def _memory_of(text: str | None) -> int | None:
    """KiB; raises ValueError."""
    return None if text is None else _number_of(text, UNKNOWN_MEMORY)


def _number_of(text: str | None, most: int) -> int:
    """A number from 0 (also for -1, which is the kernel's "not known") to `most`; raises ValueError."""
    number = max(0, int((text or "")[:20]))
    if number > most:
        raise ValueError(number)
    return number


def _id(text: str | None) -> int:
    """Raises ValueError for an invalid id."""
    number = int(text or "")
    if not 0 <= number <= MAX_ID:
        raise ValueError(number)
    return number

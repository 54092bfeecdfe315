# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that are made of the engine's answers: its clusters, its virtual machines and its hosts."""

from __future__ import annotations

from collections.abc import Mapping

from .. import PROPERTIES
from ..cpuset import CpuSet
from ..host.topology import Host, Pages
from ..record import Record, replace
from ..values import Topology

HUGEPAGES = "hugepages"
"""The engine's predefined property: KiB of the pages that back the VM."""

SETTABLE = (*PROPERTIES, HUGEPAGES)
"""The custom properties that these commands set."""


START = "before_vm_start"
"""The hook point that makes a layout."""


class Cluster(Record):
    """A cluster; `level` is its compatibility version, such as 4.7."""

    id: str
    name: str
    level: str
    arch: str | None


class VirtualCell(Record):
    """A node of the engine's own vNUMA."""

    vcpus: CpuSet
    memory: int
    """KiB"""
    nodes: CpuSet
    """The host nodes to which it is pinned; none: it is not."""
    mode: str


class Vm(Record):
    """A virtual machine in one configuration: the present one, or that of its next start."""

    id: str
    name: str
    cluster: str
    status: str
    host: str | None
    """The id of the host where it runs."""
    only_on: tuple[str, ...]
    """The ids of the hosts to which it is pinned; none: any of its cluster."""
    level: str | None
    """Its custom compatibility version; None: its cluster's."""
    pending: bool
    """Whether its next start is to have another configuration."""
    custom: Mapping[str, str]
    """All its custom properties, also those of others."""
    topology: Topology
    memory: int
    """KiB"""
    policy: str
    """The CPU pinning policy, as in the domain XML."""
    pins: Mapping[int, CpuSet]
    """vCPU to the CPUs to which the engine pins it."""
    iothreads: int

    @property
    def vcpus(self) -> int:
        return self.topology.sockets * self.topology.vcpus_per_socket

    @property
    def ours(self) -> dict[str, str]:
        """Those of the three properties that are set."""
        return {name: self.custom[name] for name in PROPERTIES if self.custom.get(name, "").strip(" ")}


class Machine(Record):
    """A host of the engine."""

    id: str
    name: str
    cluster: str
    status: str
    host: Host
    """Its huge pages count as spread evenly over its nodes, as the kernel reserves them unless told otherwise."""
    pages: Mapping[int, Pages]
    """Size in KiB to the huge pages of the whole host."""
    hooks: Mapping[str, str]
    """Hook point to the md5 of our hook there."""
    engines: Mapping[str, tuple[str, CpuSet, bool]]
    """Id of a VM that the engine has pinned here to its name, its CPUs, and whether they are its alone."""

    @property
    def has_hook(self) -> bool:
        """Whether a VM that starts here gets its layout."""
        return START in self.hooks

    def roomiest(self, page: int | None) -> Host:
        """The host with the most room that its nodes may have for pages of this size in KiB; None: not huge ones.

        What does not fit here is not there, however the huge pages are spread.
        """
        return replace(
            self.host,
            nodes={
                number: replace(node, pages={**node.pages, **self._extreme_pages(number, page)})
                for number, node in self.host.nodes.items()
            },
        )

    def _extreme_pages(self, number: int, page: int | None) -> dict[int, Pages]:
        """The most pages of this size that a node may have, and the fewest of the others, which leave most memory."""
        memory = {number: node.memory or 0 for number, node in self.host.nodes.items()}
        found = {}
        for size, whole in self.pages.items():
            total, free = whole.total or 0, whole.free
            most = min(total, memory[number] // size)
            elsewhere = sum(memory.values()) // size - memory[number] // size
            count = most if size == page else max(0, total - elsewhere)
            found[size] = Pages(count, None if free is None else min(free, count))
        return found

# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask the engine over REST, and make values of its answers.

Some of them are not what their documentation says: the `cores` of a NUMA node are the kernel's CPU ids, and the memory
in its statistics is in MiB, though labelled as bytes.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..cpuset import MAX_ID, CpuSet, parse
from ..host.topology import Cpu, Host, Node, Pages
from ..problem import INPUT, ParseError, Problem, Refused
from ..record import replace
from ..values import Topology
from ..wording import quote_name
from . import definitions
from .connection import Engine
from .definitions import Definitions
from .inventory import Cluster, Machine, VirtualCell, Vm

HOOK = "50_largeguest"
"""The name of our hook at each hook point."""

MIB = 2**10
"""KiB"""

_POLICIES = {"isolate_threads": "isolate-threads", "resize_and_pin_numa": "manual"}
"""The engine's CPU pinning policies that have another name in the domain XML."""

_EXCLUSIVE = ("dedicated", "isolate_threads")


def by_number(level: str) -> tuple[int, ...]:
    """The key by which cluster levels are sorted."""
    return tuple(map(int, level.split(".")))


def clusters(engine: Engine) -> dict[str, Cluster]:
    """All clusters, by id."""
    return {one.id: _cluster(one) for one in engine.all_of(lambda root: root.clusters_service())}


def _cluster(cluster: Any) -> Cluster:
    arch = None if cluster.cpu is None or cluster.cpu.architecture is None else cluster.cpu.architecture.value
    return Cluster(cluster.id, cluster.name, _level(cluster.version) or "", None if arch == "undefined" else arch)


def _level(version: Any) -> str | None:
    return None if version is None or version.major is None else f"{version.major}.{version.minor}"


def definitions_of(engine: Engine, levels: Sequence[str]) -> dict[str, Definitions]:
    """The definitions of those of the levels that the engine has."""
    found = {}
    for level in levels:
        option = engine.ask_if_there(
            lambda root: root.options_service().option_service(definitions.OPTION).get(version=level, wait=False)  # noqa: B023
        )
        if option is not None:
            found[level] = definitions.read(level, "".join(one.value or "" for one in option.values or ()))
    return found


def vms(engine: Engine, clusters: Container[str]) -> dict[str, Vm]:
    """The virtual machines of these clusters as they are now, by id; a user may be shown others, too."""
    found = map(vm_of, engine.all_of(lambda root: root.vms_service()))
    return {vm.id: vm for vm in found if vm.cluster in clusters}


def next_runs(engine: Engine, present: Iterable[Vm]) -> dict[str, Vm]:
    """The same VMs as they will be at their next start; only those that will be different are asked for again."""
    known = {vm.id: vm for vm in present}
    pending = [vm.id for vm in known.values() if vm.pending]
    return {**known, **dict(zip(pending, ask_next_runs(engine, pending)))}


def ask_next_runs(engine: Engine, ids: Iterable[str]) -> list[Vm]:
    """VMs as they will be at their next start."""

    def request(vm: str) -> Any:
        return lambda root: root.vms_service().vm_service(vm).get(next_run=True, wait=False)

    return [vm_of(answer) for answer in engine.ask([request(vm) for vm in ids])]


def next_run(engine: Engine, vm: str) -> Vm | None:
    """A VM as it will be at its next start; None if the engine does not have it."""
    found = engine.ask_if_there(lambda root: root.vms_service().vm_service(vm).get(next_run=True, wait=False))
    return None if found is None else vm_of(found)


def vm_of(vm: Any) -> Vm:
    """A VM of the SDK as a value."""
    cpu, placement = vm.cpu, vm.placement_policy
    topology = None if cpu is None else cpu.topology
    hosts = [] if placement is None else placement.hosts or []
    policy = "none" if vm.cpu_pinning_policy is None else vm.cpu_pinning_policy.value
    tune = None if cpu is None else cpu.cpu_tune
    return Vm(
        id=vm.id,
        name=vm.name or vm.id,
        cluster="" if vm.cluster is None else vm.cluster.id,
        status="" if vm.status is None else vm.status.value,
        host=None if vm.host is None else vm.host.id,
        only_on=tuple(host.id for host in hosts),
        level=_level(vm.custom_compatibility_version),
        pending=bool(vm.next_run_configuration_exists),
        custom={one.name: one.value or "" for one in vm.custom_properties or ()},
        topology=Topology(*(getattr(topology, name, None) or 1 for name in ("sockets", "dies", "cores", "threads"))),
        memory=(vm.memory or 0) // 1024,
        policy=_POLICIES.get(policy, policy),
        pins={} if tune is None else {pin.vcpu: _cpus(pin.cpu_set) for pin in tune.vcpu_pins or ()},
        iothreads=0 if vm.io is None else vm.io.threads or 0,
    )


def _cpus(text: str | None) -> CpuSet:
    """The CPUs of a pin of the engine's; none if it has something that libvirt would not take."""
    try:
        return parse(text or "")
    except ParseError:
        return CpuSet()


def cells(engine: Engine, ids: Sequence[str]) -> dict[str, tuple[VirtualCell, ...]]:
    """The engine's own vNUMA of VMs, by id."""

    def request(vm: str) -> Any:
        return lambda root: root.vms_service().vm_service(vm).numa_nodes_service().list(wait=False)

    answers = engine.ask([request(vm) for vm in ids])
    return {vm: tuple(map(_cell, sorted(nodes, key=lambda node: node.index))) for vm, nodes in zip(ids, answers)}


def _cell(node: Any) -> VirtualCell:
    pins = [pin.index for pin in node.numa_node_pins or () if pin.index is not None]
    mode = "strict" if node.numa_tune_mode is None else node.numa_tune_mode.value
    return VirtualCell(_cores(node), (node.memory or 0) * MIB, CpuSet(pins), mode)


def _cores(node: Any) -> CpuSet:
    cores = [] if node.cpu is None else node.cpu.cores or []
    return CpuSet(core.index for core in cores if 0 <= core.index <= MAX_ID)


def pci_devices(engine: Engine, vm: str) -> list[str]:
    """The names of the PCI devices that are passed through to a VM: `pci_0000_3b_00_0`."""
    found = engine.ask_one(lambda root: root.vms_service().vm_service(vm).host_devices_service().list(wait=False))
    return [device.name for device in found if device.capability == "pci" and not device.placeholder]


def labels(engine: Engine) -> dict[str, frozenset[str]]:
    """The ids of the hosts that affinity labels leave to a VM, by its id; only labels that are affinity groups do."""
    found: dict[str, frozenset[str]] = {}
    known = engine.ask_one(lambda root: root.affinity_labels_service().list(follow="hosts,vms", wait=False))
    for label in known:
        own = frozenset(host.id for host in label.hosts or ())
        if label.has_implicit_affinity_group and own:
            found.update((vm.id, found.get(vm.id, own) & own) for vm in label.vms or ())
    return found


def hosts(engine: Engine) -> list[Any]:
    """All hosts, as the SDK has them, without what `machines` asks for."""
    return engine.all_of(lambda root: root.hosts_service())


def machines(engine: Engine, chosen: Sequence[Any], arches: Mapping[str, str | None]) -> list[Machine]:
    """Hosts with NUMA nodes, CPUs, huge pages and hooks: one request a host and kind. `arches` are by cluster id."""

    def requests(host: str) -> Iterator[Any]:
        yield (
            lambda root: (
                root.hosts_service().host_service(host).numa_nodes_service().list(follow="statistics", wait=False)
            )
        )
        yield lambda root: root.hosts_service().host_service(host).cpu_units_service().list(wait=False)
        yield lambda root: root.hosts_service().host_service(host).statistics_service().list(wait=False)
        yield lambda root: root.hosts_service().host_service(host).hooks_service().list(wait=False)

    answers = iter(engine.ask([request for host in chosen for request in requests(host.id)]))
    return [_machine(host, arches.get(host.cluster.id), parts) for host, *parts in zip(chosen, *[answers] * 4)]


def _machine(host: Any, arch: str | None, answers: list[Any]) -> Machine:
    nodes, units, statistics, hooks = answers
    pages = _pages(statistics)
    return Machine(
        id=host.id,
        name=host.name,
        cluster=host.cluster.id,
        status="" if host.status is None else host.status.value,
        host=replace(host_of(nodes, units, pages), arch=arch),
        pages=pages,
        hooks={hook.event_name: hook.md5 or "" for hook in hooks if hook.name == HOOK},
        engines=_pinned(units),
    )


def require_known(machine: Machine) -> None:
    """Raise Refused if the engine does not know the host's NUMA nodes and CPUs."""
    if not machine.host.nodes or not machine.host.cpus:
        what = f"the engine does not know the NUMA nodes and CPUs of {quote_name(machine.name)}"
        raise Refused([Problem("host", what, "activate the host once, with VDSM 4.50 or later", kind=INPUT)])


def host_of(nodes: Sequence[Any], units: Sequence[Any], pages: Mapping[int, Pages]) -> Host:
    """The topology of a host. What REST does not have is left open.

    Huge pages are known of the whole host only, and count as spread evenly over the nodes that have memory. Dies are
    not known, so CPUs are threads of one core if they have the same socket, core and node: a core's number is unique in
    its die only, and dies of one socket that have the same node are rare.
    """
    count = max(1, sum(bool(node.memory) for node in nodes))
    shares = {size: _share(whole, count) for size, whole in pages.items()}
    known = {node.index: _node(node, shares) for node in nodes}
    order = sorted(known)
    distances = {node.index: [int(word) for word in (node.node_distance or "").split()] for node in nodes}
    known = {number: replace(known[number], distances=dict(zip(order, distances[number]))) for number in order}
    node_of = {cpu: number for number, node in known.items() for cpu in node.cpus}
    cores: dict[tuple[int, int, int | None], list[int]] = {}
    for unit in units:
        cores.setdefault((unit.socket_id, unit.core_id, node_of.get(unit.cpu_id)), []).append(unit.cpu_id)
    cpus = {
        cpu: Cpu(socket, 0, core, CpuSet(threads)) for (socket, core, _), threads in cores.items() for cpu in threads
    }
    online = CpuSet(cpus)
    known = {number: replace(node, cpus=node.cpus & online) for number, node in known.items()}
    return Host(known, dict(sorted(cpus.items())))


def _node(node: Any, shares: Mapping[int, Pages]) -> Node:
    memory = (node.memory or 0) * MIB
    free = _value(node.statistics or (), "memory.free")
    pages = shares if memory else dict.fromkeys(shares, Pages(0, 0))
    return Node(_cores(node), memory, None if free is None else free * MIB, pages, {})


def _share(pages: Pages, nodes: int) -> Pages:
    total, free = (None if number is None else number // nodes for number in (pages.total, pages.free))
    return Pages(total, free)


def _pages(statistics: Sequence[Any]) -> dict[int, Pages]:
    """The huge pages of a host, from statistics such as `hugepages.2048.free`."""
    names = [one.name.split(".") for one in statistics if (one.name or "").startswith("hugepages.")]
    sizes = sorted({int(words[1]) for words in names if len(words) == 3 and words[1].isdigit()})
    return {
        size: Pages(_value(statistics, f"hugepages.{size}.total"), _value(statistics, f"hugepages.{size}.free"))
        for size in sizes
    }


def _value(statistics: Iterable[Any], name: str) -> int | None:
    for one in statistics:
        if one.name == name and one.values and one.values[0].datum is not None:
            return int(one.values[0].datum)
    return None


def _pinned(units: Sequence[Any]) -> dict[str, tuple[str, CpuSet, bool]]:
    """What the engine itself has pinned: it knows nothing of cputune."""
    cpus: dict[str, list[int]] = {}
    names: dict[str, tuple[str, bool]] = {}
    for unit in units:
        for vm in unit.vms or ():
            cpus.setdefault(vm.id, []).append(unit.cpu_id)
            policy = "" if vm.cpu_pinning_policy is None else vm.cpu_pinning_policy.value
            names[vm.id] = (vm.name or vm.id, policy in _EXCLUSIVE)
    return {vm: (names[vm][0], CpuSet(own), names[vm][1]) for vm, own in cpus.items()}

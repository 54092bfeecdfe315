# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's clusters, hosts and virtual machines together: who may run where, and beside whom."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from .. import properties
from ..cpuset import CpuSet
from ..host.topology import Host
from ..placement import neighbours
from ..problem import USAGE, Problem, Refused
from ..record import Record, replace
from ..rewrite import place_on
from ..running.next_start import idle
from ..values import Guest, Neighbour, Placement
from ..wording import quote_name
from . import rest
from .connection import Engine
from .guest import guest_of
from .inventory import Cluster, Machine, VirtualCell, Vm

Thing = TypeVar("Thing")


class Estate(Record):
    """What the engine knows; everything by id."""

    clusters: Mapping[str, Cluster]
    vms: Mapping[str, Vm]
    """As they are now."""
    machines: Mapping[str, Machine]
    """The hosts that were asked for."""
    cells: Mapping[str, tuple[VirtualCell, ...]]
    """The engine's own vNUMA of the VMs that were asked for."""
    later: Mapping[str, Vm] = MappingProxyType({})
    """Those of the VMs that run and will be different at their next start, as they will be."""
    labels: Mapping[str, frozenset[str]] = MappingProxyType({})
    """VM to the hosts that affinity labels leave to it; one that has none of these labels is not here."""

    def level(self, vm: Vm) -> str:
        """The cluster level that counts for it."""
        return vm.level or self.clusters[vm.cluster].level

    def guest(self, vm: Vm) -> Guest:
        """What the hook will find at its next start, if `vm` is its configuration for that."""
        return guest_of(vm, self.level(vm), self.clusters[vm.cluster].arch, self.cells.get(vm.id, ()))

    def machines_for(self, vm: Vm) -> list[Machine]:
        """The hosts of its cluster that it may run on. Affinity groups other than labels are not looked at."""
        allowed = [{*vm.only_on}] if vm.only_on else []
        allowed += [{*self.labels[vm.id]}] if vm.id in self.labels else []
        own = [one for one in self.machines.values() if one.cluster == vm.cluster]
        return [one for one in own if all(one.id in ids for ids in allowed)]

    def beside(self, machine: Machine, vm: Vm) -> Machine:
        """The host with what the other VMs hold that run there, and as if this one did not run."""
        host = idle(machine.host) if vm.host == machine.id else machine.host
        others = tuple(one for owner, one in self.held[machine.id] if owner != vm.id)
        return replace(machine, host=replace(host, neighbours=others))

    @functools.cached_property
    def held(self) -> dict[str, list[tuple[str, Neighbour]]]:
        """What the VMs that run on each host hold there, each with the VM's id: CPUs and bound memory.

        The engine has no pins of cputune, so they are worked out from what the properties say. Those of the engine
        itself it does have. A VM with pending changes holds the CPUs of both configurations, whichever it will have
        when another VM starts, and the memory of its next start: what it uses now is not free anyway.
        """
        found: dict[str, list[tuple[str, Neighbour]]] = {machine: [] for machine in self.machines}
        for vm in sorted(self.vms.values(), key=_has_auto):
            if vm.host in found:
                machine = self.machines[vm.host]
                others = tuple(other for _, other in found[machine.id])
                neighbour = self._held(vm, machine, replace(idle(machine.host), neighbours=others))
                found[machine.id] += [(vm.id, neighbour)] if neighbour else []
        return found

    def _held(self, vm: Vm, machine: Machine, host: Host) -> Neighbour:
        now = self._held_with(vm, machine, host)
        if vm.id not in self.later:
            return now
        then = self._held_with(self.later[vm.id], machine, host)
        return replace(then, cpus=now.cpus | then.cpus)

    def _held_with(self, vm: Vm, machine: Machine, host: Host) -> Neighbour:
        """What it holds with this configuration."""
        _, cpus, is_exclusive = machine.engines.get(vm.id, (vm.name, CpuSet(), False))
        guest = self.guest(vm)
        request, problems = properties.parse(vm.ours)
        placement = Placement()
        if not problems and machine.has_hook:
            with contextlib.suppress(Refused):
                placement = place_on(request, guest, host)
        ours = neighbours.of_placement(vm.name, placement, guest, machine.host)
        return replace(ours, cpus=cpus | ours.cpus, is_exclusive=is_exclusive)


def _has_auto(vm: Vm) -> bool:
    """Whether it is not known what the host has chosen: that is worked out last, beside what is known of the others."""
    return properties.parse(vm.ours)[0].is_auto


def read(engine: Engine, clusters: Mapping[str, Cluster], vms: Mapping[str, Vm], around: Container[str]) -> Estate:
    """The estate in some of the clusters: their hosts, and the vNUMA of the VMs that run there or have properties."""
    chosen = [host for host in rest.hosts(engine) if host.cluster is not None and host.cluster.id in around]
    machines = rest.machines(engine, chosen, {one.id: one.arch for one in clusters.values()})
    near = [vm for vm in vms.values() if vm.cluster in around and (vm.host or vm.pending or vm.ours)]
    pending = [vm.id for vm in near if vm.host and vm.pending]
    later = dict(zip(pending, rest.ask_next_runs(engine, pending)))
    cells = rest.cells(engine, [vm.id for vm in near])
    by_id = {machine.id: machine for machine in machines}
    return Estate(clusters, vms, by_id, cells, later, rest.labels(engine))


def find_vm(vms: Mapping[str, Vm], name: str) -> Vm:
    """The VM with this name or id; raises Refused."""
    return _only([vm for vm in vms.values() if name in (vm.id, vm.name)], "VM", name)


def find_machine(machines: Iterable[Machine], name: str) -> Machine:
    """The host with this name or id; raises Refused."""
    return _only([one for one in machines if name in (one.id, one.name)], "host that it may run on", name)


def no_host(vm: Vm) -> Refused:
    """The error for a VM that may run nowhere."""
    what = f"the engine has no host that VM {quote_name(vm.name)} may run on"
    return Refused([Problem("", what, "add one to its cluster, or change Start Running On", kind=USAGE)])


def _only(found: list[Thing], kind: str, name: str) -> Thing:
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} with the name" if found else f"no {kind}"
    what, fix = f"the engine has {many} {quote_name(name)}", "write a name or an id as the engine has it"
    raise Refused([Problem("", what, fix, kind=USAGE)])

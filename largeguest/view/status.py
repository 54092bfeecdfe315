# SPDX-License-Identifier: GPL-2.0-or-later
"""The status of running VMs as text: a line for each, or one by cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .. import PROPERTIES
from ..cpuset import CpuSet
from ..host.topology import Host
from ..placement import figure
from ..wording import amount, name_ids, plural, printable, quote_name, shorten
from .columns import columns

if TYPE_CHECKING:
    from ..running.status import Status
    from ..values import Home

HEADS = ["VM", "properties", "vCPUs near", "memory in place", "cells", "locality", "keeper", "next start"]

CELLS = {False: "as asked", True: "differ", None: "?"}

NO_PROPERTIES = "no properties: if they were set in the engine since its start, shut the VM down and start it"


def table(vms: Sequence[Status]) -> list[str]:
    """A line for each VM, then what is wrong with any."""
    named: dict[str, list[str]] = {}
    for vm in vms:
        for text in _refused(vm):
            named.setdefault(text, []).append(quote_name(vm.name))
    for vm in vms:
        for text in (*_wrong(vm), *_shared(vm), *vm.unknown):
            named.setdefault(text, []).append(quote_name(vm.name))
    found = [f"{', '.join(names)}: {text}" for text, names in named.items()]
    if any(vm.figure is None and not vm.unknown for vm in vms):
        found.append("?: ask as root for one VM by its name")
    asked = [vm for vm in vms if vm.values]
    wrong = sum(vm.is_as_asked is False for vm in asked)
    count = f"not as asked: {wrong} of {plural(len(asked), 'VM')} with properties"
    without = shorten(", ".join(quote_name(vm.name) for vm in vms if not vm.values), 200)
    count += f"; without properties since their last start: {without}" if without else ""
    return [*columns([HEADS, *map(_row, vms)]), "", *found, count]


def _row(vm: Status) -> list[str]:
    bound = any(home.nodes is not None for home in vm.locality.homes)
    return [
        printable(vm.name),
        _properties(vm),
        f"{vm.locality.near} of {vm.locality.vcpus}" if bound else "-",
        _memory(vm) if bound else "-",
        "-" if not vm.values.keys() & {"guestnuma", "numatune"} else CELLS[vm.differs],
        figure.text(vm.figure),
        "-" if "cputune" not in vm.values else _keeper(vm),
        _next_start(vm),
    ]


def _properties(vm: Status) -> str:
    if not vm.values:
        return "none"
    if vm.pins.problems and vm.pins.target is None and not vm.differs:
        return "refused"
    return "all" if len(vm.values) == len(PROPERTIES) else ",".join(vm.values)


def _memory(vm: Status) -> str:
    """How much of the VM's memory is on nodes that it is bound to."""
    if vm.memory.of_vm is None:
        return "?"
    away = sum(sum(there.values()) for there in vm.memory.away(vm.locality.homes).values())
    total = sum(vm.memory.of_vm.values())
    return f"{amount(total - away)} of {amount(total)}"


def _keeper(vm: Status) -> str:
    return {True: "holds", False: "none", None: "?"}[vm.keeper]


def _next_start(vm: Status) -> str:
    if not vm.values:
        return "-"
    return "refused" if vm.is_refused_next else "warns" if vm.next_start else "ok"


def _refused(vm: Status) -> Iterator[str]:
    since = f" ({amount(vm.plugged_memory)} was plugged in since its start)" if vm.plugged_memory else ""
    for problem in vm.next_start:
        if not problem.warning and problem not in vm.wrong:
            yield f"next start refused{since}: {problem.text}"


def _wrong(vm: Status) -> Iterator[str]:
    return (problem.text for problem in vm.wrong)


def _shared(vm: Status) -> Iterator[str]:
    for name, cpus in vm.shared:
        yield f"shares {name_ids('CPU', cpus)} with VM {quote_name(name)}: largeguest plan leaves out what others hold"


def details(vm: Status, host: Host) -> list[str]:
    """A VM by cell, its other threads, devices and properties, then what is wrong."""
    lines = [f"{name:<10} {printable(value)}" for name, value in vm.values.items()]
    lines += [""] if lines else [NO_PROPERTIES, ""]
    lines += [_cell(vm, number, host) for number in range(len(vm.locality.homes))]
    if None in vm.memory.of_cells and vm.memory.of_vm is not None:
        lines.append(f"all cells: {_by_node(vm.memory.of_vm)}; which cell it belongs to is not known")
    for name, cpus in vm.pins.real.by_name():
        if not name.startswith("vcpu"):
            lines.append(f"{name}: {name_ids('CPU', cpus)} on {_nodes(cpus, host)}")
    for address, node in vm.devices.items():
        lines.append(f"{address}: on {'an unknown node' if node is None else f'node {node}'}")
    lines += [f"locality: {figure.describe(vm.figure, vm.locality)}", *_kept(vm)]
    lines += [] if not vm.values else [f"next start: {_next_start(vm)}"]
    warnings = [f"next start warns: {problem.text}" for problem in vm.next_start if problem.warning]
    found = [*_refused(vm), *_wrong(vm), *_shared(vm), *vm.unknown, *warnings]
    return [*lines, *([""] if found else []), *found]


def _cell(vm: Status, number: int, host: Host) -> str:
    home, held, size = vm.locality.homes[number], vm.memory.of_cells[number], vm.sizes[number]
    name = f"cell {number}" if vm.locality.of_cells else "the VM"
    if home.nodes is None:
        where = "?" if held is None else _by_node(held)
        running = CpuSet.union(vm.pins.real.vcpus.get(vcpu, host.online) for vcpu in home.vcpus)
        bound = "bound by numad" if home.by_numad else "not bound"
        vcpus = plural(len(home.vcpus), "vCPU")
        return f"{name}: {amount(size)}, {bound}: {where}; {vcpus} on {_nodes(running, host)}"
    nodes = name_ids("node", home.nodes)
    vcpus = f"{len(home.near)} of {plural(len(home.vcpus), 'vCPU')} on {_near(home, host)}"
    if held is None:
        return f"{name}: ? of {amount(size)} on {nodes}, {vcpus}"
    here = vm.memory.in_place(number, home)
    there, total = sum(kib for node, kib in here.items() if node in home.nodes), sum(here.values())
    touched = f" ({amount(size)} when all is in use)" if total < size - vm.memory.slack else ""
    return f"{name}: {amount(there)} of {amount(total)}{touched} on {nodes}, {vcpus}"


def _near(home: Home, host: Host) -> str:
    """Of a node without CPUs the vCPUs are on the nearest one."""
    return name_ids("node", CpuSet() if home.nodes is None else host.nodes_near(home.nodes))


def _by_node(memory: Mapping[int, int]) -> str:
    return ", ".join(f"{amount(kib)} on node {node}" for node, kib in memory.items()) or "nothing in use yet"


def _nodes(cpus: CpuSet, host: Host) -> str:
    return name_ids("node", host.nodes_with(cpus))


def _kept(vm: Status) -> Iterator[str]:
    """What the keeper has done."""
    if "cputune" not in vm.values:
        return
    done = vm.work
    if done is None:
        yield f"keeper: {_keeper(vm)}"
        return
    count = sum(done.corrections.values())
    causes = ", ".join(f"{number} {cause}" for cause, number in done.corrections.items())
    times = "" if done.longest is None else f", {done.last:.2f} s after the event, {done.longest:.2f} s at most"
    refused = f", {plural(done.refused, 'pin')} refused" if done.refused else ""
    yield f"keeper: {_keeper(vm)}; {plural(count, 'correction')}" + (f" ({causes}){times}" if count else "") + refused

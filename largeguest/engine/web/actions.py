# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dialog asks for: look at a VM, judge values for it, plan for it, and save values for its next start."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ... import PROPERTIES, planner
from ...cpuset import MAX_ID
from ...host.topology import Host
from ...placement.deal import memory_step
from ...planner import MODES as PLANNED_MODES
from ...problem import ParseError, Problem, Refused
from ...properties import cpulist, numatune
from ...properties.cpulist import CpuList
from ...record import replace
from ...values import DEFAULT_MODE, MODES, Topology
from ...wording import amount
from .. import best, change, rest
from ..connection import Engine
from ..inventory import Machine, Vm
from . import edit, fields, form, judgement
from .fields import Body
from .form import AFFINITIES, PINNINGS, Form, Row
from .gate import Call, HttpError
from .judgement import Question
from .snapshots import Snapshot, Snapshots, not_there, take

MAX_COUNT = 1024
"""Of sockets, cores or threads."""


def look(engine: Engine, snapshots: Snapshots, call: Call) -> dict[str, Any]:
    """The VM as it is and as its next start will be, its hosts, and the judgement of the values that it has."""
    vm_id = fields.text(call.body, "vm")
    vm = _next_run(engine, vm_id)
    snapshot = snapshots.renew(engine, call.token, vm)
    machines = snapshot.estate.machines_for(vm)
    values = {name: vm.ours.get(name, "") for name in PROPERTIES}
    question = _of_values(snapshot, vm, _first(vm, machines), values, vm.topology)
    names = {machine.id: machine.name for machine in snapshot.estate.machines.values()}
    now = snapshot.estate.vms[vm_id]
    return {
        "vm": {
            "id": vm.id,
            "name": vm.name,
            "vcpus": vm.vcpus,
            "memory": amount(vm.memory),
            "policy": vm.policy,
            "status": vm.status.replace("_", " "),
            "host": None if vm.host is None else names.get(vm.host, vm.host),
            "pending": now.pending,
            "now": {name: now.ours.get(name, "") for name in PROPERTIES},
        },
        "modes": MODES,
        "judgement": judgement.judge(question),
    }


def judge(engine: Engine, snapshots: Snapshots, call: Call) -> dict[str, Any]:
    """The judgement of values, or of a form after an edit."""
    return judgement.judge(_question(engine, snapshots, call))


def plan(engine: Engine, snapshots: Snapshots, call: Call) -> dict[str, Any]:
    """The judgement of what `largeguest engine plan` plans, with its notes."""
    body = call.body
    question = _question(engine, snapshots, call)
    known, vm = question.snapshot, question.vm
    mode = fields.choice(body, "mode", MODES)
    request = planner.Request(
        guest=known.estate.guest(vm),
        threads=fields.number(body, "threads", MAX_COUNT, 1),
        nodes=fields.number(body, "nodes", MAX_ID + 1, 1),
        spread=fields.flag(body, "spread"),
        mode=mode if mode in PLANNED_MODES else DEFAULT_MODE,
        reserve=_cpus(body, "reserve"),
        exclude=_cpus(body, "exclude"),
        pci=known.pci,
    )
    on_all = fields.flag(body, "cluster") or question.machine is None
    machines = known.estate.machines_for(vm) if on_all else [question.machine]
    plans, refusals = best.on_each(request, known.estate, vm, [one for one in machines if one is not None])
    if not plans:
        raise best.no_plan(vm, refusals)
    planned = plans[0]
    after = change.of_plan(vm, planned.plan).after
    values = {name: after.custom.get(name, "") for name in PROPERTIES}
    values["numatune"] = str(replace(numatune.parse(values["numatune"]), mode=mode))
    machine = known.estate.machines[planned.machine.id]
    found = judgement.judge(_of_values(known, vm, machine, values, after.topology))
    is_set = after.topology != vm.topology
    notes = [note for note in planned.plan.notes if not (is_set and note.startswith("the VM has a different topology"))]
    return {**found, "notes": _without_options(notes)}


def _without_options(notes: Sequence[str]) -> list[str]:
    """The notes of a plan for the dialog, which has not all options of the command line."""
    return [note.partition(": --")[0] for note in notes if not note.startswith("with --")]


def save(engine: Engine, _snapshots: Snapshots, call: Call) -> dict[str, Any]:
    """Set values for the next start, if the VM is as the dialog has seen it, and nothing speaks against them."""
    vm_id, seen = fields.text(call.body, "vm"), fields.text(call.body, "seen")
    vm = _next_run(engine, vm_id)
    snapshot = take(engine, vm)
    if judgement.fingerprint(vm) != seen:
        raise change.ChangedError([Problem("engine", "the VM has changed meanwhile: nothing was set", "look again")])
    asked = _of_values(snapshot, vm, None, _values(call.body), _topology(call.body, vm)).change
    _, problems = change.check(asked, snapshot.estate, snapshot.definitions)
    if problems:
        raise Refused(problems)
    changes = [{"name": name, "old": old, "new": new} for name, old, new in asked.differences()]
    if changes:
        change.carry_out(engine, asked)
    return {"changes": changes}


Action = Callable[[Engine, Snapshots, Call], dict[str, Any]]

ACTIONS: dict[str, Action] = {"look": look, "judge": judge, "plan": plan, "save": save}


def _next_run(engine: Engine, vm: str) -> Vm:
    """The VM with this id as its next start will be; raises Refused.

    That the engine is asked each time is also what makes sure of the token. An id is a part of the path there.
    """
    found = rest.next_run(engine, vm) if re.fullmatch("[0-9A-Za-z-]{1,64}", vm, re.ASCII) else None
    if found is None:
        raise not_there()
    return found


def _question(engine: Engine, snapshots: Snapshots, call: Call) -> Question:
    """The values and the host that are asked about."""
    vm_id = fields.text(call.body, "vm")
    vm = _next_run(engine, vm_id)
    snapshot = snapshots.get(engine, call.token, vm)
    machine = _machine(call.body, snapshot.estate.machines_for(vm), vm)
    topology = _topology(call.body, vm)
    shown = None
    if fields.part(call.body, "form") is not None:
        guest = snapshot.estate.guest(vm)
        shown = _edited(call.body, topology, memory_step(guest, 0), None if machine is None else machine.host)
    if fields.part(call.body, "values") is None and shown is not None:
        values = form.to_values(shown, vm.iothreads)
    else:
        values = _values(call.body)
    return _of_values(snapshot, vm, machine, values, topology, shown)


def _of_values(
    snapshot: Snapshot,
    vm: Vm,
    machine: Machine | None,
    values: Mapping[str, str],
    topology: Topology,
    shown: Form | None = None,
) -> Question:
    """Without values the VM keeps its topology. The form that is shown stays if it means these values."""
    if shown is None or form.to_values(shown, vm.iothreads) != values:
        shown = form.of_values(values, vm.iothreads)
    return Question(snapshot, vm, machine, values, topology if any(values.values()) else vm.topology, shown)


def _machine(body: Body, machines: Sequence[Machine], vm: Vm) -> Machine | None:
    """The host that is named; if none is, the first."""
    name = fields.text(body, "host", "")
    if not name:
        return _first(vm, machines)
    found = [machine for machine in machines if machine.id == name]
    if not found:
        raise HttpError("400 Bad Request", "the VM may not run on this host", "choose one of its cluster")
    return found[0]


def _first(vm: Vm, machines: Sequence[Machine]) -> Machine | None:
    """The host to look at first: where the VM runs, or one that is up, has the hook, and has the most free memory."""

    def rank(machine: Machine) -> tuple[bool, bool, int]:
        free = sum(node.free or 0 for node in machine.host.nodes.values())
        return machine.id != vm.host, not (machine.status == "up" and machine.has_hook), -free

    return min(machines, key=rank, default=None)


def _values(body: Body) -> dict[str, str]:
    values = fields.part(body, "values")
    if values is None:
        raise HttpError("400 Bad Request", "there are no values")
    return {name: fields.text(values, name, "") for name in PROPERTIES}


def _topology(body: Body, vm: Vm) -> Topology:
    """One with as many vCPUs as the VM has; the VM's if none is given."""
    found = fields.part(body, "topology")
    if found is None:
        return vm.topology
    counts = [fields.number(found, name, MAX_COUNT, 1) or 1 for name in Topology._names]
    topology = Topology(*counts)
    if topology.sockets * topology.vcpus_per_socket != vm.vcpus or topology.dies != vm.topology.dies:
        raise HttpError("400 Bad Request", "the topology has another number of vCPUs than the VM", "look again")
    return topology


def _form(body: Body) -> Form:
    found = fields.part(body, "form") or {}
    rows = [
        Row(fields.text(row, "vcpus"), fields.text(row, "memory"), fields.text(row, "nodes", ""))
        for row in fields.parts(found, "cells")
    ]
    return Form(
        fields.choice(found, "affinity", AFFINITIES),
        fields.choice(found, "mode", MODES),
        fields.text(found, "nodes", ""),
        tuple(rows),
        fields.choice(found, "pinning", PINNINGS),
        fields.text(found, "cputune", ""),
    )


def _edited(body: Body, topology: Topology, step: int, host: Host | None) -> Form:
    """The form, after the edit that is asked for; the memory of a cell is a multiple of `step` KiB."""
    shown, asked = _form(body), fields.part(body, "edit")
    if asked is None:
        return shown
    kind = fields.choice(asked, "kind", ("affinity", "node", "split", "join", "add"))
    cell = fields.number(asked, "cell", fields.MAX_ITEMS)
    try:
        if kind == "affinity":
            return edit.choose(shown, fields.choice(asked, "affinity", AFFINITIES))
        if kind == "split":
            return edit.split(shown, cell or 0, topology, step)
        if kind == "join":
            return edit.join(shown, cell or 0)
        if host is None:
            return shown
        if kind == "add":
            return edit.add(shown, topology, step, host)
        return edit.toggle(shown, fields.number(asked, "node", MAX_ID) or 0, cell, topology, host)
    except edit.NotPossibleError as error:
        raise Refused([Problem("", str(error), "")]) from None


def _cpus(body: Body, name: str) -> CpuList | None:
    """A list of CPUs such as `node0.core0`; None if it is empty."""
    written = fields.text(body, name, "")
    try:
        return cpulist.parse(written) if written.strip(" ") else None
    except ParseError as error:
        raise Refused([Problem(name, error.what, error.fix)]) from None

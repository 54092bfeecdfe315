# SPDX-License-Identifier: GPL-2.0-or-later
"""Change a virtual machine in the engine: for its next start, and nothing that was not asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import PROPERTIES, properties
from ..planner import Plan
from ..problem import INPUT, Problem, Refused
from ..properties import MAX_LENGTH
from ..record import Record, replace
from ..values import Topology
from ..wording import plural, quote, quote_name, verb
from . import matrix, rest
from .connection import Engine
from .definitions import Definitions
from .estate import Estate
from .inventory import HUGEPAGES, SETTABLE, Vm
from .matrix import Row

_VOLATILE = {"status": "", "host": None, "pending": False}


class ChangedError(Refused):
    """The VM is no longer as it was read."""


class Change(Record):
    """A VM as its next start would be now, and as it is to be."""

    before: Vm
    after: Vm

    def differences(self) -> Iterator[tuple[str, str, str]]:
        """What becomes different: its name, the old value, the new one; empty: there is none."""
        old, new = self.before.custom, self.after.custom
        for name in SETTABLE:
            if old.get(name, "") != new.get(name, ""):
                yield name, old.get(name, ""), new.get(name, "")
        if self.before.topology != self.after.topology:
            yield "topology", describe(self.before.topology), describe(self.after.topology)


def describe(topology: Topology) -> str:
    """`2 sockets, 4 cores, 2 threads`."""
    counts = ((topology.sockets, "socket"), (topology.cores, "core"), (topology.threads, "thread"))
    return ", ".join(plural(count, noun) for count, noun in counts)


def of_values(vm: Vm, values: Mapping[str, str], topology: Topology | None = None) -> Change:
    """The change to these values of SETTABLE, of which an empty one removes, and to a topology. All else is kept."""
    custom = {name: value for name, value in {**vm.custom, **values}.items() if name not in values or value}
    return Change(vm, replace(vm, custom=custom, topology=topology or vm.topology))


def of_plan(vm: Vm, plan: Plan) -> Change:
    """What the plan changes; a topology that has another number of vCPUs is left to whoever wants it.

    With auto numatune may have no value.
    """
    topology = plan.topology
    is_same_size = topology.sockets * topology.vcpus_per_socket == vm.vcpus
    values = {**dict.fromkeys(PROPERTIES, ""), **plan.custom_properties}
    return of_values(vm, values, topology if is_same_size else None)


def check(change: Change, estate: Estate, defined: Definitions) -> tuple[Row, list[Problem]]:
    """The row of the changed VM, and why it must not be changed so: the engine or each host would refuse it."""
    (row,) = matrix.rows(estate, [change.after], {defined.level: defined})
    problems = [*row.refusals, *_check_size(change.after.custom), *_check_length(change.after, defined)]
    if not problems:
        problems += properties.parse(change.after.ours)[1]
    if not problems and row.verdicts and all(verdict.refusals for verdict in row.verdicts):
        first = row.verdicts[0].refusals[0]
        where = verb(row.verdicts, "the only host that it may run on", "each host that it may run on")
        problems.append(replace(first, what=f"{where} would refuse the start: {first.what}"))
    return row, problems


def _check_size(custom: Mapping[str, str]) -> Iterator[Problem]:
    size = custom.get(HUGEPAGES, "").strip() or "0"
    if not (size.isascii() and size.isdigit()):
        yield Problem(HUGEPAGES, f"{quote(size)} is not a number of KiB", "write 1048576 for 1G, or 2048 for 2M")


def _check_length(vm: Vm, defined: Definitions) -> Iterator[Problem]:
    """The engine stores all user-defined properties in one column, those of others, too."""
    length = stored_length(vm, defined)
    if length > MAX_LENGTH:
        what = f"all properties of the VM together have {length} characters, but the engine stores {MAX_LENGTH}"
        yield Problem("", what, "write shorter ones, with places instead of CPU numbers")


def stored_length(vm: Vm, defined: Definitions) -> int:
    """How many characters the engine stores for the user-defined properties of a VM, those of others, too."""
    return len(";".join(f"{name}={value}" for name, value in vm.custom.items() if name in defined.names))


def carry_out(engine: Engine, change: Change) -> None:
    """Change the VM, unless it is no longer as it was read; raises Refused.

    The engine has no update that depends on what is there, so another change in the moment between this look and
    the update is lost.
    """
    vm = change.before
    _check_unchanged(vm, rest.ask_next_runs(engine, [vm.id])[0])
    asked = _update(engine.types, change)
    engine.ask_one(
        lambda root: root.vms_service().vm_service(vm.id).update(asked, next_run=True, wait=False),
    )
    stored = rest.ask_next_runs(engine, [vm.id])[0]
    lost = list(Change(replace(stored, name=vm.name), replace(change.after, name=vm.name)).differences())
    if lost:
        what = f"VM {quote_name(vm.name)}: the engine did not store {', '.join(name for name, _, _ in lost)}"
        raise Refused([Problem("engine", what, "look at it in the engine", kind=INPUT)])


def _update(types: Any, change: Change) -> Any:
    """What is sent: the list of custom properties is replaced as a whole, so it has those of others, too."""
    custom = [types.CustomProperty(name=name, value=value) for name, value in change.after.custom.items()]
    new = change.after.topology
    if new == change.before.topology:
        return types.Vm(custom_properties=custom)
    topology = types.CpuTopology(sockets=new.sockets, cores=new.cores, threads=new.threads)
    return types.Vm(custom_properties=custom, cpu=types.Cpu(topology=topology))


def lasting(vm: Vm) -> Vm:
    """The VM without what may become different without anybody having changed it."""
    return replace(vm, **_VOLATILE)


def _check_unchanged(then: Vm, now: Vm) -> None:
    old, new = lasting(then), lasting(now)
    if old != new:
        fields = [name for name in Vm._names if getattr(old, name) != getattr(new, name)]
        what = f"VM {quote_name(then.name)} has changed meanwhile ({', '.join(fields)}): nothing was set"
        raise ChangedError([Problem("engine", what, "look at it again, and repeat the command", kind=INPUT)])

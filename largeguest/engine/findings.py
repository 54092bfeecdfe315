# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong in the engine as a whole, before any virtual machine is started: definitions, hooks, policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .. import PROPERTIES
from ..placement.check_guest import engines_layout
from ..problem import Problem
from ..wording import plural, quote_name, shorten, verb
from . import rest
from .definitions import ANOTHER, MISSING, STRANGE, Definitions
from .estate import Estate
from .inventory import START, Machine, Vm
from .releases import release_of

MAX_NAMES = 200
"""Characters of a list of names in a line."""


def names(things: Iterable[Vm] | Iterable[Machine]) -> str:
    """`"db01", "db02"`, truncated if there are many."""
    return shorten(", ".join(quote_name(name) for name in sorted(thing.name for thing in things)), MAX_NAMES)


def find(estate: Estate, ours: Sequence[Vm], known: Mapping[str, Definitions]) -> Iterator[Problem]:
    """Everything, for the VMs with our properties as their next starts will be."""
    yield from _hooks(estate, ours)
    yield from _definitions(estate, ours, known)
    yield from _lost_when_raised(estate, ours, known)
    yield from _pinned_to_bare_hosts(estate, ours)
    yield from _policies(estate, ours)


def _hooks(estate: Estate, ours: Sequence[Vm]) -> Iterator[Problem]:
    """Hosts without the hook beside others that have it, and different versions of it."""
    for cluster in estate.clusters.values():
        machines = [one for one in estate.machines.values() if one.cluster == cluster.id]
        bare = [machine for machine in machines if not machine.has_hook]
        used = any(vm.cluster == cluster.id for vm in ours) or len(bare) < len(machines)
        if bare and used:
            what = f"{names(bare)} in cluster {quote_name(cluster.name)} {verb(bare, 'does', 'do')} not have the hook"
            yield Problem("hook", what, "install vdsm-hook-largeguest there", warning=True)
    versions = {machine.hooks[START] for machine in estate.machines.values() if machine.has_hook}
    if len(versions) > 1:
        texts = ", ".join(sorted(release_of(md5) for md5 in versions))
        yield Problem("hook", f"the hosts have {len(versions)} versions of it: {texts}", "upgrade them", warning=True)


def _definitions(estate: Estate, ours: Sequence[Vm], known: Mapping[str, Definitions]) -> Iterator[Problem]:
    """Levels in use that do not define our properties as this version has them."""
    for level in in_use(estate, ours):
        defined = known.get(level, Definitions(level, ()))
        states = {name: defined.state(name) for name in PROPERTIES}
        fix = f"largeguest engine config --cver {level}"
        for state, what in (
            (MISSING, "does not define"),
            (STRANGE, "has something else as"),
            (ANOTHER, "has another version of"),
        ):
            having = [name for name in PROPERTIES if states[name] == state]
            if having:
                yield Problem("definitions", f"level {level} {what} {', '.join(having)}", fix, warning=state == ANOTHER)
        twice = [name for name in PROPERTIES if defined.times(name) > 1]
        if twice:
            what = f"level {level} defines {', '.join(twice)} several times: the last one counts"
            yield Problem("definitions", what, fix, warning=True)


def in_use(estate: Estate, ours: Iterable[Vm]) -> list[str]:
    """The levels of VMs with our properties, and of clusters that have a host with the hook."""
    levels = {estate.level(vm) for vm in ours}
    hooked = {machine.cluster for machine in estate.machines.values() if machine.has_hook}
    return sorted(levels | {estate.clusters[cluster].level for cluster in hooked}, key=rest.by_number)


def _lost_when_raised(estate: Estate, ours: Sequence[Vm], known: Mapping[str, Definitions]) -> Iterator[Problem]:
    """The engine removes from all VMs of a cluster what the new level does not define, and does not say so."""
    for cluster in estate.clusters.values():
        own = [vm for vm in ours if vm.cluster == cluster.id and vm.level is None]
        for level in known:
            losers = [vm for vm in own if {*vm.ours} - known[level].names]
            if losers and rest.by_number(level) > rest.by_number(cluster.level):
                lost = sorted({name for vm in losers for name in vm.ours} - known[level].names, key=PROPERTIES.index)
                what = (
                    f"raising cluster {quote_name(cluster.name)} from {cluster.level} to {level} would remove "
                    f"{', '.join(lost)} from {plural(len(losers), 'VM')}: {names(losers)}"
                )
                yield Problem("level", what, f"before that: largeguest engine config --cver {level}", warning=True)


def _pinned_to_bare_hosts(estate: Estate, ours: Sequence[Vm]) -> Iterator[Problem]:
    for vm in ours:
        bare = [machine for machine in estate.machines_for(vm) if vm.only_on and not machine.has_hook]
        if bare:
            what = f"VM {quote_name(vm.name)} is pinned to {names(bare)}, without the hook"
            yield Problem("hook", what, "install vdsm-hook-largeguest there, or change Start Running On")


def _policies(estate: Estate, ours: Sequence[Vm]) -> Iterator[Problem]:
    for vm in ours:
        what = engines_layout(estate.guest(vm))
        if what is not None:
            fix = "choose the policy None or Manual, or remove the properties"
            yield Problem("policy", f"VM {quote_name(vm.name)}: {what}", fix)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Write out the word auto for a VM that starts or arrives on a host, beside the VMs that run there."""

from __future__ import annotations

from collections.abc import Iterator

from ..cpuset import CpuSet
from ..host.topology import Host
from ..placement import lookup
from ..placement.check_host import check_policy
from ..placement.place import behind, resolve_policy
from ..problem import Problem, Refused
from ..properties import Properties
from ..properties.cpulist import CpuList, Item, Place, spans
from ..properties.cputune import All, Cputune, Pin, Vcpus
from ..record import replace
from ..values import DEFAULT_MODE, Guest, Topology
from ..wording import plural, shorten
from .advice import shortage
from .choice import best_choice
from .free import NOWHERE, pin_near
from .need import MODES, Request, resolve


def expand(
    typed: Properties, guest: Guest, host: Host | None, pci: tuple[str, ...] = ()
) -> tuple[Properties, tuple[Problem, ...]]:
    """Choose nodes and CPUs for each property that is auto, as a plan does; the others stay. Also returns warnings.

    `pci` are the addresses of the devices that are passed through. Raises Refused if nothing fits.
    """
    if host is None:
        what = "auto must be looked up on a host, but none is given"
        raise Refused(Problem(name, what, "write numbers, or name a host") for name in typed.autos)
    if host.neighbours_unknown:
        what = f"auto: what other VMs hold is not known: {host.neighbours_unknown}"
        raise Refused(
            [Problem(typed.autos[-1], what, "start the keeper: systemctl enable --now vdsm-largeguest-keeper")]
        )
    if "guestnuma" in typed.autos:
        return _with_cells(typed, guest, host, pci)
    return replace(typed, cputune=pin_near(behind(typed, guest, host), guest, host)), ()


def _with_cells(
    typed: Properties, guest: Guest, host: Host, pci: tuple[str, ...]
) -> tuple[Properties, tuple[Problem, ...]]:
    """A cell on each of the nodes that the planner chooses."""
    host.check_nodes_apart()
    mode = DEFAULT_MODE if typed.numatune is None else typed.numatune.mode
    nodes = _allowed_nodes(typed, host)
    request = Request(
        guest,
        mode=mode if mode in MODES else DEFAULT_MODE,
        exclude=_outside(typed, nodes, host),
        on=None if nodes == host.local_nodes else CpuList(tuple(Item(Place("node", node)) for node in nodes)),
        pci=pci,
    )
    try:
        need = resolve(request, host)
        choice = best_choice(need)
    except Refused as refused:
        problems = refused.problems
        raise Refused(
            replace(problem, subject="guestnuma", what=f"auto: {problem.what}") for problem in problems
        ) from None
    if choice is None:
        raise Refused([Problem("guestnuma", f"auto: {shortage(need)}", NOWHERE)])
    chosen = choice.properties
    assert chosen.numatune
    cputune = typed.cputune
    if cputune is not None:
        cputune = chosen.cputune if cputune.is_auto else _beside_others(cputune, CpuSet(choice.nodes), host)
    properties = Properties(cputune, replace(chosen.numatune, mode=mode), chosen.guestnuma)
    return properties, tuple(_topology(choice.topology, guest))


def _beside_others(cputune: Cputune, nodes: CpuSet, host: Host) -> Cputune:
    """The pins of the cells on these nodes, without the CPUs of other VMs."""

    def without(pin: Pin) -> Pin:
        if not isinstance(pin.threads, (All, Vcpus)):
            return pin
        removed = spans(lookup.look_up(pin.cpus, host, nodes).cpus & host.held, out=True)
        return replace(pin, cpus=CpuList((*pin.cpus.items, *removed)))

    return replace(cputune, pins=tuple(map(without, cputune.pins)))


def _allowed_nodes(typed: Properties, host: Host) -> CpuSet:
    """Those that numatune names, or all; raises Refused."""
    if typed.numatune is None or typed.numatune.nodeset is None:
        return host.local_nodes
    policy, problems = resolve_policy(typed.numatune, host)
    problems += check_policy(policy, host)
    nodes = (policy.nodeset or CpuSet()) & host.local_nodes
    if not nodes and not problems:
        problems = [Problem("numatune", f"none of {policy.nodeset} has both CPUs and memory", "name other nodes")]
    if problems:
        raise Refused(problems)
    return nodes


def _outside(typed: Properties, nodes: CpuSet, host: Host) -> CpuList | None:
    """The CPUs of the nodes that a typed cputune does not give to its cells; raises Refused for one with other pins."""
    pins = () if typed.cputune is None else typed.cputune.pins
    places = [pin for pin in pins if isinstance(pin.threads, (All, Vcpus))]
    for pin in places:
        if not pin.cpus.of_cell:
            what = f"auto chooses the nodes, but {shorten(str(pin))} in cputune has CPUs of its own"
            raise Refused([Problem("guestnuma", what, "write all#=cell, or auto, or name the cells")])
    inside = CpuSet.union(_of_cell(pin.cpus, node, host) for pin in places for node in nodes)
    outside = CpuSet.union(host.nodes[node].cpus for node in nodes) - inside
    return CpuList(spans(outside)) if places and outside else None


def _of_cell(cpus: CpuList, node: int, host: Host) -> CpuSet:
    """The CPUs of the list for a cell on the node; none if the node does not have them all."""
    try:
        return lookup.look_up(cpus, host, CpuSet([node])).cpus
    except lookup.NotThereError:
        return CpuSet()


def _topology(fits: Topology, guest: Guest) -> Iterator[Problem]:
    own = guest.topology
    if own is not None and replace(own, sockets=0) != replace(fits, sockets=0):
        sizes = ", ".join([plural(fits.sockets, "socket"), plural(fits.cores, "core"), plural(fits.threads, "thread")])
        what = "auto: the cells are not whole guest sockets"
        yield Problem("guestnuma", what, f"give the VM this topology: {sizes}", warning=True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest plan: work out the properties for a VM on a host."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from .. import planner
from ..cpuset import CpuSet
from ..domxml import parse, read
from ..host.topology import Host
from ..planner.alternatives import alternatives
from ..properties import Properties
from ..properties.cputune import Cputune
from ..properties.guestnuma import Guestnuma
from ..properties.numatune import Numatune
from ..record import replace
from ..values import DEFAULT_MODE, Guest, HugePage
from ..view import json, layout, table
from . import files, options, others

if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    plan = options.add_command(
        commands,
        "plan",
        "work out the properties for a VM on a host",
        "Choose the host's nodes and CPUs for a VM, and print the three properties to enter, the topology to set,\n"
        "and which vCPU then runs on which CPU.",
        "largeguest plan --vcpus 64 --memory 512G",
        "largeguest plan --vcpus 64 --memory 512G --hugepages 1G --reserve 0-1,64-65 --nodes 2",
        "largeguest plan --domain vm.xml --svg plan.svg",
        "virsh -r capabilities >caps.xml   # on another host, and then here:",
        "largeguest plan --vcpus 64 --memory 512G --host caps.xml",
    )
    _add_vm(plan)
    add_choice(plan)
    plan.add_argument(
        "--near",
        type=options.pci_address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="prefer the node of this PCI device, which is passed through: 0000:41:00.0",
    )
    options.add_host(plan)
    beside = plan.add_mutually_exclusive_group()
    beside.add_argument("--share", action="store_true", help="use what other VMs of this host hold, too")
    beside.add_argument("--replace", metavar="VM", help="plan as if this VM did not run: for its restart")
    plan.add_argument("--json", action="store_true", help="print JSON")
    options.add_svg(plan)
    plan.set_defaults(run=_run)


def add_choice(plan: argparse.ArgumentParser) -> None:
    """Add the options that say how to choose nodes and CPUs."""
    _add_cores(plan)
    _add_left_out(plan)
    plan.add_argument(
        "--mode", choices=planner.MODES, default="strict", help="how memory is bound to the nodes (default: strict)"
    )
    size = plan.add_mutually_exclusive_group()
    size.add_argument("--nodes", type=options.positive, metavar="K", help="use K nodes of the host")
    size.add_argument("--pack", action="store_true", help="use the fewest nodes that hold the VM (the default)")
    size.add_argument(
        "--spread", action="store_true", help="use as many nodes as possible, each with a guest core or more"
    )
    plan.add_argument(
        "--auto", action="store_true", help="print auto, which chooses the same on the host where the VM starts"
    )
    plan.set_defaults(parser=plan)


def _add_vm(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("--vcpus", type=options.positive, metavar="N", help="vCPUs of the VM")
    plan.add_argument("--memory", type=options.memory, metavar="SIZE", help="memory of the VM: 512G, 1.5T")
    plan.add_argument(
        "--hugepages",
        type=options.page_size,
        metavar="SIZE",
        help="size of the huge pages that back the VM's memory: 2M, 1G",
    )
    plan.add_argument(
        "--domain",
        metavar="DOMAIN.xml",
        help="a libvirt domain XML that gives vCPUs, memory, huge pages, topology and more, - for standard input",
    )


def _add_cores(plan: argparse.ArgumentParser) -> None:
    threads = plan.add_mutually_exclusive_group()
    threads.add_argument(
        "--threads", type=options.positive, metavar="T", help="threads per guest core (default: the host's)"
    )
    threads.add_argument(
        "--one-thread-per-core", action="store_true", help="give each vCPU a core of the host to itself"
    )


def _add_left_out(plan: argparse.ArgumentParser) -> None:
    for name, text in (
        ("--reserve", "leave these CPUs to the host, emulator and iothreads: 0-1,node3"),
        ("--exclude", "do not use these CPUs, such as those of other VMs"),
        ("--on", "use only these nodes of the host: node2,node3"),
    ):
        plan.add_argument(
            name, type=options.cpus, action=options.Longer, metavar="NODES" if name == "--on" else "CPUSET", help=text
        )
    plan.add_argument(
        "--reserve-cores",
        type=options.positive,
        default=0,
        metavar="N",
        help="leave N cores of each node to the host, emulator and iothreads",
    )
    plan.add_argument(
        "--reserve-memory",
        type=options.memory_or_none,
        metavar="SIZE",
        help="leave so much free memory on each node to the host (default: 256M and 1 %% of the node's)",
    )


def _run(arguments: argparse.Namespace) -> int:
    check_auto(arguments)
    guest, pci, name = _guest_to_plan_for(arguments)
    host = _host_to_plan_on(arguments, name)
    guest = replace(guest, arch=guest.arch or host.arch)
    wanted = request(arguments, guest, tuple(dict.fromkeys((*pci, *arguments.near))))
    plan = as_asked(planner.plan(wanted, host), arguments)
    others_like_it = alternatives(wanted, host, len(plan.nodes))
    picture = lay_out(plan, guest, host)
    if arguments.svg is not None:
        files.draw(arguments.svg, picture)
    if arguments.json:
        print(json.plan_json(plan, others_like_it, host))
    else:
        print("\n\n".join([table.plan_text(plan, picture, in_colour()), *table.alternatives(plan, others_like_it)]))
    return 0


NOT_IN_AUTO = (
    "threads",
    "one_thread_per_core",
    "reserve",
    "reserve_cores",
    "reserve_memory",
    "exclude",
    "nodes",
    "on",
    "spread",
    "near",
    "share",
)
"""The options that say what the properties cannot say with the word auto."""


def check_auto(arguments: argparse.Namespace) -> None:
    """End the program for an option for which --auto has no place."""
    for name in NOT_IN_AUTO if arguments.auto else ():
        if getattr(arguments, name, None) != arguments.parser.get_default(name):
            option = f"--{name.replace('_', '-')}"
            arguments.parser.error(f"{option} cannot be combined with --auto, which has no place for it")


def as_asked(plan: planner.Plan, arguments: argparse.Namespace) -> planner.Plan:
    """The plan; with --auto that with the properties that leave the choice to the host where the VM starts."""
    if not arguments.auto:
        return plan
    numatune = None if arguments.mode == DEFAULT_MODE else Numatune(arguments.mode, None)
    return replace(plan, properties=Properties(Cputune(()), numatune, Guestnuma(())))


def request(arguments: argparse.Namespace, guest: Guest, pci: tuple[str, ...]) -> planner.Request:
    """What to plan for, with the options of `add_choice`."""
    return planner.Request(
        guest=guest,
        threads=arguments.threads,
        nodes=arguments.nodes,
        spread=arguments.spread,
        mode=arguments.mode,
        reserve=arguments.reserve,
        exclude=arguments.exclude,
        pci=pci,
        reserve_cores=arguments.reserve_cores,
        reserve_memory=arguments.reserve_memory,
        on=arguments.on,
        one_thread_per_core=arguments.one_thread_per_core,
    )


def lay_out(plan: planner.Plan, guest: Guest, host: Host) -> layout.Layout:
    """The guest on the host, with what the plan leaves out."""
    left_out = {name: cpus for name, cpus in (("reserved", plan.reserved), ("excluded", plan.excluded)) if cpus}
    return layout.lay_out(host, plan.placement, guest, left_out=left_out)


def _host_to_plan_on(arguments: argparse.Namespace, name: str) -> Host:
    """The host; if it is this one, with what VMs hold other than that of this name."""
    host = files.require_host(arguments.host)
    if arguments.host != "local" and (arguments.share or arguments.replace is not None):
        arguments.parser.error("--share and --replace are about the VMs of this host, not of --host")
    if arguments.replace is not None:
        others.require_running(arguments.replace)
    if arguments.host != "local" or arguments.share:
        return host
    return others.beside(host, name if arguments.replace is None else arguments.replace)


def _guest_to_plan_for(arguments: argparse.Namespace) -> tuple[Guest, tuple[str, ...], str]:
    """The VM, the PCI devices that are passed through to it, and its name if it has one."""
    if arguments.domain is not None:
        for name in ("vcpus", "memory", "hugepages"):
            if getattr(arguments, name) is not None:
                arguments.parser.error(f"--{name} cannot be combined with --domain, which sets it")
        tree = parse.domain(files.document(arguments.domain))
        guest = read.guest(tree)
        # the engine plugs in the first ones at the next start, whichever are plugged in now
        plugged = CpuSet.span(0, len(guest.plugged_vcpus) - 1)
        return replace(guest, plugged=plugged), tuple(read.pci_devices(tree)), read.name(tree)
    for name in ("vcpus", "memory"):
        if getattr(arguments, name) is None:
            arguments.parser.error(f"write --{name}, or --domain")
    pages = () if arguments.hugepages is None else (HugePage(arguments.hugepages, None),)
    return Guest(max_vcpus=arguments.vcpus, memory=arguments.memory, pages=pages), (), ""


def in_colour() -> bool:
    """Only on a terminal, and unless the user asked for none (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

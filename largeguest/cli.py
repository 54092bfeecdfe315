# SPDX-License-Identifier: GPL-2.0-or-later
"""The `largeguest` command.

Exit code 0: done. 1: the hook would refuse, there is no plan, or pins are not as cputune says. 2: wrong command line,
or a file cannot be used.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import (
    MAX_DOCUMENT,
    PROPERTIES,
    connection,
    cpulist,
    dealing,
    domxml,
    engine,
    host,
    layout,
    pinning,
    placement,
    properties,
    rewrite,
    show,
)
from . import plan as planning
from .cpulist import CpuList
from .cpuset import MAX_ID, CpuSet
from .errors import DOMAIN_XML, ParseError, Problem, Refused, plural, quote, quote_name
from .guest import Guest, HugePage
from .host import Host
from .properties import Properties, Vcpus
from .records import replace

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


class _CannotUse(Exception):
    """What the command line names cannot be used; the text says why and how to mend it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: those of the process); returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        if sys.stdout is None:
            raise _CannotUse("the standard output is closed: leave it open")
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2 if any(problem.subject in ("host", DOMAIN_XML) for problem in refused.problems) else 1
    except _CannotUse as error:
        print(f"largeguest: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        name = "output" if error.filename is None else error.filename
        print(f"largeguest: {quote(name, 200)}: {error.strerror}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line; the manual page and the completion are held against it."""
    whole = argparse.ArgumentParser(
        prog="largeguest",
        description="NUMA tuning for large virtual machines on oVirt.",
        epilog="""examples:
  largeguest plan --vcpus 64 --memory 512G
  largeguest plan --domain vm.xml --host caps.xml --svg plan.svg
  largeguest check --cputune 0-3#=node0 --guestnuma '0-3#*@0' vm.xml
exit code: 0 done; 1 the hook would refuse, there is no plan, or pins are not as cputune says; 2 wrong command line, or
a file cannot be used""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_plan(commands)
    _add_apply(commands)
    _add_check(commands)
    _add_topology(commands)
    _add_engine_config(commands)
    _add_pins(commands)
    _add_keeper(commands)
    return whole


def _add_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connect", default=connection.SYSTEM, metavar="URI", help="the libvirt to ask (default: %(default)s)"
    )


def _add_command(commands: _Commands, name: str, short: str, text: str, *examples: str) -> argparse.ArgumentParser:
    epilog = "\n  ".join(["example:" if len(examples) == 1 else "examples:", *examples])
    formatter = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=short, description=text, epilog=epilog, formatter_class=formatter)


def _add_plan(commands: _Commands) -> None:
    plan = _add_command(
        commands,
        "plan",
        "write the properties for a VM on a host",
        "Choose the host's nodes and CPUs for a VM, and print the three properties to type, the topology to give it,\n"
        "and who then runs where.",
        "largeguest plan --vcpus 64 --memory 512G",
        "largeguest plan --vcpus 64 --memory 512G --hugepages 1G --reserve 0-1,64-65 --nodes 2",
        "largeguest plan --domain vm.xml --svg plan.svg",
        "virsh -r capabilities >caps.xml   # on another host, and then here:",
        "largeguest plan --vcpus 64 --memory 512G --host caps.xml",
    )
    plan.add_argument("--vcpus", type=_positive, metavar="N", help="vCPUs of the VM")
    plan.add_argument("--memory", type=_amount, metavar="SIZE", help="memory of the VM: 512G; without a unit KiB")
    plan.add_argument("--hugepages", type=_amount, metavar="SIZE", help="the VM's memory is in huge pages: 2M, 1G")
    plan.add_argument(
        "--domain",
        metavar="DOMAIN.xml",
        help="a libvirt domain XML that says vCPUs, memory, huge pages, topology and more, - for standard input",
    )
    plan.add_argument("--threads", type=_positive, metavar="T", help="threads of a guest core (default: the host's)")
    plan.add_argument(
        "--reserve",
        type=_cpus,
        action=_Longer,
        metavar="CPUSET",
        help="leave CPUs to the host, emulator and iothreads: 0-1,node3",
    )
    plan.add_argument(
        "--exclude", type=_cpus, action=_Longer, metavar="CPUSET", help="do not use these CPUs: those of other VMs"
    )
    plan.add_argument(
        "--mode", choices=planning.MODES, default="strict", help="how memory is bound to the nodes (default: strict)"
    )
    size = plan.add_mutually_exclusive_group()
    size.add_argument("--nodes", type=_positive, metavar="K", help="use K nodes of the host")
    size.add_argument("--pack", action="store_true", help="use the fewest nodes that hold the VM (the default)")
    size.add_argument("--spread", action="store_true", help="use as many nodes as there are guest cores for")
    _add_host(plan)
    plan.add_argument("--json", action="store_true", help="print JSON")
    _add_svg(plan)
    plan.set_defaults(run=_plan, parser=plan)


def _add_apply(commands: _Commands) -> None:
    apply = _add_command(
        commands,
        "apply",
        "print what the hook would make of a domain XML",
        "Print what the hook would make of a domain XML; nothing is changed or started.",
        "largeguest apply --diff --cputune 0#0,1#1 --numatune strict#0 vm.xml",
    )
    _add_properties(apply)
    _add_host(apply, none=True)
    apply.add_argument("--diff", action="store_true", help="print a unified diff instead of the whole XML")
    apply.add_argument("domain", metavar="DOMAIN.xml", help="the libvirt domain XML, - for standard input")
    apply.set_defaults(run=_apply)


def _add_check(commands: _Commands) -> None:
    check = _add_command(
        commands,
        "check",
        "check properties against a host, and a VM",
        "Run all checks of the hook, without a VM those that need none.",
        "largeguest check --cputune 0#0,1#1 --numatune strict#0 --host caps.xml vm.xml",
    )
    _add_properties(check)
    _add_host(check, none=True)
    check.add_argument(
        "domain", metavar="DOMAIN.xml", nargs="?", help="the libvirt domain XML of the VM, - for standard input"
    )
    _add_svg(check)
    check.set_defaults(run=_check)


def _add_topology(commands: _Commands) -> None:
    topology = _add_command(
        commands,
        "host",
        "print the topology of a host",
        "Print the NUMA nodes, sockets, cores and threads of a host.",
        "largeguest host --svg host.svg",
        "virsh -c qemu+ssh://host2/system capabilities >caps.xml; largeguest host --host caps.xml",
    )
    _add_host(topology)
    topology.add_argument("--json", action="store_true", help="print JSON")
    _add_svg(topology)
    topology.set_defaults(run=_host)


def _add_engine_config(commands: _Commands) -> None:
    config = _add_command(
        commands,
        "engine-config",
        "print the command that tells the engine of the properties",
        "Print the engine-config command for the engine's machine, quoted for the shell.",
        "largeguest engine-config --cver 4.6",
    )
    config.add_argument(
        "--cver", type=_level, default="4.7", metavar="V", help="the cluster compatibility version (default 4.7)"
    )
    config.set_defaults(run=_engine_config)


def _add_pins(commands: _Commands) -> None:
    pins = _add_command(
        commands,
        "pins",
        "print the pins of running VMs",
        "Print where the vCPUs, emulators and iothreads of running VMs should be by their cputune, and where they\n"
        "are. The exit code is 1 if some are elsewhere, or if that cannot be determined.",
        "largeguest pins db01",
        "largeguest pins --connect qemu+ssh://host2/system",
    )
    _add_connect(pins)
    pins.add_argument("vm", metavar="VM", nargs="?", help="name or UUID of a VM (default: all)")
    pins.set_defaults(run=_pins)


def _add_keeper(commands: _Commands) -> None:
    keeper = _add_command(
        commands,
        "keeper",
        "hold the pins of running VMs",
        "Put the pins of running VMs back whenever they are moved, until it is stopped. The service\n"
        "vdsm-largeguest-keeper runs this.",
        "systemctl enable --now vdsm-largeguest-keeper",
        "largeguest keeper --connect qemu:///system",
    )
    _add_connect(keeper)
    keeper.set_defaults(run=_keeper)


def _add_svg(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--svg", type=_picture, metavar="FILE", help="write a picture to FILE, too")


def _picture(name: str) -> str:
    if name in ("", "-"):
        raise argparse.ArgumentTypeError("name a file, the text goes to the standard output")
    return name


def _positive(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,4}", text, re.ASCII) or int(text) > MAX_ID + 1:
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a number from 1 to {MAX_ID + 1}")
    return int(text)


def _level(text: str) -> str:
    if not re.fullmatch("[0-9]+[.][0-9]+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a cluster compatibility version such as 4.7")
    return text


class _Longer(argparse.Action):
    """A list of CPUs that goes on where the option is written again."""

    def __call__(
        self, _parser: argparse.ArgumentParser, options: argparse.Namespace, more: Any, _option: str | None = None
    ) -> None:
        before = getattr(options, self.dest)
        setattr(options, self.dest, more if before is None else CpuList((*before.items, *more.items)))


def _amount(text: str) -> int:
    try:
        amount = properties.parse_memory(text)
    except ParseError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not amount:
        raise argparse.ArgumentTypeError("0 is too little")
    return amount


def _cpus(text: str) -> CpuList:
    try:
        return cpulist.parse(text, 0, len(text))
    except ParseError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_properties(parser: argparse.ArgumentParser) -> None:
    for name in PROPERTIES:
        parser.add_argument(f"--{name}", default="", metavar="VALUE", help=f"the custom property {name}")


def _add_host(parser: argparse.ArgumentParser, none: bool = False) -> None:
    parser.add_argument(
        "--host",
        default="local",
        metavar="local|none|DIR|CAPS.xml" if none else "local|DIR|CAPS.xml",
        help=f"the host: this one (the default), {'none, ' if none else ''}a saved /sys, or the output of "
        "`virsh capabilities`",
    )


def _apply(options: argparse.Namespace) -> int:
    document = _read(options.domain)
    new, told = rewrite.rewrite(_values(options), document, _read_host(options.host))
    if options.diff:
        _print_diff(options.domain, document, new)
    else:
        sys.stdout.buffer.write(new)
    print(told, file=sys.stderr)
    return 0


def _print_diff(name: str, document: bytes, new: bytes) -> None:
    import difflib

    # serialised alike, so that the diff shows no other quotes and empty elements
    before, after = (domxml.serialise(domxml.parse(text), like=text).splitlines(True) for text in (document, new))
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, os.fsencode(name), b"rewritten")
    sys.stdout.buffer.writelines(lines)


def _check(options: argparse.Namespace) -> int:
    wanted, found = properties.parse(_values(options))
    its_host = _require_host(options) if options.svg is not None else _read_host(options.host)
    if options.domain is None:
        guest = _guest_that_fits(wanted, None if its_host is None else its_host.arch)
        drawn, shares = replace(guest, plugged=None), _shares(wanted)
    else:
        drawn = guest = _read_guest(options.domain, found)
        shares = []
    placed = None
    try:
        placed = placement.place(wanted, guest, its_host)
        found += placed.warnings
    except Refused as refused:
        found += refused.problems
    for problem in found:
        print(problem)
    fatal = sum(not problem.warning for problem in found)
    print(f"{plural(fatal, 'error')}, {plural(len(found) - fatal, 'warning')}")
    if options.svg is not None and its_host is not None:
        if fatal:
            print("largeguest: no picture of what is refused", file=sys.stderr)
        else:
            _draw(options.svg, layout.lay_out(its_host, placed, drawn, shares))
    return 1 if fatal else 0


def _read_guest(path: str, problems: tuple[Problem, ...]) -> Guest:
    """The VM of a domain XML; where that cannot be read, Refused has the `problems` of the properties, too."""
    try:
        return domxml.read_guest(domxml.parse(_read(path)))
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None


def _plan(options: argparse.Namespace) -> int:
    guest, pci = _guest_to_plan_for(options)
    its_host = _require_host(options)
    guest = replace(guest, arch=guest.arch or its_host.arch)
    made = planning.plan(
        planning.Request(
            guest=guest,
            threads=options.threads,
            nodes=options.nodes,
            spread=options.spread,
            mode=options.mode,
            reserve=options.reserve,
            exclude=options.exclude,
            pci=pci,
        ),
        its_host,
    )
    its_layout = layout.lay_out(its_host, made.placement, guest)
    if options.svg is not None:
        _draw(options.svg, its_layout)
    print(show.plan_json(made, its_host) if options.json else show.plan_text(made, its_layout, _in_colour()))
    return 0


def _guest_to_plan_for(options: argparse.Namespace) -> tuple[Guest, tuple[str, ...]]:
    """The VM, and the PCI devices that are passed through to it."""
    if options.domain is not None:
        for name in ("vcpus", "memory", "hugepages"):
            if getattr(options, name) is not None:
                options.parser.error(f"--{name} does not go with --domain, which says it")
        tree = domxml.parse(_read(options.domain))
        return domxml.read_guest(tree), tuple(domxml.read_pci_devices(tree))
    for name in ("vcpus", "memory"):
        if getattr(options, name) is None:
            options.parser.error(f"write --{name}, or --domain")
    pages = () if options.hugepages is None else (HugePage(options.hugepages, None),)
    return Guest(max_vcpus=options.vcpus, memory=options.memory, pages=pages), ()


def _in_colour() -> bool:
    """Only on a terminal, and not where people asked for none (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _draw(path: str, its_layout: layout.Layout) -> None:
    from . import svg

    picture = svg.draw(its_layout)
    with open(path, "wb") as file:
        file.write(picture)


def _engine_config(options: argparse.Namespace) -> int:
    print(engine.command(options.cver))
    return 0


def _host(options: argparse.Namespace) -> int:
    its_host = _require_host(options)
    if options.svg is not None:
        _draw(options.svg, layout.lay_out(its_host))
    print(show.host_json(its_host) if options.json else show.host_table(its_host))
    return 0


def _pins(options: argparse.Namespace) -> int:
    libvirt = _import_libvirt()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a VM's name may have any character
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # libvirt may write to a daemon that has just ended
    try:
        with contextlib.closing(connection.open_read_only(options.connect)) as opened:
            here = _topology(opened, options.connect)
            named, others = _running(opened, libvirt, options.vm)
            found = [pinning.read_domain(domain, here) for domain in named]
            beside = [pinning.read_domain(domain, here) for domain in others]
    except libvirt.libvirtError as error:
        raise _CannotUse(f"libvirt: {quote(str(error), 200)}") from None
    finally:
        signal.signal(signal.SIGPIPE, before)
    vms = [vm for vm in found if isinstance(vm, pinning.Running)]
    unread = [vm for vm in found if isinstance(vm, pinning.Unread)]
    problems = [f"{quote_name(vm.name)}: {problem}" for vm in vms for problem in vm.problems]
    problems += map(str, _check_shared(vms, [vm for vm in beside if isinstance(vm, pinning.Running)]))
    for line in (show.pins_table(vms), *problems, *(f"{quote_name(vm.name)}: {vm.why}" for vm in unread)):
        print(line)
    unknown = any(not vm.has_stopped for vm in unread)
    return 1 if problems or unknown or any(vm.moved for vm in vms) else 0


def _check_shared(vms: list[pinning.Running], others: list[pinning.Running]) -> Iterator[Problem]:
    """The warnings about CPUs of `vms` that are another VM's alone, and the other way round."""
    for vm in vms:
        pairs = [(vm, other) for other in (*vms, *others)] + [(other, vm) for other in others]
        yield from filter(None, itertools.starmap(pinning.check_shared, pairs))


def _topology(opened: Any, uri: str) -> Host:
    """The host on which the VMs of a connection run: /sys knows more, but is this host's."""
    return host.from_sys() if connection.is_local(uri) else host.from_capabilities(opened.getCapabilities().encode())


def _running(opened: Any, libvirt: Any, name: str | None) -> tuple[list[Any], list[Any]]:
    """The running VMs: all, or the one with this name or UUID; and the others."""
    running = opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    if name is None:
        return running, []
    if re.fullmatch("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", name):
        named = opened.lookupByUUIDString(name)
    else:
        named = opened.lookupByName(name)
    return [named], [domain for domain in running if domain.UUIDString() != named.UUIDString()]


def _keeper(options: argparse.Namespace) -> int:
    if not connection.is_local(options.connect):
        uri = quote(options.connect, 200)
        raise _CannotUse(f"{uri} is not this host's libvirt: write {connection.SYSTEM}, and run a keeper on each host")
    _import_libvirt()
    from . import keeper

    return keeper.keep(options.connect)


def _import_libvirt() -> Any:
    try:
        import libvirt
    except ImportError:
        raise _CannotUse("libvirt's Python binding is missing: install python3-libvirt") from None
    return libvirt


def _values(options: argparse.Namespace) -> dict[str, str]:
    return {name: getattr(options, name) for name in PROPERTIES}


def _read(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:
            raise _CannotUse("the standard input is closed: write a file's name instead of -")
        return sys.stdin.buffer.read(MAX_DOCUMENT + 1)
    with open(path, "rb") as file:
        try:
            return file.read(MAX_DOCUMENT + 1)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None


def _read_host(option: str) -> Host | None:
    if option == "none":
        return None
    if option == "local":
        return host.from_sys(host.SYS)
    if not os.path.isdir(option):
        return host.from_capabilities(_read(option))
    # a tree saved by hwloc-gather-topology holds sys beside proc
    inside = os.path.join(option, "sys")
    return host.from_sys(inside if os.path.isdir(inside) else option)


def _require_host(options: argparse.Namespace) -> Host:
    its_host = _read_host(options.host)
    if its_host is None:
        raise _CannotUse("no host is given: write --host local, DIR or CAPS.xml")
    return its_host


def _guest_that_fits(wanted: Properties, arch: str | None) -> Guest:
    """The smallest VM on which no check fails but those of the properties themselves."""
    cells = () if wanted.guestnuma is None else wanted.guestnuma.cells
    pins = () if wanted.cputune is None else wanted.cputune.pins
    last = [pin.who.last for pin in pins if isinstance(pin.who, Vcpus)] + [cell.vcpus.last for cell in cells]
    guest = Guest(
        max_vcpus=max(last, default=0) + 1,
        memory=sum(cell.memory or 0 for cell in cells),
        plugged=CpuSet([0]),
        iothreads=CpuSet.span(1, MAX_ID),
        arch=arch,
    )
    return replace(guest, memory=guest.memory + len(_shares(wanted)) * dealing.memory_step(guest, 0))


def _shares(wanted: Properties) -> list[int]:
    return [] if wanted.guestnuma is None else wanted.guestnuma.shares

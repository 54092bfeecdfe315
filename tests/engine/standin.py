# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for oVirt's engine: a local HTTP server that answers the requests of this project as its REST API does.

It is not the engine. Its XML has the elements that the API's documentation shows, and it does what is known of the
engine: the list of custom properties is replaced as a whole; a change without next_run starts from the running
configuration and discards a pending one; a raised level drops what it does not define; a value that its definition does
not match is refused.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import ssl
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lxml import etree

from largeguest.host.topology import Host
from largeguest.record import replace

HOOK_POINTS = ("before_vm_start", "before_vm_migrate_destination")
PASSWORD = "swordfish"
API = "/ovirt-engine/api"
MIB = 2**20

Element = etree._Element


@dataclass
class Config:
    """What the engine knows of a virtual machine for one start."""

    topology: tuple[int, int, int] = (2, 2, 2)
    """Sockets, cores, threads."""
    memory: int = 2048
    """MiB"""
    policy: str = "none"
    custom: dict[str, str] = field(default_factory=dict)
    iothreads: int = 0
    pins: dict[int, str] = field(default_factory=dict)
    description: str = "runs the payroll"


@dataclass
class Vm:
    """A virtual machine: its present configuration, and a pending one."""

    id: str
    name: str
    cluster: str
    config: Config = field(default_factory=Config)
    pending: Config | None = None
    host: str | None = None
    """Where it runs."""
    only_on: tuple[str, ...] = ()
    level: str | None = None
    """Custom compatibility version."""
    cells: tuple[tuple[str, int, str], ...] = ()
    """Of vNUMA: vCPUs, MiB, host node or nothing."""
    pci: tuple[str, ...] = ()

    @property
    def next_run(self) -> Config:
        return self.pending or self.config


@dataclass
class Machine:
    """A host of the engine."""

    id: str
    name: str
    cluster: str
    topology: Host
    hook: str | None
    """The md5 of its hook; None: it has none."""
    status: str = "up"
    exclusive: dict[str, str] = field(default_factory=dict)
    """Name of a virtual machine to the CPUs that are its alone."""


@dataclass
class Cluster:
    """A cluster, whose id is its name."""

    id: str
    level: str = "4.7"
    arch: str = "x86_64"


class FaultError(Exception):
    """The engine refuses: HTTP status, reason and detail."""


class Engine:
    """What the stand-in knows, and what it was asked."""

    def __init__(self) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.machines: dict[str, Machine] = {}
        self.vms: dict[str, Vm] = {}
        self.labels: dict[str, tuple[bool, list[str], list[str]]] = {}
        """Affinity label to whether it is an affinity group, the ids of its hosts, and those of its VMs."""
        self.tokens = {"the-token"}
        """Those that are accepted; a log-in gets the-token."""
        self.definitions = dict.fromkeys(("4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8"), "")
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        """Called with method and path before an answer; may raise FaultError, wait, or change something."""
        self.lock = threading.RLock()

    def vm(self, name: str, cluster: str = "blue", **known: Any) -> Vm:
        vm = Vm(f"vm-{len(self.vms):04}", name, cluster, **known)
        self.vms[vm.id] = vm
        return vm

    def named(self, name: str) -> Vm:
        return next(vm for vm in self.vms.values() if vm.name == name)

    def machine(self, name: str, topology: Host, hook: str | None, cluster: str = "blue", **known: Any) -> Machine:
        self.clusters.setdefault(cluster, Cluster(cluster))
        self.machines[f"id-{name}"] = Machine(f"id-{name}", name, cluster, topology, hook, **known)
        return self.machines[f"id-{name}"]

    def defined(self, level: str) -> dict[str, str]:
        """As the engine splits a definition; the last one of a name counts."""
        return dict(part.split("=", 1) for part in self.definitions[level].split(";") if part)

    def raise_level(self, cluster: str, level: str) -> None:
        """The engine removes, without a word, what the new level does not define."""
        self.clusters[cluster].level = level
        known = {*self.defined(level), "hugepages"}
        for vm in self.vms.values():
            if vm.cluster == cluster:
                for config in filter(None, (vm.config, vm.pending)):
                    config.custom = {name: value for name, value in config.custom.items() if name in known}

    def change(self, vm: Vm, asked: Element, next_run: bool) -> None:
        """A PUT: of what it names, lists are replaced as a whole, and the rest stays."""
        config = copy.deepcopy(vm.next_run if next_run else vm.config)
        custom = asked.find("custom_properties")
        if custom is not None:
            config.custom = {one.findtext("name") or "": one.findtext("value") or "" for one in custom}
            self._check(vm, config.custom)
        topology = asked.find("cpu/topology")
        if topology is not None:
            was = dict(zip(("sockets", "cores", "threads"), config.topology))
            was |= {name: int(topology.findtext(name) or was[name]) for name in was}
            config.topology = (was["sockets"], was["cores"], was["threads"])
        if next_run and vm.host is not None:
            vm.pending = config
        else:
            vm.config, vm.pending = config, None

    def _check(self, vm: Vm, custom: dict[str, str]) -> None:
        known = {"hugepages": "[0-9]*", **self.defined(vm.level or self.clusters[vm.cluster].level)}
        wrong = [name for name, value in custom.items() if not re.fullmatch(known.get(name, "(?!)"), value)]
        if wrong:
            what = "Cannot edit VM if some of the specified custom properties have illegal values. The keys are: "
            raise FaultError(409, "Operation Failed", f"[{what}{','.join(wrong)}]")


def _element(parent: Element | None, tag: str, text: object = None, **attributes: str) -> Element:
    found = etree.Element(tag, attributes) if parent is None else etree.SubElement(parent, tag, attributes)
    found.text = None if text is None else str(text)
    return found


def _ids(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def vm_xml(vm: Vm, config: Config) -> Element:
    root = _element(None, "vm", href=f"{API}/vms/{vm.id}", id=vm.id)
    _element(root, "name", vm.name)
    _element(root, "description", config.description)
    _element(root, "status", "down" if vm.host is None else "up")
    _element(root, "memory", config.memory * MIB)
    _element(_element(root, "memory_policy"), "max", 4 * config.memory * MIB)
    cpu = _element(root, "cpu")
    if config.pins:
        pins = _element(_element(cpu, "cpu_tune"), "vcpu_pins")
        for vcpu, cpus in config.pins.items():
            pin = _element(pins, "vcpu_pin")
            _element(pin, "vcpu", vcpu)
            _element(pin, "cpu_set", cpus)
    topology = _element(cpu, "topology")
    for name, number in zip(("sockets", "cores", "threads"), config.topology):
        _element(topology, name, number)
    _element(root, "cpu_pinning_policy", config.policy)
    _element(_element(root, "io"), "threads", config.iothreads)
    _element(root, "next_run_configuration_exists", str(vm.pending is not None).lower())
    _element(root, "cluster", id=vm.cluster)
    if vm.host is not None:
        _element(root, "host", id=vm.host)
    hosts = _element(_element(root, "placement_policy"), "hosts")
    for host in vm.only_on:
        _element(hosts, "host", id=host)
    if vm.level is not None:
        level = _element(root, "custom_compatibility_version")
        for name, digits in zip(("major", "minor"), vm.level.split(".")):
            _element(level, name, digits)
    custom = _element(root, "custom_properties")
    for name, value in config.custom.items():
        one = _element(custom, "custom_property")
        _element(one, "name", name)
        _element(one, "value", value)
    return root


def vm_numa_xml(_: Engine, vm: Vm) -> Element:
    root = _element(None, "vm_numa_nodes")
    for number, (vcpus, memory, node) in enumerate(vm.cells):
        cell = _element(root, "vm_numa_node", id=f"{vm.id}-{number}")
        cores = _element(_element(cell, "cpu"), "cores")
        for vcpu in _ids(vcpus):
            _element(_element(cores, "core"), "index", vcpu)
        _element(cell, "index", number)
        _element(cell, "memory", memory)
        _element(cell, "numa_tune_mode", "strict")
        if node:
            pin = _element(_element(cell, "numa_node_pins"), "numa_node_pin")
            _element(pin, "index", node)
    return root


def devices_xml(_: Engine, vm: Vm) -> Element:
    root = _element(None, "host_devices")
    for name in vm.pci:
        device = _element(root, "host_device", id=name.encode().hex())
        _element(device, "capability", "pci")
        _element(device, "name", name)
    return root


def cluster_xml(cluster: Cluster) -> Element:
    root = _element(None, "cluster", id=cluster.id)
    _element(root, "name", cluster.id)
    _element(_element(root, "cpu"), "architecture", cluster.arch)
    version = _element(root, "version")
    for name, number in zip(("major", "minor"), cluster.level.split(".")):
        _element(version, name, number)
    return root


def host_xml(machine: Machine) -> Element:
    root = _element(None, "host", id=machine.id)
    _element(root, "name", machine.name)
    _element(root, "status", machine.status)
    _element(root, "cluster", id=machine.cluster)
    return root


def numa_xml(_: Engine, machine: Machine, follow: str) -> Element:
    """Memory in MiB, also in the statistics, which are labelled bytes."""
    root = _element(None, "host_numa_nodes")
    nodes = machine.topology.nodes
    for number, known in nodes.items():
        node = _element(root, "host_numa_node", id=f"{machine.id}-{number}")
        if known.cpus:
            cores = _element(_element(node, "cpu"), "cores")
            for cpu in known.cpus:
                _element(_element(cores, "core"), "index", cpu)
        _element(node, "index", number)
        _element(node, "memory", (known.memory or 0) // 1024)
        _element(node, "node_distance", " ".join(str(known.distances[other]) for other in nodes))
        if follow == "statistics":
            statistics = _element(node, "statistics")
            total, free = (known.memory or 0) // 1024, (known.free or 0) // 1024
            for name, value in (("memory.total", total), ("memory.used", total - free), ("memory.free", free)):
                _statistic(statistics, name, value)
    return root


def _statistic(parent: Element, name: str, value: int) -> None:
    statistic = _element(parent, "statistic", id=name)
    _element(statistic, "name", name)
    _element(statistic, "type", "integer")
    _element(statistic, "unit", "bytes")
    _element(_element(_element(statistic, "values"), "value"), "datum", value)


def units_xml(engine: Engine, machine: Machine) -> Element:
    root = _element(None, "host_cpu_units")
    for number, cpu in machine.topology.cpus.items():
        unit = _element(root, "host_cpu_unit")
        for name, value in (("core_id", cpu.core), ("cpu_id", number), ("socket_id", cpu.socket)):
            _element(unit, name, value)
        holders = [name for name, cpus in machine.exclusive.items() if number in _ids(cpus)]
        vms = _element(unit, "vms") if holders else None
        for name in holders:
            vm = _element(vms, "vm", id=engine.named(name).id)
            _element(vm, "name", name)
            _element(vm, "cpu_pinning_policy", "dedicated")
    return root


def statistics_xml(_: Engine, machine: Machine) -> Element:
    root = _element(None, "statistics")
    _statistic(root, "memory.total", sum(node.memory or 0 for node in machine.topology.nodes.values()) * 1024)
    sizes = {size for node in machine.topology.nodes.values() for size in node.pages}
    for size in sorted(sizes):
        pages = [node.pages[size] for node in machine.topology.nodes.values() if size in node.pages]
        _statistic(root, f"hugepages.{size}.free", sum(page.free or 0 for page in pages))
        _statistic(root, f"hugepages.{size}.total", sum(page.total or 0 for page in pages))
    return root


def hooks_xml(_: Engine, machine: Machine) -> Element:
    root = _element(None, "hooks")
    for point in HOOK_POINTS if machine.hook else ():
        hook = _element(root, "hook", id=f"{machine.id}-{point}")
        _element(hook, "name", "50_largeguest")
        _element(hook, "event_name", point)
        _element(hook, "md5", machine.hook)
    other = _element(root, "hook", id=f"{machine.id}-other")
    _element(other, "name", "10_other")
    _element(other, "event_name", "before_vm_start")
    _element(other, "md5", "0" * 32)
    return root


def labels_xml(engine: Engine, follow: str) -> Element:
    root = _element(None, "affinity_labels")
    for name, (is_group, hosts, vms) in engine.labels.items():
        label = _element(root, "affinity_label", id=name)
        _element(label, "name", name)
        _element(label, "has_implicit_affinity_group", str(is_group).lower())
        for tag, ids in (("host", hosts), ("vm", vms)):
            if f"{tag}s" in follow.split(","):
                things = _element(label, f"{tag}s")
                for one in ids:
                    _element(things, tag, id=one)
    return root


def option_xml(engine: Engine, name: str, level: str) -> Element:
    if name != "UserDefinedVMProperties" or level not in engine.definitions:
        raise FaultError(404, "Not Found", f"no option {name} for {level}")
    root = _element(None, "system_option", id=name)
    _element(root, "name", name)
    value = _element(_element(root, "values"), "system_option_value")
    _element(value, "value", engine.definitions[level])
    _element(value, "version", level)
    return root


def page(things: list[Element], tag: str, query: dict[str, str]) -> Element:
    """A page of a collection, as `search=... page N` and `max` ask for it; or those that a search by name finds."""
    root = _element(None, tag)
    size = int(query.get("max") or len(things) or 1)
    found = re.search(r"page (\d+)", query.get("search", ""))
    start = (int(found[1]) - 1) * size if found else 0
    root.extend(sorted(things, key=lambda one: one.findtext("name") or "")[start : start + size])
    return root


OF_HOST = {"cpuunits": units_xml, "statistics": statistics_xml, "hooks": hooks_xml}
OF_VM = {"numanodes": vm_numa_xml, "hostdevices": devices_xml}


def answer(engine: Engine, method: str, path: str, query: dict[str, str], body: bytes) -> Element:
    words = path.removeprefix(API).strip("/").split("/")
    if words == ["vms"]:
        return page([vm_xml(vm, vm.config) for vm in engine.vms.values()], "vms", query)
    if words == ["hosts"]:
        return page([host_xml(machine) for machine in engine.machines.values()], "hosts", query)
    if words == ["clusters"]:
        return page([cluster_xml(cluster) for cluster in engine.clusters.values()], "clusters", query)
    if words == ["affinitylabels"]:
        return labels_xml(engine, query.get("follow", ""))
    if words[0] == "options":
        return option_xml(engine, words[1], query.get("version", ""))
    if words[0] == "hosts" and words[1] in engine.machines:
        machine = engine.machines[words[1]]
        if words[2] == "numanodes":
            return numa_xml(engine, machine, query.get("follow", ""))
        return OF_HOST[words[2]](engine, machine)
    if words[0] == "vms" and words[1] in engine.vms:
        vm, next_run = engine.vms[words[1]], query.get("next_run") == "true"
        if len(words) > 2:
            return OF_VM[words[2]](engine, vm)
        if method == "PUT":
            engine.change(vm, etree.fromstring(body), next_run)
        return vm_xml(vm, vm.next_run if next_run else vm.config)
    raise FaultError(404, "Not Found", "Entity not found")


class Handler(BaseHTTPRequestHandler):
    """Answers one request; `engine` is set in a subclass for each server."""

    engine: Engine
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """Without this each answer waits 40 ms for an acknowledgement of its headers."""

    def _serve(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        engine = self.engine
        with engine.lock:
            engine.at_once += 1
            engine.most_at_once = max(engine.most_at_once, engine.at_once)
            engine.asked[f"{self.command} {url.path.removeprefix(API)}"] += 1
        try:
            if url.path.startswith(API):
                self._api(url.path, query, body)
            else:
                self._sso(url.path, dict(urllib.parse.parse_qsl(body.decode())))
        finally:
            with engine.lock:
                engine.at_once -= 1

    do_GET = do_PUT = do_POST = _serve

    def _api(self, path: str, query: dict[str, str], body: bytes) -> None:
        code = 200
        try:
            self.engine.before(self.command, self.path)
            if (self.headers.get("Authorization") or "").removeprefix("Bearer ") not in self.engine.tokens:
                raise FaultError(401, "Unauthorized", "")
            with self.engine.lock:
                root = answer(self.engine, self.command, path, query, body)
        except FaultError as fault:
            code, reason, detail = fault.args
            root = _element(None, "fault")
            _element(root, "detail", detail)
            _element(root, "reason", reason)
        self.send(code, "application/xml; charset=UTF-8", etree.tostring(root, encoding="UTF-8"))

    def _sso(self, path: str, form: dict[str, str]) -> None:
        self.engine.before(self.command, self.path)
        if path.endswith("sso/oauth/token") and form.get("password") != PASSWORD:
            text: dict[str, str] = {"error_code": "access_denied", "error": "Cannot authenticate user."}
        else:
            text = {"access_token": "the-token"}
        self.send(200, "application/json", json.dumps(text).encode())

    def send(self, code: int, kind: str, content: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # who has asked may no longer wait
            self._send(code, kind, content)

    def _send(self, code: int, kind: str, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """The tests read what was asked from the engine."""


@contextlib.contextmanager
def serve(engine: Engine, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of the stand-in while it serves; with TLS if there is a context for it."""
    handler = type("Handler", (Handler,), {"engine": engine})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://localhost:{server.server_address[1]}{API}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_the_engine_sees(host: Host) -> Host:
    """The host with its free memory in MemFree alone, in whole MiB, as REST has it."""
    nodes = {
        n: replace(node, free=None if node.free is None else node.free // 1024 * 1024) for n, node in host.nodes.items()
    }
    return replace(host, nodes=nodes)

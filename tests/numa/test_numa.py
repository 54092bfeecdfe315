# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from largeguest import VERSION, cpuset
from largeguest.cpuset import CpuSet
from largeguest.host import capabilities, sysfs
from tests import DATA
from tests.e2e.guest import Libvirt
from tests.e2e.host import Host
from tests.e2e.keeping import wait_until
from tests.vdsm import HookError

from .keeping import keeper

PLAIN = (DATA / "plain.xml").read_text(encoding="utf-8")
HALF = 262144
HUGE = 2048


def test_pins_and_strict_memory_hold(this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]) -> None:
    cpus = [list(sysfs.from_sys().nodes[node].cpus)[:2] for node in nodes]
    pins = {0: cpus[0][0], 1: cpus[0][-1], 2: cpus[1][0], 3: cpus[1][-1]}
    domxml, _ = this_host.run_hooks(
        "before_vm_start",
        PLAIN,
        {
            "cputune": ",".join(f"{vcpu}#{cpu}" for vcpu, cpu in pins.items()),
            "numatune": f"strict#{CpuSet(nodes)}",
            "guestnuma": f"0-1#{HALF},2-3#{HALF}",
        },
    )
    with libvirt.running(domxml.encode()) as name:
        seen = libvirt.seen_by_guest()
        threads = libvirt.threads(name)
        ram = libvirt.ram(name)
        used = _numastat(libvirt.pid(name))
    assert {number: node.cpus for number, node in seen.items()} == {0: "0-1", 1: "2-3"}
    assert {vcpu: thread.cpus_allowed for vcpu, thread in threads.items()} == {
        vcpu: str(cpu) for vcpu, cpu in pins.items()
    }
    assert [(mapping.policy, mapping.memory) for mapping in ram] == [(f"bind:{CpuSet(nodes)}", HALF)] * 2
    assert all(mapping.nodes and not mapping.nodes - CpuSet(nodes) for mapping in ram)
    # the pages elsewhere are of QEMU's own files, already in the page cache
    assert sum(used[node] for node in nodes) > 0.8 * sum(used.values())


def test_each_vcpu_on_its_own_cpu_and_each_cell_on_its_node(
    this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]
) -> None:
    one, two = nodes
    topology = sysfs.from_sys()
    if min(len(topology.nodes[node].cpus) for node in nodes) < 4:
        pytest.skip("needs four CPUs on each of two nodes")
    document = (
        PLAIN.replace('<vcpu current="4">4</vcpu>', '<vcpu current="8">8</vcpu>')
        .replace('<topology cores="1" threads="2" sockets="2">', '<topology cores="2" threads="2" sockets="2">')
        .replace('<emulatorpin cpuset="0,1"></emulatorpin>', "")
    )
    domxml, said = this_host.run_hooks(
        "before_vm_start",
        document,
        {
            "cputune": "all#=cell,emulator#cell",
            "guestnuma": f"0-3#*@{one},4-7#*@{two}",
        },
    )
    assert said.startswith(f"largeguest {VERSION}: cputune: 8 vCPUs, the emulator pinned; ")
    assert "; 8 of 8 vCPUs on the nodes of their cells" in said
    with libvirt.running(domxml.encode()) as name:
        seen = libvirt.seen_by_guest()
        allowed = {vcpu: int(thread.cpus_allowed) for vcpu, thread in libvirt.threads(name).items()}
        ram = libvirt.ram(name)
    assert len(set(allowed.values())) == 8
    assert {cpu for vcpu, cpu in allowed.items() if vcpu < 4} <= set(topology.nodes[one].cpus)
    assert {cpu for vcpu, cpu in allowed.items() if vcpu > 3} <= set(topology.nodes[two].cpus)
    threads_of_a_core = len(topology.cpus[allowed[0]].siblings)
    if threads_of_a_core == 2:
        for vcpu in range(0, 8, 2):
            assert set(topology.cpus[allowed[vcpu]].siblings) == {allowed[vcpu], allowed[vcpu + 1]}
    assert {(mapping.policy, mapping.nodes) for mapping in ram} == {(f"bind:{node}", CpuSet([node])) for node in nodes}
    assert {number: node.cpus for number, node in seen.items()} == {0: "0-3", 1: "4-7"}
    there = topology.nodes
    assert [node.distances for node in seen.values()] == [
        (there[one].distances[one], there[one].distances[two]),
        (there[two].distances[one], there[two].distances[two]),
    ]


def test_a_plan_comes_true(this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]) -> None:
    if min(len(node.cpus) for node in sysfs.from_sys().nodes.values() if node.cpus) < 4:
        pytest.skip("needs four CPUs on each node")
    elsewhere = ",".join(f"node{number}" for number in sysfs.from_sys().nodes if number not in nodes) or "0"
    command = ["/usr/bin/largeguest", "plan", "--vcpus", "8", "--memory", f"{2 * HALF}K", "--nodes", "2"]
    command += ["--threads", "2", "--reserve", elsewhere]
    printed = this_host.run(*command, environ={})
    assert printed.returncode == 0, printed.stderr
    planned = json.loads(this_host.run(*command, "--json", environ={}).stdout)
    typed = dict(re.findall(r"^(cputune|numatune|guestnuma) +(.*)$", printed.stdout, re.MULTILINE))
    assert typed == planned["properties"]
    sockets, cores, threads = re.findall(r"^topology .*$", printed.stdout, re.MULTILINE)[0].split(",")
    shape = f'cores="{cores.split()[0]}" threads="{threads.split()[0]}" sockets="{sockets.split()[1]}"'
    document = (
        PLAIN.replace('<vcpu current="4">4</vcpu>', '<vcpu current="8">8</vcpu>')
        .replace('<topology cores="1" threads="2" sockets="2">', f"<topology {shape}>")
        .replace('<iothreadpin iothread="1" cpuset="1"></iothreadpin>', "")
    )
    assert shape in document
    domxml, _ = this_host.run_hooks("before_vm_start", document, typed)
    with libvirt.running(domxml.encode()) as name:
        seen = libvirt.seen_by_guest()
        allowed = {vcpu: int(thread.cpus_allowed) for vcpu, thread in libvirt.threads(name).items()}
        ram = libvirt.ram(name)
    # the table: cores with the CPUs of the host, the cell and the vCPUs there
    row = re.compile(
        r"^(?:[\d ]+\S+ \S+ |) *\d+ +\d+ +(?P<cpus>[\d,-]+) +(?P<cell>\d+) +(?P<vcpus>[\d,-]+)", re.MULTILINE
    )
    pictured = {
        vcpu: (cpu, int(found["cell"]))
        for found in row.finditer(printed.stdout.partition("also here")[2].partition("cell ")[0])
        for vcpu, cpu in zip(cpuset.parse(found["vcpus"]), cpuset.parse(found["cpus"]))
    }
    assert allowed == {vcpu: cpu for vcpu, (cpu, _) in pictured.items()}
    cells = re.findall(r"^(\d+) +([\d-]+) +\S+ \wiB +(\d+) +\d+ of \d+$", printed.stdout, re.MULTILINE)
    far = re.findall(r"^(\d+) +([\d ]+)$", printed.stdout.partition("distance ")[2], re.MULTILINE)
    assert {number: node.cpus for number, node in seen.items()} == {int(number): vcpus for number, vcpus, _ in cells}
    assert {number: node.distances for number, node in seen.items()} == {
        int(number): tuple(map(int, distances.split())) for number, distances in far
    }
    assert {vcpu: cell for vcpu, (_, cell) in pictured.items()} == {
        vcpu: int(number) for number, vcpus, _ in cells for vcpu in cpuset.parse(vcpus)
    }
    assert sorted((mapping.policy, str(mapping.nodes)) for mapping in ram) == [
        (f"bind:{node}", node) for _, _, node in cells
    ]


def test_huge_pages_count_where_they_are(this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]) -> None:
    document = PLAIN.replace(
        "<devices>", f'<memoryBacking><hugepages><page size="{HUGE}"/></hugepages></memoryBacking><devices>'
    )
    # upstream libvirt 9.0 cannot start a VM whose emulator is pinned to nodes without its huge pages (rhbz#2185039)
    document = document.replace('<emulatorpin cpuset="0,1"></emulatorpin>', "")
    empty, full = nodes
    with huge_pages({empty: 0, full: 2 * HALF // HUGE}) as free:
        with pytest.raises(HookError) as caught:
            this_host.run_hooks("before_vm_start", document, {"numatune": f"strict#{empty}"})
        assert str(caught.value) == (
            f"largeguest: numatune: {2 * HALF // HUGE} huge pages of 2 MiB are bound to node {empty}, "
            "where the pool has only 0: reserve more on these nodes, or name others\n"
        )
        domxml, _ = this_host.run_hooks("before_vm_start", document, {"numatune": f"strict#{full}"})
        with libvirt.running(domxml.encode(), "--paused"):
            assert int(free[full].read_text()) == 0
        assert int(free[full].read_text()) == 2 * HALF // HUGE


def test_a_pin_to_a_cpu_that_is_switched_off_is_refused(this_host: Host, nodes: tuple[int, int]) -> None:
    cpu = sysfs.from_sys().nodes[nodes[1]].cpus.last
    assert "1 vCPU pinned" in this_host.run_hooks("before_vm_start", PLAIN, {"cputune": f"0#{cpu}"})[1]
    with switched_off([cpu]), pytest.raises(HookError) as caught:
        this_host.run_hooks("before_vm_start", PLAIN, {"cputune": f"0#{cpu}"})
    assert f"largeguest: cputune: CPU {cpu} is not online on this host" in str(caught.value)


def test_a_vm_keeps_its_cpus_while_others_go_offline(this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]) -> None:
    """With the first core off, the place that cputune names is gone; keepers come and go, and the VM is saved."""
    topology = sysfs.from_sys()
    first, second = itertools.islice(topology.cores(topology.nodes[nodes[0]].cpus), 2)
    cputune = f"all#node{nodes[0]}.core1"
    document = PLAIN.replace("<ovirt-vm:custom>", f"<ovirt-vm:custom><ovirt-vm:cputune>{cputune}</ovirt-vm:cputune>")
    domxml, _ = this_host.run_hooks("before_vm_start", document, {"cputune": cputune})
    home = str(CpuSet(second))

    def pins(name: str) -> set[str]:
        return {pin.get("cpuset", "") for pin in libvirt.live(name).iterfind("cputune/vcpupin")}

    def move_and_wait(name: str) -> None:
        with keeper() as said:
            wait_until(lambda: "connected" in said.read_text(), said.read_text)
            libvirt.virsh("vcpupin", name, "0", "0-7", "--live")
            wait_until(lambda: pins(name) == {home}, said.read_text)

    with libvirt.running(domxml.encode(), "--paused") as name:
        move_and_wait(name)
        with switched_off(first):
            move_and_wait(name)
            saved = libvirt.file("saved", b"")
            libvirt.virsh("save", name, saved)
            libvirt.virsh("restore", saved, "--running")  # one that is paused seems to be arriving
            move_and_wait(name)


@contextlib.contextmanager
def switched_off(cpus: list[int]) -> Iterator[None]:
    switches = [Path(f"/sys/devices/system/cpu/cpu{cpu}/online") for cpu in cpus]
    try:
        for switch in switches:
            switch.write_text("0")
        yield
    finally:
        for switch in switches:
            switch.write_text("1")


def test_libvirt_sees_the_same_host() -> None:
    ours = sysfs.from_sys()
    document = subprocess.run(["virsh", "-c", "qemu:///system", "capabilities"], capture_output=True, check=True).stdout
    theirs = capabilities.from_capabilities(document)
    assert dict(ours.cpus) == dict(theirs.cpus)
    assert {number: (node.cpus, node.memory, dict(node.distances)) for number, node in ours.nodes.items()} == {
        number: (node.cpus, node.memory, dict(node.distances)) for number, node in theirs.nodes.items()
    }


@contextlib.contextmanager
def huge_pages(counts: dict[int, int]) -> Iterator[dict[int, Path]]:
    """Reserve huge pages on nodes, and release them; gives the files with the number of free ones."""
    files = {}
    before = {}
    for node, count in counts.items():
        folder = Path(f"/sys/devices/system/node/node{node}/hugepages/hugepages-{HUGE}kB")
        before[folder / "nr_hugepages"] = (folder / "nr_hugepages").read_text()
        (folder / "nr_hugepages").write_text(str(count))
        files[node] = folder / "free_hugepages"
        if int(files[node].read_text()) != count:
            pytest.fail(f"node {node} cannot reserve {count} huge pages")
    try:
        yield files
    finally:
        for path, count_before in before.items():
            path.write_text(count_before)


def _numastat(pid: int) -> dict[int, float]:
    """Node to MiB of a process, as numastat adds them up."""
    output = subprocess.run(["numastat", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in output.splitlines()]
    names = next(line for line in lines if line[:1] == ["Node"])[1::2]
    total = next(line for line in lines if line[:1] == ["Total"] and len(line) > 2)
    return {int(node): float(amount) for node, amount in zip(names, total[1:]) if node.isdigit()}

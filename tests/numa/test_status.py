# SPDX-License-Identifier: GPL-2.0-or-later
"""largeguest status against what taskset, numactl, numastat and numa_maps show of the same VM."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from largeguest import cpuset
from tests import DATA
from tests.e2e.guest import Libvirt
from tests.e2e.host import Host
from tests.e2e.keeping import wait_until

from .keeping import keeper

PLAIN = re.sub("</?(?:emulatorpin|iothreadpin)[^>]*>", "", (DATA / "plain.xml").read_text(encoding="utf-8"))
PLAIN = PLAIN.replace("<devices>", '<memoryBacking><allocation mode="immediate"/></memoryBacking><devices>')
"""QEMU touches all memory at its start, so that it is there without a guest that boots."""


def with_properties(values: dict[str, str]) -> str:
    """What the engine sends: they are in the metadata."""
    custom = "".join(f"<ovirt-vm:{name}>{value}</ovirt-vm:{name}>" for name, value in values.items())
    return PLAIN.replace("<ovirt-vm:custom>", f"<ovirt-vm:custom>{custom}")


def status(*arguments: str, code: int | None = None) -> str:
    """As root: what it prints."""
    result = subprocess.run(["/usr/bin/largeguest", "status", *arguments], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert code in (None, result.returncode), result.stdout
    return result.stdout


def look(name: str) -> dict[str, Any]:
    (vm,) = json.loads(status("--json", name))["vms"]
    return dict(vm)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def distances() -> dict[tuple[int, int], int]:
    """As numactl prints them."""
    table = run("numactl", "--hardware").partition("node distances:")[2].splitlines()[2:]
    rows = [re.findall("[0-9]+", line) for line in table]
    return {(int(row[0]), other): int(value) for row in rows for other, value in enumerate(row[1:])}


def nodes_of_cpus() -> dict[int, int]:
    lines = re.findall("^node ([0-9]+) cpus: ([0-9 ]+)$", run("numactl", "--hardware"), re.MULTILINE)
    return {int(cpu): int(node) for node, cpus in lines for cpu in cpus.split()}


def pages(pid: int, policy: str) -> dict[int, int]:
    """Node to pages of the mappings with a memory policy."""
    found: dict[int, int] = {}
    for line in Path(f"/proc/{pid}/numa_maps").read_text().splitlines():
        if line.split()[1] == policy:
            for node, count in re.findall(r" N([0-9]+)=([0-9]+)", line):
                found[int(node)] = found.get(int(node), 0) + int(count)
    return found


def figure(cells: list[tuple[list[int], dict[int, int]]]) -> float:
    """By its definition; `cells` are the threads of their vCPUs, and node to pages."""
    far, node_of = distances(), nodes_of_cpus()
    near = []
    for threads, memory in cells:
        for thread in threads:
            cpus = cpuset.parse(run("taskset", "-cp", str(thread)).rpartition(": ")[2].strip())
            pairs = [10 / far[node_of[cpu], node] * count for cpu in cpus for node, count in memory.items()]
            near.append(sum(pairs) / len(cpus) / sum(memory.values()))
    return sum(near) / len(near)


def numastat(pid: int) -> list[float]:
    """MiB by node."""
    (total,) = re.findall("^Total +(.*)$", run("numastat", "-p", str(pid)).partition("Per-node")[2], re.MULTILINE)
    return [float(word) for word in total.split()[:-1]]


def test_before_and_after(this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]) -> None:
    """A VM without properties is measured; the plan for it promises more; and after its restart it has that."""
    others = ",".join(f"node{number}" for number in range(nodes[0]))
    with libvirt.running(PLAIN.encode(), "--paused") as name:
        before = look(name)
        threads = [thread.pid for thread in libvirt.threads(name).values()]
        pid = libvirt.pid(name)
        assert (before["as_asked"], before["cells"][0]["nodes"]) == (True, None)
        memory = {int(node): kib for node, kib in before["memory_kib"].items()}
        assert before["locality"]["figure"] == pytest.approx(figure([(threads, memory)]), abs=1e-4)
        # numastat counts QEMU's program, too
        for node, mib in enumerate(numastat(pid)):
            assert memory.get(node, 0) / 1024 == pytest.approx(mib, abs=64)
        document = libvirt.file("vm.xml", libvirt.virsh("dumpxml", name).encode())
        planned = json.loads(
            run("largeguest", "plan", "--domain", document, "--nodes", "2", "--exclude", others, "--json")
        )
    assert planned["locality"]["figure"] > before["locality"]["figure"] + 0.1
    typed = planned["properties"]
    domxml, _ = this_host.run_hooks("before_vm_start", with_properties(typed), typed)
    with libvirt.running(domxml.encode(), "--paused") as name:
        with keeper() as said:
            wait_until(lambda: look(name)["as_asked"] is True, said.read_text)
            after = look(name)
            assert (after["as_asked"], after["problems"], after["unknown"]) == (True, [], [])
            assert after["locality"] == planned["locality"]
            check_memory(this_host, libvirt, name, nodes)
        check_pins(libvirt, name, nodes)


def measured(libvirt: Libvirt, name: str, nodes: tuple[int, int]) -> float:
    """The figure of a VM with a cell of two vCPUs on each node."""
    pid = libvirt.pid(name)
    threads = [thread.pid for _, thread in sorted(libvirt.threads(name).items())]
    return figure([(threads[2 * cell : 2 * cell + 2], pages(pid, f"bind:{node}")) for cell, node in enumerate(nodes)])


def check_memory(this_host: Host, libvirt: Libvirt, name: str, nodes: tuple[int, int]) -> None:
    """Pages that are moved show in the VM's line, by the exit code and to every user; the figures are others', too."""
    one, two = nodes
    pid = libvirt.pid(name)
    assert look(name)["locality"]["figure"] == pytest.approx(measured(libvirt, name, nodes), abs=1e-4) == 1
    row = r"^db01  all +{} of 4 +(\S+ \S+) of (\S+ \S+) +{} +{} +holds +ok$"
    found = re.search(row.format(4, "as asked", "1.00"), status(code=0), re.MULTILINE)
    assert found
    assert found[1] == found[2]
    assert this_host.run("/usr/bin/largeguest", "status", environ={}).returncode == 0  # every user
    cell_0 = re.search(rf"^cell 0: (\S+ \S+) of \1 .*on node {one}, 2 of 2 vCPUs on node {one}$", status(name), re.M)
    assert cell_0

    # its pages are moved
    run("migratepages", str(pid), str(one), "0")
    moved = status(name, code=1)
    assert f"of cell 0 is on node 0 instead of node {one}: as root: migratepages {pid} 0 {one}" in moved
    assert look(name)["locality"]["figure"] == pytest.approx(measured(libvirt, name, nodes), abs=1e-4)
    assert look(name)["locality"]["figure"] < 0.9
    for text in (status(code=1), this_host.run("/usr/bin/largeguest", "status", environ={}).stdout):
        shown = re.search(row.format(4, "as asked", r"\?"), text, re.MULTILINE)
        assert shown, text
        assert shown[1] != shown[2]
        assert f"of the memory is on node 0 instead of nodes {one}-{two}: " in text
    run("migratepages", str(pid), "0", str(one))
    status(name, code=0)


def check_pins(libvirt: Libvirt, name: str, nodes: tuple[int, int]) -> None:
    """A pin that is moved while no keeper runs."""
    libvirt.virsh("vcpupin", name, "0", "0-1", "--live")
    assert re.search("^cputune: may run elsewhere: vCPU 0 on CPUs 0-1 instead of CPU ", status(name, code=1), re.M)
    assert re.search(r"^db01  all +3 of 4 .* as asked +0\.\d\d +none +ok$", status(code=1), re.MULTILINE)
    assert look(name)["locality"]["figure"] == pytest.approx(measured(libvirt, name, nodes), abs=1e-4)
    assert look(name)["locality"]["figure"] < 0.9


def test_a_cell_that_is_bound_elsewhere(this_host: Host, libvirt: Libvirt, nodes: tuple[int, int], kept: None) -> None:  # noqa: ARG001
    one, two = nodes
    typed = {"guestnuma": f"0-1#*@{one},2-3#*@{two}", "cputune": "all#=cell"}
    domxml, _ = this_host.run_hooks("before_vm_start", with_properties(typed), typed)
    changed = re.sub(rf'(<memnode cellid="1"[^>]*nodeset="){two}"', r'\g<1>0"', domxml)
    assert changed != domxml
    with libvirt.running(changed.encode(), "--paused"):
        out = status(code=1)
    assert re.search(r"^db01  cputune,guestnuma .* differ ", out, re.MULTILINE)
    assert (
        f"guestnuma: cell 1 should have strict memory on node {two}, but has strict memory on node 0: "
        "shut the VM down and start it on a host with the hook (a reboot is not enough)"
    ) in out

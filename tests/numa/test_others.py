# SPDX-License-Identifier: GPL-2.0-or-later
"""Other VMs on real libvirt: what they hold, as virsh shows it, and plans beside them."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

from largeguest import cpuset
from largeguest.cpuset import CpuSet
from largeguest.host import neighbours, sysfs
from tests.e2e.guest import Libvirt
from tests.e2e.host import Host
from tests.e2e.keeping import wait_until

from .keeping import keeper
from .test_status import with_properties

FOLDER = "/run/vdsm-largeguest-keeper"
MIB = 1024
"""In KiB."""

PLAN = ["/usr/bin/largeguest", "plan", "--reserve-memory", "0"]  # the nodes are small


def start(this_host: Host, name: str, typed: dict[str, str], number: int, kib: int) -> str:
    """A VM of 4 vCPUs as the engine and the hook make it; raises HookError."""
    document = with_properties(typed).replace("<name>db01<", f"<name>{name}<").replace("a01<", f"b{number:02}<")
    document = document.replace(">524288<", f">{kib}<")
    custom = {**typed, "vmId": f"0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6b{number:02}"}
    return this_host.run_hooks("before_vm_start", document, custom)[0]


def untouched(document: str) -> str:
    """QEMU leaves the memory to the guest."""
    return document.replace('<allocation mode="immediate"/>', "")


def plan(*arguments: str) -> tuple[CpuSet, dict[str, str]]:
    """The CPUs that a plan for 4 vCPUs takes, and its properties."""
    command = [*PLAN, "--vcpus", "4", "--memory", "700M", "--json", *arguments]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    cpus = (cpuset.parse(own) for node in found["nodes"] for own in node["cpus"].values())
    return CpuSet.union(cpus), found["properties"]


def all_cpus(*arguments: str) -> int:
    """The exit status of a plan for as many vCPUs as this host has CPUs."""
    command = [*PLAN, "--vcpus", str(len(sysfs.from_sys().online)), "--memory", "1G", *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_plans_beside_three_pinned_vms_and_two_plain_ones(
    this_host: Host, libvirt: Libvirt, nodes: tuple[int, int]
) -> None:
    one, two = nodes
    pinned = {
        "db01": {"cputune": "all#=cell", "guestnuma": "0-3#*@0"},
        "db02": {"cputune": "0-1#=node1", "numatune": f"strict#{one}"},
        "db03": {"cputune": f"all#=node{one}"},
    }
    assert all_cpus() == 0
    with keeper(), contextlib.ExitStack() as running:
        for number, (name, typed) in enumerate([*pinned.items(), ("web1", {}), ("web2", {})]):
            home = running.enter_context(tempfile.TemporaryDirectory(prefix="largeguest-"))  # with a console of its own
            document = untouched(start(this_host, name, typed, number, 512 * MIB))
            running.enter_context(Libvirt(Path(home), "qemu:///system").running(document.encode(), "--paused"))
        wait_until(lambda: len(neighbours.published(FOLDER) or ()) == 3, lambda: neighbours.published(FOLDER))
        held = {other.name: other for other in (neighbours.published(FOLDER) or {}).values()}
        assert held.keys() == pinned.keys()
        theirs = CpuSet()
        for name, other in held.items():
            pins = re.findall(r"^ *[0-9]+ +([0-9,-]+)$", libvirt.virsh("vcpupin", name), re.MULTILINE)
            real = CpuSet.union(own for own in map(cpuset.parse, pins) if sysfs.from_sys().online - own)
            assert other.cpus == real
            theirs |= real
        assert [(str(own.nodes), own.page, own.memory) for own in held["db01"].promises] == [("0", 0, 512 * MIB)]
        assert re.search("<memnode cellid='0' mode='strict' nodeset='0'/>", libvirt.virsh("dumpxml", "db01"))
        assert [(str(own.nodes), own.memory) for own in held["db02"].promises] == [(str(one), 512 * MIB)]
        assert re.search(rf"^numa_nodeset +: {one}$", libvirt.virsh("numatune", "db02"), re.MULTILINE)
        assert held["db03"].promises == ()

        cpus, properties = plan()
        assert not cpus & theirs
        # 700 MiB of a node of 1 GiB: neither node 0 nor the first of the two has so much left
        assert properties["numatune"] == f"strict#{two}"
        assert (all_cpus(), all_cpus("--share")) == (1, 0)
        typed = {"cputune": "all#=cell", "guestnuma": "0-3#*@0"}
        _, said = this_host.run_hooks("before_vm_start", with_properties(typed), {**typed, "vmId": "x"})
        assert 'also pinned by VM "db01"' in said
    assert all_cpus() == 0

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from largeguest import VERSION
from largeguest.cpuset import CpuSet
from tests import DATA
from tests.vdsm import HookError

from .guest import Libvirt, Ram
from .host import Host

PLAIN = (DATA / "plain.xml").read_text(encoding="utf-8")
HALF = 262144


def test_the_vm_starts_with_the_layout_that_was_typed(ovirt_host: Host, libvirt: Libvirt) -> None:
    typed = {"cputune": "0#0,1#1", "numatune": "strict#0", "guestnuma": f"0-1#{HALF},2-3#{HALF}"}
    domxml, said = ovirt_host.run_hooks("before_vm_start", PLAIN.replace(">none<", ">manual<"), typed)
    assert said == (
        f"largeguest {VERSION}: cputune: 2 vCPUs pinned; numatune: memory strict on host node 0; "
        "guestnuma: 2 cells, 4 vCPUs, 512 MiB; 4 of 4 vCPUs on the nodes of their cells; "
        "largeguest: warning: cputune: vCPUs 2-3 are not pinned, and may run on the CPUs of the others: pin all vCPUs, "
        "as in all#=cell\n"
    )
    with libvirt.running(domxml.encode()) as name:
        seen = libvirt.seen_by_guest()
        threads = libvirt.threads(name)
        ram = libvirt.ram(name)
    assert {number: node.cpus for number, node in seen.items()} == {0: "0-1", 1: "2-3"}
    # a kernel keeps some of a node's memory for itself (its image, the memory map), here less than 64 MiB
    assert all(HALF - 65536 < node.memory <= HALF for node in seen.values())
    assert {vcpu: thread.cpus_allowed for vcpu, thread in threads.items() if vcpu < 2} == {0: "0", 1: "1"}
    assert {threads[vcpu].cpus_allowed for vcpu in (2, 3)} == {_all_cpus()}
    assert ram == [Ram("bind:0", HALF, CpuSet([0]))] * 2


def test_cells_of_unequal_size_that_interleave(ovirt_host: Host, libvirt: Libvirt) -> None:
    typed = {"guestnuma": f"0,2#{HALF - 65536},1,3#{HALF + 65536}", "numatune": "interleave#0"}
    domxml, _ = ovirt_host.run_hooks("before_vm_start", PLAIN, typed)
    with libvirt.running(domxml.encode()) as name:
        seen = libvirt.seen_by_guest()
        ram = libvirt.ram(name)
    assert {number: node.cpus for number, node in seen.items()} == {0: "0,2", 1: "1,3"}
    assert seen[0].memory < HALF - 65536 < seen[1].memory
    assert sorted((mapping.policy, mapping.memory) for mapping in ram) == [
        ("interleave:0", HALF - 65536),
        ("interleave:0", HALF + 65536),
    ]


def test_no_property_no_change(ovirt_host: Host) -> None:
    assert ovirt_host.run_hooks("before_vm_start", PLAIN, {"cputune": "", "other": "1"}) == (PLAIN, "")


def test_a_refusal_stops_the_start_with_one_line(ovirt_host: Host) -> None:
    with pytest.raises(HookError) as caught:
        ovirt_host.run_hooks("before_vm_start", PLAIN, {"cputune": "9#0", "numatune": "strict"})
    assert str(caught.value) == (
        'largeguest: numatune: "strict" at 0: "strict" names no nodes: write strict#<nodeset>, as in strict#0; '
        "largeguest: cputune: vCPU 9 does not exist, the VM has vCPUs 0-3: remove its pin\n"
    )


def test_the_command_is_installed(ovirt_host: Host) -> None:
    result = ovirt_host.run("largeguest", "apply", "--cputune", "9#0", "-", environ={})
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("largeguest: domain XML: not well-formed")


def _all_cpus() -> str:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith("Cpus_allowed_list:"))

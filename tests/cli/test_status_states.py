# SPDX-License-Identifier: GPL-2.0-or-later
"""States of a host and of a VM in which it is easy to say the wrong thing about it."""

from __future__ import annotations

import json
import mmap
import shutil

import pytest

from largeguest.host import sysfs
from largeguest.running.state import Work
from tests import hosts
from tests.running import fake_kernel
from tests.running.fake_kernel import QEMUS_OWN, mapping

from .stage import DIMM, HUGE, MIB, PAGES, PID, Stage, run

FOUR = {f"vcpu{number}": str(number) for number in range(4)}
VALUE = '{"corrections": {"start": %s}, "refused": %s, "last": %s, "longest": 1}'


def test_numa_maps_is_read_whole() -> None:
    """The kernel gives 4 KiB of numa_maps per read, whatever the size of the buffer: 80 lines or so."""
    kept = [mmap.mmap(-1, 4096, prot=mmap.PROT_READ | (mmap.PROT_WRITE if n % 2 else 0)) for n in range(300)]
    text = sysfs.read_in_pieces("/proc/self/numa_maps") or ""
    assert len(text.splitlines()) > len(kept)


def test_a_vm_that_is_starting(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """While QEMU allocates memory it has no threads of vCPUs yet; libvirt: paused (starting up)."""
    stage.start(threads={"emulator": "0-15"}, memory={0: 10 * MIB}).status = (3, 11)
    assert run(capsys)[0] == 0


def test_a_vcpu_with_a_pin_that_is_not_plugged_in(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start(
        {"cputune": "0-1#=node0,2-3#=node1"},
        edit=lambda text: text.replace('<vcpu current="4">4<', '<vcpu current="2">4<'),
        threads={"vcpu0": "0", "vcpu1": "1", "emulator": "0-15"},
    )
    assert run(capsys)[0] == 0


def test_more_on_a_node_than_its_cell_can_have(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells of 256 MiB on nodes 0 and 1, and all memory is on node 0: what migratepages PID 3 0-1 leaves."""
    stage.start(memory={0: 500 * MIB})
    assert run(capsys)[0] == 1


def test_preferred_as_newer_qemu_does_it(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """QEMU 8 and later use MPOL_PREFERRED_MANY, also for one node; all memory of cell 0 is on node 1."""
    typed = {"cputune": "all#=cell", "numatune": "preferred#0", "guestnuma": "0-1#*@0,2-3#*@1"}
    maps = mapping("prefer (many):0", {1: 51200}) + mapping("prefer (many):1", {1: 51200})
    stage.start(typed, memory={1: 400 * MIB}, mappings=QEMUS_OWN + maps)
    assert "cell 0: 0 KiB of 200 MiB" in run(capsys, "db01")[1]


def test_a_device_in_huge_pages(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """256 MiB that are plugged into cell 0 are on node 3."""
    file = "/dev/hugepages/libvirt/qemu/7-db01/qemu_back_mem.{}.x"
    maps = "".join(mapping(f"bind:{n}", {n: 128}, file.format(f"ram-node{n}"), 2048) for n in (0, 1))
    maps += mapping("bind:0", {3: 128}, file.format("memdimm0"), 2048)
    stage.start(edit=lambda text: text.replace("<devices>", HUGE).replace("<devices>", DIMM), mappings=maps)
    assert run(capsys)[0] == 1


def test_hidepid_1(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of the process is there, but what is in it cannot be read."""
    stage.start()
    shutil.rmtree(stage.root / f"proc/{PID}")
    (stage.root / f"proc/{PID}").mkdir()
    code, out = run(capsys)
    assert (code, "cputune: vcpu0 may run" in out) == (2, False)


@pytest.mark.parametrize("typed", [{"cputune": "0#x"}, {"numatune": "strickt#0"}])
def test_next_start_with_a_syntax_error(
    typed: dict[str, str], stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.start(typed, hook=False)
    assert json.loads(run(capsys, "--json")[1])["vms"][0]["next_start"]["refused"] is True


def test_next_start_under_an_exclusive_policy(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    pin = '<cputune><vcpupin vcpu="0" cpuset="0"/>'
    stage.start(
        {"cputune": "0#1"},
        hook=False,
        edit=lambda text: text.replace("cpuPolicy>none", "cpuPolicy>dedicated").replace("<cputune>", pin, 1),
    )
    assert json.loads(run(capsys, "--json")[1])["vms"][0]["next_start"]["refused"] is True


def test_cells_when_the_next_start_is_refused(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The VM has no cells."""
    stage.start({"guestnuma": "0-1#100M@0,2-3#100M@1"}, hook=False)
    assert "as asked  0.91" not in run(capsys)[1]


def test_one_cell_with_memory_of_qemu_elsewhere(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start({"cputune": "all#=cell", "guestnuma": "0-3#*@0"}, threads=FOUR, memory={0: 400 * MIB, 2: 20 * MIB})
    assert json.loads(run(capsys, "--json")[1])["vms"][0]["locality"]["figure"] == 1


def test_a_page_that_ksm_has_merged(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start(mappings=QEMUS_OWN + mapping("bind:0", {0: PAGES, 3: 1}) + mapping("bind:1", {1: PAGES}))
    assert run(capsys)[0] == run(capsys, "db01")[0]


def test_preferred_memory_may_be_elsewhere(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    threads = fake_kernel.all_cpus(4, hosts.FOUR_NODES.online)
    stage.start({"numatune": "preferred#0"}, threads=threads, memory={0: 100 * MIB, 1: 300 * MIB})
    assert run(capsys)[0] == 0


@pytest.mark.parametrize(
    "text",
    ["[" * 200000, VALUE % (1, "Infinity", 1), VALUE % ('"x"', 1, 1), VALUE % (1, 1, '"x"'), VALUE % (1, 1, "NaN")],
    ids=["deep", "infinity", "count", "time", "nan"],
)
def test_a_hostile_state(text: str, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start()
    whole = text if text[0] == "[" else f'{{"version": 1, "vms": {{"{stage.uuid("db01")}": {text}}}}}'
    (stage.root / "keeper/state.json").write_text(whole)
    assert "nan" not in run(capsys, "db01")[1]


def test_a_state_that_controls_the_terminal(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.keeper(True, db01=Work({"\x1b[2J": 1}))
    stage.start()
    assert "\x1b" not in run(capsys, "db01")[1]


def test_work_of_a_keeper_that_has_ended(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """RuntimeDirectoryPreserve keeps its file; the VM may have been started again since."""
    stage.keeper(False, db01=Work({"start": 1}, 0, 0.07, 0.3))
    stage.start()
    assert "it pinned" not in run(capsys, "db01")[1]


def test_one_time(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.keeper(True, db01=Work({"start": 1}, 0, 0.07, 0.07))
    stage.start()
    assert "1 times" not in run(capsys, "db01")[1]


def test_each_vm_is_as_asked_but_the_exit_code_is_1(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    pins = "".join(f'<vcpupin vcpu="{vcpu}" cpuset="{cpu}"/>' for vcpu, cpu in enumerate((0, 1, 9, 10)))
    stage.start()
    stage.start(
        {},
        "db03",
        edit=lambda text: text.replace("cpuPolicy>none", "cpuPolicy>dedicated").replace(
            "<cputune>", f"<cputune>{pins}"
        ),
        pid=PID + 100,
    )
    code, out = run(capsys)
    assert (code, "not as asked: 0 of 2 VMs" in out) != (1, True)


def test_a_vm_that_cannot_be_read_runs(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start(edit=lambda text: text.replace("<cputune>", '<cputune><vcpupin vcpu="0" cpuset="99999"/>'))
    assert "no VM runs on this host" not in run(capsys)[1]


def test_the_session_of_a_user_has_vms_of_its_own(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The process of the same name in /run/libvirt/qemu is not theirs."""
    stage.start()
    (vm,) = json.loads(run(capsys, "--json", "--connect", "qemu:///session")[1])["vms"]
    assert vm["memory_kib"] is None


def test_a_name_like_a_cell(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    file = "/dev/hugepages/libvirt/qemu/7-ram-node1/qemu_back_mem.ram-node{}.x"
    maps = "".join(mapping(f"bind:{n}", {n: 128}, file.format(n), 2048) for n in (0, 1))
    stage.start(name="ram-node1", edit=lambda text: text.replace("<devices>", HUGE), mappings=maps)
    assert run(capsys)[0] == 0


def test_base_pages_written_as_huge_pages(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.start(edit=lambda text: text.replace("<devices>", HUGE.replace("2048", "4")))
    assert run(capsys)[0] == 0

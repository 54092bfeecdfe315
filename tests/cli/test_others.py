# SPDX-License-Identifier: GPL-2.0-or-later
"""plan and check on a host where other VMs run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from largeguest import cli

from .stage import MIB, PLAIN, Stage

PLAN = ["plan", "--vcpus", "4", "--memory", "1G"]
NUMBERS = {"cputune": "0-3#=0-3", "numatune": "strict#0", "guestnuma": "0-3#*@0"}
ON_0 = {f"vcpu{n}": str(n) for n in range(4)}


@pytest.fixture
def busy(stage: Stage) -> Stage:
    """A VM has all CPUs of node 0, and of the memory there 512 MiB, of which it has touched a part."""
    stage.keeper(False)
    stage.start(NUMBERS, threads=ON_0, memory={0: 100 * MIB})
    return stage


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, list[str]]:
    """Where the memory is, and the notes."""
    assert cli.main([*PLAN, *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found["properties"]["numatune"], found["notes"]


UNKNOWN = (
    'largeguest: warning: host: what other VMs hold is not known: "Failed to connect socket": '
    "start the keeper: systemctl enable --now vdsm-largeguest-keeper"
)
LEFT = 'left to 1 other VM ("db01"): 4 CPUs and 512 MiB promised'


@pytest.mark.parametrize(
    ("arguments", "numatune", "notes"),
    [([], "strict#1", [LEFT]), (["--share"], "strict#0", []), (["--replace", "db01"], "strict#0", [])],
)
@pytest.mark.usefixtures("busy")
def test_plan(arguments: list[str], numatune: str, notes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(capsys, *arguments) == (numatune, notes)


@pytest.mark.usefixtures("busy")
def test_what_is_left_out_is_shown_as_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_out = ["--reserve", "node1.core0", "--exclude", "node3.core1"]
    assert cli.main([*PLAN, *left_out, "--nodes", "1", "--svg", str(tmp_path / "plan.svg")]) == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for row in (
        '0 2 GiB 0 0 0-1 - - VM "db01"',
        '0 1 2-3 - - VM "db01"',
        "1 2 GiB 0 0 4-5 - - emulator, reserved",
        "1 1 14-15 - - excluded",
    ):
        assert row in rows
    picture = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert "left out: VM &quot;db01&quot;, reserved, excluded" in picture.replace('"db01"', "&quot;db01&quot;")
    assert cli.main([*PLAN, *left_out, "--nodes", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    promised = [{"nodes": "0", "page_kib": None, "memory_kib": 512 * MIB}]
    assert found["vms"] == [{"name": "db01", "cpus": "0-3", "exclusive": False, "promised": promised}]
    assert (found["reserved"], found["excluded"]) == ("4-5", "14-15")


@pytest.mark.usefixtures("busy")
def test_host_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["host"]) == 0
    assert capsys.readouterr().out.endswith("\n\nVM    CPUs  promised memory\ndb01  0-3   512 MiB on node 0\n")
    assert cli.main(["host", "--json"]) == 0
    assert [vm["name"] for vm in json.loads(capsys.readouterr().out)["vms"]] == ["db01"]


def test_plan_for_a_vm_that_runs_here(busy: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert busy.world.domains
    document = tmp_path / "vm.xml"
    for name, numatune in (("db01", "strict#0"), ("db02", "strict#1")):
        document.write_bytes(PLAIN.replace(b"db01", name.encode()))
        assert cli.main(["plan", "--domain", str(document), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["properties"]["numatune"] == numatune


def test_after_it_has_stopped_its_cpus_are_free(busy: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    busy.world.domains.clear()
    assert plan(capsys) == ("strict#0", [])


def test_plan_when_libvirt_cannot_be_asked(busy: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    busy.world.unreachable = True
    assert plan(capsys) == ("strict#0", [UNKNOWN])
    (busy.root / "run/libvirt/qemu/db01.pid").unlink()
    (busy.root / "run/libvirt/qemu/driver.pid").touch()
    assert plan(capsys) == ("strict#0", [])  # none runs here


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--replace", "db99"], 'largeguest: no VM "db99" runs here: name one that does, see largeguest status\n'),
        (["--share", "--host", "caps.xml"], "No such file or directory\n"),
    ],
)
@pytest.mark.usefixtures("busy")
def test_what_cannot_be_replaced(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PLAN, *arguments]) == 2
    assert capsys.readouterr().err.endswith(error)


def test_other_hosts_have_other_vms(busy: Stage, four_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert busy.world.domains
    assert plan(capsys, "--host", four_nodes) == ("strict#0", [])
    with pytest.raises(SystemExit):
        cli.main([*PLAN, "--share", "--host", four_nodes])
    assert "--share and --replace are about the VMs of this host" in capsys.readouterr().err


@pytest.mark.parametrize("several", [[], ["--host", "local", "--host", "local"]])
def test_check(several: list[str], busy: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "vm.xml"
    document.write_bytes(PLAIN.replace(b"db01", b"db02"))
    typed = ["--cputune", "all#=cell", "--guestnuma", "0-3#*@0"]
    warning = 'cputune: CPUs 0-3 are also pinned by VM "db01": largeguest plan leaves out what other VMs hold'
    assert cli.main(["check", *several, *typed, str(document)]) == 0
    assert warning in capsys.readouterr().out
    document.write_bytes(PLAIN)  # its own restart
    assert cli.main(["check", *several, *typed, str(document)]) == 0
    assert warning not in capsys.readouterr().out
    busy.world.unreachable = True
    assert cli.main(["check", *several, *typed, str(document)]) == 0
    assert "what other VMs hold is not known" in capsys.readouterr().out


AUTO = ["--cputune", "auto", "--guestnuma", "auto"]


def test_auto_on_this_host(busy: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What apply and check choose is what the hook would choose now."""
    assert busy.world.domains
    document = tmp_path / "vm.xml"
    for name, node in (("db02", 1), ("db01", 0)):
        document.write_bytes(PLAIN.replace(b"db01", name.encode()))
        assert cli.main(["check", *AUTO, str(document)]) == 0
        assert "locality 1.00, 4 of 4 vCPUs on the nodes of their cells" in capsys.readouterr().out
        assert cli.main(["apply", *AUTO, str(document)]) == 0
        out, err = capsys.readouterr()
        assert f'<memnode cellid="0" mode="strict" nodeset="{node}"/>' in out
        assert (
            f"auto: cputune: 4 vCPUs, 1 iothread, the emulator pinned; numatune: memory strict on host node {node}"
            in err
        )
    assert cli.main(["check", *AUTO]) == 0
    assert "auto: what is chosen depends on the VM: name its DOMAIN.xml" in capsys.readouterr().out


@pytest.mark.usefixtures("busy")
def test_plan_auto(capsys: pytest.CaptureFixture[str]) -> None:
    """The short form to paste, and what it would choose here now."""
    assert cli.main([*PLAN, "--auto", "--hugepages", "4K"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cputune    auto\nguestnuma  auto\n\ntopology   1 socket, 2 cores each, 2 threads each\n")
    assert "\nlength     27 of 4000 characters\n" in out
    assert cli.main([*PLAN, "--auto", "--mode", "interleave", "--json"]) == 0
    properties = json.loads(capsys.readouterr().out)["properties"]
    assert properties == {"cputune": "auto", "numatune": "interleave#auto", "guestnuma": "auto"}
    for option in (["--nodes", "2"], ["--reserve", "0"], ["--spread"], ["--share"]):
        with pytest.raises(SystemExit):
            cli.main([*PLAN, "--auto", *option])
        assert f"{option[0]} cannot be combined with --auto" in capsys.readouterr().err


def test_the_keeper_is_believed(busy: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    busy.keeper(True)  # on this stage it has seen no VM that holds anything
    assert plan(capsys) == ("strict#0", [])

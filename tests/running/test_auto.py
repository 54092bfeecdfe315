# SPDX-License-Identifier: GPL-2.0-or-later
"""A running VM with cputune=auto: what has been chosen for it, and what has been plugged in since."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from largeguest.cpuset import CpuSet
from largeguest.domxml import NAMESPACE
from largeguest.host import neighbours as published
from largeguest.host import reservations
from largeguest.record import replace
from largeguest.rewrite import check_again
from largeguest.running import connection, neighbours, pins
from largeguest.values import Neighbour
from tests import vdsm
from tests.hosts import FOUR_NODES

from .fake_libvirt import CONSTANTS, Domain, World

HERE = replace(FOUR_NODES, boot="here")
RECORD = "0#0,1#1,emulator#0-3"


def running(plugged: int, record: str = RECORD, boot: str = "here") -> bytes:
    """A VM on node 0, of whose 5 vCPUs so many are plugged in."""
    layout = f"<l:layout xmlns:l='{NAMESPACE}' host='{boot}' cputune='{record}'/>" if record else ""
    return (
        f"<domain id='1'><name>db01</name><memory>1048576</memory><vcpu current='{plugged}'>5</vcpu>"
        "<numatune><memory mode='strict' nodeset='0'/></numatune>"
        "<metadata><o:vm xmlns:o='http://ovirt.org/vm/1.0'><o:custom><o:cputune>auto</o:cputune></o:custom>"
        f"<o:cpuPolicy>manual</o:cpuPolicy></o:vm>{layout}</metadata></domain>"
    ).encode()


def texts(found: pins.Running) -> list[str]:
    return [problem.what for problem in found.problems]


@pytest.mark.parametrize(
    ("document", "cpus", "problems"),
    [
        (running(2), "0-1", []),
        # the keeper has not seen the third yet
        (running(3), "0-1", ["auto: not all of its CPUs have been chosen on this host"]),
        (running(2, ""), "", ["auto: not all of its CPUs have been chosen on this host"]),
        (running(2, boot="another"), "", ["auto: not all of its CPUs have been chosen on this host"]),
    ],
)
def test_without_choosing(document: bytes, cpus: str, problems: list[str]) -> None:
    found = pins.read(document, HERE)
    assert (str(found.holds.cpus), texts(found)) == (cpus, problems)
    assert all("systemctl status" in problem.fix for problem in found.problems)


FLOATS = "has no CPU left for vCPU 2, plugged in later: it floats over CPUs 0-1"


@pytest.mark.parametrize(
    ("others", "cpus", "problem"),
    [([], "0-2", ""), ([2], "0-1,3", ""), ([2, 3], "0-1", FLOATS), ([0, 1, 2, 3], "0-1", FLOATS)],
)
def test_a_vcpu_that_is_plugged_in(others: list[int], cpus: str, problem: str) -> None:
    """Where no CPU is left it floats over those of the VM, and holds no others."""
    host = replace(HERE, neighbours=(Neighbour("db02", CpuSet(others)),))
    found = pins.read(running(3), HERE, lambda: host)
    assert len(texts(found)) == bool(problem)
    assert problem in "".join(texts(found))
    assert str(found.holds.cpus) == cpus


def test_one_that_floats_may_migrate() -> None:
    """To an equal host, as with typed pins."""
    document = running(5, "0#0,1#1,2#2,3#3,4#0-3,emulator#0-3", boot="another")
    for cputune in ("all#=node0", "auto"):
        assert check_again({"cputune": cputune}, document, HERE, suspended=False).cpus == CpuSet.span(0, 3)


@pytest.mark.parametrize(("others", "cpus"), [([], "1-2"), ([2], "0-1"), ([7], "1-2")])
def test_a_resume_on_the_same_boot(others: list[int], cpus: str) -> None:
    """Its record holds if nothing else has its CPUs by now."""
    host = replace(HERE, neighbours=(Neighbour("db02", CpuSet(others)),))
    held = check_again({"cputune": "auto"}, running(2, "0#1,1#2,emulator#0-3"), host, suspended=True)
    assert str(held.cpus) == cpus


def test_without_a_keeper_one_that_arrives_keeps_its_reservation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt lists it, paused, as soon as its memory begins to come; its record is another host's."""
    uuid = "0f4ce1b2-7d53-4c0e-9a52-3f3c4d1f6a0a"
    vdsm.make_run_folder(tmp_path)
    (tmp_path / published.PID_FILES).mkdir(parents=True)
    (tmp_path / published.PID_FILES / "db01.pid").touch()
    world = World()
    domain = Domain(world, "db01", "auto", vcpus=2, bound="1")
    domain.UUIDString = lambda: uuid  # type: ignore[method-assign]
    domain.status = (CONSTANTS["VIR_DOMAIN_PAUSED"], CONSTANTS["VIR_DOMAIN_PAUSED_MIGRATION"])
    world.domains.append(domain)
    monkeypatch.setitem(sys.modules, "libvirt", world.module())
    monkeypatch.setattr(connection, "open_read_only", world._open)
    reservations.reserve(str(tmp_path), uuid, Neighbour("db01", CpuSet([4, 5])))
    host = neighbours.beside(HERE, None, str(tmp_path), lambda *_: False)
    assert [str(other.cpus) for other in host.neighbours] == ["4-5"]

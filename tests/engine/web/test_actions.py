# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dialog asks for, against the stand-in: look, judge, plan, save."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from lxml import etree

from largeguest.engine import web
from largeguest.engine.web.snapshots import SECONDS, Snapshots
from largeguest.host.topology import Host
from largeguest.record import replace
from largeguest.values import MODES
from tests import books
from tests.engine.standin import Config, Engine, FaultError
from tests.hosts import FOUR_NODES

from .client import Client
from .conftest import NOW, RELEASE

NEW = {"cputune": "all#cell,emulator#cell", "numatune": "strict#0-1", "guestnuma": "0-3#*@0,4-7#*@1"}


def shown(answer: dict[str, Any]) -> list[str]:
    return [": ".join(filter(None, (one["subject"], one["what"]))) for one in answer["problems"]]


@pytest.mark.usefixtures("world")
def test_look(client: Client) -> None:
    found = client.ask("look", vm="vm-0000")
    assert found["vm"] == {
        "id": "vm-0000",
        "name": "db01",
        "vcpus": 8,
        "memory": "1 GiB",
        "policy": "none",
        "status": "down",
        "host": None,
        "pending": False,
        "now": {"cputune": "all#=cell,emulator#cell", "numatune": "strict#0", "guestnuma": "0-7#*@0"},
    }
    judged = found["judgement"]
    assert judged["host"] == "id-host2"  # has more free memory
    assert judged["form"]["pinning"] == "each"
    assert judged["form"]["cells"] == [{"vcpus": "0-7", "memory": "*", "nodes": "0"}]
    assert [(host["name"], host["verdict"]) for host in judged["hosts"]] == [("host1", "no"), ("host2", "ok")]
    assert (judged["changes"], judged["can_save"], judged["used"]) == ([], False, [0])
    assert judged["locality"] == "locality 1.00, 8 of 8 vCPUs on the nodes of their cells"
    picture = etree.fromstring(judged["picture"].encode())
    assert {"node0", "node3", "cpu0", "cpu127"} <= {element.get("id") for element in picture}


@pytest.mark.usefixtures("world")
def test_judge_says_what_the_check_says_and_where(client: Client) -> None:
    found = client.ask("judge", vm="vm-0000", host="id-host1", values={**NEW, "cputune": "0#nod0"})
    assert shown(found)[0].startswith('cputune: "0#nod0" at 2: "nod0" is not a CPU')
    assert (found["problems"][0]["start"], found["problems"][0]["end"]) == (2, 6)
    assert found["form"] is None
    assert found["can_save"] is False
    assert [change["name"] for change in found["changes"]] == ["cputune", "numatune", "guestnuma"]
    found = client.ask("judge", vm="vm-0000", host="id-host1", values={"numatune": "strict#9"})
    assert shown(found)[0] == "numatune: node 9 is not on this host, which has nodes 0-3"
    assert found["used"] == []


@pytest.mark.usefixtures("world")
def test_form_and_text_are_two_views_of_one_thing(client: Client) -> None:
    by_text = client.ask("judge", vm="vm-0000", host="id-host2", values=NEW)
    form = by_text["form"]
    assert (form["affinity"], form["pinning"], form["nodes"]) == ("manual", "float", "0-1")
    by_form = client.ask("judge", vm="vm-0000", host="id-host2", form=form)
    assert by_form == by_text
    edited = client.ask("judge", vm="vm-0000", host="id-host2", form=form, edit={"kind": "node", "node": 2})
    assert edited["values"]["guestnuma"] == "0-3#*@0,4-5#*@1,6-7#*@2"
    assert edited["used"] == [0, 1, 2]


@pytest.mark.usefixtures("world")
def test_of_many_problems_the_first_ones_are_shown(client: Client) -> None:
    values = {"cputune": ",".join(f"{number % 8}#node0.core{number}" for number in range(100, 200))}
    found = client.ask("judge", vm="vm-0000", host="id-host1", values=values)
    assert (len(found["problems"]), len(found["hosts"])) == (51, 2)
    assert shown(found)[-1].endswith(" more like these")
    assert max(len(host["problems"]) for host in found["hosts"]) == 13


def test_only_an_edit_asks_only_for_the_vm(client: Client, world: Engine) -> None:
    client.ask("look", vm="vm-0000")
    world.asked.clear()
    client.ask("judge", vm="vm-0000", values=NEW)
    assert dict(world.asked) == {"GET /vms/vm-0000": 1}


def test_what_is_kept_is_one_users_and_not_for_long(
    client: Client, world: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(web, "_snapshots", Snapshots(lambda: now[0]))
    world.tokens.add("another")
    client.ask("look", vm="vm-0000")
    world.asked.clear()
    client.token = "another"
    client.ask("judge", vm="vm-0000", values=NEW)
    assert world.asked["GET /hosts"] == 1
    now[0] = SECONDS
    client.ask("judge", vm="vm-0000", values=NEW)
    assert world.asked["GET /hosts"] == 2


def test_a_token_that_is_no_longer_accepted(client: Client, world: Engine) -> None:
    client.ask("look", vm="vm-0000")
    world.tokens.clear()
    for action in ("judge", "look", "plan", "save"):
        status, said = client.refused(action, vm="vm-0000", values=NEW, mode="strict", seen="")
        assert (status, said.startswith("engine: the engine refuses: ")) == (401, True)


def test_rights_are_the_engines(client: Client, world: Engine) -> None:
    def before(method: str, _: str) -> None:
        if method == "PUT":
            raise FaultError(403, "Forbidden", "User is not authorized to perform this action.")

    seen = client.ask("judge", vm="vm-0000", values=NEW)["seen"]
    world.before = before
    status, said = client.refused("save", vm="vm-0000", values=NEW, seen=seen)
    assert (status, said.startswith("engine: the engine refuses: Forbidden: User is not authorized")) == (403, True)


def test_an_engine_that_is_down(client: Client, world: Engine) -> None:
    assert world.vms
    client.url = "https://localhost:1/ovirt-engine/api"
    status, said = client.refused("look", vm="vm-0000")
    assert (status, said.startswith("engine: the engine cannot be reached: ")) == (502, True)


def test_an_engine_that_fails(client: Client, world: Engine) -> None:
    def before(_: str, path: str) -> None:
        if "hosts" in path:
            raise FaultError(500, "Internal Server Error", "java.lang.NullPointerException")

    world.before = before
    assert client.refused("look", vm="vm-0000")[0] == 502


def test_no_engine_is_named(client: Client) -> None:
    client.url = ""
    assert client.refused("look", vm="vm-0000") == (503, "request: no engine is named")


def test_the_engine_that_engine_setup_has_named(
    client: Client, world: Engine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.vms
    setup = tmp_path / "10-setup-protocols.conf"
    setup.write_text(f"ENGINE_PROXY_ENABLED=true\nENGINE_FQDN={client.url.split('/')[2]}\n")
    monkeypatch.setattr(web, "SETUP", str(setup))
    client.url = ""
    assert client.ask("look", vm="vm-0000")["vm"]["name"] == "db01"


@pytest.mark.usefixtures("world")
def test_plan_for_a_host_and_for_the_best(client: Client) -> None:
    asked = {"vm": "vm-0001", "values": {}, "mode": "strict"}
    found = client.ask("plan", **asked, cluster=True)
    assert found["host"] == "id-host2"
    assert found["values"]["guestnuma"] == "0-15#*@0"
    assert (found["can_save"], found["used"], found["problems"]) == (True, [0], [])
    spread = client.ask("plan", **asked, host="id-host2", spread=True)
    assert spread["used"] == [0, 1, 2, 3]
    assert [change["name"] for change in spread["changes"]] == ["cputune", "numatune", "guestnuma", "topology"]
    status, said = client.refused("plan", **asked, host="id-host1")
    assert (status, said.startswith("plan: 16 vCPUs and 64 GiB do not fit")) == (422, True)


def test_save_sets_what_was_asked_for_and_nothing_else(client: Client, world: Engine) -> None:
    before = copy.deepcopy(world.vms)
    asked = client.ask("judge", vm="vm-0000", host="id-host2", values=NEW)
    answer = client.ask("save", vm="vm-0000", values=asked["values"], topology=asked["topology"], seen=asked["seen"])
    assert answer == {"changes": asked["changes"]}
    after = world.vms["vm-0000"]
    assert after.config.custom == {"sap": "a=b", **NEW}
    after.config.custom = before["vm-0000"].config.custom
    assert world.vms == before
    assert [asked for asked in world.asked if asked.startswith("PUT")] == ["PUT /vms/vm-0000"]


def test_save_refuses_what_no_host_would_start(client: Client, world: Engine) -> None:
    seen = client.ask("look", vm="vm-0000")["judgement"]["seen"]
    status, said = client.refused("save", vm="vm-0000", values={"numatune": "strict#9"}, seen=seen)
    assert status == 422
    assert said.startswith("numatune: each host that it may run on would refuse the start: node 9")
    assert not [asked for asked in world.asked if asked.startswith("PUT")]


def test_save_refuses_if_somebody_has_changed_the_vm(client: Client, world: Engine) -> None:
    seen = client.ask("look", vm="vm-0000")["judgement"]["seen"]
    world.vms["vm-0000"].config.memory = 2048
    assert client.refused("save", vm="vm-0000", values=NEW, seen=seen)[0] == 409


def test_save_refuses_if_somebody_changes_the_vm_at_the_same_time(client: Client, world: Engine) -> None:
    seen = client.ask("look", vm="vm-0000")["judgement"]["seen"]
    looks = []

    def before(_: str, path: str) -> None:
        looks.append(path)
        if sum("/vms/vm-0000?" in look for look in looks) == 2:
            world.vms["vm-0000"].config.memory = 2048

    world.before = before
    assert client.refused("save", vm="vm-0000", values=NEW, seen=seen)[0] == 409


@pytest.mark.usefixtures("world")
def test_nothing_to_change_is_not_sent(client: Client, world: Engine) -> None:
    judged = client.ask("look", vm="vm-0000")["judgement"]
    assert client.ask("save", vm="vm-0000", values=judged["values"], seen=judged["seen"]) == {"changes": []}
    assert not [asked for asked in world.asked if asked.startswith("PUT")]


@pytest.mark.parametrize("known", [Host({}, {}), replace(FOUR_NODES, cpus={})], ids=["nothing", "no CPUs"])
def test_a_host_that_the_engine_does_not_know_yet(client: Client, engine: Engine, known: Host) -> None:
    """As one that is being installed; a VM with auto runs there."""
    engine.machine("host1", FOUR_NODES, RELEASE)
    engine.machine("new", known, RELEASE, status="installing")
    engine.definitions["4.7"] = NOW
    auto = {"cputune": "auto", "guestnuma": "auto"}
    engine.vm("runs", host="id-new", config=Config(custom=auto))
    engine.vm("db01", config=Config())
    judged = client.ask("judge", vm="vm-0001", host="id-host1", values=auto)
    assert [(host["name"], host["verdict"]) for host in judged["hosts"]] == [("host1", "ok"), ("new", "no")]
    assert (judged["can_save"], judged["problems"]) == (True, [])
    judged = client.ask("judge", vm="vm-0001", host="id-new", values=auto)
    assert (judged["picture"], judged["used"], judged["can_save"]) == (None, [], True)
    assert shown(judged) == ['host: the engine does not know the NUMA nodes and CPUs of "new"']
    assert client.ask("look", vm="vm-0000")["judgement"]["host"] == "id-new"


def test_a_layout_can_be_removed_wherever_the_vm_may_run(client: Client, engine: Engine) -> None:
    engine.machine("new", Host({}, {}), RELEASE, status="maintenance")
    engine.definitions["4.7"] = NOW
    engine.vm("db01", config=Config(custom={"numatune": "strict#0"}))
    judged = client.ask("judge", vm="vm-0000", values={})
    assert (judged["can_save"], judged["problems"], judged["next_start"]) == (True, [], "ok on 1 host")
    client.ask("save", vm="vm-0000", values={}, seen=judged["seen"])
    assert engine.vms["vm-0000"].config.custom == {}


@pytest.mark.usefixtures("world")
def test_without_a_layout_the_topology_is_the_vms(client: Client) -> None:
    planned = client.ask("plan", vm="vm-0001", values={}, mode="strict", host="id-host2", spread=True)
    assert "topology" in [change["name"] for change in planned["changes"]]
    known = {"vm": "vm-0001", "host": "id-host2", "topology": planned["topology"]}
    none = client.ask("judge", **known, form=planned["form"], edit={"kind": "affinity", "affinity": "none"})
    assert (none["changes"], none["can_save"]) == ([], False)
    assert client.ask("judge", **known, values={})["changes"] == []


@pytest.mark.usefixtures("world")
def test_a_plan_keeps_the_mode(client: Client) -> None:
    for mode in MODES:
        planned = client.ask("plan", vm="vm-0001", values={}, mode=mode, host="id-host2")
        assert planned["values"]["numatune"] == f"{mode}#0"
        assert planned["notes"] == []  # they name options of the command


@pytest.mark.usefixtures("world")
def test_a_choice_that_the_values_do_not_have_yet_stays_with_them(client: Client) -> None:
    manual = {**client.ask("look", vm="vm-0001")["judgement"]["form"], "affinity": "manual", "mode": "interleave"}
    on_host1 = client.ask("judge", vm="vm-0001", host="id-host1", form=manual)
    assert on_host1["form"] == manual
    on_host2 = client.ask("judge", vm="vm-0001", host="id-host2", form=on_host1["form"], values=on_host1["values"])
    assert on_host2["form"] == manual
    typed = client.ask("judge", vm="vm-0001", host="id-host2", form=manual, values={"numatune": "strict#0"})
    assert typed["form"]["mode"] == "strict"


def test_a_vm_that_has_moved_meanwhile(client: Client, world: Engine) -> None:
    client.ask("look", vm="vm-0000")
    world.machine("host3", books.large_host(), RELEASE, cluster="green")
    world.clusters["green"].level = world.vms["vm-0000"].level = "4.8"
    world.vms["vm-0000"].cluster = "green"
    world.definitions["4.8"] = f"sap=.*;{NOW}"
    judged = client.ask("judge", vm="vm-0000", values=NEW)
    assert [host["name"] for host in judged["hosts"]] == ["host3"]
    assert (judged["next_start"], judged["can_save"]) == ("ok on 1 host", True)


def test_an_engine_that_is_slow(client: Client, world: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.vms
    monkeypatch.setattr(web, "ALL_SECONDS", -1.0)
    status, said = client.refused("look", vm="vm-0000")
    assert (status, said.startswith("request: the engine needs over -1 seconds for ")) == (504, True)


def test_a_vm_that_may_run_nowhere(client: Client, engine: Engine) -> None:
    engine.machine("host1", FOUR_NODES, RELEASE, cluster="green")
    engine.machine("host2", FOUR_NODES, RELEASE)
    engine.definitions["4.7"] = NOW
    engine.vm("db01", config=Config(), only_on=("id-host1",))
    judged = client.ask("look", vm="vm-0000")["judgement"]
    assert (judged["host"], judged["picture"], judged["hosts"]) == (None, None, [])
    assert shown(judged) == ['the engine has no host that VM "db01" may run on']
    assert client.refused("plan", vm="vm-0000", values={}, mode="strict")[0] == 422

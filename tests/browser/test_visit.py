# SPDX-License-Identifier: GPL-2.0-or-later
"""Visits to the dialog and the tab, as users make them, and what then arrives at the engine."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

pytest.importorskip("selenium", reason="pip install -e .[dev]")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests import hosts
from tests.engine.standin import Engine, FaultError
from tests.engine.web.conftest import RELEASE
from tests.hosts import GIB

from .conftest import Serve
from .httpd import Site
from .portal import Portal, browser, resize

NODE_2 = {"cputune": "all#=cell,emulator#cell", "numatune": "strict#2", "guestnuma": "0-31#*@2"}


@pytest.fixture
def portal() -> Iterator[Portal]:
    with browser() as portal:
        yield portal
        assert portal.complaints == []


def sent(engine: Engine) -> list[str]:
    return [asked for asked in engine.asked if asked.startswith("PUT")]


def test_a_visit(site: Site, engine: Engine, portal: Portal) -> None:
    before = copy.deepcopy(engine.vms)
    portal.enter(site, engine)
    portal.open_dialog("db01")
    assert portal.text("#vm") == "db01, as its next start will be: 32 vCPUs, 128 GiB, down"
    assert (portal.values, portal.used) == ({"cputune": "", "numatune": "", "guestnuma": ""}, [])
    assert not portal.find("#save").is_enabled()

    # plan
    portal.click("#plan")
    assert (portal.values, portal.used) == (NODE_2, ["node2"])
    assert portal.find("[name=affinity][value=manual]").is_selected()
    assert portal.find("[name=pinning][value=each]").is_selected()

    # click nodes: one in, one out
    portal.click_node(3)
    assert portal.values["guestnuma"] == "0-15#*@2,16-31#*@3"
    portal.click_node(2)
    assert (portal.values["numatune"], portal.used) == ("strict#3", ["node3"])

    # type a wrong value, read the problem and where it is
    portal.type("#guestnuma", "0-31#*@node3")
    assert portal.text("#guestnuma-problems mark") == "node3"
    assert 'Error: "0-31#*@node3" at 7: "node3" is not a node or a range of nodes' in portal.text("#guestnuma-problems")
    assert not portal.find("#save").is_enabled()
    portal.click("#undo")
    assert portal.values["guestnuma"] == "0-31#*@3"

    # save: what will change, then nothing else changes
    portal.click("#save")
    rows = [row.text for row in portal.driver.find_elements(By.CSS_SELECTOR, "#changes tr")]
    assert rows == [
        "cputune (none) all#=cell,emulator#cell",
        "numatune (none) strict#3",
        "guestnuma (none) 0-31#*@3",
    ]
    assert sent(engine) == []
    portal.find("#really").click()
    portal.leave()
    portal.wait("return document.getElementById('toast').textContent !== ''")
    assert portal.text("#toast") == "success: The NUMA layout is set for the next start."
    assert portal.driver.find_elements(By.CSS_SELECTOR, ".modal") == []
    saved = engine.named("db01")
    assert saved.config.custom == {"sap": "a=b", **NODE_2, "numatune": "strict#3", "guestnuma": "0-31#*@3"}
    saved.config.custom = {"sap": "a=b"}
    assert engine.vms == before
    assert sent(engine) == [f"PUT /vms/{saved.id}"]
    assert portal.driver.execute_script("return window.failures") == []


def test_the_form_and_the_text_follow_each_other(site: Site, engine: Engine, portal: Portal) -> None:
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.click("[name=affinity][value=manual]")
    portal.click_node(2)
    assert portal.values == NODE_2
    portal.click("[name=pinning][value=float]")
    assert portal.values["cputune"] == "all#cell,emulator#cell"
    portal.click("#add")
    assert portal.values["guestnuma"] == "0-15#*@2,16-31#*@0"
    portal.type("#rows tr:nth-child(2) [name=nodes]", "3")
    assert portal.values["guestnuma"] == "0-15#*@2,16-31#*@3"
    portal.type("#rows tr:nth-child(1) [name=memory]", "100G")
    assert portal.values["guestnuma"] == "0-15#100G@2,16-31#*@3"
    portal.click("#rows tr:nth-child(1) [data-kind=split]")
    assert portal.values["guestnuma"] == "0-7#50G@2,8-15#50G@2,16-31#*@3"
    portal.click("#rows tr:nth-child(2) [data-kind=join]")
    assert portal.values["guestnuma"] == "0-7#50G@2,8-31#*@2-3"
    portal.click("#rows tr:nth-child(2) [name=target]")
    portal.click_node(2)
    assert portal.values["guestnuma"] == "0-7#50G@2,8-31#*@3"
    portal.type("#guestnuma", "0-31#*@1")
    fields = portal.driver.find_elements(By.CSS_SELECTOR, "#rows tr input:not([type])")
    assert [field.get_property("value") for field in fields] == ["0-31", "*", "1"]
    portal.click("[name=affinity][value=auto]")
    assert (portal.values["cputune"], portal.values["guestnuma"]) == ("auto", "auto")
    portal.click("[name=affinity][value=none]")
    assert portal.values == {"cputune": "", "numatune": "", "guestnuma": ""}


def test_undo_goes_all_the_way_back(site: Site, engine: Engine, portal: Portal) -> None:
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.click("#plan")
    portal.type("#numatune", "strict#2-3")
    portal.click_node(1)
    for _ in range(3):
        assert portal.find("#undo").is_enabled()
        portal.click("#undo")
    assert portal.values == {"cputune": "", "numatune": "", "guestnuma": ""}
    assert not portal.find("#undo").is_enabled()
    assert portal.text("#facts").count("2 sockets, 8 cores, 2 threads") == 1


def test_what_cannot_be_planned_is_said_and_is_no_step(site: Site, engine: Engine, portal: Portal) -> None:
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.type("#reserve", "node0,node1,node2,node3.core1-15")
    portal.click("#plan")
    assert portal.text("#said").startswith("plan: 32 vCPUs and 128 GiB do not fit: ")
    assert not portal.find("#undo").is_enabled()
    portal.type("#reserve", "nod0")
    portal.click("#plan")
    assert portal.text("#said").startswith('reserve: "nod0" at 0: ')
    portal.type("#reserve", "")
    portal.click("#plan")
    assert (portal.values, portal.text("#said")) == (NODE_2, "")


def test_by_keyboard_alone(site: Site, engine: Engine, portal: Portal) -> None:
    """Everything can be reached by Tab; a node is a button; Escape closes the question, not the dialog."""
    portal.enter(site, engine)
    portal.open_dialog("db01")
    active = portal.driver.switch_to
    reached: set[str] = set()
    for _ in range(40):
        active.active_element.send_keys(Keys.TAB)
        reached.add(active.active_element.get_attribute("id") or active.active_element.get_attribute("name") or "")
    assert reached >= {"affinity", "host", "cluster", "spread", "reserve", "plan", "cputune", "numatune", "guestnuma"}
    assert reached >= {"node0", "node3", "cancel"}
    portal.press("#node2", Keys.ENTER)
    assert portal.values == NODE_2
    assert active.active_element.get_attribute("id") == "node2"
    portal.press("#node3", Keys.SPACE)
    assert portal.used == ["node2", "node3"]
    portal.press("#save", Keys.ENTER)
    assert active.active_element.get_attribute("id") == "really"
    active.active_element.send_keys(Keys.ESCAPE)
    assert not portal.find("#confirm").is_displayed()
    portal.find("#cancel").send_keys(Keys.ENTER)
    portal.leave()
    assert portal.driver.find_elements(By.CSS_SELECTOR, ".modal") == []
    assert sent(engine) == []


@pytest.mark.parametrize(("width", "height"), [(1024, 700), (1920, 1080)])
def test_it_fits(site: Site, engine: Engine, portal: Portal, width: int, height: int) -> None:
    resize(portal.driver, width, height)
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.click("#plan")
    portal.type("#cputune", "0#nowhere")
    outside = """
        const all = [...document.querySelectorAll('footer button, #values input, #picture, #form, #result')];
        const out = ({top, left, bottom, right}) =>
            top < 0 || left < 0 || bottom > innerHeight || right > innerWidth || bottom - top < 20;
        return all.filter((one) => out(one.getBoundingClientRect())).map((one) => one.id);
    """
    assert portal.driver.execute_script(outside) == []
    assert portal.driver.execute_script("return document.getElementById('picture').clientHeight") >= 200
    portal.leave()
    assert portal.driver.execute_script("return document.body.scrollWidth <= innerWidth")


def test_a_token_that_is_refused(site: Site, engine: Engine, portal: Portal) -> None:
    portal.enter(site, engine, token="a-token-of-yesterday")
    portal.open_dialog("db01")
    assert portal.text("#said") == "Your session has ended: log in again"
    assert portal.find("#picture").text == ""
    assert sent(engine) == []


def test_a_session_that_ends_while_the_dialog_is_open(site: Site, engine: Engine, portal: Portal) -> None:
    portal.enter(site, engine)
    portal.open_dialog("db01")
    engine.tokens.clear()
    portal.click("#plan")
    assert portal.text("#said") == "Your session has ended: log in again"
    engine.tokens.add("the-token")
    portal.click("#again")
    portal.click("#plan")
    assert portal.values == NODE_2


def test_an_engine_that_is_down(serve: Serve, engine: Engine, portal: Portal) -> None:
    with serve("https://localhost:1/ovirt-engine/api") as site:
        portal.enter(site, engine)
        portal.open_dialog("db01")
        assert portal.text("#said").startswith("engine: the engine cannot be reached: ")


def test_rights_are_the_engines(site: Site, engine: Engine, portal: Portal) -> None:
    def before(method: str, _: str) -> None:
        if method == "PUT":
            raise FaultError(403, "Forbidden", "User is not authorized to perform this action.")

    engine.before = before
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.click("#plan")
    portal.click("#save")
    portal.find("#really").click()
    portal.wait("return !document.getElementById('notice').hidden")
    assert portal.text("#said").startswith("engine: the engine refuses: Forbidden: User is not authorized")
    assert engine.named("db01").config.custom == {"sap": "a=b"}


def test_two_users_at_once(site: Site, engine: Engine, portal: Portal) -> None:
    """Each sees the VM; who saves second is told, looks again, and can then save."""
    engine.tokens.add("another")
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.click("#plan")
    portal.driver.switch_to.new_window("tab")
    other = Portal(portal.driver)
    resize(portal.driver, 1280, 900)
    other.enter(site, engine, token="another")
    other.open_dialog("db01")
    other.click_node(3)
    other.click("#save")
    other.find("#really").click()
    other.leave()
    other.wait("return document.getElementById('toast').textContent !== ''")
    portal.return_to()
    portal.click("#save")
    portal.find("#really").click()
    portal.wait("return !document.getElementById('notice').hidden")
    assert "has changed meanwhile: nothing was set" in portal.text("#said")
    assert engine.named("db01").config.custom["numatune"] == "strict#3"
    portal.click("#again")
    assert portal.values["numatune"] == "strict#3"
    portal.click_node(3)
    portal.click_node(2)
    portal.click("#save")
    portal.find("#really").click()
    portal.leave()
    portal.wait("return document.getElementById('toast').textContent !== ''")
    assert engine.named("db01").config.custom["numatune"] == "strict#2"


def test_forty_hosts_of_eight_nodes(site: Site, engine: Engine, portal: Portal) -> None:
    engine.machines.clear()
    large = hosts.build(sockets=2, nodes_per_socket=4, cores_per_node=16, memory=256 * GIB)
    for number in range(40):
        engine.machine(f"host{number}", large, RELEASE)
    portal.enter(site, engine)
    portal.open_dialog("db02")
    portal.click("#cluster")
    portal.click("#plan")
    assert portal.used != []
    assert len(portal.driver.find_elements(By.CSS_SELECTOR, "#hosts li")) == 40
    assert len(portal.driver.find_elements(By.CSS_SELECTOR, "#picture [id^=cpu]")) == 256
    assert "ok on 40 hosts" in portal.text("#facts")


def test_the_tab(site: Site, engine: Engine, portal: Portal) -> None:
    vm = engine.named("db02")
    vm.host, vm.config.custom = "id-host5", {"sap": "a=b", **NODE_2}
    vm.pending = copy.deepcopy(vm.config)
    vm.pending.custom["numatune"] = "strict#2,9"
    portal.enter(site, engine)
    portal.open_tab("db02")
    assert "up, on host5" in portal.text("#now")
    assert "strict#2\n" in portal.text("#now")
    assert "the next start has another configuration" in portal.text("#then")
    assert "numatune: node 9 is not on this host" in portal.text("#problems")
    assert portal.driver.find_elements(By.CSS_SELECTOR, "#picture [role=button]") == []
    portal.leave()
    portal.open_tab("db01")
    assert "none is set" in portal.text("#then")


def test_the_log_has_no_traces_and_no_token(site: Site, engine: Engine, portal: Portal) -> None:
    portal.enter(site, engine)
    portal.open_dialog("db01")
    portal.type("#cputune", "0#\u00fcber<script>alert(1)</script>")
    assert "<script>" in portal.text("#cputune-problems") or "\\xfc" in portal.text("#cputune-problems")
    log = site.log.read_text()
    assert "Traceback" not in log
    assert "the-token" not in log

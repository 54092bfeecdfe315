# SPDX-License-Identifier: GPL-2.0-or-later
"""A user who is faster than the engine: nothing of what is typed or clicked meanwhile is lost, or saved unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("selenium", reason="pip install -e .[dev]")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.engine.standin import Engine, FaultError

from .httpd import Site
from .portal import Portal, browser

TWO = {"cputune": "all#=cell,emulator#cell", "numatune": "strict#0-1", "guestnuma": "0-15#64G@0,16-31#64G@1"}


class Gate:
    """The engine answers while it is open, and so many requests as are let through while it is closed."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._let = threading.Semaphore(0)
        self._is_open.set()

    def __call__(self, _method: str, _path: str) -> None:
        while not self._is_open.is_set() and not self._let.acquire(timeout=0.01):
            pass

    def close(self) -> None:
        self._is_open.clear()

    def let(self, count: int) -> None:
        self._let.release(count)

    def open(self) -> None:
        self._is_open.set()


@pytest.fixture
def gate(engine: Engine) -> Gate:
    engine.before = gate = Gate()
    return gate


@pytest.fixture
def portal(site: Site, engine: Engine, gate: Gate) -> Iterator[Portal]:
    """The dialog of a VM with two cells."""
    engine.named("db01").config.custom = {"sap": "a=b", **TWO}
    with browser() as portal:
        portal.enter(site, engine)
        portal.open_dialog("db01")
        yield portal
        gate.open()
        assert portal.complaints == []


def type_slowly(portal: Portal, selector: str, text: str) -> None:
    portal.find(selector).send_keys(Keys.CONTROL, "a")
    portal.find(selector).send_keys(text)


def cell(number: int, name: str) -> str:
    return f"#rows tr:nth-child({number + 1}) [name={name}]"


def test_fields_that_are_left_before_the_answer(portal: Portal, gate: Gate) -> None:
    gate.close()
    type_slowly(portal, cell(0, "memory"), "96G")
    type_slowly(portal, cell(1, "memory"), "32G")
    type_slowly(portal, "#nodes", "0-2")
    assert portal.find(cell(0, "memory")).get_property("value") == "96G"
    gate.open()
    portal.settle()
    assert portal.values == {**TWO, "numatune": "strict#0-2", "guestnuma": "0-15#96G@0,16-31#32G@1"}
    for _ in range(3):
        portal.click("#undo")
    assert portal.values == TWO
    assert not portal.find("#undo").is_enabled()


def test_rows_that_are_about_to_change_cannot_be_typed_in(portal: Portal, gate: Gate) -> None:
    gate.close()
    portal.find("#rows tr:nth-child(1) [data-kind=split]").click()
    type_slowly(portal, cell(1, "memory"), "1G")
    portal.find("#rows tr:nth-child(2) [data-kind=split]").click()  # which row that will be is not known either
    gate.open()
    portal.settle()
    assert portal.values["guestnuma"] == "0-7#32G@0,8-15#32G@0,16-31#64G@1"
    portal.type(cell(1, "memory"), "31G")
    assert portal.values["guestnuma"] == "0-7#32G@0,8-15#31G@0,16-31#64G@1"


def answers(portal: Portal) -> int:
    """How many have been shown."""
    count: int = portal.driver.execute_script("return performance.getEntriesByName('judged').length")
    return count


def save(portal: Portal) -> str:
    """Gives what was to be confirmed."""
    portal.find("#save").click()
    rows = portal.text("#changes")
    portal.find("#really").click()
    return rows


def wait_for_toast(portal: Portal) -> None:
    portal.leave()
    portal.wait("return document.getElementById('toast').textContent !== ''")


def test_only_what_was_answered_and_shown_can_be_saved(portal: Portal, engine: Engine, gate: Gate) -> None:
    before = answers(portal)
    gate.close()
    portal.find("#nodes").send_keys(Keys.END, ",2")
    portal.find("#mode option:nth-child(3)").click()
    gate.let(1)
    portal.wait(f"return performance.getEntriesByName('judged').length > {before}")
    assert not portal.find("#save").is_enabled()  # a further change is under way
    gate.open()
    portal.settle()
    assert save(portal) == "numatune strict#0-1 interleave#0-1,2"
    wait_for_toast(portal)
    assert engine.named("db01").config.custom["numatune"] == "interleave#0-1,2"


def test_each_of_two_quick_clicks_is_a_step(portal: Portal, gate: Gate) -> None:
    gate.close()
    for node in (2, 3):
        portal.find(f"#node{node}").send_keys(Keys.ENTER)
    gate.open()
    portal.settle()
    assert portal.values["numatune"] == "strict#0-3"
    portal.click("#undo")
    assert portal.values["numatune"] == "strict#0-2"
    portal.click("#undo")
    assert portal.values == TWO
    assert not portal.find("#undo").is_enabled()


def test_undo_is_pressed_more_often_than_there_are_steps(portal: Portal, gate: Gate) -> None:
    portal.click_node(2)
    gate.close()
    for _ in range(3):
        portal.find("#undo").click()
    gate.open()
    portal.settle()
    assert (portal.values, portal.text("#said")) == (TWO, "")


def test_a_step_back_that_fails_can_be_tried_again(portal: Portal, engine: Engine) -> None:
    portal.click_node(2)
    portal.click_node(3)

    def fail(_method: str, _path: str) -> None:
        raise FaultError(503, "Service Unavailable", "busy")

    working, engine.before = engine.before, fail
    portal.click("#undo")
    assert (portal.text("#said"), portal.values["numatune"]) == (
        "engine: the engine reports: Service Unavailable: busy",
        "strict#0-3",
    )
    engine.before = working
    portal.click("#undo")
    assert portal.values["numatune"] == "strict#0-2"


def test_what_is_typed_while_the_dialog_looks_again(portal: Portal, engine: Engine, gate: Gate) -> None:
    engine.named("db01").config.custom["numatune"] = "strict#0-3"  # another user
    portal.type("#guestnuma", "0-15#60G@0,16-31#68G@1")
    assert portal.text("#said") == "The virtual machine has been changed meanwhile."
    assert not portal.find("#save").is_enabled()
    gate.close()
    portal.find("#again").click()
    type_slowly(portal, "#cputune", "all#cell")
    gate.open()
    portal.settle()
    assert portal.values == {"cputune": "all#cell", "numatune": "strict#0-3", "guestnuma": TWO["guestnuma"]}
    assert save(portal) == "cputune all#=cell,emulator#cell all#cell"
    wait_for_toast(portal)


def test_what_failed_is_said_though_the_next_change_succeeds(portal: Portal, engine: Engine, gate: Gate) -> None:
    fails = [True]

    def fail_once(method: str, path: str) -> None:
        gate(method, path)
        if fails and fails.pop():
            raise FaultError(503, "Service Unavailable", "busy")

    gate.close()
    engine.before = fail_once
    type_slowly(portal, "#cputune", "x")
    portal.find("#node2").send_keys(Keys.ENTER)
    gate.open()
    portal.settle()
    assert portal.text("#said") == "engine: the engine reports: Service Unavailable: busy"
    assert (portal.values["cputune"], portal.values["numatune"]) == (TWO["cputune"], "strict#0-2")
    portal.click("#undo")
    assert portal.text("#said") == ""


def test_undo_brings_back_what_only_the_form_shows(portal: Portal) -> None:
    portal.click("[name=affinity][value=none]")
    portal.click("[name=affinity][value=manual]")
    portal.click("#mode option:nth-child(3)")
    portal.click_node(2)
    assert portal.values["numatune"] == "interleave#2"
    portal.click("#undo")
    assert portal.find("[name=affinity][value=manual]").is_selected()
    assert portal.find("#mode").get_property("value") == "interleave"


def test_a_form_that_is_behind_the_text_undoes_nothing(portal: Portal) -> None:
    portal.type("#cputune", "0#nod")
    portal.type("#numatune", "strict#2-3")
    for selector in ("#mode", "[name=affinity]", cell(0, "memory"), "#nodes", "#add"):
        assert not portal.find(selector).is_enabled()
    portal.click_node(1)
    assert portal.values["numatune"] == "strict#2-3"
    portal.type("#cputune", "all#cell")
    assert portal.find("#nodes").get_property("value") == "2-3"


def test_a_mouse_that_is_released_over_a_new_picture(portal: Portal, gate: Gate) -> None:
    gate.close()
    portal.find("#nodes").send_keys(Keys.END, ",3")
    node = portal.find("#node2")
    portal.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
    webdriver.ActionChains(portal.driver).move_to_element(node).click_and_hold().perform()
    gate.open()
    portal.settle()
    webdriver.ActionChains(portal.driver).release().perform()
    portal.settle()
    assert portal.used == ["node0", "node1", "node2"]


def test_a_save_that_is_under_way_is_not_left(portal: Portal, gate: Gate) -> None:
    portal.click_node(2)
    portal.find("#save").click()
    gate.close()
    portal.find("#really").click()
    webdriver.ActionChains(portal.driver).send_keys(Keys.ESCAPE).perform()
    assert portal.find("#confirm").is_displayed()
    assert not portal.find("#back").is_enabled()
    gate.open()
    wait_for_toast(portal)


def test_a_value_that_may_have_been_set(portal: Portal, engine: Engine) -> None:
    portal.click_node(2)

    def fail(method: str, _path: str) -> None:
        if method == "PUT":
            raise FaultError(500, "Internal Server Error", "it is not known how far it came")

    engine.before = fail
    save(portal)
    portal.wait("return !document.getElementById('notice').hidden")
    assert portal.text("#said").endswith("how far it came. It may have been set: look again.")


def test_the_focus_is_not_lost(portal: Portal) -> None:
    focus = portal.driver.switch_to
    portal.press("#rows tr:nth-child(1) [data-kind=join]", Keys.ENTER)
    assert focus.active_element.find_elements(By.XPATH, "ancestor::fieldset[@id='cells']")
    portal.press("#undo", Keys.ENTER)
    assert focus.active_element.get_attribute("id") == "vm"  # where another Enter does nothing


def test_the_tab_shows_what_was_saved(portal: Portal) -> None:
    portal.find("#cancel").click()
    portal.leave()
    portal.open_tab("db01")
    assert "strict#0-1" in portal.text("#then")
    portal.leave()
    portal.open_dialog("db01")
    portal.click_node(2)
    save(portal)
    wait_for_toast(portal)
    portal.enter_frame("#detail")
    portal.wait("return document.getElementById('then').textContent.includes('strict#0-2')")

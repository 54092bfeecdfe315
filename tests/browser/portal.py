# SPDX-License-Identifier: GPL-2.0-or-later
"""A user of the stand-in for the web admin, in headless Chromium: by mouse and by keyboard."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.engine.standin import Engine

from .httpd import Site

SECONDS = 60
"""That a busy machine may need."""

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
"""Chromium as root has no sandbox."""


class Portal:
    """A tab of the browser, with the portal of one user."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.tab = driver.current_window_handle

    def enter(self, site: Site, engine: Engine, token: str = "the-token") -> None:
        """Log in; the portal shows db01 and db02."""
        vms = ",".join(f"{engine.named(name).id}:{name}" for name in ("db01", "db02"))
        self.driver.get(f"{site.url}/ovirt-engine/webadmin/?token={token}&vms={vms}")
        self.wait("return document.querySelectorAll('#actions button').length === 1")

    def choose(self, name: str) -> None:
        rows = self.driver.find_elements(By.CSS_SELECTOR, "#vms tr")
        next(row for row in rows if row.text == name).click()

    def open_dialog(self, name: str) -> None:
        """Open it, and be in its frame."""
        self.choose(name)
        self.driver.find_element(By.CSS_SELECTOR, "#actions button").click()
        self.enter_frame(".modal iframe")

    def open_tab(self, name: str) -> None:
        self.choose(name)
        self.driver.find_element(By.CSS_SELECTOR, "#tabs a").click()
        self.enter_frame("#detail")

    def enter_frame(self, selector: str) -> None:
        self.driver.switch_to.frame(self.driver.find_element(By.CSS_SELECTOR, selector))
        self.wait("return location.pathname.includes('/plugin/largeguest/') && document.body !== null")
        self.settle()

    def leave(self) -> None:
        """Out of the frame, to the portal."""
        self.driver.switch_to.default_content()

    def return_to(self) -> None:
        """Look at this tab again, and at the dialog in it."""
        self.driver.switch_to.window(self.tab)
        self.driver.switch_to.frame(self.driver.find_element(By.CSS_SELECTOR, ".modal iframe"))

    def wait(self, script: str) -> None:
        WebDriverWait(self.driver, SECONDS, 0.02).until(lambda driver: driver.execute_script(script))

    def settle(self) -> None:
        """Until everything that was asked for has been answered, and is shown."""
        self.wait("return document.body.getAttribute('aria-busy') === 'false'")

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def click(self, selector: str) -> None:
        self.find(selector).click()
        self.settle()

    def click_node(self, number: int) -> None:
        """With the mouse, on a core of it."""
        node = self.find(f"#node{number}")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
        webdriver.ActionChains(self.driver).move_to_element(node).click().perform()
        self.settle()

    def press(self, selector: str, key: str) -> None:
        self.find(selector).send_keys(key)
        self.settle()

    def type(self, selector: str, text: str) -> None:
        """In the place of what is there."""
        self.find(selector).send_keys(Keys.CONTROL, "a")
        self.find(selector).send_keys(text or Keys.DELETE)
        self.settle()

    @property
    def values(self) -> dict[str, str]:
        return {name: self.find(f"#{name}").get_property("value") for name in ("cputune", "numatune", "guestnuma")}  # type: ignore[misc]

    @property
    def used(self) -> list[str]:
        """The nodes that are in."""
        nodes = self.driver.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")
        return [str(node.get_attribute("id")) for node in nodes]

    @property
    def complaints(self) -> list[Any]:
        """Of the browser: errors in scripts, what was refused by a policy, what is not there."""
        log: list[Any] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [one for one in log if "responded with a status of" not in one["message"]]


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900) -> Iterator[Portal]:
    options = webdriver.ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    options.accept_insecure_certs = True  # the certificate is its own CA
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        resize(driver, width, height)
        yield Portal(driver)
    finally:
        driver.quit()


def resize(driver: webdriver.Chrome, width: int, height: int) -> None:
    """The inside of the window, which has no frame here."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

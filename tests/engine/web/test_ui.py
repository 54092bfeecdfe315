# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin's files: nothing in them comes from other servers, and what they show is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from largeguest import cli
from largeguest.engine import web
from largeguest.engine.web.actions import ACTIONS
from largeguest.engine.web.form import AFFINITIES, PINNINGS
from largeguest.values import MODES
from tests import ROOT

UI = ROOT / "largeguest/engine/ui"
RESOURCES = UI / "largeguest-resources"
PAGES = sorted(RESOURCES.glob("*.html"))
SCRIPTS = sorted(RESOURCES.glob("*.js"))


def test_the_picture_in_the_help_is_the_plan_of_readme(four_nodes: str, tmp_path: Path) -> None:
    drawn = tmp_path / "help.svg"
    assert cli.main(["plan", "--vcpus", "8", "--memory", "2G", "--host", four_nodes, "--svg", str(drawn)]) == 0
    kept = RESOURCES / "help.svg"
    assert kept.read_bytes() == drawn.read_bytes(), f"cp {drawn} {kept}"


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS, RESOURCES / "style.css"], ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere_or_is_read_as_html(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert (
        re.findall("https?:|//[a-z]|innerHTML|insertAdjacent|document.write|eval|Function[(]|localStorage|cookie", text)
        == []
    )


def found(path: Path, xpath: str) -> list[str]:
    page: Any = html.fromstring(path.read_text(encoding="utf-8"))
    return [str(one) for one in page.xpath(xpath)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_allows_itself_only_its_own_files(path: Path) -> None:
    (policy,) = found(path, "//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'; ")
    assert set(re.findall(r"'[^']*'|\S+:", policy)) == {"'none'", "'self'"}
    assert found(path, "//@style | //@*[starts-with(name(), 'on')] | //script/text()") == []
    for name in found(path, "//@src | //link/@href | //a/@href"):
        assert (RESOURCES / name).is_file()


def test_the_descriptor_names_what_is_there() -> None:
    descriptor = json.loads((UI / "largeguest.json").read_text(encoding="utf-8"))
    assert (UI / descriptor["resourcePath"] / Path(descriptor["url"]).name).is_file()
    assert descriptor["url"].startswith(f"plugin/{descriptor['name']}/")
    assert f"WSGIScriptAlias {descriptor['config']['service']} " in (UI / "z-ovirt-engine-largeguest.conf").read_text()


def test_whoever_waits_longer_waits_for_longer() -> None:
    """Otherwise what was done is reported as not done."""
    (browser,) = re.findall(r"const SECONDS = (\d+);", (RESOURCES / "service.js").read_text())
    limits = re.findall(r"(?:socket|request)-timeout=(\d+)", (UI / "z-ovirt-engine-largeguest.conf").read_text())
    assert len(limits) == 2
    assert web.ALL_SECONDS < int(browser) < min(map(int, limits))
    assert min(map(int, limits)) > web.ALL_SECONDS + web.SECONDS


def test_the_dialog_has_every_choice_of_the_form() -> None:
    for name, choices in (("affinity", AFFINITIES), ("pinning", PINNINGS)):
        assert {*found(RESOURCES / "dialog.html", f"//input[@name='{name}']/@value")} == {*choices}
    help_text = (RESOURCES / "help.html").read_text(encoding="utf-8")
    assert all(f"<b>{mode}</b>" in help_text for mode in MODES)
    asked = {word for path in SCRIPTS for word in re.findall(r'(?:ask|send)\("(\w+)"', path.read_text())}
    assert asked == {*ACTIONS}

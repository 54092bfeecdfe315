# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the settings come from, and what is refused before anybody is asked."""

from __future__ import annotations

import pytest

from largeguest.engine import settings
from largeguest.engine.settings import Settings
from largeguest.problem import Refused

WHOLE = "https://engine.example.com/ovirt-engine/api"


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("engine.example.com", WHOLE),
        ("https://engine.example.com", WHOLE),
        ("https://engine.example.com/", WHOLE),
        ("https://engine.example.com:8443", "https://engine.example.com:8443/ovirt-engine/api"),
        (f"{WHOLE}/", WHOLE),
        ("http://localhost:8080/other/api", "http://localhost:8080/other/api"),
        ("", ""),
    ],
)
def test_the_url(typed: str, url: str) -> None:
    assert settings.whole_url(typed) == url


def test_options_come_first_then_the_environment_then_the_file() -> None:
    file = {"url": "file.example.com", "username": "file", "password": "file", "ca_file": "file"}
    environ = {"OVIRT_USERNAME": "environment", "OVIRT_PASSWORD": "environment", "OVIRT_CAFILE": ""}
    found = settings.gather({"username": "option", "url": None}, environ, file)
    assert found == {
        "url": "https://file.example.com/ovirt-engine/api",
        "username": "option",
        "password": "environment",
        "token": "",
        "ca_file": "file",
    }


READ = {"url": WHOLE, "username": "admin@internal", "password": "a=b:c#%d", "ca_file": "/etc/ca.pem"}


@pytest.mark.parametrize(
    "text",
    [
        f"[ovirt]\novirt_url={WHOLE}\novirt_username=admin@internal\novirt_password=a=b:c#%d\novirt_ca_file=/etc/ca.pem\n",
        f"---\nplugin: ovirt.ovirt.ovirt\novirt_url: {WHOLE}\novirt_username: admin@internal\n"
        "ovirt_password: 'a=b:c#%d'\novirt_cafile: \"/etc/ca.pem\"\novirt_insecure: true\n",
        f"  url: {WHOLE}\n  username: admin@internal\n  password: a=b:c#%d\n  ca_file: /etc/ca.pem\n",
    ],
    ids=["ovirt.ini", "inventory", "auth"],
)
def test_a_file_like_ansibles(text: str) -> None:
    assert settings.read_file(text) == READ


def test_a_file_that_is_none() -> None:
    with pytest.raises(Refused, match=r"the file of settings cannot be read: .*: write lines such as ovirt_url="):
        settings.read_file("[ovirt\n= 3")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (Settings(), "no engine is named: set OVIRT_URL, or write --url https://engine.example.com"),
        (
            Settings(url="http://engine/api"),
            '"http://engine/api" does not begin with https://: write https://, or --insecure',
        ),
        (
            Settings(url=WHOLE, password="x"),
            "no user is named: set OVIRT_USERNAME, for example to admin@ovirt@internalsso, or OVIRT_TOKEN",
        ),
    ],
)
def test_what_is_missing(given: Settings, line: str) -> None:
    with pytest.raises(Refused) as caught:
        given.check()
    assert str(caught.value) == f"largeguest: engine: {line}"


def test_a_token_is_enough() -> None:
    Settings(url=WHOLE, token="x").check()

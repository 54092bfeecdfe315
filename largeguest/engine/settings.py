# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the engine is and who asks it: from options, from the environment, or from a file like Ansible's."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..problem import USAGE, Problem, Refused
from ..record import Record
from ..wording import quote

VARIABLES = {
    "url": "OVIRT_URL",
    "username": "OVIRT_USERNAME",
    "password": "OVIRT_PASSWORD",
    "token": "OVIRT_TOKEN",
    "ca_file": "OVIRT_CAFILE",
}
"""The names that oVirt's Ansible collection uses."""

API = "/ovirt-engine/api"


class Settings(Record):
    """How to connect; what is not known is empty."""

    url: str = ""
    username: str = ""
    password: str = ""
    token: str = ""
    ca_file: str = ""
    insecure: bool = False
    timeout: int = 60
    """Seconds for the answer to a request."""

    def check(self) -> None:
        """Raise Refused if something is missing, or a password would be sent where anybody could read it."""
        if not self.url:
            raise unusable("no engine is named", "set OVIRT_URL, or write --url https://engine.example.com")
        if urlsplit(self.url).scheme != "https" and not self.insecure:
            raise unusable(f"{quote(self.url, 100)} does not begin with https://", "write https://, or --insecure")
        if not self.token and not self.username:
            fix = "set OVIRT_USERNAME, for example to admin@ovirt@internalsso, or OVIRT_TOKEN"
            raise unusable("no user is named", fix)


def unusable(what: str, fix: str) -> Refused:
    """The error for settings with which the engine cannot be asked."""
    return Refused([Problem("engine", what, fix, kind=USAGE)])


def gather(options: Mapping[str, str | None], environ: Mapping[str, str], file: Mapping[str, str]) -> dict[str, str]:
    """Each of VARIABLES from the first that has it: the options, the environment, the file."""
    found = {
        name: options.get(name) or environ.get(variable) or file.get(name) or "" for name, variable in VARIABLES.items()
    }
    return {**found, "url": whole_url(found["url"])}


def whole_url(url: str) -> str:
    """The address of the API; `engine.example.com` is enough. Empty stays empty."""
    if not url:
        return ""
    url = (url if "://" in url else f"https://{url}").rstrip("/")
    return url if urlsplit(url).path else url + API


def read_file(text: str) -> dict[str, str]:
    """The settings in a file: an ovirt.ini, or the `ovirt_url: ...` lines of an Ansible inventory; raises Refused."""
    lines = [line.strip() for line in text.splitlines() if line.strip() != "---"]
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string("\n".join(lines if any(line.startswith("[") for line in lines) else ["[ovirt]", *lines]))
    except configparser.Error as error:
        problem = str(error).partition("\n")[0]
        raise unusable(f"the file of settings cannot be read: {problem}", "write lines such as ovirt_url=...") from None
    found: dict[str, str] = {}
    for name, variable in VARIABLES.items():
        for section in parser.sections():
            for key in (f"ovirt_{name}", variable.lower(), name):
                value = parser.get(section, key, fallback=None)
                if value:
                    found.setdefault(name, _unquoted(value))
    return found


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value

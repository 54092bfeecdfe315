# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to libvirt: that of this host, unless the URI names another."""

from __future__ import annotations

import re
from typing import Any

SYSTEM = "qemu:///system"
"""The libvirt of VDSM's VMs."""

SASL_USER = "vdsm@ovirt"
SASL_PASSWORD = "/etc/pki/vdsm/keys/libvirt_password"
"""Where VDSM's installation puts it, in the first line (vdsm.common.libvirtconnection reads only that)."""


def is_local(uri: str) -> bool:
    """Whether it is the QEMU driver of this host, whose topology /sys has: `qemu:///...` over any transport.

    libvirt connects to another host only if the URI names one. Its test driver has a host of its own, and an alias in
    libvirt.conf may mean any URI: neither is local.
    """
    return re.match(r"qemu(\+[a-z0-9]+)?:///", uri) is not None


def is_system(uri: str) -> bool:
    """Whether it is VDSM's libvirt on this host, the processes of whose VMs can be looked at."""
    return is_local(uri) and re.match(r"[^/]*:///system(\?|$)", uri) is not None


def open_read_only(uri: str) -> Any:
    """A read-only connection, which needs no password; raises libvirtError."""
    return _quiet().openReadOnly(uri)


def open_to_change(uri: str) -> Any:
    """A connection that can pin; with SASL if VDSM's password can be read. Raises libvirtError."""
    libvirt = _quiet()
    try:
        with open(SASL_PASSWORD, encoding="utf-8") as file:
            password = file.readline().rstrip("\n")
    except (OSError, ValueError):
        return libvirt.open(uri)

    def answer(credentials: list[list[Any]], _: object) -> int:
        for credential in credentials:
            credential[4] = SASL_USER if credential[0] == libvirt.VIR_CRED_AUTHNAME else password
        return 0

    kinds = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]
    return libvirt.openAuth(uri, [kinds, answer, None], 0)


def _quiet() -> Any:
    import libvirt

    # by default it prints errors
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt

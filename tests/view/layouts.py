# SPDX-License-Identifier: GPL-2.0-or-later
"""Layouts that the tests of tables and pictures share."""

from __future__ import annotations

from largeguest import properties
from largeguest.host.topology import Host
from largeguest.placement.place import place
from largeguest.planner import Request, plan
from largeguest.values import Guest
from largeguest.view.layout import Layout, lay_out

from .. import hosts
from ..hosts import GIB

LARGE = hosts.build(sockets=8, nodes_per_socket=8, cores_per_node=16, threads=2, memory=128 * GIB, siblings_apart=True)


def by_hand(host: Host, guest: Guest, **values: str) -> Layout:
    """The guest on the host with properties written by hand."""
    request, problems = properties.parse(values)
    assert problems == ()
    return lay_out(host, place(request, guest, host), guest)


def by_plan(host: Host, vcpus: int, memory: int) -> Layout:
    """A guest with this much memory (KiB) on the host as the planner places it."""
    guest = Guest(max_vcpus=vcpus, memory=memory)
    return lay_out(host, plan(Request(guest), host).placement, guest)

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for VDSM's pool of shared CPUs: pins vCPUs of a running domain elsewhere, through libvirt, as VDSM does.

Usage: mover.py URI DOMAIN CPUS COUNT [TIMES [PAUSE]]. Pins the first COUNT vCPUs (0: all that it can have) TIMES times,
PAUSE seconds after the domain's pins are back to what they were (it waits for that at most a minute); without PAUSE at
once, which VDSM never does. It prints as JSON the seconds that took, at the longest, and the number of vCPU pins that
libvirt reported.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import libvirt

all_reported = threading.Event()


def main() -> None:
    uri, name, cpus, count, *more = sys.argv[1:]
    times, pause = [*more, *("1", "0")[len(more) :]]
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=run_events, daemon=True).start()
    connection = libvirt.open(uri)
    domain = connection.lookupByName(name)
    events: list[str] = []
    connection.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE, add_event, events)
    before = pins(domain)
    vcpus = range(int(count) or domain.maxVcpus())
    allowed = tuple(str(cpu) in cpus.split(",") for cpu in range(connection.getCPUMap()[0]))
    longest = 0.0
    for _ in range(int(times)):
        for vcpu in vcpus:
            domain.pinVcpuFlags(vcpu, allowed, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        start = time.monotonic()
        while pins(domain) != before and time.monotonic() < start + 60:
            time.sleep(0.01)
        longest = max(longest, time.monotonic() - start)
        time.sleep(float(pause))
    # libvirt reports in order: once it has reported this pin, which changes nothing, it has reported all before
    domain.pinEmulator(domain.emulatorPinInfo(), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if not all_reported.wait(60):
        sys.exit("libvirt does not report pins")
    print(json.dumps({"seconds": longest, "events": len(events), "back": pins(domain) == before}))


def run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def add_event(_connection: Any, _domain: Any, changed: dict[str, str], events: list[str]) -> None:
    if "cputune.emulatorpin" in changed:
        all_reported.set()
    else:
        events += changed


def pins(domain: Any) -> dict[str, str]:
    cputune = ElementTree.fromstring(domain.XMLDesc()).iterfind("cputune/vcpupin")
    return {pin.get("vcpu", ""): pin.get("cpuset", "") for pin in cputune}


main()

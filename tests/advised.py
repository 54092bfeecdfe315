# SPDX-License-Identifier: GPL-2.0-or-later
"""What a refusal says would fit, as requests: for tests that try it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from largeguest.cpuset import CpuSet
from largeguest.host.topology import Host
from largeguest.planner import Request
from largeguest.properties.guestnuma import UNITS
from largeguest.record import replace
from largeguest.values import HugePage

SIZE = re.compile(
    r"(?P<vcpus>[0-9]+) vCPUs?(?: and (?P<memory>[0-9]+) (?P<unit>[KMG])iB)?(?P<words>.*?), on (?P<nodes>[0-9]+) nodes?"
)
DEFAULTS: dict[str, object] = {
    "on": None,
    "reserve": None,
    "exclude": None,
    "reserve_cores": 0,
    "one_thread_per_core": False,
}


def advised(message: str, request: Request, host: Host) -> Iterator[tuple[Request, Host, int | None]]:
    """Each request that the message says fits, with the host as it then is, and the number of nodes if it is said."""
    fix = message.rpartition(": ")[2]
    if match := re.fullmatch(r"it fits on ([0-9]+) nodes?", fix):
        yield replace(request, nodes=int(match[1]), spread=False), host, int(match[1])
    elif match := re.fullmatch(r"it fits with ([0-9]+) iothreads?", fix):
        first = list(request.guest.iothreads)[: int(match[1])]
        yield replace(request, guest=replace(request.guest, iothreads=CpuSet(first))), host, None
    elif fix == "it fits if they are reserved on the nodes, or without huge pages":
        yield (*with_words(" without huge pages", request, host), None)
    elif " pages are free, plan with --hugepages " in fix:
        size = re.match("([0-9]+) ([KMG])iB", fix)
        assert size
        pages = (HugePage(int(size[1]) * UNITS[size[2]], None),)
        yield replace(request, guest=replace(request.guest, pages=pages)), host, None
    elif fix.startswith("it fits with"):
        yield (*with_words(fix[len("it fits") :], request, host), None)
    elif fix.startswith("the nearest that fits is "):
        for text in re.split(" or (?=[0-9])", fix[len("the nearest that fits is ") :]):
            match = SIZE.fullmatch(text)
            assert match, text
            memory = int(match["memory"]) * UNITS[match["unit"]] if match["memory"] else request.guest.memory
            other = replace(request.guest, max_vcpus=int(match["vcpus"]), memory=memory)
            # a number of nodes that was asked for is kept where only the vCPUs change
            nodes = None if match["memory"] else request.nodes
            smaller = replace(request, guest=other, spread=False, nodes=nodes)
            assert (other, match["words"]) != (request.guest, "") or request.nodes
            yield (*with_words(match["words"], smaller, host), int(match["nodes"]))
    else:
        assert fix.endswith("choose another host"), fix


def with_words(words: str, request: Request, host: Host) -> tuple[Request, Host]:
    """The request and the host as words like `without --on and with --threads 1` say."""
    for word in words.split(" and ") if words else []:
        kind, _, rest = word.strip().partition(" ")
        option, _, value = rest.partition(" ")
        name = option.strip("-,").replace("-", "_")
        if name == "share":
            host = replace(host, neighbours=())
        elif rest == "huge pages":
            request = replace(request, guest=replace(request.guest, pages=()))
        elif kind == "with":
            request = replace(request, **{name: int(value)})
        else:
            assert request != replace(request, **{name: DEFAULTS[name]}), word
            request = replace(request, **{name: DEFAULTS[name]})
    return request, host

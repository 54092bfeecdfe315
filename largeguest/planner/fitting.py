# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that fit where one does not, as advice: the nearest first, and none that was not tried."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from ..cpuset import CpuSet
from ..host.topology import Host
from ..problem import Refused
from ..properties.guestnuma import memory_text
from ..record import Record, replace
from ..values import HugePage
from ..wording import exactly, plural
from . import sockets
from .candidates import Candidate, attempts, can_be_over_nodes, candidates
from .choice import Choice, best_choice, choose
from .choose import some
from .need import Need, Request, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Size = TypeVar("Size")

_MAX_TRIES = 4
"""Larger numbers of vCPUs to try, and numbers of threads: a guest that needs more than that is another guest."""

_MANY_SIZES = 32


class _Less(Record):
    """What a request can do without."""

    words: str
    """As the end of a sentence."""
    asked: Mapping[str, object]
    """The attributes of the request that change."""
    host: Mapping[str, object] = MappingProxyType({})
    """Those of the host."""

    def of(self, need: Need) -> tuple[Request, Host]:
        return replace(need.request, **self.asked), replace(need.host, **self.host)

    def __and__(self, other: _Less) -> _Less:
        return _Less(f"{self.words} and {other.words}", {**self.asked, **other.asked}, {**self.host, **other.host})


def attempt(request: Request, host: Host) -> Choice | None:
    """The choice for a changed request; None if there is none that can be carried out."""
    try:
        choice = best_choice(replace(resolve(request, host), find_nodes=some))
        if choice is None or not choice.is_storable:
            return None
        choice.carry_out()
    except Refused:
        return None
    return choice


def requests(smallest: Candidate) -> Iterator[str]:
    """What would fit instead of the request that this is the last candidate for."""
    need = smallest.need
    yield from _on_other_nodes(need.request, need.host)
    yield from _whole(need, _options(smallest))
    yield from _in_other_pages(need)
    yield from _smaller_guests(smallest, "")
    yield from _whole(need, _claims(need))
    yield from _smaller(smallest)
    yield "reserve more of them on the nodes, or choose another host" if need.page else "choose another host"


def other_vcpus(choice: Choice) -> Iterator[str]:
    """What would fit where only the number of sockets is too large: the nearest numbers of vCPUs, below and above."""
    need, step = choice.need, choice.candidate.shape.threads
    yield from _on_other_nodes(need.request, need.host)
    rooms = sorted((room.units for room in choice.candidate.capacities.values()), reverse=True)
    counts = _thinned(list(range(len(rooms), 0, -1)))
    fewer = {sockets.most_cores(rooms[:count], choice.candidate.units - 1) for count in counts}
    more = range(choice.candidate.units + 1, min(choice.candidate.units + _MAX_TRIES, len(need.host.cpus)) + 1)
    below = _first_that_fits((cores * step for cores in sorted(fewer - {0}, reverse=True)), need)
    above = _first_that_fits((cores * step for cores in more if sockets.counts(cores, 1)), need)
    yield from _nearest([*below, *above])
    yield from requests(choice.candidate)


def whole_cores(need: Need) -> Iterator[str]:
    """What would fit where the vCPUs are not whole cores: the nearest numbers of vCPUs, and of threads."""
    threads = need.threads or 1
    below = need.vcpus // threads * threads
    sizes = [size for vcpus in (below, below + threads) for size in _first_that_fits([vcpus] if vcpus else [], need)]
    divisors = (number for number in range(1, need.vcpus + 1) if need.vcpus % number == 0)
    for other in sorted(divisors, key=lambda number: (abs(number - threads), number))[:_MAX_TRIES]:
        choice = attempt(replace(need.request, threads=other), need.host)
        if choice is not None:
            sizes.append(_size(choice, f" with --threads {other}"))
            break
    yield from _nearest(sizes)
    nearest = _resized(need, below or threads, need.guest.memory)
    smallest = candidates(resolve(nearest, need.host))[-1]
    yield from _smaller_guests(smallest, "")
    yield from _smaller(smallest)
    yield "choose another host"


def shorter(choice: Choice) -> Iterator[str]:
    """What would fit where only the text is too long for the engine."""
    need = choice.need
    yield from _on_other_nodes(replace(need.request, nodes=len(choice.nodes)), need.host)
    yield from _fewer_iothreads(need)
    yield from requests(candidates(need)[-1])


def _options(smallest: Candidate) -> Iterator[_Less]:
    """The options that only narrow what this guest can have."""
    request = smallest.need.request
    if request.on is not None:
        yield _Less("without --on", {"on": None})
    if request.one_thread_per_core:
        yield _Less("without --one-thread-per-core", {"one_thread_per_core": False})
    if smallest.shape.threads > 1:
        yield _Less("with --threads 1", {"threads": 1})


def _claims(need: Need) -> Iterator[_Less]:
    """What is left to others."""
    if need.host.neighbours:
        yield _Less("with --share, together with the other VMs", {}, {"neighbours": ()})
    if need.page:
        yield _Less("without huge pages", {"guest": replace(need.guest, pages=())})
    for option, least, words in (
        ("reserve", None, "without --reserve"),
        ("exclude", None, "without --exclude"),
        ("reserve_cores", 0, "without --reserve-cores"),
        ("reserve_memory", 0, "with --reserve-memory 0"),
    ):
        if getattr(need.request, option) != least:
            yield _Less(words, {option: least})


def _whole(need: Need, ways: Iterable[_Less]) -> Iterator[str]:
    return (f"it fits {less.words}" for less in ways if attempt(*less.of(need)))


def _smaller(smallest: Candidate) -> Iterator[str]:
    """Smaller guests where none fits with all that is asked for: without one of it, two, or all."""
    ways = [*_options(smallest), *_claims(smallest.need)]
    for dropped in (*itertools.combinations(ways, 1), *itertools.combinations(ways, 2), ways):
        if dropped:
            less = functools.reduce(_Less.__and__, dropped)
            yield from _smaller_guests(candidates(resolve(*less.of(smallest.need)))[-1], f" {less.words}")


def _on_other_nodes(request: Request, host: Host) -> Iterator[str]:
    """The number of nodes nearest to the one asked for with which it fits."""
    limit = request.nodes
    if limit is None:
        return
    need = replace(resolve(replace(request, nodes=None), host), find_nodes=some)
    by_size: dict[int, list[Candidate]] = {}
    for size, candidate in attempts(need):
        by_size.setdefault(size, []).append(candidate)
    too_many = len(need.nodes) + 1
    skipped = len(need.nodes) * 2 // _MANY_SIZES
    for size in sorted(by_size, key=lambda size: (abs(size - limit), size)):
        if size < too_many and any(choose(size, candidate) for candidate in by_size[size]):
            if attempt(replace(request, nodes=size, spread=False), host):
                yield f"it fits on {plural(size, 'node')}"
            else:
                too_many = size - skipped  # the text for so many is longer than the engine stores


def _first_that_fits(numbers: Iterable[int], need: Need) -> list[str]:
    """The first of these numbers of vCPUs that fits, and the nodes it needs; none if none does."""
    choices = (attempt(_resized(need, vcpus, need.guest.memory), need.host) for vcpus in numbers)
    return [_size(choice) for choice in choices if choice is not None][:1]


def _size(choice: Choice, also: str = "") -> str:
    return f"{plural(choice.need.vcpus, 'vCPU')}{also}, on {plural(len(choice.nodes), 'node')}"


def _nearest(sizes: list[str]) -> Iterator[str]:
    if sizes:
        yield f"the nearest that fits is {' or '.join(sizes)}"


def _fewer_iothreads(need: Need) -> Iterator[str]:
    """The most iothreads with which it fits."""
    own = list(need.guest.iothreads)
    fit, too_many = -1, len(own)
    while too_many - fit > 1:
        count = (fit + too_many) // 2
        guest = replace(need.guest, iothreads=CpuSet(own[:count]))
        if attempt(replace(need.request, guest=guest), need.host):
            fit = count
        else:
            too_many = count
    if fit >= 0:
        yield f"it fits with {plural(fit, 'iothread')}"


def _resized(need: Need, vcpus: int, memory: int) -> Request:
    """The request for a guest of this size; KiB of memory without its devices."""
    most = max(need.guest.max_vcpus, vcpus)
    guest = replace(need.guest, max_vcpus=most, plugged=CpuSet.span(0, vcpus - 1), memory=memory)
    return replace(need.request, guest=guest, spread=False)


def _in_other_pages(need: Need) -> Iterator[str]:
    """Without huge pages, or the sizes of those with which it fits: their memory is not free for anything else."""
    if need.page:
        if attempt(replace(need.request, guest=replace(need.guest, pages=())), need.host):
            yield "it fits if they are reserved on the nodes, or without huge pages"
        return
    sizes = {size for node in need.nodes for size, pages in need.host.nodes[node].pages.items() if pages.total}
    for size in sorted(sizes, reverse=True):
        guest = replace(need.guest, pages=(HugePage(size, None),))
        if attempt(replace(need.request, guest=guest), need.host):
            yield (
                f"{exactly(size)} pages are free, plan with --hugepages {memory_text(size)} "
                "(in the engine the property hugepages)"
            )


def _smaller_guests(candidate: Candidate, also: str) -> Iterator[str]:
    """Smaller guests that fit, with what has to be done `also`."""
    need = candidate.need
    too_many = len(candidate.capacities) + 1
    for count, vcpus, memory in _thinned(_smaller_sizes(candidate)):
        if count >= too_many:
            continue
        choice = attempt(replace(_resized(need, vcpus, memory), nodes=None), need.host)
        if choice is None:
            too_many = count - count // 8  # the text for so many is longer than the engine stores
        else:
            size = f"{plural(vcpus, 'vCPU')} and {exactly(memory + need.device_memory)}{also}"
            yield f"the nearest that fits is {size}, on {plural(len(choice.nodes), 'node')}"


def _smaller_sizes(candidate: Candidate) -> list[tuple[int, int, int]]:
    """Nodes, vCPUs, and KiB without memory devices to try, the nearest first."""
    need, layout = candidate.need, candidate.layout
    rooms = list(candidate.capacities.values())
    sizes: dict[tuple[int, int], int] = {}
    # the nodes that have the most memory, or the most CPUs; each gets at least a unit of vCPUs and a step of memory
    counts = range(len(rooms), 0, -max(1, len(rooms) // _MANY_SIZES))
    for count, order in itertools.product(sorted({1, *counts} if rooms else ()), ("memory", "units")):
        largest = sorted(rooms, key=lambda room: (getattr(room, order), room.memory, room.units))[-count:]
        units = min(candidate.units, sum(room.units for room in largest))
        over_nodes = count > units and can_be_over_nodes(need)
        if not over_nodes and layout.cells_are_sockets and not candidate.keeps_topology:
            units = sockets.most_cores([room.units for room in largest], units)
        memory = layout.total([room.memory for room in largest]) - need.device_memory
        memory = min(need.guest.memory, memory // need.step * need.step)
        if count <= memory // need.step and units and (count <= units or over_nodes):
            sizes.setdefault((min(need.vcpus, units * candidate.shape.vcpus), memory), count)
    distances = {
        (count, *size): 2 - size[0] / need.vcpus - size[1] / need.guest.memory for size, count in sizes.items()
    }
    return sorted(distances, key=lambda size: (distances[size], size[1:]))


def _thinned(sizes: list[Size]) -> list[Size]:
    """Of many sizes, the nearest first, ever fewer: a refusal has to be as fast as a plan."""
    if len(sizes) <= _MANY_SIZES:
        return sizes
    return [sizes[0], *(sizes[2**power] for power in range(len(sizes).bit_length() - 1)), sizes[-1]]

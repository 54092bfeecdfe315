# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs by place instead of by number: the same text fits every host of the same topology."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from ..cpuset import CpuSet
from ..properties.cpulist import Item, Place, Span, spans
from ..record import replace

Items = tuple[Item, ...]
"""Cores and threads of a node, as a list with the place `cell`, which can be replaced by a node."""


def describe(cores: Sequence[Sequence[int]], in_order: Sequence[int]) -> set[Items]:
    """All ways to write the CPUs of a node with these cores in an order. There is at least one, if there are CPUs."""
    wanted = CpuSet(in_order)
    ways = {tuple(_runs(cores, in_order))}
    if list(in_order) == [cpu for core in cores for cpu in core if cpu in wanted]:
        ways |= _by_core(cores, wanted)
    return ways


def by_number(cores: Sequence[Sequence[int]], node: int, in_order: Sequence[int]) -> Iterator[Item]:
    """The CPUs of a node in an order, by their numbers: those left out, or if it is not the order of the cores, all."""
    wanted, ordered = CpuSet(in_order), [cpu for core in cores for cpu in core]
    if [cpu for cpu in ordered if cpu in wanted] == list(in_order):
        ahead = CpuSet(ordered[: ordered.index(in_order[-1])])
        yield Item(Place("node", node))
        yield from spans(ahead - wanted, out=True)
        return
    for _, run in itertools.groupby(enumerate(in_order), key=lambda placed: placed[1] - placed[0]):
        numbers = [cpu for _, cpu in run]
        yield Item(Span(numbers[0], numbers[-1]))


def _by_core(cores: Sequence[Sequence[int]], wanted: CpuSet) -> set[Items]:
    """All ways to write the wanted CPUs, in the order of the cores."""
    chosen = [tuple(thread for thread, cpu in enumerate(core) if cpu in wanted) for core in cores]
    left = [tuple(thread for thread, cpu in enumerate(core) if cpu not in wanted) for core in cores]
    used = [number for number, threads in enumerate(chosen) if threads]
    span = (used[0], used[-1])
    inside = [threads if span[0] <= number <= span[1] else () for number, threads in enumerate(left)]
    ways = {
        (Item(Place("cell", None)), *_parts(left, cores, out=True)),
        (Item(Place("cell", None, span)), *_parts(inside, cores, out=True)),
    }
    named = tuple(_parts(chosen, cores))
    # the first thread of each of several cores and then the second thread of each is another order
    if [cpu for item in named for cpu in _cpus(item, cores)] == [
        cpu for core in cores for cpu in core if cpu in wanted
    ]:
        ways.add(named)
    return ways


def _runs(cores: Sequence[Sequence[int]], in_order: Sequence[int]) -> Iterator[Item]:
    """The CPUs as runs of whole cores and of one thread of several cores, the longest that comes next."""
    places = {cpu: (number, thread) for number, core in enumerate(cores) for thread, cpu in enumerate(core)}
    first = 0
    while first < len(in_order):
        number, thread = places[in_order[first]]
        whole = single = 0
        for core in cores[number:]:
            if list(in_order[first + whole : first + whole + len(core)]) != list(core):
                break
            whole += len(core)
        for core in cores[number:]:
            if [*core[thread : thread + 1]] != [*in_order[first + single : first + single + 1]] or thread >= len(core):
                break
            single += 1
        length = max(whole, single)
        span = (number, places[in_order[first + length - 1]][0])
        yield Item(Place("cell", None, span, None if whole >= single else thread))
        first += length


def shortest(ways: Iterable[Items]) -> Items:
    """The way with the shortest text."""
    texts = {",".join(map(str, items)): items for items in ways}
    return texts[min(texts, key=lambda text: (len(text), text))]


def on_node(items: Items, node: int) -> Items:
    """The same for a node by its number."""
    return tuple(
        replace(item, what=replace(item.what, of="node", number=node)) for item in items if isinstance(item.what, Place)
    )


def _parts(threads: list[tuple[int, ...]], cores: Sequence[Sequence[int]], out: bool = False) -> Iterator[Item]:
    """These threads of the cores, cores with the same ones joined."""
    kinds = ("all" if len(own) == len(core) else own for own, core in zip(threads, cores))
    for kind, group in itertools.groupby(enumerate(kinds), key=lambda numbered: numbered[1]):
        numbers = [number for number, _ in group]
        span = (numbers[0], numbers[-1])
        if kind == "all":
            yield Item(Place("cell", None, span), out)
        else:
            yield from (Item(Place("cell", None, span, int(thread)), out) for thread in kind)


def _cpus(item: Item, cores: Sequence[Sequence[int]]) -> Iterator[int]:
    place = item.what
    assert isinstance(place, Place)
    assert place.cores is not None
    for core in cores[place.cores[0] : place.cores[1] + 1]:
        yield from core if place.thread is None else [core[place.thread]]

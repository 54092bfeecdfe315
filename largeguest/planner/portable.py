# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs by place instead of by number: the same text fits every host of the same topology."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from ..cpuset import CpuSet
from ..properties.cpulist import Item, Place
from ..record import replace

Items = tuple[Item, ...]
"""Cores and threads of a node, as a list with the place `cell`, which can be replaced by a node."""


def describe(cores: Sequence[Sequence[int]], wanted: CpuSet) -> set[Items]:
    """All ways to write the wanted CPUs of a node with these cores, in the order of the cores.

    There is at least one; `wanted` must not be empty.
    """
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

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from largeguest.cpuset import CpuSet
from largeguest.placement import lookup
from largeguest.properties.cpulist import CpuList, Item, NodePlace, SocketPlace, Span
from tests.hosts import FOUR_NODES

items = st.builds(
    Item,
    st.one_of(
        st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted).map(lambda ends: Span(*ends)),
        st.builds(NodePlace, st.integers(0, 3)),
        st.builds(SocketPlace, st.integers(0, 1), st.none() | st.integers(0, 3)),
    ),
    st.booleans(),
)


def read_one_by_one(cpus: CpuList) -> list[int]:
    """The CPUs in order, adding or removing one item at a time; on this host the CPUs of a core are consecutive."""
    found = list(FOUR_NODES.online) if cpus.all_but else []
    for item in cpus.items:
        what = item.what
        if isinstance(what, Span):
            here = list(range(what.first, what.last + 1))
        elif isinstance(what, NodePlace):
            here = list(FOUR_NODES.nodes[what.node].cpus)
        else:
            here = [n for n, cpu in FOUR_NODES.cpus.items() if cpu.socket == what.socket]
            here = [n for n in here if what.core in (None, FOUR_NODES.cpus[n].core)]
        if item.out:
            found = [cpu for cpu in found if cpu not in here]
        else:
            found += [cpu for cpu in here if cpu not in found]
    return found


@given(st.lists(items, min_size=1, max_size=6).map(lambda some: CpuList(tuple(some))))
def test_a_list_is_read_from_left_to_right(cpus: CpuList) -> None:
    expected = read_one_by_one(cpus)
    assert list(lookup.in_order(cpus, FOUR_NODES)) == expected
    assert lookup.cpuset(cpus, FOUR_NODES) == CpuSet(expected)

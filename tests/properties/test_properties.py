# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largeguest import PROPERTIES, properties
from largeguest.cpuset import MAX_ID, CpuSet
from largeguest.placement import lookup
from largeguest.properties import MAX_LENGTH, Properties
from largeguest.properties.cpulist import CpuList, Item, Place, Span
from largeguest.properties.cputune import All, Cputune, Emulator, Iothread, Pin, Vcpus
from largeguest.properties.guestnuma import MAX_MEMORY_KIB, CellSpec, Guestnuma
from largeguest.properties.numatune import Nodeset, Numatune
from largeguest.values import MODES
from tests.properties.corpus import BLANK, GOOD, NOT_YET, WRONG_IN_MEANING, WRONG_IN_SHAPE


def short(value: object) -> str:
    return repr(value)[:60]


@pytest.mark.parametrize(("name", "value", "normalised"), GOOD, ids=short)
def test_good_value(name: str, value: str, normalised: str) -> None:
    parsed, problems = properties.parse({name: value})
    assert problems == ()
    assert str(getattr(parsed, name)) == normalised
    assert [other for other in PROPERTIES if getattr(parsed, other) is not None] == [name]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_IN_SHAPE + WRONG_IN_MEANING + NOT_YET, ids=short)
def test_bad_value(name: str, value: str, message: str) -> None:
    parsed, problems = properties.parse({name: value})
    assert [str(problem) for problem in problems] == [f"largeguest: {name}: {message}"]
    assert parsed == Properties()


@pytest.mark.parametrize(("name", "value"), BLANK, ids=short)
def test_a_blank_value_counts_as_unset(name: str, value: str) -> None:
    assert properties.parse({name: value}) == (Properties(), ())


def test_values_come_out_typed() -> None:
    parsed, _ = properties.parse(
        {
            "cputune": "0#0-1,1-2#=node1,^8,emulator#^3,iothread1#socket0.core2,all#^cell.core0-1.thread3",
            "numatune": "preferred#1",
            "guestnuma": "0,2#1024,1#2M@0+2,3#*",
            "vmId": "not a property",
        }
    )
    assert parsed == Properties(
        Cputune(
            (
                Pin(Vcpus(0, 0), CpuList((Item(Span(0, 1)),))),
                Pin(Vcpus(1, 2), CpuList((Item(Place("node", 1)), Item(Span(8, 8), out=True))), each=True),
                Pin(Emulator(), CpuList((Item(Span(3, 3), out=True),))),
                Pin(Iothread(1), CpuList((Item(Place("socket", 0, (2, 2))),))),
                Pin(All(), CpuList((Item(Place("cell", None, (0, 1), 3), out=True),))),
            )
        ),
        Numatune("preferred", Nodeset(CpuSet([1]))),
        Guestnuma(
            (CellSpec(CpuSet([0, 2]), 1024), CellSpec(CpuSet([1]), 2048, CpuSet([0, 2])), CellSpec(CpuSet([3]), None))
        ),
    )


@pytest.mark.parametrize("name", PROPERTIES)
def test_more_than_the_engine_stores_is_not_read(name: str) -> None:
    parsed, problems = properties.parse({name: " " * 4001})
    assert [str(problem) for problem in problems] == [
        f"largeguest: {name}: the value has 4001 characters: the engine stores 4000 for all properties of a VM together"
    ]
    assert parsed == Properties()


def test_the_table_is_large() -> None:
    assert len(GOOD + WRONG_IN_SHAPE + WRONG_IN_MEANING) >= 150


def test_a_bad_property_does_not_hide_another() -> None:
    parsed, problems = properties.parse({"cputune": "x", "numatune": "y", "guestnuma": "0#1024"})
    assert parsed == Properties(guestnuma=Guestnuma((CellSpec(CpuSet([0]), 1024),)))
    assert [problem.subject for problem in problems] == ["cputune", "numatune"]


numbers = st.integers(0, 300) | st.integers(0, MAX_ID)
sets = st.frozensets(numbers, min_size=1, max_size=20).map(CpuSet)
spans = st.tuples(numbers, numbers).map(sorted)
areas = st.tuples(st.sampled_from(["node", "socket"]), numbers) | st.just(("cell", None))
cores = st.tuples(spans.map(tuple), st.none() | numbers)
places = st.one_of(
    spans.map(lambda ends: Span(*ends)),
    st.builds(lambda area, of: Place(*area, *of), areas, st.just(()) | cores),
)
lists = st.lists(st.builds(Item, places, st.booleans()), min_size=1, max_size=6).map(
    lambda items: CpuList(tuple(items))
)


def holds_something(cpus: CpuList) -> bool:
    """A list of plain numbers that are added and then all removed again is refused."""
    plain = all(isinstance(item.what, Span) for item in cpus.items) and not all(item.out for item in cpus.items)
    return not plain or bool(lookup.look_up(cpus, None).cpus)


lists = lists.filter(holds_something)
threads = st.one_of(
    st.builds(All), spans.map(lambda ends: Vcpus(*ends)), st.builds(Emulator), st.builds(Iothread, numbers)
)
pins = st.one_of(
    st.builds(Pin, threads, lists, st.just(True)),
    st.builds(Pin, threads, lists),
)
nodesets = st.builds(Nodeset, sets, st.booleans())
memory = st.none() | st.integers(0, 2**21) | st.sampled_from([2**10, 2**20, 3 * 2**30, MAX_MEMORY_KIB])
values = st.one_of(
    st.lists(pins, min_size=1, max_size=8).map(lambda pins: ("cputune", Cputune(tuple(pins)))),
    st.builds(Numatune, st.sampled_from(MODES), st.none() | nodesets).map(lambda numatune: ("numatune", numatune)),
    st.lists(st.builds(CellSpec, sets, memory, st.none() | sets), min_size=1, max_size=8).map(
        lambda cells: ("guestnuma", Guestnuma(tuple(cells)))
    ),
)


@given(values)
def test_str_parses_to_an_equal_value(named: tuple[str, object]) -> None:
    name, value = named
    if len(str(value)) <= MAX_LENGTH:
        parsed, problems = properties.parse({name: str(value)})
        assert (getattr(parsed, name), problems) == (value, ())


@given(
    st.sampled_from(PROPERTIES),
    st.text(st.sampled_from("0123#=,-^@+*. Gnodesckrautilh") | st.characters(), max_size=40),
)
def test_whatever_is_typed_is_a_value_or_one_ascii_line(name: str, value: str) -> None:
    _, problems = properties.parse({name: value})
    for problem in problems:
        assert str(problem).isascii()
        assert str(problem).isprintable()

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largeguest import PROPERTIES, properties
from largeguest.cpuset import MAX_ID, CpuSet
from largeguest.properties import MAX_MEMORY_KIB, MODES, Cell, Cputune, Guestnuma, Numatune, Pin, Properties

from .corpus import BLANK, GOOD, WRONG_IN_MEANING, WRONG_IN_SHAPE


def short(value: object) -> str:
    return repr(value)[:60]


@pytest.mark.parametrize(("name", "value", "normalised"), GOOD, ids=short)
def test_good_value(name: str, value: str, normalised: str) -> None:
    parsed, problems = properties.parse({name: value})
    assert problems == ()
    assert str(getattr(parsed, name)) == normalised
    assert [other for other in PROPERTIES if getattr(parsed, other) is not None] == [name]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_IN_SHAPE + WRONG_IN_MEANING, ids=short)
def test_bad_value(name: str, value: str, message: str) -> None:
    parsed, problems = properties.parse({name: value})
    assert [str(problem) for problem in problems] == [f"largeguest: {name}: {message}"]
    assert parsed == Properties()


@pytest.mark.parametrize(("name", "value"), BLANK, ids=short)
def test_blank_value_is_as_good_as_none(name: str, value: str) -> None:
    assert properties.parse({name: value}) == (Properties(), ())


def test_values_come_out_typed() -> None:
    parsed, _ = properties.parse(
        {"cputune": "0#0-1,1#2,4", "numatune": "preferred#1", "guestnuma": "0,2#1024,1#2048", "vmId": "not a property"}
    )
    assert parsed == Properties(
        Cputune((Pin(0, CpuSet([0, 1])), Pin(1, CpuSet([2, 4])))),
        Numatune("preferred", CpuSet([1])),
        Guestnuma((Cell(CpuSet([0, 2]), 1024), Cell(CpuSet([1]), 2048))),
    )


def test_a_bad_property_does_not_hide_another() -> None:
    parsed, problems = properties.parse({"cputune": "x", "numatune": "y", "guestnuma": "0#1024"})
    assert parsed == Properties(guestnuma=Guestnuma((Cell(CpuSet([0]), 1024),)))
    assert [problem.subject for problem in problems] == ["cputune", "numatune"]


numbers = st.integers(0, 300) | st.integers(0, MAX_ID)
sets = st.frozensets(numbers, min_size=1, max_size=20).map(CpuSet)
values = st.one_of(
    st.lists(st.builds(Pin, numbers, sets), min_size=1).map(lambda pins: ("cputune", Cputune(tuple(pins)))),
    st.builds(Numatune, st.sampled_from(MODES), sets).map(lambda numatune: ("numatune", numatune)),
    st.lists(st.builds(Cell, sets, st.integers(0, MAX_MEMORY_KIB)), min_size=1).map(
        lambda cells: ("guestnuma", Guestnuma(tuple(cells)))
    ),
)


@given(values)
def test_str_parses_to_an_equal_value(named: tuple[str, object]) -> None:
    name, value = named
    parsed, problems = properties.parse({name: str(value)})
    assert (getattr(parsed, name), problems) == (value, ())


@given(st.sampled_from(PROPERTIES), st.text(st.sampled_from("0123456789#,-^ strict") | st.characters(), max_size=40))
def test_whatever_is_typed_is_a_value_or_one_ascii_line(name: str, value: str) -> None:
    _, problems = properties.parse({name: value})
    for problem in problems:
        assert str(problem).isascii()
        assert str(problem).isprintable()

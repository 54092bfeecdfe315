# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largeguest import cpuset
from largeguest.cpuset import MAX_ID, CpuSet
from largeguest.problem import ParseError

ids = st.frozensets(st.integers(0, 70) | st.integers(0, MAX_ID))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", {0}),
        ("1-4,^3,6", {1, 2, 4, 6}),
        ("^3,1-4", {1, 2, 3, 4}),
        ("1-4,^3,3", {1, 2, 3, 4}),
        ("0-3,2-5", {0, 1, 2, 3, 4, 5}),
        (" 0 - 1 , ^ 0 ", {1}),
        ("16383", {16383}),
        ("7,^100", {7}),
    ],
)
def test_parse(text: str, expected: set[int]) -> None:
    assert set(cpuset.parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [("", 0, 0), ("1,", 2, 2), ("1,,2", 2, 2), ("1, x ,2", 3, 4), ("3-1", 0, 3), ("1,16384", 2, 7), ("5,^5", 0, 4)],
)
def test_parse_error_points_at_the_piece(text: str, start: int, end: int) -> None:
    with pytest.raises(ParseError) as caught:
        cpuset.parse(text)
    assert (caught.value.start, caught.value.end) == (start, end)


def test_parse_reads_only_the_given_part() -> None:
    assert set(cpuset.parse("x#1,2#y", 2, 5)) == {1, 2}


def test_a_long_list_of_wide_ranges_is_cheap() -> None:
    # 10,000 ranges over all ids: as sets of numbers this would be 160 million additions
    assert len(cpuset.parse(",".join(["0-16383"] * 10_000))) == MAX_ID + 1


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0-1"), ([5, 1, 2, 0], "0-2,5"), ([16383, 16382], "16382-16383")],
)
def test_str_is_the_shortest_text(numbers: list[int], text: str) -> None:
    assert str(CpuSet(numbers)) == text


@given(ids)
def test_str_parses_to_an_equal_set(numbers: frozenset[int]) -> None:
    if numbers:
        assert cpuset.parse(str(CpuSet(numbers))) == CpuSet(numbers)


@given(ids, ids, st.integers(-1, MAX_ID + 1))
def test_algebra_is_that_of_sets(a: frozenset[int], b: frozenset[int], number: int) -> None:
    one, two = CpuSet(a), CpuSet(b)
    assert list(one) == sorted(a)
    assert set(one | two) == a | b
    assert set(one & two) == a & b
    assert set(one - two) == a - b
    assert (len(one), bool(one), number in one) == (len(a), bool(a), number in a)
    assert (one == two, hash(one) == hash(CpuSet(a))) == (a == b, True)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99), st.integers(0, 9)), min_size=1))
def test_items_are_read_left_to_right(items: list[tuple[bool, int, int]]) -> None:
    expected: set[int] = set()
    for out, first, more in items:
        span = set(range(first, first + more + 1))
        expected = expected - span if out else expected | span
    text = ",".join(f"{'^' if out else ''}{first}-{first + more}" for out, first, more in items)
    if expected:
        assert set(cpuset.parse(text)) == expected
    else:
        with pytest.raises(ParseError, match="leaves nothing"):
            cpuset.parse(text)


def test_a_cpuset_equals_no_other_kind_of_set() -> None:
    assert CpuSet([1]) != {1}
    assert repr(CpuSet([1, 2])) == "CpuSet('1-2')"

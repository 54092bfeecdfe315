# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable

import pytest

from largeguest.running.fight import CALM_SECONDS, CHANCE, MAX_UNDONE, PAUSE_SECONDS, Fight

PAUSE = 0.05
"""Seconds from a move to its correction, as the keeper makes it."""


def corrected(pauses: Iterable[float], fight: Fight | None = None) -> Fight:
    """After a correction that is undone after so many seconds, is corrected, and so on."""
    fight = fight or Fight(1000.0)
    for pause in pauses:
        assert fight.corrected is not None
        moved = fight.corrected + pause
        fight = fight.after(moved, max(moved + PAUSE, fight.not_before))
    return fight


AT_ONCE, LATER, CALM = 0.003, 0.45, CALM_SECONDS


@pytest.mark.parametrize(
    ("pauses", "is_on"),
    [
        ([], False),
        ([AT_ONCE] * (MAX_UNDONE - 1), False),
        ([AT_ONCE] * MAX_UNDONE, True),
        ([LATER] * 10000, False),
        ([AT_ONCE, AT_ONCE, LATER] * 1000, False),
        # a late reaction in twenty does not hide a fight
        (([AT_ONCE] * 19 + [LATER]) * 5, True),
        ([AT_ONCE] * (MAX_UNDONE - 1) + [LATER, *[AT_ONCE] * CHANCE], False),
        ([AT_ONCE] * (MAX_UNDONE - 1) + [LATER, *[AT_ONCE] * (CHANCE + 1)], True),
        ([AT_ONCE] * (MAX_UNDONE - 1) + [CALM, AT_ONCE], False),
        # it continues until a correction lasts
        ([AT_ONCE] * MAX_UNDONE + [LATER] * 100, True),
        ([AT_ONCE] * MAX_UNDONE + [CALM], False),
    ],
)
def test_what_a_fight_is(pauses: list[float], is_on: bool) -> None:
    assert corrected(pauses).is_on is is_on


def test_a_fight_is_slowed_down() -> None:
    assert corrected([AT_ONCE] * 10).not_before == 0
    on = corrected([AT_ONCE] * MAX_UNDONE)
    assert on.corrected is not None
    assert on.not_before == on.corrected + PAUSE_SECONDS
    later = corrected([AT_ONCE] * 10, on)
    assert later.corrected == pytest.approx(on.corrected + 10 * PAUSE_SECONDS)


def test_the_first_correction_and_one_of_an_unknown_move_do_not_count() -> None:
    assert Fight().after(1000.0, 1000.05) == Fight(1000.05)
    assert corrected([AT_ONCE] * 7).after(None, 2000.0) == Fight(2000.0, undone=7)


@pytest.mark.parametrize(
    "pauses",
    [
        pytest.param(lambda _, n: [0.5] * n, id="each half second"),
        pytest.param(lambda chance, n: [chance.expovariate(8) for _ in range(n)], id="8 in a second"),
        pytest.param(lambda chance, n: [chance.uniform(0, 0.3) for _ in range(n)], id="up to 0.3 s"),
    ],
)
def test_moves_that_do_not_react_to_a_correction_are_no_fight(
    pauses: Callable[[random.Random, int], list[float]],
) -> None:
    """VDSM's moves when a thousand VMs start. A move before the correction counts as part of the previous one."""
    moves = itertools.accumulate(pauses(random.Random(1), 1000), initial=1000.0)
    fight, moved = Fight(999.0), None
    for at in moves:
        if moved is None or at > moved + PAUSE:
            if moved is not None:
                fight = fight.after(moved, moved + PAUSE)
                assert not fight.is_on
            moved = at

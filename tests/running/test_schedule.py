# SPDX-License-Identifier: GPL-2.0-or-later
"""The schedule, driven with numbers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from largeguest.running.fight import MAX_UNDONE, PAUSE_SECONDS
from largeguest.running.schedule import BUSY_SECONDS, MAX_SECONDS, QUIET_SECONDS, TROUBLE_SECONDS, Schedule


def after(events: Iterable[float], schedule: Schedule | None = None) -> Schedule:
    schedule = schedule or Schedule()
    for moment in events:
        schedule = schedule.after_event(moment)
    return schedule


@pytest.mark.parametrize(
    ("events", "due"),
    [
        ([], None),
        ([10.0], 10.0 + QUIET_SECONDS),
        ([10.0, 10.01, 10.02], 10.02 + QUIET_SECONDS),
        ([10.0 + step / 100 for step in range(100)], 10.0 + MAX_SECONDS),
    ],
)
def test_a_burst_is_looked_at_once(events: list[float], due: float | None) -> None:
    schedule = after(events)
    assert schedule.due == (None if due is None else pytest.approx(due))
    assert schedule.after_look().due is None
    # a new burst starts over
    assert after([20.0], schedule.after_look()).due == pytest.approx(20.0 + QUIET_SECONDS)


@pytest.mark.parametrize("seconds", [BUSY_SECONDS, TROUBLE_SECONDS])
def test_each_failure_doubles_the_wait(seconds: tuple[float, float]) -> None:
    shortest, longest = seconds
    schedule, now, waits = Schedule(), 100.0, []
    for _ in range(10):
        schedule = schedule.after_look().after_failure(seconds, now)
        assert schedule.due is not None
        waits.append(schedule.due - now)
        now = schedule.due
    assert waits[:3] == pytest.approx([shortest, 2 * shortest, 4 * shortest])
    assert waits[-1] == pytest.approx(longest)
    # an event ends the wait, and after a success it starts over
    assert after([now + 1], schedule).due == pytest.approx(now + 1 + QUIET_SECONDS)
    again = schedule.after_success().after_failure(seconds, now)
    assert again.due == pytest.approx(now + shortest)


def test_in_a_fight_events_wait() -> None:
    schedule, now = Schedule(), 100.0
    for _ in range(MAX_UNDONE + 2):
        schedule = schedule.after_event(now).after_look().after_correction(now, now + 0.05)
        now += 0.06
    assert schedule.fight.is_on
    last = now - 0.06 + 0.05
    assert after([now], schedule).due == pytest.approx(last + PAUSE_SECONDS)

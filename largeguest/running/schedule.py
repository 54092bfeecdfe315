# SPDX-License-Identifier: GPL-2.0-or-later
"""When the keeper checks a VM. Numbers in, numbers out: moments are seconds of one clock, which it does not read."""

from __future__ import annotations

from ..record import Record, replace
from .fight import Fight

QUIET_SECONDS = 0.05
MAX_SECONDS = 0.3
"""A burst of events is over when none came for QUIET_SECONDS; the wait for that is at most MAX_SECONDS."""

BUSY_SECONDS = (0.1, 5.0)
TROUBLE_SECONDS = (5.0, 60.0)
"""A VM that libvirt is busy with, or reports an error for, is checked again after the first of these times, then after
twice as long, up to the second; after an event right away. Each error can take half a minute."""


class Schedule(Record):
    """When to check one VM."""

    first_event: float | None = None
    """The first event since the last check; None: there was none."""
    due: float | None = None
    """When to check it; None: at the next event."""
    patience: float = 0.0
    """Seconds of the last wait after a failure; 0: there was none."""
    fight: Fight = Fight()

    def after_event(self, now: float) -> Schedule:
        """Check when the events pause, but not earlier than a fight allows."""
        first = now if self.first_event is None else self.first_event
        due = max(self.fight.not_before, min(now + QUIET_SECONDS, first + MAX_SECONDS))
        return replace(self, first_event=first, due=due)

    def after_look(self) -> Schedule:
        """The events before the check are dealt with."""
        return replace(self, first_event=None, due=None)

    def after_correction(self, moved: float | None, now: float) -> Schedule:
        """Pins were put back that had been moved at `moved`; None: that is not known."""
        return replace(self, fight=self.fight.after(moved, now))

    def after_success(self) -> Schedule:
        """The check succeeded."""
        return replace(self, patience=0.0)

    def after_failure(self, seconds: tuple[float, float], now: float) -> Schedule:
        """The check failed: check again after BUSY_SECONDS or TROUBLE_SECONDS."""
        shortest, longest = seconds
        patience = min(max(2 * self.patience, shortest), longest)
        return replace(self, patience=patience, due=now + patience)

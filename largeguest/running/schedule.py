# SPDX-License-Identifier: GPL-2.0-or-later
"""When the keeper looks at a VM. Numbers in, numbers out: moments are seconds of one clock, which it does not read."""

from __future__ import annotations

from ..record import Record, replace
from .fight import Fight

QUIET_SECONDS = 0.05
MAX_SECONDS = 0.3
"""A burst of events is over when none came for QUIET_SECONDS, and not waited for longer than MAX_SECONDS."""

BUSY_SECONDS = (0.1, 5.0)
TROUBLE_SECONDS = (5.0, 60.0)
"""A VM that libvirt is busy with, or gives an error about, is looked at again after the first of these times, then
after twice as long, up to the second; at an event at once. Each error can take half a minute."""


class Schedule(Record):
    """When to look at one VM."""

    first_event: float | None = None
    """The first of those since it was looked at last; None: there was none."""
    due: float | None = None
    """When to look at it; None: at the next event."""
    patience: float = 0.0
    """Seconds that were waited for what is in the way; 0: nothing is."""
    fight: Fight = Fight()

    def after_event(self, now: float) -> Schedule:
        """Look when the events pause, but not earlier than a fight allows."""
        first = now if self.first_event is None else self.first_event
        due = max(self.fight.not_before, min(now + QUIET_SECONDS, first + MAX_SECONDS))
        return replace(self, first_event=first, due=due)

    def after_look(self) -> Schedule:
        """What came before the look is dealt with."""
        return replace(self, first_event=None, due=None)

    def after_correction(self, moved: float | None, now: float) -> Schedule:
        """Pins were put back that had been moved at `moved`; None: that is not known."""
        return replace(self, fight=self.fight.after(moved, now))

    def after_success(self) -> Schedule:
        """Nothing is in the way."""
        return replace(self, patience=0.0)

    def after_failure(self, seconds: tuple[float, float], now: float) -> Schedule:
        """Something is in the way: look again when BUSY_SECONDS or TROUBLE_SECONDS say so."""
        shortest, longest = seconds
        patience = min(max(2 * self.patience, shortest), longest)
        return replace(self, patience=patience, due=now + patience)

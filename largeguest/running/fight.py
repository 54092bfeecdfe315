# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether something fights with the keeper over the pins of a VM. Numbers in, numbers out; it has no clock of its own.

In a fight each correction is undone at once, because it was made. VDSM does not do that: it moves the pins when other
VMs start and stop, dozens of times in a boot storm. Only by chance does such a move follow a correction at once.
"""

from __future__ import annotations

from ..record import Record, replace

AT_ONCE_SECONDS = 0.1
"""A correction that is undone within this time is undone at once. libvirt reports a pin within milliseconds, and what
reacts to the report needs a few more; VDSM makes a few moves in a second."""

MAX_UNDONE = 50
"""This many corrections that were undone at once make a fight: more than a boot storm of 40 moves has at any pace."""

CHANCE = 3
"""Each correction that is undone later makes up for this many that were undone at once: with up to 13 moves in a second
at random moments, fewer than three in four follow a correction at once."""

PAUSE_SECONDS = 5.0
"""In a fight pins are corrected no more often than once in this time."""

CALM_SECONDS = 60.0
"""A correction that lasts this long ends a fight, and what was counted before it."""


class Fight(Record):
    """What the corrections of a VM's pins have shown so far. Moments are seconds of one clock."""

    corrected: float | None = None
    """When the last correction was made; None: there was none."""
    undone: int = 0
    """Corrections that were undone at once, less those that chance explains."""
    is_on: bool = False

    def after(self, moved: float | None, corrected: float) -> Fight:
        """The fight after a correction at the moment `corrected` of pins that were moved at `moved`.

        `moved` is None if that moment is not known: then it does not show how long the correction before has lasted.
        """
        if moved is None or self.corrected is None:
            return replace(self, corrected=corrected)
        lasted = moved - self.corrected
        if lasted >= CALM_SECONDS:
            return Fight(corrected)
        undone = self.undone + 1 if lasted < AT_ONCE_SECONDS else max(0, self.undone - CHANCE)
        return Fight(corrected, undone, self.is_on or undone >= MAX_UNDONE)

    @property
    def not_before(self) -> float:
        """The moment of the next correction at the earliest."""
        return 0.0 if self.corrected is None or not self.is_on else self.corrected + PAUSE_SECONDS

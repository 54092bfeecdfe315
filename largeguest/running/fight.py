# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether something fights with the keeper over the pins of a VM. Numbers in, numbers out; it reads no clock.

In a fight each correction is undone at once, in reaction to it. VDSM does not do that: it moves the pins when other VMs
start and stop, dozens of times in a boot storm. Only by chance does such a move follow right after a correction.
"""

from __future__ import annotations

from ..record import Record, replace

AT_ONCE_SECONDS = 0.06
"""A correction that is undone within this time counts as undone at once. libvirt reports a pin within milliseconds, and
a reaction to the report takes a few more; VDSM makes a few moves a second."""

MAX_UNDONE = 50
"""This many corrections undone at once make a fight: more than a boot storm of 40 moves has at any pace."""

CHANCE = 3
"""Each correction that is undone later offsets this many that were undone at once: with up to 12 moves a second at
random moments, fewer than three in four follow right after a correction."""

PAUSE_SECONDS = 5.0
"""In a fight pins are corrected at most once in this time."""

CALM_SECONDS = 60.0
"""A correction that lasts this long ends a fight and resets the count."""


class Fight(Record):
    """What the corrections of a VM's pins have shown so far. Moments are seconds of one clock."""

    corrected: float | None = None
    """When the last correction was; None: there was none."""
    undone: int = 0
    """Corrections undone at once, less those that chance explains."""
    is_on: bool = False

    def after(self, moved: float | None, corrected: float) -> Fight:
        """The fight after a correction at the moment `corrected` of pins that were moved at `moved`.

        `moved` is None if that moment is not known: then it is unknown how long the previous correction has lasted.
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
        """The earliest moment of the next correction."""
        return 0.0 if self.corrected is None or not self.is_on else self.corrected + PAUSE_SECONDS

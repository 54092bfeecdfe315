# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from largeguest.wording import amount, exactly


@pytest.mark.parametrize(
    ("kib", "exact", "rounded"),
    [
        (0, "0 KiB", "0 KiB"),
        (1, "1 KiB", "1 KiB"),
        (1024, "1 MiB", "1 MiB"),
        (1536 * 2**10, "1536 MiB", "1.5 GiB"),
        (384 * 2**20, "384 GiB", "384 GiB"),
        (6 * 2**30, "6144 GiB", "6 TiB"),
        (20 * 2**20 + 1, "20971521 KiB", "20 GiB"),
    ],
)
def test_amounts_of_memory(kib: int, exact: str, rounded: str) -> None:
    """Errors are exact, so that a difference of 1 KiB shows; tables are short."""
    assert (exactly(kib), amount(kib)) == (exact, rounded)

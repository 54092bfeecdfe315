# SPDX-License-Identifier: GPL-2.0-or-later
"""Random and spoilt input for the hook, by hand and for as long as one likes: `python -m tests.fuzz`."""

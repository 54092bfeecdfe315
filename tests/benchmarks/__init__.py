# SPDX-License-Identifier: GPL-2.0-or-later
"""Time and memory, printed as ratios; nothing is asserted."""

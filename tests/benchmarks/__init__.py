# SPDX-License-Identifier: GPL-2.0-or-later
"""How long things take and how much memory, printed as ratios; nothing is asserted."""

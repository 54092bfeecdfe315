# SPDX-License-Identifier: GPL-2.0-or-later
"""Running VMs: what they are pinned to, and a keeper that maintains the pins."""

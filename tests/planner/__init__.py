# SPDX-License-Identifier: GPL-2.0-or-later
"""The planner: from a VM's shape and a host to the three properties."""

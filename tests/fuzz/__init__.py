# SPDX-License-Identifier: GPL-2.0-or-later
"""Random and corrupted input for the hook, run by hand for any length of time: `python -m tests.fuzz`."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""From properties, guest and host to a placement: first everything is resolved, then the result is checked."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables and pictures of a host and of a guest on it."""

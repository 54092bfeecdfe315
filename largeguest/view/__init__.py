# SPDX-License-Identifier: GPL-2.0-or-later
"""A host, and a guest on it, as a picture, as tables and as JSON."""

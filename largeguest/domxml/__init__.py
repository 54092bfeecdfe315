# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's domain XML: parsed safely, read into values, and a placement written into it."""

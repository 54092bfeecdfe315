# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's domain XML: parsed safely, read into values, and a placement written into it."""

PREFIX, NAMESPACE = "largeguest", "http://ovirt.org/vdsm-hook-largeguest/1.0"
"""Of our own element in `<metadata>`."""

LAYOUT = f"{{{NAMESPACE}}}layout"

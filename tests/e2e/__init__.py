# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook from the installed RPM, on real libvirt and QEMU, with a Linux guest that prints what it sees."""

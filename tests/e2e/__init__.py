# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook out of the installed RPM, on real libvirt and QEMU, with a Linux guest that tells what it sees."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The dialog in a real browser, behind a real Apache httpd with mod_wsgi, from the files of the RPMs."""

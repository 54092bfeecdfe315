# SPDX-License-Identifier: GPL-2.0-or-later
"""What httpd's mod_wsgi runs."""

from largeguest.engine.web import application  # noqa: F401

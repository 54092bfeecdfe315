# SPDX-License-Identifier: GPL-2.0-or-later
"""What httpd's mod_wsgi runs, and loads when httpd starts."""

import contextlib

from largeguest.engine.connection import load_sdk
from largeguest.engine.web import application  # noqa: F401
from largeguest.problem import Refused

# That takes a second, which the first user should not wait for. Without the SDK each request is told so.
with contextlib.suppress(Refused):
    load_sdk()

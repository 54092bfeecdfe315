#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 -m largeguest`; installed as the command /usr/bin/largeguest."""

import sys

from largeguest.cli import main

sys.exit(main())

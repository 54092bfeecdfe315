# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 -m largeguest`; also the entry point of the command `largeguest`."""

import signal
import sys


def main() -> int:
    """Run the command. Like other programs, it just ends when interrupted, or when its output is no longer read."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    from largeguest.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())

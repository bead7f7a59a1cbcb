"""The command `muge` from its first moment: until it is imported, Ctrl-C ends it with one line."""

from __future__ import annotations

import os
import signal

EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry point of the command."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:  # else whoever started it wants it to be left alone
        # libraries that are interrupted while they are imported make other errors of it
        signal.signal(signal.SIGINT, _leave)
    from deployments import app

    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app.main()


def _leave(*_: object) -> None:
    os.write(2, b"\nmuge: interrupted before anything was begun\n")
    os._exit(EXIT_INTERRUPTED)

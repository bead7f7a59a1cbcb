"""The command `muge` from its first moment: until it is imported, Ctrl-C ends it with one line."""

from __future__ import annotations

import gc
import os
import signal

EXIT_INTERRUPTED = 130
MADE_BEFORE_COLLECTING = 50_000
"""Objects between two searches for cycles, of which a command makes few: every 700, as Python would
have it, they take a fifth of importing Prefect and torch."""
INTERRUPTED = "interrupted before anything was begun"
INTERRUPTED_IN_CHINESE = "已中断，什么也没有开始做"


def main() -> None:
    """Entry point of the command."""
    gc.set_threshold(MADE_BEFORE_COLLECTING, *gc.get_threshold()[1:])
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:  # else whoever started it wants it to be left alone
        # libraries that are interrupted while they are imported make other errors of it
        signal.signal(signal.SIGINT, _leave)
    from deployments import app

    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app.main()
    finally:
        gc.freeze()  # at its end Python would go through all that torch and Prefect are made of


def _is_chinese() -> bool:
    """Whether the terminal is, as `tasks.report.wording` tells, which is not imported yet."""
    wanted = os.environ.get("MUGE_LANGUAGE", "")
    if wanted not in ("zh", "en"):
        names = ("LC_ALL", "LC_MESSAGES", "LANG")
        wanted = next(filter(None, map(os.environ.get, names)), "")
    return wanted.startswith("zh")


def _leave(*_: object) -> None:
    os.write(2, f"\nmuge: {INTERRUPTED_IN_CHINESE if _is_chinese() else INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)

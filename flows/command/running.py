"""Running flows from the command: progress bars, a quiet Prefect, and errors in one line."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from flows.command.output import explained
from tasks.settings import load_settings


@contextmanager
def running_flows(verbose: bool) -> Iterator[None]:
    """Run flows with progress bars and a quiet Prefect, and explain what goes wrong."""
    with explained():
        from flows.command.bars import Bars
        from flows.orchestration.context import showing
        from flows.orchestration.environment import prepare

        prepare(load_settings().home, verbose)
        # ends Prefect's temporary server too, which would outlive this process otherwise
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with Bars() as bars, showing(bars):
            bars.start("start", None)
            yield

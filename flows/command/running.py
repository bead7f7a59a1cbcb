"""Running flows from the command: progress bars, a quiet Prefect, and errors in one line."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.command.output import answers_apart, explained
from flows.orchestration.origin import server_named
from tasks.settings import load_settings


@contextmanager
def running_flows(verbose: bool) -> Iterator[Callable[[], None]]:
    """Run flows with progress bars and a quiet Prefect, and explain what goes wrong.

    Where no server is configured a temporary one starts meanwhile: what this gives waits for it,
    and is called when everything is imported.
    """
    with explained(), answers_apart(), server_named(), ExitStack() as stack:
        from flows.command.bars import Bars
        from flows.orchestration.context import showing
        from flows.orchestration.environment import prepare
        from flows.orchestration.temporary_server import temporary_server
        from flows.orchestration.variables import server_is_configured

        prepare(load_settings().home, verbose)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        bars = stack.enter_context(Bars())
        stack.enter_context(showing(bars))
        bars.start("start", None)
        if server_is_configured():
            yield lambda: None
        else:
            home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
            ready = stack.enter_context(temporary_server(home / "temporary-server.log"))
            yield ready

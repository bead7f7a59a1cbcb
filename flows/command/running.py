"""Running operations from the command: as Prefect's flows or by themselves, with progress bars, and
errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from flows.command.interrupts import ending_soon
from flows.command.log_format import write_as
from flows.command.output import answers_apart, explained, spoken, warnings_shown
from flows.orchestration.origin import check_server, server_named
from flows.signatures import Given
from tasks.errors import MugeError
from tasks.settings import Seeing

if TYPE_CHECKING:
    from flows.command.bars import Bars
    from tasks.dataset.shards import Plan
    from tasks.index.runner import Runner
    from tasks.settings import Settings

Report = TypeVar("Report")
Flow = Callable[[], Callable[[], Report]]
"""Imports a flow, which takes seconds, and gives it with its parameters."""


@dataclass(frozen=True)
class How:
    """How a command's operation is run: by `orchestrator`, and with Prefect's own lines if
    `verbose`; `seeing` is how it is seen (None: as the environment says). `may_be_done`: it often
    finds nothing to do, so look before a server is started. While one starts, the data set `plans`
    is planned ("": none) and, if it `encodes`, torch imported and the model loaded; `updates`: its
    vectors will stand beside those of the live collection."""

    orchestrator: Literal["prefect", "none"]
    verbose: bool
    seeing: Seeing | None = None
    may_be_done: bool = False
    encodes: bool = False
    plans: str = ""
    updates: bool = False


def how_to_run(
    given: Given,
    orchestrator: Literal["prefect", "none"],
    verbose: bool,
    may_be_done: bool = False,
    encodes: bool = False,
    plans: str = "",
    updates: bool = False,
) -> How:
    """How a command was told to run; its standard error is as was asked for from here on.

    Raises `UsageError` for options that are not allowed.
    """
    seeing = given.read(Seeing)
    write_as(seeing.log_format)
    return How(orchestrator, verbose, seeing, may_be_done, encodes, plans, updates)


def run(
    settings: Settings, how: How, operation: Callable[[Runner], Report], flow: Flow[Report]
) -> Report:
    """Run an operation, by itself or as the flow that it is part of, and explain what goes wrong.

    Where no Prefect server is configured, a temporary one is started for the flow, unless
    everything is done already.
    """
    with explained(), answers_apart(), warnings_shown(), server_named():
        from flows.command.bars import Bars
        from flows.orchestration.environment import prepare

        prepare(settings.home, how.verbose)
        with Bars() as bars, ending_soon(bars.stop, spoken() == "zh") as lost:
            if how.orchestrator == "none":
                return _alone(settings, how, operation, bars)
            return _orchestrated(settings, how, operation, flow, bars, lost)


def _alone(
    settings: Settings, how: How, operation: Callable[[Runner], Report], bars: Bars
) -> Report:
    from flows.orchestration.context import caller_context, showing
    from flows.orchestration.variables import server_is_configured
    from tasks.index.runner import Threads

    quota = server_is_configured()
    told = showing(bars, seeing=how.seeing)
    with told, caller_context(settings, writes=quota) as context:
        return operation(Threads(context))


def _orchestrated(
    settings: Settings,
    how: How,
    operation: Callable[[Runner], Report],
    flow: Flow[Report],
    bars: Bars,
    lost: Callable[[MugeError], None],
) -> Report:
    from flows.orchestration.context import showing
    from flows.orchestration.environment import room_for_prefect
    from flows.orchestration.profile import prefect_home
    from flows.orchestration.temporary_server import temporary_server
    from flows.orchestration.variables import server_is_configured

    if server_is_configured():
        check_server()
        with showing(bars, seeing=how.seeing):
            bars.start("start", None)
            return flow()()
    planned: dict[str, Plan] = {}
    if how.may_be_done:
        done = _look(settings, how, operation, bars, planned)
        if done is not None:
            return done
    home = prefect_home()
    with room_for_prefect(home), temporary_server(home, lost) as ready:
        if how.plans:
            _plan(settings, how, bars, planned)
        with showing(bars, planned, how.seeing):
            bars.start("start", None)
            imported = flow()
            if how.encodes and settings.runner == "threads":
                _import_ahead()
                _load_ahead(settings, how, planned)
            ready()
            return imported()


def _import_ahead() -> None:
    """While the server starts nothing else is to be done."""
    import pyarrow.compute  # noqa: F401
    import torch  # noqa: F401

    import tasks.encode.model.chinese_clip.encoder
    import tasks.encode.stage.pipeline  # noqa: F401


def _load_ahead(settings: Settings, how: How, planned: Mapping[str, Plan]) -> None:
    from flows.orchestration.context import caller_context
    from tasks.index.ahead import load_ahead
    from tasks.store.stores import parse_address

    if not planned or not parse_address(settings.store_uri).kind.local:
        return  # the server that is starting would be asked for its aliases
    with caller_context(settings) as context:
        for plan in planned.values():
            load_ahead(context, plan, settings, how.updates)


def _look(
    settings: Settings,
    how: How,
    operation: Callable[[Runner], Report],
    bars: Bars,
    planned: dict[str, Plan],
) -> Report | None:
    from flows.orchestration.context import caller_context, showing
    from tasks.index.looking import report_if_done
    from tasks.store.stores import parse_address

    address = parse_address(settings.store_uri)
    if address.place and not address.kind.local:
        return None  # a block of credentials, which only a server gives
    bars.start("look", None)
    try:
        told = showing(_Looking(bars), seeing=how.seeing)
        with told, caller_context(settings) as context:
            done = report_if_done(context, operation)
            planned.update(context.planned)
            return done
    finally:
        bars.finish("look", None)


def _plan(settings: Settings, how: How, bars: Bars, planned: dict[str, Plan]) -> None:
    """Plan the data set, which the flow is then given."""
    from flows.orchestration.context import caller_context, showing
    from tasks.index.stages import plan

    bars.start("plan", None)
    made = 0
    try:
        with showing(bars, seeing=how.seeing), caller_context(settings) as context:
            planned[how.plans] = found = plan(context, how.plans, settings)
            made = found.counts.rows
    finally:
        bars.finish("plan", made)


@dataclass(frozen=True)
class _Looking:
    """Shows how far the reading of a data set is as part of the look."""

    bars: Bars

    def start(self, stage: str, total: int | None) -> None:
        """Stages are not shown."""

    def advance(self, stage: str, done: int) -> None:
        """Count what is read."""
        if stage == "plan":
            self.bars.advance("look", done)

    def finish(self, stage: str, made: int | None) -> None:
        """Stages are not shown."""

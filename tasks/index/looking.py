"""Whether an operation has anything to do: it is gone through, and stopped where work is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tasks.context import Context
from tasks.index.runner import (
    LOOKING_AT_ONCE,
    Bounded,
    Carried,
    Encoders,
    Enough,
    Given,
    Part,
    PartStage,
    Result,
    Runner,
    Stage,
    may_pass,
    never,
)
from tasks.settings import Settings

Report = TypeVar("Report")


class _StillToDo(Exception):
    """Ends an operation that was only looked through; nobody but `report_if_done` sees it."""


def report_if_done(context: Context, operation: Callable[[Runner], Report]) -> Report | None:
    """The report of an operation that finds everything done, checks included; None if there is
    something to do, or if that cannot be told just now.

    Errors that trying again would not end are raised as the operation raises them. Plans that were
    made are left in `context.planned`.
    """
    try:
        with context.watch.on_trial(lambda e: isinstance(e, _StillToDo) or may_pass(e)):
            return operation(Looking(context))
    except _StillToDo:
        return None
    except Exception as error:
        if may_pass(error):
            return None
        raise


@dataclass(frozen=True)
class Looking:
    """A `Runner` that runs what needs no work, and raises `_StillToDo` at what does."""

    context: Context

    def once(
        self, stage: Stage[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """As `Runner.once`."""
        if stage.done is None:
            raise _StillToDo(stage.name)
        return _found(stage.name, stage.done(self.context, *arguments, **named))

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        at_once: int,
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """As `Runner.over`."""
        with ThreadPoolExecutor(LOOKING_AT_ONCE, thread_name_prefix="looking") as threads:
            try:
                done = threads.map(partial(stage.done, self.context, carried), parts)
                return [_found(stage.name, result) for result in done]
            finally:
                threads.shutdown(cancel_futures=True)

    @contextmanager
    def encoding(self, settings: Settings) -> Iterator[Encoders]:
        """As `Runner.encoding`: nothing is encoded."""
        yield Bounded(self, 1)


def _found(stage: str, result: Result | None) -> Result:
    if result is None:
        raise _StillToDo(stage)
    return result

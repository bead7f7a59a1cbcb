"""The log of a run: when it and its stages begin and end, and what the code says meanwhile."""

from __future__ import annotations

import logging

from tasks.errors import reason_of
from tasks.telemetry import metrics
from tasks.telemetry.lines import LOGGERS, JsonHandler, say
from tasks.telemetry.metrics import WELL, Outcome
from tasks.telemetry.watch import Over, Run


class Log:
    """A `Listener` that writes JSON lines to standard error."""

    def began(self, run: Run) -> None:
        """As `Listener.began`."""
        self._handler = JsonHandler(lambda: about(run))
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._handler)
        said = f"{run.operation} of {run.collection} began"
        say("info", said, event="run_began", **about(run), dataset=run.dataset)

    def stage_began(self, run: Run, stage: str, total: int | None) -> None:
        """As `Listener.stage_began`."""
        say("info", f"{stage} began", event="stage_began", **about(run, stage), total=total)

    def part_began(self, run: Run, stage: str, part: str) -> Over:
        """As `Listener.part_began`: only what goes wrong is a line."""

        def over(error: BaseException | None) -> None:
            if error is not None:
                said = f"{stage} {part} failed: {reason_of(error)}"
                say("warning", said, event="part_failed", **about(run, stage), part=part)

        return over

    def stage_ended(self, run: Run, stage: str) -> None:
        """As `Listener.stage_ended`."""
        seen = run.stages[stage]
        counts = {"seconds": round(seen.seconds, 3), "items": seen.items, "made": seen.made}
        say("info", f"{stage} ended", event="stage_ended", **about(run, stage), **counts)

    def ended(self, run: Run, outcome: Outcome, error: BaseException | None) -> None:
        """As `Listener.ended`."""
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)
        counts = {
            name: int(run.values[metric, ()])
            for name, metric in metrics.REPORTED.items()
            if (metric, ()) in run.values
        }
        said = f"{run.operation} of {run.collection} ended: {outcome}"
        kind = None if error is None else type(error).__name__
        say(
            "info" if outcome in WELL else "error",
            said,
            event="run_ended",
            **about(run),
            outcome=outcome,
            seconds=round(run.seconds(), 3),
            retries=int(sum(run.value(metrics.RETRIES, of) for of in metrics.RETRIES.known)),
            **counts,
            error=kind,
            reason=None if error is None else reason_of(error),
        )


def about(run: Run, stage: str = "") -> dict[str, object]:
    """What each line of a run says."""
    return {
        "run": run.id,
        "operation": run.operation,
        "collection": run.collection,
        "stage": stage or run.stage,
    }

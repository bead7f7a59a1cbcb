"""The command `muge evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flows.command.options import AsJson, Dataset, Html, Orchestrator, Verbose, options
from flows.command.output import explained
from flows.command.running import how_to_run, run
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Encoding, EvaluateChoices, Place, Searching, Seeing

if TYPE_CHECKING:
    from tasks.evaluate.result import Evaluation
    from tasks.index.runner import Runner


@options(
    flags_of(Searching, "alpha", "fusion"),
    flags_of(EvaluateChoices),
    flags_of(Content, "links"),
    flags_of(Place),
    flags_of(Encoding),
    flags_of(Seeing),
)
def evaluate(
    dataset: Dataset,
    given: Given,
    html: Html = None,
    orchestrator: Orchestrator = "prefect",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure search with a data set's queries: recall, nDCG, MRR; exact and through the store.

    Exit code 1: worse than the baseline, or with --hold the kept one, by more than --max-drop.
    """
    with explained():
        how = how_to_run(given, orchestrator, verbose, encodes=True)
        from flows.orchestration.context import caller_context
        from tasks.dataset.readers import bounds_of, open_reader
        from tasks.evaluate.gate import check_comparable, read_baseline
        from tasks.evaluate.given import open_files
        from tasks.index.alpha import usual_alpha
        from tasks.work.collections import require_record
        from tasks.work.folder import Folder

        settings, choices = given.settings, given.read(EvaluateChoices)
        open_files(choices, html)
        open_reader(dataset, bounds_of(settings))
        with caller_context(settings) as context:
            live = context.aliases(settings).meant()
        record = require_record(Folder(settings.work_url), settings.store_uri, live)
        then = None if choices.baseline is None else read_baseline(choices.baseline)
        if then is not None:
            known: dict[str, object] = {"fusion": settings.fusion, "filter": choices.filter}
            known["alpha"] = usual_alpha(settings, record)
            if choices.protocol != "auto":
                known["protocol"] = choices.protocol
            check_comparable(then, known)

    def operation(runner: Runner) -> Evaluation:
        from tasks.evaluate.operation import evaluate

        return evaluate(dataset, settings, runner, choices)

    def flow() -> Callable[[], Evaluation]:
        from flows.evaluate_search import evaluate_search

        # the numbers are shown before they are held against the baseline
        later = {"baseline": None, "hold": False}
        return partial(evaluate_search, dataset, **{**given.parameters(), **later})

    measured = run(settings, how, operation, flow)
    with explained():
        from flows.command.measured import hold, hold_kept, show_evaluation, write_evaluation_page

        if html is not None:
            write_evaluation_page(html, measured)
        show_evaluation(measured, as_json)
        if then is not None:
            hold(then, measured, choices.max_metric_drop)
        hold_kept(measured, choices.hold)

"""Flow evaluate_search: how good the search of a collection is, by numbers that say how they were
made."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.orchestration.artifacts import evaluation_markdown, evaluation_table
from flows.orchestration.context import caller_context
from flows.orchestration.parameters import Dataset, parameters
from flows.orchestration.runners import PrefectRunner
from flows.signatures import Given
from tasks.evaluate.gate import check_held, check_quality, read_baseline
from tasks.evaluate.operation import evaluate
from tasks.evaluate.result import Evaluation, as_json
from tasks.options import flags_of
from tasks.settings import Content, Encoding, EvaluateChoices, Place, Searching


@flow(name="evaluate_search", flow_run_name="evaluate {dataset}", persist_result=False)
@parameters(
    flags_of(Searching, "alpha", "fusion"),
    flags_of(EvaluateChoices),
    flags_of(Content, "links"),
    flags_of(Place),
    flags_of(Encoding),
)
def evaluate_search(dataset: Dataset, given: Given) -> Evaluation:
    """Measure recall, nDCG and MRR of a collection with a data set's queries.

    The numbers are the artifacts `metrics` and `metrics-table`, with history. With a baseline the
    flow fails, after that, if search became worse than it by more than `max_drop`; with `hold` the
    same goes for the baseline that the work folder keeps, until an evaluation is accepted in its
    place.
    """
    settings, choices = given.settings, given.read(EvaluateChoices)
    then = None if choices.baseline is None else read_baseline(choices.baseline)
    with caller_context(settings) as context:
        measured = evaluate(dataset, settings, PrefectRunner(context), choices)
    markdown = evaluation_markdown(measured)
    create_markdown_artifact(markdown, key="metrics", description="Search metrics")
    table = evaluation_table(measured)
    create_table_artifact(table, key="metrics-table", description="Search metrics")
    if then is not None:
        check_quality(then, as_json(measured), choices.max_metric_drop)
    if choices.hold:
        check_held(measured.held)
    return measured

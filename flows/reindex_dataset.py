"""Flow reindex_dataset: a live collection follows its data set, and searches never notice."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.orchestration.artifacts import reindex_markdown
from flows.orchestration.context import caller_context
from flows.orchestration.parameters import Dataset, parameters
from flows.orchestration.runners import PrefectRunner
from flows.orchestration.states import ended
from flows.signatures import Given
from tasks.index.request import check_gate
from tasks.options import flags_of
from tasks.reindex.operation import reindex
from tasks.reindex.report import ReindexReport
from tasks.settings import Content, Encoding, Place, ReindexChoices, Replacing, Running


@flow(
    name="reindex_dataset",
    flow_run_name="reindex {dataset}",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type]
    persist_result=False,
)
@parameters(
    flags_of(Place),
    flags_of(Content),
    flags_of(Encoding),
    flags_of(Running),
    flags_of(ReindexChoices),
    flags_of(Replacing),
)
def reindex_dataset(dataset: Dataset, given: Given) -> ReindexReport:
    """Bring a collection up to its data set: only what changed is encoded and sent."""
    settings, choices = given.settings, given.read(ReindexChoices)
    check_gate(choices, given.values["max_drop"])
    with caller_context(settings, writes=True) as context:
        report = reindex(dataset, settings, PrefectRunner(context), choices)
    create_markdown_artifact(reindex_markdown(report), key="reindex-run", description="Reindex run")
    return ended(report)

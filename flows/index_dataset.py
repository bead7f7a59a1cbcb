"""Flow index_dataset: a data set becomes a searchable, verified collection."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.orchestration.artifacts import index_markdown
from flows.orchestration.context import caller_context
from flows.orchestration.parameters import Dataset, parameters
from flows.orchestration.runners import PrefectRunner
from flows.orchestration.states import ended
from flows.signatures import Given
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.options import flags_of
from tasks.settings import Content, Encoding, IndexChoices, Place, Running


@flow(
    name="index_dataset",
    flow_run_name="index {dataset}",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type]
    persist_result=False,
)
@parameters(
    flags_of(Place),
    flags_of(Content),
    flags_of(Encoding),
    flags_of(Running),
    flags_of(IndexChoices),
)
def index_dataset(dataset: Dataset, given: Given) -> IndexReport:
    """Shard, encode, build BM25, upsert and verify; what is done already is not done again."""
    settings, choices = given.settings, given.read(IndexChoices)
    with caller_context(settings, writes=True) as context:
        report = index(dataset, settings, PrefectRunner(context), choices.replace)
    create_markdown_artifact(index_markdown(report), key="index-run", description="Index run")
    return ended(report)

"""Flow run_demo: the sample indexed, measured and searched, and a report of it all."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.orchestration.artifacts import evaluation_markdown, index_markdown
from flows.orchestration.context import caller_context
from flows.orchestration.parameters import parameters
from flows.orchestration.runners import PrefectRunner
from flows.signatures import Given
from tasks.demo.operation import DemoReport, demo
from tasks.options import flags_of
from tasks.settings import Encoding, Place


@flow(
    name="run_demo",
    flow_run_name="demo",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type]
    persist_result=False,
)
@parameters(flags_of(Place), flags_of(Encoding))
def run_demo(given: Given) -> DemoReport:
    """Index, evaluate and search the sample with the sample model, then write the report."""
    with caller_context(given.settings, writes=True) as context:
        report = demo(given.settings, PrefectRunner(context))
    create_markdown_artifact(index_markdown(report.index), key="index-run", description="Index run")
    measured = evaluation_markdown(report.evaluation)
    create_markdown_artifact(measured, key="metrics", description="Search metrics")
    return report

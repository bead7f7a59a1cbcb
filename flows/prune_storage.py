"""Flow prune_storage: what no collection needs any more is deleted, and old artifacts with it."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.orchestration.artifacts import forget_artifacts, prune_markdown
from flows.orchestration.context import caller_context
from flows.orchestration.parameters import parameters
from flows.signatures import Given
from tasks.options import flags_of
from tasks.retention.prune import PruneReport, prune
from tasks.settings import Place, PruneChoices, Retaining, Running

FLOWS = (
    "index_dataset",
    "reindex_dataset",
    "evaluate_search",
    "search_images",
    "search_file",
    "run_demo",
    "prune_storage",
)
"""Whose artifacts are let go of."""


@flow(name="prune_storage", flow_run_name="prune", persist_result=False)
@parameters(
    flags_of(PruneChoices),
    flags_of(Place, leave_out=["collection"]),
    flags_of(Retaining),
    flags_of(Running, "wait"),
)
def prune_storage(given: Given) -> PruneReport:
    """Find what no collection needs any more and what killed processes left; with `delete` it goes,
    and so do artifacts of earlier runs on the Prefect server."""
    settings, choices = given.settings, given.read(PruneChoices)
    with caller_context(settings, writes=True) as context:
        report = prune(context, settings, choices.delete)
    artifacts = 0
    if choices.delete:
        artifacts = forget_artifacts(FLOWS, settings.keep_artifacts, settings.keep_days)
    markdown = prune_markdown(report, artifacts)
    create_markdown_artifact(markdown, key="prune-run", description="What was pruned")
    return report

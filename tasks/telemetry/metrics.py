"""The metrics of runs: every name, its meaning, its labels, and when it is written.

All are gauges, since a run is a batch job: each is of the last run of an operation on a collection.
Labels take few values: operations, collections, stages, checks; never ids, texts or addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Topic = Literal["run", "end", "counts", "success", "change", "gate", "evaluation"]
"""Metrics of a topic are written together, and stay until the next run that knows them: a run that
fails says nothing of documents, and does not take away when the last one went well."""

OF_A_RUN = ("operation", "collection")


@dataclass(frozen=True, slots=True)
class Metric:
    """One name; `labels` are those beside `OF_A_RUN`, with `known` values of the only one where all
    of them are to be there from the start, as 0."""

    name: str
    meaning: str
    topic: Topic
    labels: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


Outcome = Literal["completed", "rejects", "refused", "failed", "interrupted"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "rejects", "refused", "failed", "interrupted")
"""How runs end: well, well with rejects, without what they would have replaced, badly, or early."""
WELL: tuple[Outcome, ...] = ("completed", "rejects")

RUNNING = Metric("muge_run_running", "1 while a run is at work.", "run")
STARTED = Metric("muge_run_start_timestamp_seconds", "When the last run began.", "run")
UPDATED = Metric("muge_run_updated_timestamp_seconds", "When a run was last heard of.", "run")
STAGE_SECONDS = Metric("muge_run_stage_duration_seconds", "Time of a stage.", "run", ("stage",))
STAGE_ITEMS = Metric(
    "muge_run_stage_items", "Items of a stage that are through.", "run", ("stage",)
)
STAGE_MADE = Metric(
    "muge_run_stage_made_items", "Items of a stage that were not there before.", "run", ("stage",)
)
RETRIES = Metric(
    "muge_run_retries", "What was tried again.", "run", ("of",), ("stage", "request", "download")
)
QUOTA_SECONDS = Metric(
    "muge_run_quota_wait_seconds",
    "Time that requests waited for their turn, over all threads.",
    "run",
    ("quota",),
    ("process", "shared"),
)

SECONDS = Metric("muge_run_duration_seconds", "Time of the last run that ended.", "end")
ENDED = Metric("muge_run_end_timestamp_seconds", "When the last run ended.", "end")
OUTCOME = Metric("muge_run_outcome", "1 for how the last run ended.", "end", ("outcome",), OUTCOMES)

ROWS = Metric("muge_run_rows", "Lines of the data set.", "counts")
IMAGES = Metric("muge_run_images", "Images that are embedded.", "counts")
DOCUMENTS = Metric("muge_run_documents", "Documents of the collection.", "counts")
REJECTS = Metric("muge_run_rejects", "What was refused in any stage.", "counts")
ENCODED = Metric("muge_run_encoded_images", "Images encoded by the run.", "counts")
UPSERTED = Metric("muge_run_upserted_documents", "Documents sent by the run.", "counts")
DELETED = Metric("muge_run_deleted_documents", "Documents deleted by the run.", "counts")
REPORTED: Mapping[str, Metric] = {
    "rows": ROWS,
    "images": IMAGES,
    "documents": DOCUMENTS,
    "rejects": REJECTS,
    "encoded_images": ENCODED,
    "upserted": UPSERTED,
    "deleted": DELETED,
}
"""What reports call them."""

LAST_SUCCESS = Metric(
    "muge_run_last_success_timestamp_seconds", "When a run last ended well.", "success"
)
LAST_CHANGE = Metric(
    "muge_run_last_change_timestamp_seconds",
    "When a run that ended well last sent or deleted documents.",
    "change",
)

CHECK_PASSED = Metric(
    "muge_gate_check_passed", "1 if a check before a switch passed.", "gate", ("check",)
)
CHECK_FOUND = Metric("muge_gate_check_found", "What a check found.", "gate", ("check",))
CHECK_WANTED = Metric("muge_gate_check_wanted", "What a check wanted at least.", "gate", ("check",))

_MEASURED = ("where", "mode", "metric")
QUALITY = Metric("muge_evaluation_metric", "A metric of search.", "evaluation", _MEASURED)
BASELINE = Metric(
    "muge_evaluation_baseline_metric", "The same in the kept baseline.", "evaluation", _MEASURED
)
FALLEN = Metric(
    "muge_evaluation_fallen_metrics",
    "Metrics that are below the kept baseline by more than is allowed.",
    "evaluation",
)
COMPARABLE = Metric(
    "muge_evaluation_comparable", "1 if the kept baseline can be compared with.", "evaluation"
)
QUERIES = Metric("muge_evaluation_queries", "Queries that were measured.", "evaluation")
GALLERY = Metric("muge_evaluation_gallery_images", "Images searched in.", "evaluation")
ANN_RECALL = Metric(
    "muge_evaluation_ann_recall", "Share of the exact top 10 that the store finds.", "evaluation"
)

METRICS: tuple[Metric, ...] = tuple(
    metric for metric in tuple(globals().values()) if isinstance(metric, Metric)
)
"""All of them."""

Labels = tuple[str, ...]


def counts_of(report: Any) -> Iterator[tuple[Metric, float]]:
    """What a report of a run counts, by its metrics."""
    for name, metric in REPORTED.items():
        if hasattr(report, name):
            yield metric, float(getattr(report, name))

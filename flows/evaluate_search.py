"""Flow evaluate_search: how good the search of a collection is, by numbers that say how they were
made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.utilities.annotations import quote
from pydantic import Field

from flows.orchestration import parameters as options
from flows.orchestration.remote_store import prepare_store
from flows.orchestration.runners import run_once
from tasks import prefect_tasks
from tasks.evaluate.gate import MAX_DROP, check_quality, read_baseline
from tasks.evaluate.judgements import ProtocolName
from tasks.evaluate.metrics import METRICS
from tasks.evaluate.result import as_json
from tasks.evaluate.stages import Evaluation, EvaluationOptions
from tasks.settings import load_settings

__all__ = ["as_json", "as_markdown", "evaluate_search"]

ProtocolOption = Annotated[
    ProtocolName,
    options.Described("auto, official (meaning only), held-out, or leave-query-out."),
]
AlphaSweep = Annotated[bool, options.Described("Measure alpha from 0 to 1, and rank fusion.")]
Predictions = Annotated[str | None, options.Described("File for the leaderboard's lines.")]
Baseline = Annotated[str | None, options.Described("JSON of an earlier evaluation to hold.")]
MaxDrop = Annotated[
    float, Field(ge=0), options.Described("How far a metric may fall below the baseline.")
]


@flow(name="evaluate_search", flow_run_name="evaluate {dataset}", persist_result=False)
def evaluate_search(
    dataset: options.Dataset,
    alpha: options.Alpha = None,
    protocol: ProtocolOption = "auto",
    alpha_sweep: AlphaSweep = False,
    predictions: Predictions = None,
    baseline: Baseline = None,
    max_drop: MaxDrop = MAX_DROP,
    filter: options.Filter = None,
    store: options.Store = None,
    collection: options.Collection = None,
    work_dir: options.WorkDir = None,
    device: options.Device = None,
) -> Evaluation:
    """Measure recall, nDCG and MRR of a collection with a data set's queries.

    The numbers are the artifacts `metrics` and `metrics-table`, with history. With a baseline the
    flow fails, after that, if search became worse than it by more than `max_drop`.
    """
    settings = load_settings(
        alpha=alpha, store=store, collection=collection, work_dir=work_dir, device=device
    )
    prepare_store(settings.store_uri)
    then = None if baseline is None else read_baseline(baseline)
    what = EvaluationOptions(protocol, alpha_sweep, predictions, filter)
    measured: Evaluation = run_once(prefect_tasks.evaluate, dataset, quote(settings), what)
    create_markdown_artifact(as_markdown(measured), key="metrics", description="Search metrics")
    create_table_artifact(_table(measured), key="metrics-table", description="Search metrics")
    if then is not None:
        check_quality(then, as_json(measured), max_drop)
    return measured


def as_markdown(measured: Evaluation) -> str:
    """The metrics as the artifact that the Prefect UI shows, with history by its key."""
    origin = measured.origin
    head = ["mode", *METRICS]
    lines = [
        f"## {measured.dataset} on {measured.collection}",
        "",
        f"Protocol {measured.protocol.name}, {measured.queries} queries "
        f"({measured.without_positive} without a positive, they score 0), {measured.gallery} "
        f"images, model `{measured.model}`, alpha {measured.alpha}. "
        f"ANN recall@10 {measured.ann_recall:.4f}.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(map(str, row.values()))} |" for row in _table(measured)),
        "",
        "In brackets: 95 % bootstrap intervals.",
        "",
        f"Data `{origin.data}`, queries `{origin.queries}`, BM25 `{origin.bm25}`, weights "
        f"`{origin.model.weights[:16]}`, muge-search {origin.version} `{origin.commit}`.",
        "",
        "```",
        *origin.commands,
        "```",
    ]
    if measured.filter is not None:
        lines.append(f"\nThe gallery is what the filter `{measured.filter}` takes.")
    if not measured.protocol.honest_hybrid:
        lines.append(
            f"\n{measured.protocol.leaks} of the queries are in the documents' own text: sparse "
            f"and hybrid search would be measured on the answers, so only dense is reported."
        )
    return "\n".join(lines)


def _table(measured: Evaluation) -> list[dict[str, Any]]:
    """A row for each way of searching, its numbers with their intervals where there are any."""
    return list(_rows(measured))


def _rows(measured: Evaluation) -> Iterator[dict[str, Any]]:
    for mode, values in measured.metrics.items():
        ends = measured.intervals[mode]
        yield {"mode": mode} | {
            name: f"{values[name]:.4f} ({ends[name].low:.4f} to {ends[name].high:.4f})"
            for name in METRICS
        }
    for mode, values in measured.through_store.items():
        yield {"mode": f"{mode}, store"} | {name: f"{values[name]:.4f}" for name in METRICS}
    for name, direction in measured.directions.items():
        yield {"mode": name.replace("_", " ")} | {
            metric: f"{i.value:.4f} ({i.low:.4f} to {i.high:.4f})"
            for metric, i in direction.metrics.items()
        }

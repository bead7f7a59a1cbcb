"""Flow evaluate_search: how good the search of a collection is, by numbers that say how they were
made."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.utilities.annotations import quote

from flows import options
from flows.stage_runs import run_once
from tasks import prefect_tasks
from tasks.evaluate.metrics import METRICS
from tasks.evaluate.stages import Evaluation
from tasks.settings import load_settings


@flow(name="evaluate_search", flow_run_name="evaluate {dataset}", persist_result=False)
def evaluate_search(
    dataset: options.Dataset,
    alpha: options.Alpha = None,
    store: options.Store = None,
    collection: options.Collection = None,
    work_dir: options.WorkDir = None,
    device: options.Device = None,
) -> Evaluation:
    """Measure recall, nDCG and MRR of a collection with a data set's queries."""
    settings = load_settings(
        alpha=alpha, store=store, collection=collection, work_dir=work_dir, device=device
    )
    measured: Evaluation = run_once(prefect_tasks.evaluate, dataset, quote(settings))
    create_markdown_artifact(as_markdown(measured), key="metrics", description="Search metrics")
    return measured


def as_json(measured: Evaluation) -> dict[str, Any]:
    """The stable JSON of an evaluation."""
    return {
        "protocol": measured.protocol.name,
        "leaks": measured.protocol.leaks,
        "dataset": measured.dataset,
        "collection": measured.collection,
        "model": measured.model,
        "queries": measured.queries,
        "gallery": measured.gallery,
        "queries_without_positive": measured.without_positive,
        "metrics": measured.metrics,
        "through_store": measured.through_store,
        "alpha": measured.alpha,
        "ann_recall@10": measured.ann_recall,
        "seconds": measured.seconds,
    }


def as_markdown(measured: Evaluation) -> str:
    """The metrics as the artifact that the Prefect UI shows, with history by its key."""
    head = ["mode", *METRICS]
    lines = [
        f"## {measured.dataset} on {measured.collection}",
        "",
        f"Protocol {measured.protocol.name}, {measured.queries} queries "
        f"({measured.without_positive} without a positive, they score 0), {measured.gallery} "
        f"images, model `{measured.model}`, alpha {measured.alpha}.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for how, metrics in (("", measured.metrics), (" (store)", measured.through_store)):
        for mode, values in metrics.items():
            numbers = " | ".join(f"{values[name]:.4f}" for name in METRICS)
            lines.append(f"| {mode}{how} | {numbers} |")
    if not measured.protocol.honest_hybrid:
        lines.append(
            f"\n{measured.protocol.leaks} of the queries are in the documents' own text: sparse "
            f"and hybrid search would be measured on the answers, so only dense is reported."
        )
    return "\n".join(lines)

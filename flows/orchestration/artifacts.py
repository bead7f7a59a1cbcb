"""Reports and progress as the artifacts that the Prefect UI shows."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from tasks.evaluate.metrics import LABELS, METRICS
from tasks.evaluate.result import Evaluation
from tasks.index.report import IndexReport
from tasks.reindex.report import ReindexReport
from tasks.report.components import downloads_words
from tasks.report.evaluation_views import against_words, protocol_words
from tasks.retention.prune import PruneReport
from tasks.search.searcher import Answer

SHOWN_QUESTIONS, SHOWN_HITS = 20, 5
SECONDS_BETWEEN_UPDATES = 2.0
ARTIFACTS_AT_ONCE = 200


def index_markdown(report: IndexReport) -> str:
    """What an index run did, with the time of its stages."""
    lines = [
        f"## {report.dataset} -> {report.store} / {report.collection}",
        "",
        f"{report.documents} documents of {report.images} images and {report.queries} queries, "
        f"model `{report.model}` ({report.dimension} dimensions). "
        f"{report.rejects} rejects. {report.skipped_shards} shards were there already.",
        "",
        *_unfinished(report),
        *_downloads(report),
        *_stage_table(report.stages),
    ]
    lines += ["", "Busy and waiting, as shares of a stage's time (1 is one thread):", ""]
    lines += [f"- {name}: {shares}" for name, shares in step_shares(report.stages).items()]
    return "\n".join(lines)


def reindex_markdown(report: ReindexReport) -> str:
    """What a reindex did, with its checks and the time of its stages."""
    lines = [
        f"## {report.dataset} -> {report.store} / {report.name} ({report.strategy})",
        "",
        f"Searches use `{report.collection}`: {report.documents} documents, {report.upserted} sent "
        f"and {report.deleted} deleted just now, {report.encoded_images} images encoded. "
        f"{report.rejects} rejects.",
        "",
        *_unfinished(report),
        *_downloads(report),
        *[f"- {check.said}" for check in report.checks],
        *[f"- {line}" for line in report.advice],
        "",
        *_stage_table(report.stages),
    ]
    return "\n".join(lines)


def _unfinished(report: IndexReport | ReindexReport) -> list[str]:
    return [] if report.unfinished is None else [f"**{report.unfinished.said}**", ""]


def _downloads(report: IndexReport | ReindexReport) -> list[str]:
    if report.downloads is None:
        return []
    return [f"Addresses of pictures: {downloads_words(report.downloads)[1]}.", ""]


def prune_markdown(report: PruneReport, artifacts: int) -> str:
    """What was pruned, by kind, and how many artifacts of earlier runs."""
    kinds: dict[str, tuple[int, int]] = {}
    for each in report.leftovers:
        files, size = kinds.get(each.kind, (0, 0))
        kinds[each.kind] = files + each.files, size + each.bytes
    done = "Deleted" if report.done else "Found, and not deleted"
    lines = [
        f"## {report.work_dir}, {report.store}",
        "",
        f"{done}: {report.bytes / 1e6:.1f} MB in {report.files} files, which no collection needs; "
        f"{artifacts} artifacts of earlier runs. Kept: {report.keep_days:g} days, "
        f"{report.keep_runs} runs of a data set.",
        "",
        *[f"- {doubt}" for doubt in report.doubts],
        "",
        "| kind | files | MB |",
        "|---|---:|---:|",
        *[f"| {kind} | {files} | {size / 1e6:.1f} |" for kind, (files, size) in kinds.items()],
    ]
    return "\n".join(lines)


def forget_artifacts(flows: Collection[str], keep: int, days: float) -> int:
    """Delete artifacts of the runs of some flows: all but the newest `keep` of each key (progress
    has none, and is one kind) and those of the last `days`. Gives how many."""
    oldest = datetime.now(UTC) - timedelta(days=days)
    kept: Counter[str] = Counter()
    with get_client(sync_client=True) as client:
        old = []
        for found in _artifacts_of(client, flows):
            kind = found["key"] or found["type"]
            kept[kind] += 1
            if kept[kind] > keep and datetime.fromisoformat(found["created"]) < oldest:
                old.append(UUID(found["id"]))
        for artifact in old:
            with suppress(ObjectNotFound):  # somebody was faster
                client.delete_artifact(artifact)
    return len(old)


def _artifacts_of(client: SyncPrefectClient, flows: Collection[str]) -> Iterator[dict[str, Any]]:
    """The artifacts of all runs of flows, by their names, the newest first."""
    asked = {"flows": {"name": {"any_": sorted(flows)}}, "sort": "CREATED_DESC"}
    for offset in itertools.count(0, ARTIFACTS_AT_ONCE):
        page = {**asked, "limit": ARTIFACTS_AT_ONCE, "offset": offset}
        found = client.request("POST", "/artifacts/filter", json=page).json()
        yield from found
        if len(found) < ARTIFACTS_AT_ONCE:
            return


def evaluation_markdown(measured: Evaluation) -> str:
    """The metrics and what they were measured on."""
    origin = measured.origin
    head = ["mode", *(LABELS.get(name, name) for name in METRICS)]
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
        *(f"| {' | '.join(map(str, row.values()))} |" for row in evaluation_table(measured)),
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
    if measured.regraded is not None:
        lines.append(f"\nJudgements: {measured.regraded}.")
    if measured.against is not None:
        said = against_words(measured.against, measured.alpha)[1]
        lines.append(f"\nAgainst `{measured.against.path}`: {said}")
    if measured.held is not None:
        lines.append(f"\nBaseline: {measured.held}.")
    if not measured.protocol.honest_hybrid:
        lines.append(f"\n{protocol_words(measured)[1]}.")
    return "\n".join(lines)


def evaluation_table(measured: Evaluation) -> list[dict[str, Any]]:
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


def search_markdown(answers: list[Answer]) -> str:
    """The first questions with their best hits."""
    lines = ["| query | hits: id, score, queries |", "|---|---|"]
    for answer in answers[:SHOWN_QUESTIONS]:
        asked = answer.question.text or answer.question.image
        hits = [
            f"{hit.id} {hit.score:.3f} {str(hit.fields.get('query', ''))[:40]}"
            for hit in answer.hits[:SHOWN_HITS]
        ]
        lines.append(f"| {_cell(str(asked))} | {_cell(' / '.join(hits))} |")
    if len(answers) > SHOWN_QUESTIONS:
        lines.append(f"| ... | {len(answers) - SHOWN_QUESTIONS} more |")
    return "\n".join(lines)


def step_shares(stages: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """What the steps of each stage did, in words; stages without such figures are left out."""
    words = {
        name: ", ".join(
            f"{step} {share:.2f}"
            for step, share in stage.items()
            if step.endswith(("_busy", "_wait"))
        )
        for name, stage in stages.items()
    }
    return {name: text for name, text in words.items() if text}


def _stage_table(stages: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [
        f"| {name} | {stage['seconds']:.2f} | {stage['per_second']:.0f} |"
        for name, stage in stages.items()
    ]
    return ["| stage | seconds | a second |", "|---|---:|---:|", *rows]


def _cell(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("|", "\\|").replace("\\n", " ")


@contextmanager
def progress_artifact(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """One progress artifact for a stage that takes a while, updated in place: a busy server takes
    a second to answer, which is more than the parts of a run with nothing to do. None outside a
    flow run. What it yields is told how many parts are over."""
    artifact: UUID | None = None
    last = time.monotonic()

    def report(over: int) -> None:
        nonlocal artifact, last
        due = time.monotonic() - last > SECONDS_BETWEEN_UPDATES
        if artifact is None and due and FlowRunContext.get() is not None:
            description = f"{name}: parts of {total}"
            made: Any = create_progress_artifact(100.0 * over / total, description=description)
            assert isinstance(made, UUID)
            artifact, last = made, time.monotonic()
        elif artifact is not None and (due or over >= total):
            update_progress_artifact(artifact, progress=100.0 * over / total)
            last = time.monotonic()

    yield report

"""Flow reindex_dataset: a live collection follows its data set, and searches never notice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows import options
from flows.filling import build_sparse, encode, upsert
from flows.remote_store import prepare_store
from flows.run_states import with_rejects
from flows.stage_runs import StageTimes, run_once
from tasks import prefect_tasks
from tasks.encode.stages import Encoded
from tasks.index_run import Filling, IndexRun, check_request
from tasks.index_stages import Upserted, complete_record
from tasks.records import ModelInfo
from tasks.reindex.blue_green import drop_previous, holds, live_record
from tasks.reindex.changes import Changes
from tasks.reindex.checks import Check
from tasks.reindex.drift import bm25_drift
from tasks.reindex.update import begin_update, check_removals, continuing, find_updatable
from tasks.settings import Settings, load_settings
from tasks.sparse.bm25 import load_bm25
from tasks.work.aliases import Alias, find_alias, following, promote
from tasks.work.collections import CollectionRecord, find_record, forget_runs
from tasks.work.folder import Folder
from tasks.work.lock import run_lock

Strategy = Literal["in-place", "blue-green"]


@dataclass(frozen=True)
class ReindexReport:
    """What a reindex did; its fields are the stable JSON of `muge reindex --json`.

    `collection` is the one that searches of `name` use now, `previous` the one kept for rollback.
    `encoded_images` were encoded just now, all other vectors were there. `bm25_drift` says how far
    kept BM25 statistics are off (None where they were counted anew).
    """

    name: str
    strategy: Strategy
    collection: str
    previous: str | None
    changed: bool
    dataset: str
    model: str
    dimension: int
    store: str
    rows: int
    images: int
    queries: int
    documents: int
    upserted: int
    deleted: int
    encoded_images: int
    encoded_queries: int
    rejects: int
    bm25_drift: float | None
    checks: list[Check]
    verified: bool
    stages: dict[str, dict[str, float]]
    work_dir: str
    run_dir: str
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Filled:
    """A collection after its stages: what they did, and the record as it is now."""

    filling: Filling
    record: CollectionRecord
    images: list[Encoded]
    texts: list[Encoded]
    upserts: list[Upserted]
    deleted: int = 0
    drift: float | None = None
    checks: list[Check] = field(default_factory=list)


@flow(
    name="reindex_dataset",
    flow_run_name="reindex {dataset}",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type]
    persist_result=False,
)
def reindex_dataset(
    dataset: options.Dataset,
    store: options.Store = None,
    collection: options.Collection = None,
    model: options.Model = None,
    work_dir: options.WorkDir = None,
    document: options.DocumentForm = None,
    picture: options.Picture = None,
    partition: options.Partition = None,
    device: options.Device = None,
    shard_images: options.ShardImages = None,
    workers: options.Workers = None,
    runner: options.Runner = None,
    strategy: Annotated[
        Strategy,
        options.Described(
            "in-place: send what changed to the live collection. blue-green: build a "
            "new one beside it, check it, and move the alias."
        ),
    ] = "in-place",
    gate_queries: Annotated[
        str | None,
        options.Described("Data set whose queries compare both collections. Default: drawn."),
    ] = None,
    max_drop: options.MaxDrop = None,
    max_removed: options.MaxRemoved = None,
    keep_previous: Annotated[
        bool, options.Described("Keep the collection before for rollback, until the next reindex.")
    ] = True,
    retry_rejects: Annotated[
        bool, options.Described("Try pictures again that could not be decoded before.")
    ] = False,
    wait: options.Wait = None,
) -> ReindexReport:
    """Bring a collection up to its data set: only what changed is encoded and sent."""
    settings = load_settings(
        store=store,
        collection=collection,
        model=model,
        work_dir=work_dir,
        document=document,
        picture=picture,
        partition=partition,
        device=device,
        shard_images=shard_images,
        workers=workers,
        runner=runner,
        max_drop=max_drop,
        max_removed=max_removed,
        wait=wait,
    )
    prepare_store(settings.store_uri)
    model_info = check_request(dataset, settings)
    with run_lock(Folder(settings.work_url), f"muge reindex {dataset}", settings.wait):
        times = StageTimes()
        run = _plan(dataset, settings, model_info, times)
        run = replace(run, retry_rejects=retry_rejects)
        if strategy == "in-place":
            done = _update(run, times)
        else:
            done = _replace(run, times, gate_queries)
            alias = find_alias(settings)
            if alias is not None and not keep_previous:
                drop_previous(settings, alias)
        report = _report(settings, strategy, done, times)
        done.filling.run.folder.write_json("reindex.json", asdict(report))
    create_markdown_artifact(as_markdown(report), key="reindex-run", description="Reindex run")
    return with_rejects(report, report.rejects, f"{report.run_dir}/rejects")


def _plan(dataset: str, settings: Settings, model: ModelInfo, times: StageTimes) -> IndexRun:
    with times.stage("plan") as made:
        plan = run_once(prefect_tasks.plan, dataset, quote(settings))
        made(plan.counts.rows)
    return IndexRun(settings, plan, model)


def _update(run: IndexRun, times: StageTimes) -> _Filled:
    """Send what changed to the live collection; build it if there is none yet."""
    run = replace(run, settings=following(run.settings))
    record = find_updatable(run)
    if record is None:
        return _build(run, times)
    forget_runs(run.work, set(record.superseded) - {run.plan.folder})
    run = continuing(run, record)
    if run.made_of == record.made_of and run.plan.folder == record.run and not record.updates:
        return _fill(Filling(run, record), times, [record], kept=record)
    return _fill_changes(run, record, times)


def _fill_changes(run: IndexRun, record: CollectionRecord, times: StageTimes) -> _Filled:
    with times.stage("find_encoded", None):
        run = run_once(prefect_tasks.find_encoded, quote(run), quote([record]))
    images, texts = encode(run, times)
    bm25 = build_sparse(run, times, kept=record)
    with times.stage("find_changes", None):
        changes: Changes = run_once(prefect_tasks.find_changes, quote(run), quote(record))
        drift = bm25_drift(run, load_bm25(run.folder, run.bm25))
    check_removals(run, record, changes)
    filling = Filling(run, begin_update(run, record, changes), changes.folder)
    upserts = upsert(filling, times)
    with times.stage("delete_removed", changes.deletes) as made:
        if changes.deletes or changes.doubtful:
            run_once(prefect_tasks.delete_removed, quote(filling))
        made(changes.deletes)
    with times.stage("verify", None):
        documents = sum(done.documents for done in upserts)
        run_once(prefect_tasks.verify, quote(filling), documents)
    done = complete_record(filling, bm25, _counts(run, images, upserts))
    return _Filled(filling, done, images, texts, upserts, changes.deletes, drift)


def _fill(
    filling: Filling,
    times: StageTimes,
    known: list[CollectionRecord],
    kept: CollectionRecord | None = None,
) -> _Filled:
    """All stages of a collection that holds what the run makes, or nothing else."""
    with times.stage("find_encoded", None):
        run: IndexRun = run_once(prefect_tasks.find_encoded, quote(filling.run), quote(known))
    filling = replace(filling, run=run)
    images, texts = encode(run, times)
    bm25 = build_sparse(run, times, kept=kept)
    upserts = upsert(filling, times)
    with times.stage("verify", None):
        documents = sum(done.documents for done in upserts)
        run_once(prefect_tasks.verify, quote(filling), documents)
    done = complete_record(filling, bm25, _counts(run, images, upserts))
    return _Filled(filling, done, images, texts, upserts)


def _build(run: IndexRun, times: StageTimes) -> _Filled:
    """A collection from nothing, or gone on with where an earlier run of the same was stopped."""
    options = run.settings
    before = find_record(run.work, options.store_uri, options.collection)
    record: CollectionRecord = run_once(prefect_tasks.open_collection, quote(run), True)
    return _fill(Filling(run, record), times, [] if before is None else [before])


def _replace(run: IndexRun, times: StageTimes, gate_queries: str | None) -> _Filled:
    """A new collection beside the live one, checked; then the alias moves, in one step."""
    settings = run.settings
    live = live_record(settings)
    if live is not None and holds(live, run):
        return _fill(Filling(_at(run, live), live), times, [live])
    run, number = run_once(prefect_tasks.choose_collection, quote(run))
    record: CollectionRecord = run_once(prefect_tasks.open_collection, quote(run), True)
    with times.stage("find_encoded", None):
        known = [] if live is None else [live]
        run = run_once(prefect_tasks.find_encoded, quote(run), quote(known))
    filling = Filling(run, record)
    images, texts = encode(run, times)
    bm25 = build_sparse(run, times)
    upserts = upsert(filling, times)
    checked = replace(filling, record=replace(record, bm25=bm25))
    documents = sum(done.documents for done in upserts)
    with times.stage("check", None):
        checks: list[Check] = run_once(
            prefect_tasks.check_switch,
            quote(checked),
            documents,
            quote(live),
            gate_queries,
        )
    done = complete_record(checked, bm25, _counts(run, images, upserts))
    promote(settings, done.collection, number)
    return _Filled(filling, done, images, texts, upserts, checks=checks)


def _at(run: IndexRun, live: CollectionRecord) -> IndexRun:
    return replace(run, settings=run.settings.model_copy(update={"collection": live.collection}))


def _counts(run: IndexRun, images: list[Encoded], upserts: list[Upserted]) -> dict[str, int]:
    return {
        "images": sum(done.rows for done in images),
        "documents": sum(done.documents for done in upserts),
        "queries": run.plan.counts.queries,
    }


def _report(
    settings: Settings, strategy: Strategy, done: _Filled, times: StageTimes
) -> ReindexReport:
    run, alias = done.filling.run, find_alias(settings)
    rejects = run.plan.rejects
    rejects += sum(s.rejects for s in done.images) + sum(s.rejects for s in done.upserts)
    upserted = sum(s.fresh for s in done.upserts)
    switched = strategy == "blue-green" and bool(done.checks)
    return ReindexReport(
        name=settings.collection,
        strategy=strategy,
        collection=done.record.collection,
        previous=alias.previous if alias else None,
        changed=bool(upserted or done.deleted or switched),
        dataset=run.plan.dataset,
        model=run.model.name,
        dimension=run.model.dimension,
        store=settings.store_uri,
        rows=run.plan.counts.rows,
        images=done.record.counts["images"],
        queries=run.plan.counts.queries,
        documents=done.record.counts["documents"],
        upserted=upserted,
        deleted=done.deleted,
        encoded_images=sum(s.fresh for s in done.images),
        encoded_queries=sum(s.fresh for s in done.texts),
        rejects=rejects,
        bm25_drift=None if done.drift is None else round(done.drift, 4),
        checks=done.checks,
        verified=True,
        stages=times.stages,
        work_dir=settings.work_url,
        run_dir=run.folder.url,
        advice=_advice(settings, done, alias),
    )


def _advice(settings: Settings, done: _Filled, alias: Alias | None) -> list[str]:
    said = []
    if done.drift is not None and done.drift > settings.max_bm25_drift:
        said.append(
            f"keyword weights are off by {done.drift:.0%} since the BM25 statistics were counted; "
            f"count them anew with --strategy blue-green"
        )
    if done.checks and alias is not None and alias.previous is not None:
        said.append(f"{alias.previous} is kept: muge alias rollback --collection {alias.name}")
    return said


def as_markdown(report: ReindexReport) -> str:
    """The report as the artifact that the Prefect UI shows."""
    lines = [
        f"## {report.dataset} -> {report.store} / {report.name} ({report.strategy})",
        "",
        f"Searches use `{report.collection}`: {report.documents} documents, {report.upserted} sent "
        f"and {report.deleted} deleted just now, {report.encoded_images} images encoded. "
        f"{report.rejects} rejects.",
        "",
        *[f"- {check.said}" for check in report.checks],
        *[f"- {line}" for line in report.advice],
        "",
        "| stage | seconds | a second |",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {name} | {stage['seconds']:.2f} | {stage['per_second']:.0f} |"
        for name, stage in report.stages.items()
    ]
    return "\n".join(lines)

"""Flow reindex_dataset: a live collection follows its data set, and searches never notice."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.filling import complete, find_encoded, make, plan, upsert, verify
from flows.orchestration import parameters as options
from flows.orchestration.remote_store import prepare_store
from flows.orchestration.runners import StageTimes, run_once
from flows.orchestration.states import with_rejects
from flows.reindex_report import Filled, ReindexReport, Strategy, as_markdown, report_of
from tasks import prefect_tasks
from tasks.index.changes import Changes
from tasks.index.request import check_gate, check_request
from tasks.index.run import Filling, IndexRun
from tasks.reindex.blue_green import drop_previous, holds, live_record
from tasks.reindex.checks import Check
from tasks.reindex.drift import bm25_drift
from tasks.reindex.update import begin_update, check_removals, continuing, find_updatable
from tasks.settings import load_settings
from tasks.sparse.bm25 import load_bm25
from tasks.work.aliases import find_alias, following, promote
from tasks.work.collections import CollectionRecord, find_record, forget_runs
from tasks.work.folder import Folder
from tasks.work.lock import run_lock


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
    check_gate(strategy, gate_queries, max_drop)
    prepare_store(settings.store_uri)
    model_info = check_request(dataset, settings)
    with run_lock(Folder(settings.work_url), f"muge reindex {dataset}", settings.wait):
        times = StageTimes()
        run = plan(dataset, settings, model_info, times)
        run = replace(run, retry_rejects=retry_rejects)
        if strategy == "in-place":
            done = _update(run, times)
        else:
            done = _replace(run, times, gate_queries)
            alias = find_alias(settings)
            if alias is not None and not keep_previous:
                drop_previous(settings, alias)
        report = report_of(settings, strategy, done, times)
        done.made.run.folder.write_json("reindex.json", asdict(report))
    create_markdown_artifact(as_markdown(report), key="reindex-run", description="Reindex run")
    return with_rejects(report, report.rejects, f"{report.run_dir}/rejects")


def _update(run: IndexRun, times: StageTimes) -> Filled:
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


def _fill_changes(run: IndexRun, record: CollectionRecord, times: StageTimes) -> Filled:
    made = make(find_encoded(run, [record], times), times, kept=record)
    run = made.run
    with times.stage("find_changes", None):
        changes: Changes = run_once(prefect_tasks.find_changes, quote(run), quote(record))
        drift = bm25_drift(run, load_bm25(run.folder, run.bm25))
    check_removals(run, record, changes)
    filling = Filling(run, begin_update(run, record, changes), changes.folder)
    upserts = upsert(filling, times)
    with times.stage("delete_removed", changes.deletes) as count:
        if changes.deletes or changes.doubtful:
            run_once(prefect_tasks.delete_removed, quote(filling))
        count(changes.deletes)
    verify(filling, upserts, times)
    return Filled(made, complete(filling, made, upserts), upserts, changes.deletes, drift)


def _fill(
    filling: Filling,
    times: StageTimes,
    known: list[CollectionRecord],
    kept: CollectionRecord | None = None,
) -> Filled:
    """All stages of a collection that holds what the run makes, or nothing else."""
    made = make(find_encoded(filling.run, known, times), times, kept)
    filling = replace(filling, run=made.run)
    upserts = upsert(filling, times)
    verify(filling, upserts, times)
    return Filled(made, complete(filling, made, upserts), upserts)


def _build(run: IndexRun, times: StageTimes) -> Filled:
    """A collection from nothing, or gone on with where an earlier run of the same was stopped."""
    options = run.settings
    before = find_record(run.work, options.store_uri, options.collection)
    record: CollectionRecord = run_once(prefect_tasks.open_collection, quote(run), True)
    return _fill(Filling(run, record), times, [] if before is None else [before])


def _replace(run: IndexRun, times: StageTimes, gate_queries: str | None) -> Filled:
    """A new collection beside the live one, checked; then the alias moves, in one step."""
    settings = run.settings
    live = live_record(settings)
    if live is not None and holds(live, run):
        return _fill(Filling(_at(run, live), live), times, [live])
    run, number = run_once(prefect_tasks.choose_collection, quote(run))
    record: CollectionRecord = run_once(prefect_tasks.open_collection, quote(run), True)
    made = make(find_encoded(run, [] if live is None else [live], times), times)
    filling = Filling(made.run, replace(record, bm25=made.bm25))
    upserts = upsert(filling, times)
    documents = sum(done.documents for done in upserts)
    with times.stage("check", None):
        checks: list[Check] = run_once(
            prefect_tasks.check_switch,
            quote(filling),
            documents,
            quote(live),
            gate_queries,
        )
    done = complete(filling, made, upserts)
    promote(settings, done.collection, number)
    return Filled(made, done, upserts, checks=checks)


def _at(run: IndexRun, live: CollectionRecord) -> IndexRun:
    return replace(run, settings=run.settings.model_copy(update={"collection": live.collection}))

"""Flow index_dataset: a data set becomes a searchable, verified collection."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote
from pydantic import Field

from flows import options
from flows.dashvector_credentials import load_credentials
from flows.stage_runs import StageTimes, run_once, run_over
from tasks import prefect_tasks
from tasks.dataset.shards import Plan
from tasks.encode.stages import Encoded
from tasks.index_run import IndexRun, check_request
from tasks.index_stages import Upserted, complete_record
from tasks.settings import load_settings
from tasks.sparse.pool import working
from tasks.work.collections import CollectionRecord


@dataclass(frozen=True)
class IndexReport:
    """What an index run did; its fields are the stable JSON of `muge index --json`.

    `rows` counts lines of the data set, `images` those embedded, `rejects` what was refused in any
    stage. A stage's `per_second` counts what this run made; what was there already is left out.
    """

    collection: str
    model: str
    dimension: int
    dataset: str
    store: str
    rows: int
    images: int
    queries: int
    documents: int
    rejects: int
    skipped_shards: int
    encoded_images: int
    upserted: int
    verified: bool
    stages: dict[str, dict[str, float]]
    work_dir: str
    run_dir: str
    peak_rss_mb: int


@flow(
    name="index_dataset",
    flow_run_name="index {dataset}",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type]
    persist_result=False,
)
def index_dataset(
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
    replace: Annotated[
        bool, Field(description="Drop the collection first if it was made of something else.")
    ] = False,
) -> IndexReport:
    """Shard, encode, build BM25, upsert and verify; what is done already is not done again."""
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
    )
    load_credentials(settings.store_uri)
    model_info = check_request(dataset, settings)
    times = StageTimes()
    with times.stage("plan") as made:
        plan: Plan = run_once(prefect_tasks.plan, dataset, quote(settings))
        made(plan.counts.rows)
    run = IndexRun(settings, plan, model_info)
    record: CollectionRecord = run_once(prefect_tasks.open_collection, quote(run), replace)
    images = _encode(run, times)
    bm25 = _build_sparse(run, times)
    upserts = _upsert(run, record, times)
    with times.stage("verify", None):
        documents = sum(done.documents for done in upserts)
        run_once(prefect_tasks.verify, quote(run), record, documents)
    report = _report(run, images, upserts, times)
    counts = {"images": report.images, "documents": report.documents, "queries": report.queries}
    complete_record(run, record, bm25, counts)
    run.folder.write_json("run.json", asdict(report))
    create_markdown_artifact(as_markdown(report), key="index-run", description="Index run")
    return report


def _encode(run: IndexRun, times: StageTimes) -> list[Encoded]:
    plan, workers = run.plan, run.settings.workers
    with times.stage("encode_images", plan.counts.images) as made:
        images: list[Encoded] = run_over(
            prefect_tasks.encode_images,
            run,
            plan.shards,
            len(plan.shards),
            workers,
            "encode images",
        )
        made(sum(done.fresh for done in images))
    parts = range(plan.query_parts)
    with times.stage("encode_texts", plan.counts.queries) as made:
        texts: list[Encoded] = run_over(
            prefect_tasks.encode_texts, run, parts, len(parts), workers, "encode texts"
        )
        made(sum(done.fresh for done in texts))
    return images


def _build_sparse(run: IndexRun, times: StageTimes) -> str:
    with working(run.plan.counts.pairs, run.settings.sparse_workers) as processes:
        return _count_and_encode(run, times, processes)


def _count_and_encode(run: IndexRun, times: StageTimes, processes: int) -> str:
    with times.stage("train_bm25", None) as made:
        bm25: str = run_once(prefect_tasks.train_sparse, quote(run))
        made(run.plan.counts.images)
    shards = run.plan.shards
    with times.stage("encode_sparse", run.plan.counts.images) as made:
        fresh: list[int] = run_over(
            prefect_tasks.encode_sparse, run, shards, len(shards), processes, "encode sparse"
        )
        made(sum(fresh))
    return bm25


def _upsert(run: IndexRun, record: CollectionRecord, times: StageTimes) -> list[Upserted]:
    shards, total = run.plan.shards, run.plan.counts.images
    if run.settings.document == "pair":
        total = run.plan.counts.pairs
    with times.stage("upsert", total) as made:
        done: list[Upserted] = run_over(
            prefect_tasks.upsert,
            (run, record),
            shards,
            len(shards),
            run.settings.workers,
            "upsert",
        )
        made(sum(shard.fresh for shard in done))
    return done


def _report(
    run: IndexRun, images: list[Encoded], upserts: list[Upserted], times: StageTimes
) -> IndexReport:
    settings, counts = run.settings, run.plan.counts
    rejected = run.plan.rejects + sum(s.rejects for s in images) + sum(s.rejects for s in upserts)
    return IndexReport(
        collection=settings.collection,
        model=run.model.name,
        dimension=run.model.dimension,
        dataset=run.plan.dataset,
        store=settings.store_uri,
        rows=counts.rows,
        images=sum(done.rows for done in images),
        queries=counts.queries,
        documents=sum(done.documents for done in upserts),
        rejects=rejected,
        skipped_shards=sum(
            not (encoded.fresh or upserted.fresh)
            for encoded, upserted in zip(images, upserts, strict=True)
        ),
        encoded_images=sum(done.fresh for done in images),
        upserted=sum(done.fresh for done in upserts),
        verified=True,
        stages=times.stages,
        work_dir=settings.work_url,
        run_dir=run.folder.url,
        peak_rss_mb=peak_rss_mb(),
    )


def peak_rss_mb() -> int:
    """The most memory this process ever held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024


def as_markdown(report: IndexReport) -> str:
    """The report as the artifact that the Prefect UI shows."""
    lines = [
        f"## {report.dataset} -> {report.store} / {report.collection}",
        "",
        f"{report.documents} documents of {report.images} images and {report.queries} queries, "
        f"model `{report.model}` ({report.dimension} dimensions). "
        f"{report.rejects} rejects. {report.skipped_shards} shards were there already.",
        "",
        "| stage | seconds | a second |",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {name} | {stage['seconds']:.2f} | {stage['per_second']:.0f} |"
        for name, stage in report.stages.items()
    ]
    return "\n".join(lines)

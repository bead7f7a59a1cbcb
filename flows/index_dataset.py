"""Flow index_dataset: a data set becomes a searchable, verified collection."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.filling import complete, make, plan, upsert, verify
from flows.orchestration import parameters as options
from flows.orchestration.remote_store import prepare_store
from flows.orchestration.runners import StageTimes, run_once, stage_table
from flows.orchestration.states import with_rejects
from tasks import prefect_tasks
from tasks.encode.stage.stages import Encoded
from tasks.index.done import Upserted
from tasks.index.record import as_recorded
from tasks.index.request import check_request
from tasks.index.run import Filling, IndexRun
from tasks.records import ModelInfo
from tasks.settings import Settings, load_settings
from tasks.work.aliases import following
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.lock import run_lock


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
    runner: options.Runner = None,
    wait: options.Wait = None,
    replace: Annotated[
        bool, options.Described("Drop the collection first if it was made of something else.")
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
        runner=runner,
        wait=wait,
    )
    prepare_store(settings.store_uri)
    settings = following(settings)
    model_info = check_request(dataset, settings)
    with run_lock(Folder(settings.work_url), f"muge index {dataset}", settings.wait):
        return _index(dataset, settings, model_info, replace)


def _index(dataset: str, settings: Settings, model: ModelInfo, anew: bool) -> IndexReport:
    times = StageTimes()
    run = as_recorded(plan(dataset, settings, model, times))
    record: CollectionRecord = run_once(prefect_tasks.open_collection, quote(run), anew)
    filling = Filling(run, record)
    made = make(run, times)
    upserts = upsert(filling, times)
    verify(filling, upserts, times)
    report = _report(run, made.images, upserts, times)
    complete(filling, made, upserts)
    run.folder.write_json("run.json", asdict(report))
    create_markdown_artifact(as_markdown(report), key="index-run", description="Index run")
    return with_rejects(report, report.rejects, f"{report.run_dir}/rejects")


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
        *stage_table(report.stages),
    ]
    lines += ["", "Busy and waiting, as shares of a stage's time (1 is one thread):", ""]
    lines += [f"- {name}: {said}" for name, said in step_shares(report.stages).items()]
    return "\n".join(lines)


def step_shares(stages: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """What the steps of each stage did, in words; stages without such figures are left out."""
    said = {
        name: ", ".join(
            f"{step} {share:.2f}"
            for step, share in stage.items()
            if step.endswith(("_busy", "_wait"))
        )
        for name, stage in stages.items()
    }
    return {name: text for name, text in said.items() if text}

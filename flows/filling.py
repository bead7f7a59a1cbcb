"""The stages that every flow which fills a collection runs over its shards."""

from __future__ import annotations

from dataclasses import dataclass

from prefect.utilities.annotations import quote

from flows.orchestration.places import encoding_place
from flows.orchestration.runners import StageTimes, Threads, run_once, run_over
from tasks import prefect_tasks
from tasks.dataset.shards import Plan
from tasks.encode.stage.stages import Encoded
from tasks.index.done import Upserted, images_done, sparse_done, texts_done, upsert_done
from tasks.index.run import Filling, IndexRun
from tasks.index.stages import complete_record
from tasks.records import ModelInfo
from tasks.settings import Settings
from tasks.sparse.pool import working
from tasks.work.collections import CollectionRecord
from tasks.work.markers import completed


@dataclass(frozen=True)
class Made:
    """What the documents of a run are put together from: pictures and queries as they were encoded,
    and the hash of the BM25 statistics."""

    run: IndexRun
    images: list[Encoded]
    texts: list[Encoded]
    bm25: str


def plan(dataset: str, settings: Settings, model: ModelInfo, times: StageTimes) -> IndexRun:
    """Read the data set and cut it into shards."""
    with times.stage("plan") as made:
        found: Plan = run_once(prefect_tasks.plan, dataset, quote(settings))
        made(found.counts.rows)
    return IndexRun(settings, found, model)


def find_encoded(run: IndexRun, known: list[CollectionRecord], times: StageTimes) -> IndexRun:
    """The run, knowing what of its data was encoded for the collections of these records."""
    with times.stage("find_encoded", None):
        found: IndexRun = run_once(prefect_tasks.find_encoded, quote(run), quote(known))
    return found


def make(run: IndexRun, times: StageTimes, kept: CollectionRecord | None = None) -> Made:
    """All that the documents of a run need, with BM25 statistics of its own or those of `kept`."""
    images, texts = encode(run, times)
    return Made(run, images, texts, build_sparse(run, times, kept))


def encode(run: IndexRun, times: StageTimes) -> tuple[list[Encoded], list[Encoded]]:
    """Encode all pictures, shard by shard, and all queries, part by part."""
    plan = run.plan
    with encoding_place(run.settings) as place:
        with times.stage("encode_images", plan.counts.images) as made:
            images: list[Encoded] = run_over(
                prefect_tasks.encode_images,
                run,
                plan.shards,
                place,
                "encode_images",
                images_done,
            )
            made(sum(done.fresh for done in images))
        times.add_shares("encode_images", [done.seconds for done in images])
        parts = range(plan.query_parts)
        with times.stage("encode_texts", plan.counts.queries) as made:
            texts: list[Encoded] = run_over(
                prefect_tasks.encode_texts, run, parts, place, "encode_texts", texts_done
            )
            made(sum(done.fresh for done in texts))
        times.add_shares("encode_texts", [done.seconds for done in texts])
    return images, texts


def build_sparse(run: IndexRun, times: StageTimes, kept: CollectionRecord | None = None) -> str:
    """BM25 statistics, counted or those of `kept`, and the documents' vectors; returns the hash of
    the statistics."""
    with working(run.plan.counts.pairs, run.settings.sparse_workers) as processes:
        with times.stage("train_bm25", None) as made:
            if kept is None:
                there = completed(run.folder, run.bm25) is not None
                bm25: str = run_once(prefect_tasks.train_sparse, quote(run))
                made(0 if there else run.plan.counts.images)
            else:
                bm25 = run_once(prefect_tasks.keep_statistics, quote(run), quote(kept)).hash
        shards = run.plan.shards
        with times.stage("encode_sparse", run.plan.counts.images) as made:
            fresh: list[int] = run_over(
                prefect_tasks.encode_sparse,
                run,
                shards,
                Threads(processes),
                "encode_sparse",
                sparse_done,
            )
            made(sum(fresh))
    return bm25


def upsert(filling: Filling, times: StageTimes) -> list[Upserted]:
    """Send what the store does not hold yet, shard by shard."""
    plan, total = filling.run.plan, filling.run.plan.counts.images
    if filling.run.settings.document == "pair":
        total = plan.counts.pairs
    with times.stage("upsert", total) as made:
        done: list[Upserted] = run_over(
            prefect_tasks.upsert,
            filling,
            plan.shards,
            Threads(filling.run.settings.workers),
            "upsert",
            upsert_done,
        )
        made(sum(shard.fresh for shard in done))
    return done


def verify(filling: Filling, upserts: list[Upserted], times: StageTimes) -> None:
    """Compare the store with what was sent; raises `VerificationError`."""
    with times.stage("verify", None):
        documents = sum(done.documents for done in upserts)
        run_once(prefect_tasks.verify, quote(filling), documents)


def complete(filling: Filling, made: Made, upserts: list[Upserted]) -> CollectionRecord:
    """Write that the collection is ready, and what is in it."""
    counts = {
        "images": sum(done.rows for done in made.images),
        "documents": sum(done.documents for done in upserts),
        "queries": made.run.plan.counts.queries,
    }
    return complete_record(filling, made.bm25, counts)

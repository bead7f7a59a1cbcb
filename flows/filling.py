"""The stages that every flow which fills a collection runs over its shards."""

from __future__ import annotations

from prefect.utilities.annotations import quote

from flows.places import encoding_place
from flows.stage_runs import StageTimes, Threads, run_once, run_over
from tasks import prefect_tasks
from tasks.encode.stages import Encoded
from tasks.index_run import Filling, IndexRun
from tasks.index_stages import Upserted
from tasks.sparse.pool import working
from tasks.work.collections import CollectionRecord


def encode(run: IndexRun, times: StageTimes) -> tuple[list[Encoded], list[Encoded]]:
    """Encode all pictures, shard by shard, and all queries, part by part."""
    plan = run.plan
    with encoding_place(run.settings) as place:
        with times.stage("encode_images", plan.counts.images) as made:
            images: list[Encoded] = run_over(
                prefect_tasks.encode_images,
                run,
                plan.shards,
                len(plan.shards),
                place,
                "encode_images",
            )
            made(sum(done.fresh for done in images))
        times.add_shares("encode_images", [done.seconds for done in images])
        parts = range(plan.query_parts)
        with times.stage("encode_texts", plan.counts.queries) as made:
            texts: list[Encoded] = run_over(
                prefect_tasks.encode_texts, run, parts, len(parts), place, "encode_texts"
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
                bm25: str = run_once(prefect_tasks.train_sparse, quote(run))
                made(run.plan.counts.images)
            else:
                bm25 = run_once(prefect_tasks.keep_statistics, quote(run), quote(kept)).hash
        shards = run.plan.shards
        with times.stage("encode_sparse", run.plan.counts.images) as made:
            fresh: list[int] = run_over(
                prefect_tasks.encode_sparse,
                run,
                shards,
                len(shards),
                Threads(processes),
                "encode_sparse",
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
            len(plan.shards),
            Threads(filling.run.settings.workers),
            "upsert",
        )
        made(sum(shard.fresh for shard in done))
    return done

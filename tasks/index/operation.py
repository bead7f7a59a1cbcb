"""The order of an index run, and of every run that fills a collection, for any runner."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tasks.downloaded.stage import Ask
from tasks.encode.stage.plan import Encoded
from tasks.index import stages
from tasks.index.agreement import check_live
from tasks.index.completion import complete_record
from tasks.index.done import Upserted
from tasks.index.record import as_recorded
from tasks.index.report import IndexReport, report_of
from tasks.index.request import check_request
from tasks.index.room import check_room, warn_of_little_room
from tasks.index.run import Filling, IndexRun
from tasks.index.runner import Runner
from tasks.index.times import StageTimes
from tasks.records import ModelInfo, QueryPart
from tasks.settings import Settings
from tasks.work.collections import CollectionRecord


@dataclass(frozen=True)
class Made:
    """What the documents of a run are put together from: pictures and queries as they were encoded,
    and the hash of the BM25 statistics."""

    run: IndexRun
    images: list[Encoded]
    texts: list[Encoded]
    bm25_hash: str


def index(dataset: str, settings: Settings, runner: Runner, replace: bool = False) -> IndexReport:
    """Shard, encode, build BM25, upsert and verify; what is done already is not done again.

    `replace` drops the collection first if it was made of something else, is damaged, or has a
    record that cannot be used. Raises `UsageError` (or a
    child) for what cannot work, `WorkFolderError` if another run holds the work folder,
    `VerificationError` if the store does not hold what was sent.
    """
    with runner.context.watch.run("index", settings.collection, dataset) as run:
        report = _index(dataset, settings, runner, replace)
        run.report(report)
    return report


def _index(dataset: str, settings: Settings, runner: Runner, replace: bool) -> IndexReport:
    alias = runner.context.aliases(settings).agreed()
    if alias is not None:
        settings = settings.model_copy(update={"collection": alias.live})
    request = check_request(dataset, settings)
    with runner.context.holding(settings, f"muge index {dataset}"):
        if not replace:
            check_live(runner.context, settings)
        times = StageTimes(runner.context.progress)
        ask: Ask | None = "missing" if request.addresses else None
        run = as_recorded(plan(dataset, settings, request.model, runner, times, ask))
        check_room(run)
        filling = Filling(run, runner.once(stages.OPEN_COLLECTION, run, replace))
        warn_of_little_room(run)
        made = make(run, runner, times)
        upserts = upsert(filling, runner, times)
        verify(filling, upserts, runner, times)
        report = report_of(run, made.images, upserts, times)
        complete(filling, made, upserts)
        run.folder.write_json("run.json", asdict(report))
    return report


def plan(
    dataset: str,
    settings: Settings,
    model: ModelInfo,
    runner: Runner,
    times: StageTimes,
    ask: Ask | None = None,
) -> IndexRun:
    """Read the data set and cut it into shards, when the addresses of its pictures were asked that
    `ask` says (None: it has none)."""
    downloads = None
    if ask is not None:
        with times.stage(stages.DOWNLOAD.name) as count:
            downloads = runner.once(stages.DOWNLOAD, dataset, settings, ask)
            count(downloads.fetched)
    with times.stage(stages.PLAN.name) as count:
        planned = runner.once(stages.PLAN, dataset, settings)
        count(planned.counts.rows)
    fence = runner.context.fence
    return IndexRun(settings, planned, model, downloads=downloads, fence=fence)


def find_encoded(
    run: IndexRun, known: list[CollectionRecord], runner: Runner, times: StageTimes
) -> IndexRun:
    """The run, knowing what of its data was encoded for the collections of these records."""
    with times.stage(stages.FIND_ENCODED.name):
        return runner.once(stages.FIND_ENCODED, run, known)


def make(
    run: IndexRun, runner: Runner, times: StageTimes, kept: CollectionRecord | None = None
) -> Made:
    """All that the documents of a run need, with BM25 statistics of its own or those of `kept`."""
    images, texts = encode(run, runner, times)
    return Made(run, images, texts, build_sparse(run, runner, times, kept))


def encode(run: IndexRun, runner: Runner, times: StageTimes) -> tuple[list[Encoded], list[Encoded]]:
    """Encode all pictures, shard by shard, and all queries, part by part."""
    plan = run.plan
    parts = [QueryPart(number) for number in range(plan.query_parts)]
    with runner.encoding(run.settings) as encoders:
        name = stages.ENCODE_IMAGES.name
        with times.stage(name, plan.counts.images) as count:
            images = encoders.over(stages.ENCODE_IMAGES, run, plan.shards)
            count(sum(encoded.fresh for encoded in images))
        times.add_shares(name, [encoded.seconds for encoded in images])
        name = stages.ENCODE_TEXTS.name
        with times.stage(name, plan.counts.queries) as count:
            texts = encoders.over(stages.ENCODE_TEXTS, run, parts)
            count(sum(encoded.fresh for encoded in texts))
        times.add_shares(name, [encoded.seconds for encoded in texts])
    return images, texts


def build_sparse(
    run: IndexRun, runner: Runner, times: StageTimes, kept: CollectionRecord | None = None
) -> str:
    """BM25 statistics, counted or those of `kept`, and the documents' vectors; returns the hash of
    the statistics."""
    counts, most = run.plan.counts, run.settings.sparse_workers
    with runner.context.text_processes(counts.pairs, most) as at_once:
        with times.stage(stages.TRAIN_BM25.name) as count:
            if kept is None:
                trained = runner.once(stages.TRAIN_BM25, run)
                count(trained.fresh)
            else:
                trained = runner.once(stages.KEEP_STATISTICS, run, kept)
        with times.stage(stages.ENCODE_SPARSE.name, counts.images) as count:
            count(sum(runner.over(stages.ENCODE_SPARSE, run, run.plan.shards, at_once)))
    return trained.hash


def upsert(filling: Filling, runner: Runner, times: StageTimes) -> list[Upserted]:
    """Send what the store does not hold yet, shard by shard."""
    settings, counts = filling.run.settings, filling.run.plan.counts
    total = counts.pairs if settings.document == "pair" else counts.images
    with times.stage(stages.UPSERT.name, total) as count:
        shards = filling.run.plan.shards
        upserts = runner.over(stages.UPSERT, filling, shards, settings.workers)
        count(sum(shard.fresh for shard in upserts))
    return upserts


def verify(filling: Filling, upserts: list[Upserted], runner: Runner, times: StageTimes) -> None:
    """Compare the store with what was sent; raises `VerificationError`."""
    with times.stage(stages.VERIFY.name):
        documents = sum(shard.documents for shard in upserts)
        runner.once(stages.VERIFY, filling, documents)


def complete(filling: Filling, made: Made, upserts: list[Upserted]) -> CollectionRecord:
    """Write that the collection is ready, and what is in it."""
    counts = {
        "images": sum(encoded.rows for encoded in made.images),
        "documents": sum(shard.documents for shard in upserts),
        "queries": made.run.plan.counts.queries,
    }
    return complete_record(filling, made.bm25_hash, counts)

"""The order of an index run, and of every run that fills a collection, for any runner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import NoReturn

from tasks.context import Context
from tasks.downloaded.stage import Ask
from tasks.encode.stage.plan import Encoded
from tasks.errors import LimitReachedError, UsageError
from tasks.index import stages
from tasks.index.agreement import check_live, load_statistics
from tasks.index.alpha import tell
from tasks.index.completion import complete_record
from tasks.index.done import Upserted
from tasks.index.limit import UNLIMITED, Limit, Unfinished, allotted, limit_of, limited_by
from tasks.index.record import as_kept, as_recorded
from tasks.index.report import IndexReport, Stopped, report_of, unfinished_report
from tasks.index.request import check_request
from tasks.index.room import check_room, missing, warn_of_little_room
from tasks.index.run import FEW, Filling, IndexRun
from tasks.index.runner import Encoders, Runner
from tasks.index.times import StageTimes
from tasks.records import ModelInfo, QueryPart, Shard
from tasks.settings import Settings
from tasks.work.collections import AlphaProposal, Certainty, CollectionRecord, readable_record
from tasks.work.folder import Folder

MEASURED_ANEW = 0.05
"""The share of a collection's documents that must have changed, all updates together, before it is
measured anew what suits it."""
AT_LEAST = 16
"""Shards of a wave in which nothing new may be encoded."""


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
    settings = as_kept(settings, _record_of(settings))
    limit = limit_of(settings, runner.context.began)
    with runner.context.holding(limit.waiting(settings), f"muge index {dataset}"):
        if not replace:
            check_live(runner.context, settings)
        times = StageTimes(runner.context.progress)
        ask: Ask | None = "missing" if request.addresses else None
        try:
            run = as_recorded(plan(dataset, settings, request.model, runner, times, ask, limit))
            check_room(run)
            filling = Filling(run, runner.once(stages.OPEN_COLLECTION, run, replace))
            warn_of_little_room(run)
            made = make(run, runner, times)
            upserts = upsert(filling, runner, times, made.images)
        except LimitReachedError as error:
            return unfinished_report(settings, dataset, request.model, stopped(error), times)
        verify(filling, upserts, runner, times)
        report = report_of(run, made.images, upserts, times)
        complete(filling, made, upserts, runner)
        run.folder.write_json("run.json", asdict(report))
    return report


def _record_of(settings: Settings) -> CollectionRecord | None:
    return readable_record(Folder(settings.work_url), settings.store_uri, settings.collection)


def plan(
    dataset: str,
    settings: Settings,
    model: ModelInfo,
    runner: Runner,
    times: StageTimes,
    ask: Ask | None = None,
    limit: Limit = UNLIMITED,
) -> IndexRun:
    """Read the data set and cut it into shards, when the addresses of its pictures were asked that
    `ask` says (None: it has none). Raises `LimitReachedError`, as the stages behind it do."""
    downloads = None
    if ask is not None:
        with times.stage(stages.DOWNLOAD.name) as count:
            downloads = runner.once(stages.DOWNLOAD, dataset, settings, ask, limit)
            count(downloads.fetched)
        if downloads.left:
            asked = downloads.kept + downloads.fetched + sum(downloads.failed.values())
            _stop(settings, limit, stages.DOWNLOAD.name, (asked, asked + downloads.left))
    if limit.over():
        _stop(settings, limit, stages.PLAN.name, (0, 0))
    read_before = dataset in runner.context.planned
    with times.stage(stages.PLAN.name) as count:
        planned = runner.once(stages.PLAN, dataset, settings)
        count(0 if read_before else planned.counts.rows)
    fence = runner.context.fence
    return IndexRun(settings, planned, model, downloads=downloads, fence=fence, limit=limit)


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
    with _texts_ahead(run, runner.context, kept):
        images, texts = encode(run, runner, times)
        return Made(run, images, texts, build_sparse(run, runner, times, kept, images))


@contextmanager
def _texts_ahead(run: IndexRun, context: Context, kept: CollectionRecord | None) -> Iterator[None]:
    """Of a small update, have the process that encodes texts load its segmenter while pictures are
    encoded: that takes longer than its texts. Of others it would take memory beside the model."""
    if kept is None or not run.is_small or not run.fresh:
        yield
        return
    folder = run.work.sub(kept.run)
    texts, most = run.plan.counts.pairs, run.settings.sparse_workers
    with context.text_processes(texts, most, lambda: load_statistics(kept, folder)):
        yield


def encode(run: IndexRun, runner: Runner, times: StageTimes) -> tuple[list[Encoded], list[Encoded]]:
    """Encode all pictures, shard by shard, and all queries, part by part."""
    plan, enough = run.plan, run.limit.over
    parts = [QueryPart(number) for number in range(plan.query_parts)]
    with runner.encoding(run.settings) as encoders:
        name = stages.ENCODE_IMAGES.name
        with times.stage(name, plan.counts.images) as count:
            images = _encode_images(run, encoders)
            count(sum(encoded.fresh for encoded in images))
        times.add_shares(name, [encoded.seconds for encoded in images])
        if _is_cut(images, plan.shards):
            left = sum(encoded.left for encoded in images)
            left += missing(run.folder, run.image_stage.images, plan.shards[len(images) :])
            done = plan.counts.images - left, plan.counts.images
            _stop(run.settings, run.limit, name, done, run, images)
        name = stages.ENCODE_TEXTS.name
        with times.stage(name, plan.counts.queries) as count:
            texts = encoders.over(stages.ENCODE_TEXTS, run, parts, enough, run.is_small)
            count(sum(encoded.fresh for encoded in texts))
        times.add_shares(name, [encoded.seconds for encoded in texts])
        if _is_cut(texts, parts):
            done = sum(encoded.rows for encoded in texts), plan.counts.queries
            _stop(run.settings, run.limit, name, done, run, images)
    return images, texts


def _encode_images(run: IndexRun, encoders: Encoders) -> list[Encoded]:
    """Encode the pictures of all shards, or of the first of them within the limit of the run: then
    the last may be one that was begun and is not done.

    Where the number of new pictures is limited, shards go in waves of as many pictures as are left:
    what those had no need to encode is there for the next wave.
    """
    shards, limit = run.plan.shards, run.limit
    if not limit.images:
        return encoders.over(stages.ENCODE_IMAGES, run, shards, limit.over, run.is_small)
    encoded: list[Encoded] = []
    room, begun = limit.images, 0
    while len(encoded) < len(shards):
        wave = _wave(shards[len(encoded) :], room)
        most = allotted({shard.part: shard.images for shard in wave}, room)
        made = encoders.over(stages.ENCODE_IMAGES, replace(run, allotted=most), wave, limit.over)
        room -= sum(shard.fresh for shard in made)
        if made and begun:  # it was the last of the wave before
            made[0], begun = replace(made[0], fresh=made[0].fresh + begun), 0
        encoded += made
        cut = next((number for number, shard in enumerate(encoded) if shard.left), None)
        if limit.over() or (cut is None and len(made) < len(wave)):
            break
        if cut is not None:
            if encoded[cut].step > room:
                if not any(shard.fresh for shard in encoded):
                    _check_step(limit, encoded[cut])
                del encoded[cut + 1 :]
                break
            begun = encoded[cut].fresh
            del encoded[cut:]
    return encoded


def _wave(shards: Sequence[Shard], room: int) -> list[Shard]:
    """The first shards, as long as there is room for a picture of each; a few where there is none:
    nothing of theirs may have to be encoded."""
    wave: list[Shard] = []
    least = 1 if room > 0 else AT_LEAST
    for shard in shards:
        if room <= 0 and len(wave) >= least:
            break
        wave.append(shard)
        room -= shard.images
    return wave


def _check_step(limit: Limit, cut: Encoded) -> None:
    """Raise `UsageError` if no run with this limit could ever go on."""
    if cut.step > limit.images:
        raise UsageError(
            f"max-images (MUGE_MAX_IMAGES) is {limit.images}, and the model encodes {cut.step} "
            f"pictures together: give at least {cut.step}, or a smaller MUGE_BATCH_IMAGES"
        )


def _is_cut(done: Sequence[Encoded], parts: Sequence[object]) -> bool:
    return len(done) < len(parts) or any(part.left for part in done)


def _stop(
    settings: Settings,
    limit: Limit,
    stage: str,
    done: tuple[int, int],
    run: IndexRun | None = None,
    images: Sequence[Encoded] = (),
    upserts: Sequence[Upserted] = (),
) -> NoReturn:
    """Raise `LimitReachedError`: of the items of a stage so many of so many are done."""
    unfinished = Unfinished(limited_by(settings, limit), stage, *done)
    raise LimitReachedError(unfinished.said, Stopped(unfinished, run, images, upserts))


def stopped(error: LimitReachedError) -> Stopped:
    """What the run that was stopped had done."""
    assert isinstance(error.stopped, Stopped)
    return error.stopped


def build_sparse(
    run: IndexRun,
    runner: Runner,
    times: StageTimes,
    kept: CollectionRecord | None = None,
    images: Sequence[Encoded] = (),
) -> str:
    """BM25 statistics, counted or those of `kept`, and the documents' vectors; returns the hash of
    the statistics."""
    counts, most = run.plan.counts, run.settings.sparse_workers
    if run.limit.over():
        _stop(run.settings, run.limit, stages.TRAIN_BM25.name, (0, counts.images), run, images)
    with runner.context.text_processes(counts.pairs, most) as at_once:
        with times.stage(stages.TRAIN_BM25.name) as count:
            if kept is None:
                trained = runner.once(stages.TRAIN_BM25, run)
                count(trained.fresh)
            else:
                trained = runner.once(stages.KEEP_STATISTICS, run, kept)
        with times.stage(stages.ENCODE_SPARSE.name, counts.images) as count:
            shards, enough = run.plan.shards, run.limit.over
            small = kept is not None and run.is_small
            made = runner.over(stages.ENCODE_SPARSE, run, shards, at_once, enough, small)
            count(sum(made))
    if len(made) < len(shards):
        done = sum(shard.images for shard in shards[: len(made)]), counts.images
        _stop(run.settings, run.limit, stages.ENCODE_SPARSE.name, done, run, images)
    return trained.hash


def upsert(
    filling: Filling,
    runner: Runner,
    times: StageTimes,
    images: Sequence[Encoded] = (),
    documents: int | None = None,
) -> list[Upserted]:
    """Send what the store does not hold yet, shard by shard: so many `documents` (None: who
    knows)."""
    settings, counts, limit = filling.run.settings, filling.run.plan.counts, filling.run.limit
    total = counts.pairs if settings.document == "pair" else counts.images
    with times.stage(stages.UPSERT.name, total) as count:
        shards, workers = filling.run.plan.shards, settings.workers
        small = documents is not None and documents <= FEW
        upserts = runner.over(stages.UPSERT, filling, shards, workers, limit.over, small)
        count(sum(shard.fresh for shard in upserts))
    if len(upserts) < len(shards):
        done = sum(shard.documents for shard in upserts), total
        _stop(settings, limit, stages.UPSERT.name, done, filling.run, images, upserts)
    return upserts


def verify(filling: Filling, upserts: list[Upserted], runner: Runner, times: StageTimes) -> None:
    """Compare the store with what was sent; raises `VerificationError`."""
    with times.stage(stages.VERIFY.name):
        documents = sum(shard.documents for shard in upserts)
        runner.once(stages.VERIFY, filling, documents)


def complete(
    filling: Filling,
    made: Made,
    upserts: list[Upserted],
    runner: Runner,
    changed: int | None = None,
) -> CollectionRecord:
    """Write that the collection is ready, what is in it, and which alpha suits it: that is measured
    unless only so few of its documents `changed` (None: who knows) that it cannot be another."""
    counts = {
        "images": sum(encoded.rows for encoded in made.images),
        "documents": sum(shard.documents for shard in upserts),
        "queries": made.run.plan.counts.queries,
    }
    proposal, certainty = filling.record.proposal, filling.record.certainty
    if proposal is None or proposal.made_of != filling.run.made_of:
        kept = None if changed is None else _still_holds(filling, changed, counts["documents"])
        proposal, certainty = kept or _measure(filling, runner, counts["documents"])
    record = complete_record(filling, made.bm25_hash, counts, proposal, certainty)
    tell(filling.run.settings, record)
    return record


def _still_holds(
    filling: Filling, changed: int, documents: int
) -> tuple[AlphaProposal, Certainty] | None:
    """What was measured before so few documents changed; None if it is to be measured anew."""
    proposal, certainty = filling.record.proposal, filling.record.certainty
    if proposal is None or certainty is None:
        return None
    changed += proposal.changed
    if changed > MEASURED_ANEW * documents:
        return None
    made_of = filling.run.made_of
    return (
        replace(proposal, made_of=made_of, changed=changed),
        replace(certainty, made_of=made_of),
    )


def _measure(
    filling: Filling, runner: Runner, documents: int
) -> tuple[AlphaProposal, Certainty | None]:
    from tasks.evaluate.gallery import Gallery
    from tasks.evaluate.proposal import measure  # searches are no part of most runs

    run = filling.run
    store = runner.context.store(run.settings.store_uri)
    gallery = Gallery(filling.record, store, run.folder, run.plan.shards, run.parts)
    return measure(run, gallery, documents)

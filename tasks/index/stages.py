"""What each stage of an index run does, by reference: plain functions, and their names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import pyarrow as pa

from tasks.context import Context
from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.reader import Bounds, Reader
from tasks.dataset.readers import bounds_of, open_reader
from tasks.dataset.shards import Plan, plan_shards, read_entries, read_images, read_queries
from tasks.downloaded.kept import Kept
from tasks.downloaded.reader import Downloaded
from tasks.downloaded.stage import Ask, Downloads, all_downloaded, download_pictures
from tasks.encode.model.contract import Encoder
from tasks.encode.model.load import encoder_for
from tasks.encode.model.locate import full_name
from tasks.encode.stage.bases import Base, find_base
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.plan import Encoded
from tasks.encode.stage.reuse import known_images, known_of_part, known_texts, plan_reuse
from tasks.encode.stage.stages import encode_image_shard, encode_query_part, image_shard_done
from tasks.errors import WorkFolderError
from tasks.index import unchanged
from tasks.index.agreement import load_statistics, stored
from tasks.index.documents import collection_fields, collection_spec
from tasks.index.done import images_done, sparse_done, texts_done, upsert_done
from tasks.index.limit import UNLIMITED, Limit
from tasks.index.record import after_losses, agree, described, is_damaged
from tasks.index.run import IndexRun
from tasks.index.runner import PartStage, Stage
from tasks.index.upserting import upsert
from tasks.index.verification import verify_filled
from tasks.records import Float32, QueryPart, Shard
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.stages import encode_sparse_shard, train_statistics
from tasks.telemetry.metrics import RETRIES
from tasks.work.begun import Begun, begun_runs, note_begun
from tasks.work.collections import (
    CollectionRecord,
    Outputs,
    find_record,
    readable_record,
    remove_record,
    save_record,
)
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete


@dataclass(frozen=True, slots=True)
class Trained:
    """BM25 statistics that are there: their hash, and the images that were counted just now."""

    hash: str
    fresh: int


def download(
    context: Context, dataset: str, settings: Settings, ask: Ask, limit: Limit = UNLIMITED
) -> Downloads:
    """Download the pictures of a data set that `ask` says, as long as the limit allows."""
    return download_pictures(
        open_reader(dataset, bounds_of(settings)),
        context.work(settings),
        settings,
        ask,
        lambda total: context.progress.start("download", total),
        context.advancing("download"),
        lambda: context.watch.add(RETRIES, 1, "download"),
        limit.over,
    )


def downloaded(
    context: Context, dataset: str, settings: Settings, ask: Ask, limit: Limit = UNLIMITED
) -> Downloads | None:
    """What is kept of the pictures, if none has to be downloaded."""
    reader = open_reader(dataset, bounds_of(settings))
    return all_downloaded(reader, context.work(settings), settings, ask)


def plan(context: Context, dataset: str, settings: Settings) -> Plan:
    """Read the data set once and cut it into shards, unless the caller did that just now."""
    if (made := context.planned.pop(dataset, None)) is not None:
        return made
    return plan_shards(
        dataset,
        _open(dataset, bounds_of(settings), context.work(settings)),
        context.work(settings),
        settings.shard_images,
        settings.max_image_bytes,
        context.advancing("plan"),
        settings.upright,
    )


def plan_if_ready(context: Context, dataset: str, settings: Settings) -> Plan | None:
    """The plan, if there is a finished collection that may hold all of it; who runs the stage after
    this is given the same."""
    live = context.aliases(settings).meant()
    record = readable_record(Folder(settings.work_url), settings.store_uri, live)
    if record is None or record.status != "ready":
        return None
    context.planned[dataset] = made = plan(context, dataset, settings)
    return made


def find_encoded(_: Context, run: IndexRun, records: Sequence[CollectionRecord]) -> IndexRun:
    """The run, knowing what of its data was encoded for these collections, and by runs that were
    begun and did not end; from now on it is such a run too."""
    made: dict[str, Outputs | Begun] = {record.run: record.stages for record in records}
    made |= {one.run: one for one in begun_runs(run.work, run.notes) if one.run not in made}
    note_begun(run.work, run.notes, run.begun)
    sources = [found for each in made.items() if (found := run.encodings(*each)) is not None]
    taken, parts = unchanged.take_pictures(run, sources), run.plan.query_parts
    shards = [shard for shard in run.plan.shards if shard not in taken]
    reuse = plan_reuse(run.work, run.own_encodings, shards, parts, sources)
    return replace(run, reuse=reuse.folder, fresh=reuse.fresh)


def nothing_to_find(
    _: Context, run: IndexRun, records: Sequence[CollectionRecord]
) -> IndexRun | None:
    """The run: who encodes nothing need not know what was encoded."""
    return run


def encode_images(context: Context, run: IndexRun, shard: Shard) -> Encoded:
    """Encode the pictures of a shard, unless that is done."""
    done = image_shard_done(run.folder, shard, run.image_stage) if run.retry_rejects else None
    again = done is not None and bool(done.counts["rejects"])
    pictures = _ShardPictures(context, run, shard, again)
    bounds = run.bounds(shard.part)
    return encode_image_shard(run.folder, shard, run.image_stage, pictures, again, bounds)


def encode_texts(context: Context, run: IndexRun, part: QueryPart) -> Encoded:
    """Encode one part of the queries, unless that is done."""
    queries = _PartQueries(context, run, part)
    bounds, seconds = run.bounds(part.part), run.settings.checkpoint_seconds
    return encode_query_part(run.folder, part, run.texts, queries, seconds, bounds)


@dataclass(frozen=True)
class _ShardPictures:
    """A `PictureSource`: the pictures of a shard; with `again` what is known of them is what the
    shard itself holds."""

    context: Context
    run: IndexRun
    shard: Shard
    again: bool

    def base(self, schema: pa.Schema) -> Base | None:
        run = self.run
        most = 0.0 if self.again else run.settings.max_delta
        return find_base(run.work, run.own_encodings, run.reuse, self.shard, schema, most)

    def entries(self, only: Sequence[int] | None = None) -> Sequence[CatalogEntry]:
        return list(read_entries(self.run.folder, self.shard, only))

    def read(self, entries: Sequence[CatalogEntry]) -> Iterable[tuple[CatalogEntry, bytes]]:
        return read_images(_reader_of(self.run), entries)

    def known(self, wanted: Collection[str]) -> Mapping[str, KnownImage]:
        run = self.run
        if self.again:
            return known_of_part(run.work, run.own_encodings, self.shard)
        return known_images(run.work, run.plan.folder, run.reuse, self.shard, wanted)

    def encoder(self) -> Encoder:
        return _encoder(self.run, self.shard.index)

    def advance(self, images: int) -> None:
        self.context.progress.advance("encode_images", images)


@dataclass(frozen=True)
class _PartQueries:
    """A `QuerySource`: one part of the queries."""

    context: Context
    run: IndexRun
    part: QueryPart

    def queries(self) -> Iterable[tuple[int, str]]:
        return read_queries(self.run.folder, self.part)

    def known(self) -> Mapping[str, Float32]:
        run = self.run
        return known_texts(run.work, run.plan.folder, run.reuse, self.part)

    def encoder(self) -> Encoder:
        return _encoder(self.run, self.part.index)

    def advance(self, queries: int) -> None:
        self.context.progress.advance("encode_texts", queries)


def _open(dataset: str, bounds: Bounds, work: Folder) -> Reader:
    """The reader of a data set, with the pictures that were downloaded."""
    reader = open_reader(dataset, bounds)
    return Downloaded(reader, Kept(work)) if reader.fields.addresses else reader


def _reader_of(run: IndexRun) -> Reader:
    settings, parts = run.settings, run.downloads.parts if run.downloads else 0
    # relative names mean something else where the process has gone to another folder
    planned = (run.plan.dataset, run.plan.folder, os.getcwd())
    return _reader(planned, bounds_of(settings), settings.work_url, parts)


@lru_cache(maxsize=1)
def _reader(planned: tuple[str, str, str], bounds: Bounds, work: str, parts: int) -> Reader:
    """The reader of a data set as it was planned and downloaded: files are listed once a process,
    not a shard."""
    return _open(planned[0], bounds, Folder(work))


def _encoder(run: IndexRun, part: int) -> Encoder:
    """The encoder of a part: devices take turns, each part always on the same one."""
    from tasks.encode.model.device import choose_devices  # torch: nothing to do needs none

    devices = choose_devices(run.settings.device)
    device = str(devices[part % len(devices)])
    return encoder_for(full_name(run.model), run.settings, device, run.as_made)


def train_sparse(context: Context, run: IndexRun) -> Trained:
    """Make the BM25 statistics of the data set, unless they are there.

    Raises `WorkFolderError` if those that the run must go on with are gone.
    """
    there = completed(run.folder, run.bm25_file) is not None
    if run.kept and not there:
        raise WorkFolderError(
            f"{run.folder.url}/{run.bm25_file}, the BM25 statistics that the collection was made "
            f"with, is missing or altered; build a new collection: muge reindex --strategy "
            f"blue-green",
            may_pass=False,
        )
    bm25 = train_statistics(
        run.folder,
        run.plan,
        run.settings.document,
        run.bm25_file,
        run.sparse_options,
        context.texts,
    )
    return Trained(bm25.hash, 0 if there else run.plan.counts.images)


def trained_sparse(context: Context, run: IndexRun) -> Trained | None:
    """The BM25 statistics of the data set, if they are there."""
    return None if completed(run.folder, run.bm25_file) is None else train_sparse(context, run)


def keep_statistics(_: Context, run: IndexRun, record: CollectionRecord) -> Trained:
    """Take over the statistics that the collection's documents were made with, and the documents'
    vectors of shards with the same texts.

    Raises `CollectionRecordError` if they are gone or others.
    """
    kept = load_statistics(record, run.work.sub(record.run))
    if completed(run.folder, run.bm25_file) is None:
        kept.save(run.folder, run.bm25_file)
        mark_complete(run.folder, run.bm25_file, documents=kept.documents)
    unchanged.take_sparse(run, record)
    return Trained(kept.hash, 0)


def kept_statistics(context: Context, run: IndexRun, record: CollectionRecord) -> Trained | None:
    """The collection's statistics, if they were taken over."""
    there = completed(run.folder, run.bm25_file) is not None
    return keep_statistics(context, run, record) if there else None


def encode_sparse(context: Context, run: IndexRun, shard: Shard) -> int:
    """Encode the texts of a shard's documents, unless that is done."""
    return encode_sparse_shard(
        run.folder,
        shard,
        run.settings.document,
        _bm25(run.folder, run.bm25_file, os.getcwd()),
        run.sparse,
        context.texts,
        context.advancing("encode_sparse"),
        lambda: unchanged.known_texts(run, shard),
    )


@lru_cache(maxsize=1)
def _bm25(folder: Folder, name: str, _: str) -> Bm25:
    """The statistics in a run's folder, seen from the working directory that is given."""
    return load_bm25(folder, name)


def open_collection(context: Context, run: IndexRun, anew: bool) -> CollectionRecord:
    """Make the collection ready to be filled and its record say so.

    Raises `CollectionRecordError` if it holds something else, or has a record that cannot be used,
    and `StoreDamagedError` if it is damaged, unless `anew` is given.
    """
    options = run.settings
    store = context.store(run.settings.store_uri)
    find = readable_record if anew else find_record
    record = find(run.work, options.store_uri, options.collection)
    if anew and (record is None or record.made_of != run.made_of or is_damaged(store, record)):
        context.check_held()
        store.drop(options.collection)
        remove_record(run.work, options.store_uri, options.collection)
        record = None
    there = described(store, run.work, options.collection, record)
    known = agree(run, record, there)
    if known is None:
        known = run.new_record()
        save_record(run.work, known)
    fields = collection_fields(run.plan)
    context.check_held()
    store.create(collection_spec(options.collection, run.model.dimension, fields, there))
    return after_losses(store, run.work, known)


def opened_collection(context: Context, run: IndexRun, anew: bool) -> CollectionRecord | None:
    """The record of the collection, if it is finished and holds what the run makes; errors as
    `open_collection`."""
    options = run.settings
    find = readable_record if anew else find_record
    record = find(run.work, options.store_uri, options.collection)
    if record is None or record.status != "ready" or (anew and record.made_of != run.made_of):
        return None
    store = context.store(options.store_uri)
    if anew and is_damaged(store, record):
        return None
    if store.losses(options.collection) != record.losses:
        return None
    return agree(run, record, stored(store, record))


DOWNLOAD = Stage("download", download, downloaded)
PLAN = Stage("plan", plan, plan_if_ready)
FIND_ENCODED = Stage("find_encoded", find_encoded, nothing_to_find)
ENCODE_IMAGES = PartStage("encode_images", encode_images, images_done)
ENCODE_TEXTS = PartStage("encode_texts", encode_texts, texts_done)
TRAIN_BM25 = Stage("train_bm25", train_sparse, trained_sparse)
KEEP_STATISTICS = Stage("keep_statistics", keep_statistics, kept_statistics)
ENCODE_SPARSE = PartStage("encode_sparse", encode_sparse, sparse_done)
OPEN_COLLECTION = Stage("open_collection", open_collection, opened_collection)
UPSERT = PartStage("upsert", upsert, upsert_done)
VERIFY = Stage("verify", verify_filled, verify_filled)

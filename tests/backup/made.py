"""Collections made directly: random vectors, pictures and texts in a run's folder, and a store
filled from there. No model and no data set is needed."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tasks.context import Context
from tasks.dataset.reader import NO_FIELDS, NOTHING_IGNORED, RowFields
from tasks.dataset.shards import plan_shards, read_entries, read_queries
from tasks.encode.stage.embeddings import EmbeddingWriter, embedding_schema
from tasks.encode.stage.stages import PICTURE_SCHEMA
from tasks.index import upkeep
from tasks.index.run import IndexRun
from tasks.records import FieldType, FieldValue, Float32, ModelInfo, QueryPart, Row, Shard, Span
from tasks.settings import Settings
from tasks.sparse.stages import encode_sparse_shard, train_statistics
from tasks.work.collections import CollectionRecord, save_record
from tasks.work.folder import Folder
from tasks.work.markers import mark_complete
from tasks.work.parquet import writing_parquet

WORDS = ("红色连衣裙", "蓝色帽子", "绿色的包", "黄色雨伞", "白色球鞋", "儿童玩具", "手机壳")


@dataclass(frozen=True)
class Made:
    """What a collection is made of: so many pictures with `queries` texts each, as `fields` ask."""

    count: int
    dimension: int = 16
    queries: int = 2
    text_ids: bool = False
    fields: Mapping[str, FieldType] | None = None
    product: str = ""
    picture_bytes: int = 60
    seed: int = 0


class MadeReader:
    """Rows of a data set that is nowhere else."""

    name = "made"
    links_outside = 0
    ignored = NOTHING_IGNORED

    def __init__(self, made: Made) -> None:
        self._made = made
        self.fields = (
            NO_FIELDS if made.fields is None else RowFields(dict(made.fields), made.product)
        )

    def spans(self) -> Iterator[Span]:
        yield Span("made", 0, self._made.count)

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        made = self._made
        for number in range(span.start, span.stop):
            id = f"SKU-{number}.x" if made.text_ids else number
            for extra in range(max(1, made.queries)):
                place = (number + extra) % len(WORDS)
                text = f"{WORDS[place]} {number % 11}" if made.queries else None
                yield Row(
                    f"made:{number}",
                    id,
                    number.to_bytes(8, "big") + bytes([made.seed]),
                    place * 11 + number % 11 if made.queries else None,
                    text,
                    fields=self._values(number),
                )

    def read_queries(self, span: Span) -> Iterator[Row]:
        yield from self.read(span)

    def _values(self, number: int) -> dict[str, FieldValue]:
        values: dict[FieldType, FieldValue] = {
            "int": number - 3,
            "long": (1 << 40) + number,
            "float": number / 7,
            "str": f"值 {number % 5}\n",
            "bool": number % 2 == 0,
        }
        kinds = self._made.fields or {}
        # every third has no value in one field or another
        return {
            name: values[kind]
            for place, (name, kind) in enumerate(kinds.items())
            if name == self._made.product or (number + place) % 3
        }


def make_collection(context: Context, settings: Settings, made: Made) -> CollectionRecord:
    """Fill the collection that the settings name."""
    work, model = Folder(settings.work_url), _model(made.dimension)
    reader, limit = MadeReader(made), settings.max_image_bytes
    plan = plan_shards("made:", reader, work, settings.shard_images, limit)
    run = IndexRun(settings, plan, model)
    random = np.random.default_rng(made.seed)
    folder = run.folder
    bm25 = train_statistics(folder, plan, settings.document, run.bm25_file)
    for shard in plan.shards:
        encode_sparse_shard(folder, shard, settings.document, bm25, run.sparse)
        _encode(run, shard, random, made)
    for part in map(QueryPart, range(plan.query_parts)):
        ids = [str(id) for id, _ in read_queries(folder, part)]
        schema = embedding_schema("query_id", model)
        with writing_parquet(folder, part.file_in(run.texts), schema, dictionary=False) as file:
            writer = EmbeddingWriter(file)
            writer.write(ids, ids, _vectors(random, len(ids), made.dimension))
            writer.flush()
        mark_complete(folder, part.file_in(run.texts), rows=len(ids))
    counts = {"documents": plan.counts.images}
    record = replace(run.new_record(), bm25=bm25.hash, counts=counts, served=True)
    save_record(work, record)
    context.store(settings.store_uri)
    upkeep.repair(context, settings)
    return record


def _encode(run: IndexRun, shard: Shard, random: np.random.Generator, made: Made) -> None:
    folder, images = run.folder, shard.file_in(run.image_stage.images)
    entries = list(read_entries(folder, shard))
    ids = [entry.document_id for entry in entries]
    schema = embedding_schema("image_id", run.model)
    with writing_parquet(folder, images, schema, dictionary=False) as file:
        writer = EmbeddingWriter(file)
        vectors = _vectors(random, len(ids), made.dimension)
        writer.write(ids, [entry.hash for entry in entries], vectors)
        writer.flush()
    mark_complete(folder, images, rows=len(ids), rejects=0)
    if run.image_stage.pictures:
        pictures = shard.file_in(run.image_stage.pictures)
        with writing_parquet(folder, pictures, PICTURE_SCHEMA, "none", dictionary=False) as file:
            content = [random.bytes(made.picture_bytes) for _ in ids]
            file.write_table(
                pa.table([pa.array(ids), pa.array(content, pa.binary())], schema=PICTURE_SCHEMA)
            )
        mark_complete(folder, pictures, rows=len(ids))


def _vectors(random: np.random.Generator, count: int, dimension: int) -> Float32:
    found = random.normal(size=(count, dimension))
    unit: Float32 = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _model(dimension: int) -> ModelInfo:
    return ModelInfo("made", "1", "0" * 64, dimension, 32, "made-1/made-1")

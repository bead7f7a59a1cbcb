"""What an export keeps of the run's folder: everything there that no document says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from tasks.backup.manifest import RUN, STATISTICS
from tasks.dataset import sources
from tasks.dataset.shards import (
    FORMER_QUERY_SCHEMA,
    QUERY_SCHEMA,
    Plan,
    catalog_schema,
    former_catalog_schema,
)
from tasks.encode.stage.embeddings import embedding_schema
from tasks.records import QueryPart
from tasks.work import rejects
from tasks.work.collections import CollectionRecord

SHARDS = "shards.json"
LATER = frozenset({"source"})
REJECTS = "rejects/dataset.parquet"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the run's folder: its `name` there and its `path` in the export. `schema` is of a
    Parquet file (None: JSON), `marked` says that it has a marker, and `needed` that there is no
    export without it. Files of earlier versions may be of the `former` schema, without columns that
    came `later`."""

    name: str
    path: str
    schema: pa.Schema | None
    marked: bool = True
    needed: bool = True
    former: pa.Schema | None = None
    later: frozenset[str] = frozenset()


def kept_files(record: CollectionRecord, plan: Plan) -> Iterator[Kept]:
    """The list of shards, the catalog and its queries, the BM25 statistics; where they are there,
    the embeddings of queries, where pictures came from, and what was rejected."""
    catalog = catalog_schema(plan.counts, plan.fields)
    former = former_catalog_schema(plan.counts, plan.fields)
    texts = embedding_schema("query_id", record.model)
    yield _as_there(SHARDS, None)
    yield Kept(record.stages.bm25, STATISTICS, None)
    for shard in plan.shards:
        kept = _as_there(shard.file_in("catalog"), catalog)
        yield replace(kept, former=former, later=LATER)
    for part in map(QueryPart, range(plan.query_parts)):
        yield replace(_as_there(part.file_in("queries"), QUERY_SCHEMA), former=FORMER_QUERY_SCHEMA)
        yield _as_there(part.file_in(record.stages.texts), texts, needed=False)
    yield _as_there(sources.NAME, sources.SCHEMA, needed=False)
    if plan.rejects:
        yield _as_there(REJECTS, rejects.SCHEMA, marked=False)
    for shard in plan.shards:
        name = f"rejects/{record.stages.images}-{shard.part}.parquet"
        yield _as_there(name, rejects.SCHEMA, marked=False, needed=False)


def _as_there(
    name: str, schema: pa.Schema | None, marked: bool = True, needed: bool = True
) -> Kept:
    return Kept(name, f"{RUN}/{name}", schema, marked, needed)

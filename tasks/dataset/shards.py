"""Shards: parts of the catalog in the work folder, and the pictures that they name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import Catalog, CatalogCounts, CatalogEntry
from tasks.dataset.content import bytes_hash
from tasks.dataset.reader import Reader
from tasks.dataset.sources import write_sources
from tasks.errors import DatasetError, WorkFolderError
from tasks.records import FieldType, QueryPart, Reject, Row, Shard
from tasks.work.folder import Folder
from tasks.work.markers import completed, fingerprint, fingerprint_of_many, mark_complete
from tasks.work.rejects import payload_hash, write_rejects

FORMAT = 2
FIELD_TYPES: Mapping[FieldType, pa.DataType] = {
    "int": pa.int64(),
    "long": pa.int64(),
    "str": pa.string(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}
QUERY_SCHEMA = pa.schema([("query_id", pa.string()), ("query", pa.string())])
FORMER_QUERY_SCHEMA = pa.schema([("query_id", pa.int64()), ("query", pa.string())])
"""Of earlier versions, whose files are read all the same."""
NUMBERS = b"numbers"
"""What a catalog says of the data set's own ids, in its metadata; else they are texts."""
QUERIES_A_PART = 50_000
CHECKED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """A data set cut into shards, in `folder` (relative to the work folder); `links_outside` of its
    files lie elsewhere now, and `ignored` of its folder were not looked at, by cause. `fields` are
    what its images have beside picture and query, `product` the one that pictures of one product
    share ("" if none)."""

    dataset: str
    folder: str
    fingerprint: str
    shards: tuple[Shard, ...]
    query_parts: int
    counts: CatalogCounts
    rejects: int
    links_outside: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict, hash=False)
    fields: Mapping[str, FieldType] = field(default_factory=dict, hash=False)
    product: str = ""


def plan_shards(
    name: str,
    reader: Reader,
    work: Folder,
    shard_images: int,
    max_image_bytes: int,
    advance: Callable[[int], None] = lambda _: None,
    upright: bool = False,
) -> Plan:
    """Read the whole data set once and write its catalog, unless the very same is there; `upright`:
    pictures that are stored lying are to be turned.

    Raises `DatasetError` if no image is in it.
    """
    with Catalog(max_image_bytes, upright) as catalog:
        rejects = catalog.fill_and_keep(reader, advance)
        counts = catalog.counts()
        if counts.rows != counts.taken + counts.duplicates + rejects:
            raise DatasetError(
                f"data set {name!r}: {counts.rows} rows were read, but {counts.taken} taken, "
                f"{counts.duplicates} repeated and {rejects} rejected, which is another number; "
                f"nothing was written: please report it with the rows at hand"
            )
        if not counts.images:
            raise DatasetError(_nothing_left(name, rejects, catalog.rejects()))
        data, fields = catalog.fingerprint(), catalog.field_types()
        # rejects are part of what a run says, the cut into shards of what parts are called, and
        # the same rows in another file or order are read from other places
        full = fingerprint_of_many(
            "rejects",
            ((r.position, r.code, r.payload_hash) for r in catalog.rejects()),
            data=data,
            shard_images=shard_images,
            format=FORMAT,
            places=catalog.places(),
            **({"fields": list(fields.items())} if fields else {}),
        )
        where = f"{reader.name}/{full}"
        known = find_plan(work.sub(where), name)
        if known is not None:
            return _as_read(known, reader)
        folder = work.sub(where)
        plan = _write_parts(catalog, folder, shard_images)
        write_sources(folder, catalog.sources())
        write_rejects(folder, "dataset", catalog.rejects())
    said: dict[str, Any] = {
        "folder": where,
        "fingerprint": data,
        "counts": asdict(counts),
        "rejects": rejects,
        **({"fields": fields, "product": catalog.product} if fields else {}),
        **plan,
    }
    folder.write_json("shards.json", said)
    mark_complete(folder, "shards.json", shards=len(said["shards"]))
    return _as_read(_as_plan(said, name), reader)


def _as_read(plan: Plan, reader: Reader) -> Plan:
    return replace(plan, links_outside=reader.links_outside, ignored=dict(reader.ignored))


def _nothing_left(name: str, count: int, rejects: Iterator[Reject]) -> str:
    first = next(rejects, None)
    if first is None:
        return f"data set {name!r} is empty: it has no image"
    return (
        f"data set {name!r} has no usable image; the first of {count} problems: {first.position}: "
        f"{first.reason} (`muge inspect {name}` shows what was recognised)"
    )


def _write_parts(catalog: Catalog, folder: Folder, shard_images: int) -> dict[str, Any]:
    counts = catalog.counts()
    total, schema = -(-counts.images // shard_images), catalog_schema(counts, catalog.field_types())
    shards = []
    entries = catalog.entries()
    for index in range(total):
        part = list(itertools.islice(entries, shard_images))
        shard = Shard(index, total, len(part), fingerprint(rows=[_line(e) for e in part]))
        _write(folder, shard.file_in("catalog"), [_stored(e) for e in part], schema)
        shards.append(asdict(shard))
    queries, parts = catalog.queries(), 0
    while part_of_queries := list(itertools.islice(queries, QUERIES_A_PART)):
        rows = [{"query_id": str(i), "query": q} for i, q in part_of_queries]
        _write(folder, QueryPart(parts).file_in("queries"), rows, QUERY_SCHEMA)
        parts += 1
    return {"shards": shards, "query_parts": parts}


def catalog_schema(counts: CatalogCounts, fields: Mapping[str, FieldType]) -> pa.Schema:
    """What a part of the catalog looks like in Parquet. `image_id` is the image's id in every other
    file and in the store, `own_id` the data set's, which no store may take; all ids are texts."""
    ids = [("image_id", pa.string()), ("own_id", pa.string())]
    schema = _catalog_schema(ids, pa.string(), fields)
    return schema.with_metadata({b"own_ids": b"texts" if counts.text_ids else NUMBERS})


def former_catalog_schema(counts: CatalogCounts, fields: Mapping[str, FieldType]) -> pa.Schema:
    """What one looked like that an earlier version wrote: ids are as the data set has them."""
    ids = [("image_id", pa.string() if counts.text_ids else pa.int64())]
    return _catalog_schema(ids, pa.int64(), fields)


def _catalog_schema(
    ids: list[tuple[str, pa.DataType]], query_id: pa.DataType, fields: Mapping[str, FieldType]
) -> pa.Schema:
    columns = [
        *ids,
        ("span", pa.int32()),
        ("number", pa.int32()),
        ("position", pa.string()),
        ("hash", pa.string()),
        ("query_ids", pa.list_(query_id)),
        ("queries", pa.list_(pa.string())),
        ("source", pa.string()),
    ]
    kept = [("fields", pa.struct([(name, FIELD_TYPES[kind]) for name, kind in fields.items()]))]
    return pa.schema(columns + (kept if fields else []))


def _stored(entry: CatalogEntry) -> dict[str, Any]:
    ids = {"image_id": entry.document_id, "own_id": str(entry.image_id)}
    return {**asdict(entry), **ids, "query_ids": [str(i) for i in entry.query_ids]}


def _line(entry: CatalogEntry) -> list[Any]:
    fields = [entry.fields] if entry.fields else []
    return [entry.image_id, entry.hash, entry.query_ids, entry.queries, *fields]


def _write(folder: Folder, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    with folder.writing(name) as handle:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), handle)
    mark_complete(folder, name, rows=len(rows))


def find_plan(folder: Folder, name: str = "") -> Plan | None:
    """The plan of a run's folder, of the data set `name`; None if any part of it is missing, torn
    or altered."""
    if completed(folder, "shards.json") is None:
        return None
    plan = _as_plan(folder.read_json("shards.json"), name)
    if plan.rejects and not folder.exists("rejects/dataset.parquet"):
        return None
    parts = [shard.file_in("catalog") for shard in plan.shards]
    parts += [QueryPart(number).file_in("queries") for number in range(plan.query_parts)]
    with ThreadPoolExecutor(CHECKED_AT_ONCE) as threads:  # each is a wait on object storage
        return plan if all(threads.map(partial(completed, folder), parts)) else None


def _as_plan(said: dict[str, Any], name: str) -> Plan:
    return Plan(
        dataset=name,
        folder=said["folder"],
        fingerprint=said["fingerprint"],
        shards=tuple(Shard(**shard) for shard in said["shards"]),
        query_parts=said["query_parts"],
        counts=CatalogCounts(**said["counts"]),
        rejects=said["rejects"],
        fields=said.get("fields", {}),
        product=said.get("product", ""),
    )


def read_shards(folder: Folder) -> tuple[Shard, ...]:
    """The shards that a run's folder was cut into; raises `WorkFolderError` if they are torn."""
    if completed(folder, "shards.json") is None:
        raise WorkFolderError(
            f"{folder.url}/shards.json is missing, torn or altered; run `muge index` again"
        )
    return tuple(Shard(**shard) for shard in folder.read_json("shards.json")["shards"])


def read_entries(folder: Folder, shard: Shard) -> Iterator[CatalogEntry]:
    """The images of a shard, in order."""
    with folder.reading(shard.file_in("catalog")) as handle:
        file = pq.ParquetFile(handle)
        numbers = (file.schema_arrow.metadata or {}).get(b"own_ids") == NUMBERS
        for batch in file.iter_batches(1024):
            for line in batch.to_pylist():
                kept = line.get("fields") or {}
                there, own = line["image_id"], line.pop("own_id", None)
                if own is not None:
                    line["image_id"] = int(own) if numbers else own
                entry = CatalogEntry(
                    **{
                        **line,
                        "query_ids": tuple(map(int, line["query_ids"])),
                        "queries": tuple(line["queries"]),
                        "fields": {name: v for name, v in kept.items() if v is not None},
                    }
                )
                if own is not None and there != entry.document_id:
                    raise WorkFolderError(
                        f"{folder.url}/{shard.file_in('catalog')} has image {there!r} "
                        f"with id {own!r}, which do not belong together; run `muge index` again"
                    )
                yield entry


def read_queries(folder: Folder, part: QueryPart) -> Iterator[tuple[int, str]]:
    """(query_id, query) of one part, in order."""
    with folder.reading(part.file_in("queries")) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(4096):
            for line in batch.to_pylist():
                yield int(line["query_id"]), line["query"]


def read_images(
    reader: Reader, entries: Sequence[CatalogEntry]
) -> Iterator[tuple[CatalogEntry, bytes]]:
    """The bytes of a shard's images, read from the data set span by span.

    Raises `DatasetError` if the data set changed under the run.
    """
    by_span: dict[int, dict[int, CatalogEntry]] = {}
    for entry in entries:
        by_span.setdefault(entry.span, {})[entry.number] = entry
    for number, span in enumerate(reader.spans()):
        yield from _pick(reader.read(span), by_span.pop(number, {}))
        if not by_span:
            return
    if by_span:
        raise _changed(next(iter(by_span[min(by_span)].values())))


def _pick(
    rows: Iterator[Row], wanted: dict[int, CatalogEntry]
) -> Iterator[tuple[CatalogEntry, bytes]]:
    """The wanted images of a span, by their number in it; rows after the last are not read."""
    for number in range(max(wanted, default=-1) + 1):
        row, entry = next(rows, None), wanted.get(number)
        if entry is None:
            continue
        if row is not None and row.defect is not None:
            raise DatasetError(
                f"{entry.position} changed while it was being indexed (it cannot be read now: "
                f"{row.defect[1]}); run the command again"
            )
        if row is None or row.image is None or str(row.image_id) != str(entry.image_id):
            raise _changed(entry)
        if payload_hash(row.image) != bytes_hash(
            entry.hash
        ):  # the queries were judged with another picture
            raise _changed(entry)
        yield entry, row.image


def _changed(entry: CatalogEntry) -> DatasetError:
    return DatasetError(
        f"{entry.position} changed while it was being indexed (image {entry.image_id} is gone or "
        f"another one); run the command again"
    )

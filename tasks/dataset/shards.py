"""Shards: parts of the catalog in the work folder, and the pictures that they name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from functools import partial
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import Catalog, CatalogCounts, CatalogEntry
from tasks.dataset.content import bytes_hash
from tasks.dataset.reader import Reader, document_id
from tasks.dataset.sources import write_sources
from tasks.errors import DatasetError, WorkFolderError
from tasks.records import DOCUMENT_ID, FieldType, ImageId, QueryPart, Reject, Row, Shard
from tasks.work.folder import Folder
from tasks.work.markers import completed, fingerprint, fingerprint_of_many, mark_complete
from tasks.work.rejects import payload_hash, write_rejects

FORMAT = 3
BY_POSITION = 2
"""The format of plans whose shards were cut by position: where one is there, it is gone on with."""
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
        made_of = {
            "data": data,
            "shard_images": shard_images,
            "places": catalog.places(),
            **({"fields": list(fields.items())} if fields else {}),
        }
        for form in (FORMAT, BY_POSITION):
            known = find_plan(work.sub(_place(reader, catalog, made_of, form)), name)
            if known is not None:
                return _as_read(known, reader)
        where = _place(reader, catalog, made_of, FORMAT)
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


def _place(reader: Reader, catalog: Catalog, made_of: Mapping[str, Any], form: int) -> str:
    """The folder of a plan in the work folder."""
    rejects = ((r.position, r.code, r.payload_hash) for r in catalog.rejects())
    return f"{reader.name}/{fingerprint_of_many('rejects', rejects, format=form, **made_of)}"


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
    schema = catalog_schema(catalog.counts(), catalog.field_types())
    shards, sizes = [], list(cut_sizes(catalog.ids(), shard_images))
    entries = catalog.entries()
    for index, size in enumerate(sizes):
        part = list(itertools.islice(entries, size))
        shard = _shard(index, len(sizes), part)
        stored = [_stored(entry) for entry in part]
        columns = {name: [row[name] for row in stored] for name in schema.names}
        _write(folder, shard.file_in("catalog"), pa.table(columns, schema))
        shards.append(asdict(shard))
    queries, parts = catalog.queries(), 0
    while part_of_queries := list(itertools.islice(queries, QUERIES_A_PART)):
        ids, texts = zip(*part_of_queries, strict=True)
        table = pa.table({"query_id": [str(i) for i in ids], "query": texts}, QUERY_SCHEMA)
        _write(folder, QueryPart(parts).file_in("queries"), table)
        parts += 1
    return {"shards": shards, "query_parts": parts}


def cut_sizes(ids: Iterable[str], most: int) -> Iterator[int]:
    """How many consecutive images each shard has, from half of `most` to `most` (the last may have
    less): it ends behind the image whose id has the smallest hash of those it could end behind.

    So an image that comes or goes moves the ends of its own shard, and hardly ever one beside it:
    all others are as they were.
    """
    least = max(1, most // 2)
    ahead: list[bytes] = []
    for each in ids:
        ahead.append(blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        if len(ahead) > most:
            size = min(range(least, most + 1), key=lambda size: ahead[size - 1])
            yield size
            del ahead[:size]
    if ahead:
        yield len(ahead)


def _shard(index: int, total: int, part: Sequence[CatalogEntry]) -> Shard:
    return Shard(
        index,
        total,
        len(part),
        fingerprint=fingerprint(rows=[_line(e) for e in part]),
        pictures=fingerprint(rows=[[e.image_id, e.hash] for e in part]),
        texts=fingerprint(rows=[[e.image_id, e.query_ids, e.queries] for e in part]),
    )


_PLAIN = f"^(?:{DOCUMENT_ID.pattern})$"
_COLUMNS = tuple(each.name for each in dataclass_fields(CatalogEntry))
_MISSING: Mapping[str, Callable[[], Any]] = {"fields": dict, "source": str}


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
    kept = {name: getattr(entry, name) for name in _COLUMNS}
    return {**kept, **ids, "query_ids": [str(i) for i in entry.query_ids]}


def _line(entry: CatalogEntry) -> list[Any]:
    fields = [entry.fields] if entry.fields else []
    return [entry.image_id, entry.hash, entry.query_ids, entry.queries, *fields]


def _write(folder: Folder, name: str, table: pa.Table) -> None:
    with folder.writing(name) as handle:
        pq.write_table(table, handle)
    mark_complete(folder, name, rows=len(table))


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


def find_shards(folder: Folder) -> tuple[Shard, ...]:
    """As `read_shards`; none if they are torn."""
    try:
        return read_shards(folder)
    except WorkFolderError:
        return ()


def read_entries(
    folder: Folder, shard: Shard, only: Collection[int] | None = None
) -> Iterator[CatalogEntry]:
    """The images of a shard, in order; those of some numbers alone."""
    with folder.reading(shard.file_in("catalog")) as handle:
        file = pq.ParquetFile(handle)
        numbers, first = (file.schema_arrow.metadata or {}).get(b"own_ids") == NUMBERS, 0
        for whole in file.iter_batches(1024):
            batch, first = _rows(whole, first, only), first + len(whole)
            ids = _ids(batch, numbers, f"{folder.url}/{shard.file_in('catalog')}")
            yield from map(CatalogEntry, ids, *(_values(batch, name) for name in _COLUMNS[1:]))


def _rows(batch: pa.RecordBatch, first: int, only: Collection[int] | None) -> pa.RecordBatch:
    """The rows of a batch with some numbers, of which it has the `first` and those after it."""
    if only is None:
        return batch
    here = range(first, first + len(batch))
    return batch.take(pa.array([n - first for n in sorted(only) if n in here], pa.int64()))


def _ids(batch: pa.RecordBatch, numbers: bool, place: str) -> list[ImageId]:
    """The data set's ids of some rows; raises `WorkFolderError` if one does not belong to the id of
    its document."""
    import pyarrow.compute as pc  # makes its 280 functions when it is imported

    there = batch.column("image_id")
    if "own_id" not in batch.schema.names:
        ids: list[ImageId] = there.to_pylist()
        return ids
    own = batch.column("own_id")
    plain = pc.and_(pc.equal(there, own), pc.match_substring_regex(own, _PLAIN))
    for row in pc.indices_nonzero(pc.invert(plain)).to_pylist():
        if there[row].as_py() != document_id(own[row].as_py()):
            raise WorkFolderError(
                f"{place} has image {there[row].as_py()!r} with id {own[row].as_py()!r}, "
                f"which do not belong together; run `muge index` again"
            )
    known: list[ImageId] = (own.cast(pa.int64()) if numbers else own).to_pylist()
    return known


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """The values of a column of the catalog, as an entry has them: lists as tuples, and structs
    without what is not there."""
    if name not in batch.schema.names:  # a data set without fields, or an earlier version's catalog
        return [_MISSING[name]() for _ in range(len(batch))]
    column = batch.column(name)
    if pa.types.is_list(column.type):  # row by row it takes ten times as long
        each = column.flatten()
        flat = (each.cast(pa.int64()) if name == "query_ids" else each).to_pylist()
        ends = column.offsets.to_pylist()
        return [tuple(flat[i - ends[0] : j - ends[0]]) for i, j in itertools.pairwise(ends)]
    values: list[Any] = column.to_pylist()
    if not pa.types.is_struct(column.type):
        return values
    return [{k: v for k, v in (kept or {}).items() if v is not None} for kept in values]


def read_hashes(folder: Folder, shard: Shard) -> list[str]:
    """The names of the contents of a shard's pictures, in order."""
    return _read_column(folder, shard, "hash")


def read_ids(folder: Folder, shard: Shard) -> list[str]:
    """The ids of a shard's images as texts, in order."""
    return [str(image_id) for image_id in _read_column(folder, shard, "image_id")]


def read_keys(folder: Folder, shard: Shard) -> tuple[list[str], list[str]]:
    """The ids of a shard's documents, and the names of the contents of their pictures, in order."""
    with folder.reading(shard.file_in("catalog")) as handle:
        file = pq.ParquetFile(handle)
        former = "own_id" not in file.schema_arrow.names
        ids, hashes = (c.to_pylist() for c in file.read(["image_id", "hash"]).columns)
    return [document_id(i) for i in ids] if former else ids, hashes


def read_texts(folder: Folder, shard: Shard) -> Iterator[tuple[list[str], list[str]]]:
    """(ids of documents, their queries one a line) of a shard's images, in order, some at a time:
    a quarter of the work of `read_entries`."""
    for ids, batch in _read_columns(folder, shard, ["queries"]):
        yield ids, _joined(batch)


def read_described(folder: Folder, shard: Shard) -> Iterator[tuple[Any, ...]]:
    """(id of its document, content's name, query ids, queries one a line, position, fields) of each
    image of a shard, in order: half the work of `read_entries`."""
    names = ["hash", "query_ids", "queries", "position", "fields"]
    for ids, batch in _read_columns(folder, shard, names):
        columns = [_values(batch, name) for name in ("hash", "query_ids", "position", "fields")]
        hashes, query_ids, positions, fields = columns
        yield from zip(ids, hashes, query_ids, _joined(batch), positions, fields, strict=True)


def _read_columns(
    folder: Folder, shard: Shard, names: Sequence[str]
) -> Iterator[tuple[list[str], pa.RecordBatch]]:
    """(ids of documents, the columns of these names that are there) of a shard's images, in order,
    some at a time."""
    with folder.reading(shard.file_in("catalog")) as handle:
        file = pq.ParquetFile(handle)
        there = file.schema_arrow.names
        columns = [name for name in ("image_id", *names) if name in there]
        for batch in file.iter_batches(1024, columns=columns):
            ids = batch.column("image_id").to_pylist()
            yield ids if "own_id" in there else [document_id(i) for i in ids], batch


def _joined(batch: pa.RecordBatch) -> list[str]:
    import pyarrow.compute as pc  # makes its 280 functions when it is imported

    texts: list[str] = pc.binary_join(batch.column("queries"), "\n").to_pylist()
    return texts


def find_entry(folder: Folder, image_id: str) -> CatalogEntry | None:
    """The image that the data set gave this id; None if no shard of the run has it."""
    for shard in find_shards(folder):
        with folder.reading(shard.file_in("catalog")) as handle:
            file = pq.ParquetFile(handle)
            name = "own_id" if "own_id" in file.schema_arrow.names else "image_id"
            ids = list(map(str, file.read([name]).column(0).to_pylist()))
        if image_id in ids:
            return next(itertools.islice(read_entries(folder, shard), ids.index(image_id), None))
    return None


def _read_column(folder: Folder, shard: Shard, name: str) -> list[Any]:
    with folder.reading(shard.file_in("catalog")) as handle:
        values: list[Any] = pq.ParquetFile(handle).read([name]).column(0).to_pylist()
    return values


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
        wanted = by_span.pop(number, {})
        if wanted:
            yield from _pick(reader.read(span, wanted), wanted)
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

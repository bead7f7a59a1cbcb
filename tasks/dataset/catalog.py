"""The catalog: one pass over all rows that finds duplicates and conflicts and cuts shards.

Rows may name an image as often as they like, in any order. A temporary SQLite file keeps each
image once, each query once and each pair once, so that memory does not grow with the data set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Any

from tasks.dataset.content import content_name
from tasks.dataset.reader import NO_FIELDS, Reader, document_id, stable_id
from tasks.dataset.text import clean_query
from tasks.errors import QueryTextError
from tasks.records import FieldType, FieldValue, ImageId, Reject, Row
from tasks.work.rejects import payload_hash, storable
from tasks.work.scratch import scratch_table

_TABLES = """
CREATE TABLE images (image_id PRIMARY KEY NOT NULL, span INTEGER, number INTEGER, position TEXT,
                     hash TEXT, source TEXT, product TEXT, fields TEXT) WITHOUT ROWID;
CREATE TABLE queries (query_id INTEGER UNIQUE, query TEXT, position TEXT);
CREATE TABLE pairs (image_id, query_id INTEGER, position TEXT, UNIQUE (image_id, query_id));
CREATE TABLE rejects (stage TEXT, position TEXT, id TEXT, code TEXT, reason TEXT,
                      payload_hash TEXT);
"""

PRODUCT_PICTURES = "product_pictures"
"""The field that says how many pictures an image's product has."""


@dataclass(frozen=True, slots=True)
class CatalogCounts:
    """What one pass found; `rows` counts every line, `duplicates` lines that repeat another,
    `largest_id` is the largest image or query id that is indexed, and a number; `text_ids` says
    that not all image ids are numbers: then all are texts. `taken` rows said something new: with
    duplicates and rejects they are all rows. `copies` are images whose picture an earlier one has,
    `unasked` images without a query, `unanswered` queries without an image; `most_copied` is where
    the picture is that most images have, and how many."""

    rows: int
    images: int
    queries: int
    pairs: int
    duplicates: int
    largest_id: int
    text_ids: bool = False
    taken: int = 0
    copies: int = 0
    unasked: int = 0
    unanswered: int = 0
    most_copied: str = ""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One image of a shard: where its bytes are (row `number` of span `span`), the name of its
    content (see `content`), all its queries in the order of the data set, its fields, and the file
    or address of the picture where that is not what `position` says."""

    image_id: ImageId
    span: int
    number: int
    position: str
    hash: str
    query_ids: tuple[int, ...]
    queries: tuple[str, ...]
    fields: Mapping[str, FieldValue] = field(default_factory=dict, hash=False)
    source: str = ""

    @property
    def document_id(self) -> str:
        """The id of the image's embedding, and of its document."""
        return document_id(self.image_id)


class Catalog:
    """All rows of a data set, deduplicated, on disk; use as a context manager."""

    def __init__(self, max_image_bytes: int, upright: bool = False) -> None:
        self._tables = scratch_table("catalog", _TABLES)
        self._max_image_bytes = max_image_bytes
        self._upright = upright
        self._rows = self._duplicates = self._taken = 0
        self._fields = NO_FIELDS
        self._text_ids = False
        self._asked: tuple[int | None, str | None, int] = (None, None, 0)

    def __enter__(self) -> Catalog:
        self._db = self._tables.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.__exit__(kind, error, trace)

    def fill(self, reader: Reader, advance: Callable[[int], None]) -> Iterator[Reject]:
        """Take in every row; yields what was rejected. `advance` is told of rows read."""
        self._fields = reader.fields
        for span_number, span in enumerate(reader.spans()):
            read = 0
            for number, row in enumerate(reader.read(span)):
                read += 1
                position = storable(row.position)
                row = row if position == row.position else replace(row, position=position)
                before, rejects = self._duplicates, list(self._add(row, span_number, number))
                yield from rejects
                self._taken += not rejects and self._duplicates == before
            self._rows += read
            advance(read)
        yield from self._drop_pairs_without_image()
        self._db.execute("CREATE INDEX by_place ON images (span, number)")
        if self._fields.product:
            self._db.execute("CREATE INDEX by_product ON images (product)")
        text = "SELECT EXISTS (SELECT 1 FROM images WHERE typeof(image_id) = 'text')"
        self._text_ids = bool(self._count(text))

    def fill_and_keep(self, reader: Reader, advance: Callable[[int], None]) -> int:
        """As `fill`, with the rejects kept beside the rest; how many there are."""
        return self._db.executemany(
            "INSERT INTO rejects VALUES (?, ?, ?, ?, ?, ?)",
            (
                tuple(storable(text) for text in astuple(reject))
                for reject in self.fill(reader, advance)
            ),
        ).rowcount

    def rejects(self) -> Iterator[Reject]:
        """The rejects that were kept, in order."""
        kept = self._db.execute("SELECT * FROM rejects ORDER BY rowid")
        return (Reject(*row) for row in kept)

    def _add(self, row: Row, span: int, number: int) -> Iterator[Reject]:
        if row.defect is not None:
            yield _reject(row, *row.defect)
            return
        alone = row.image is None and row.query is not None and row.query_id is not None
        if row.image_id is None and not alone:  # a query alone is one whose images are unknown
            yield _reject(row, "no_image_id", "the row has no image_id")
            return
        if row.image is None and row.query is None:
            yield _reject(row, "empty_row", "the row has neither an image nor a query")
            return
        if row.image is not None:
            problem = self._add_image(row, span, number)
            if problem is not None:
                yield problem
                return
        if row.query is not None:
            problem = self._add_query(row)
            if problem is not None:
                yield problem

    def _add_image(self, row: Row, span: int, number: int) -> Reject | None:
        assert row.image is not None
        if len(row.image) > self._max_image_bytes:
            said = f"the image has {len(row.image)} bytes, the limit is {self._max_image_bytes}"
            return _reject(row, "too_many_bytes", said)
        digest, fields = content_name(row.image, self._upright), self._as_text(row)
        product = row.fields.get(self._fields.product)
        added = self._db.execute(
            "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (row.image_id, span, number, row.position, digest, row.source, product, fields),
        )
        if added.rowcount:
            return None
        position, known, known_fields = self._db.execute(
            "SELECT position, hash, fields FROM images WHERE image_id = ?", (row.image_id,)
        ).fetchone()
        if known != digest:
            said = (
                f"image_id {row.image_id} has another picture at {position}; the first one is kept"
            )
            return _reject(row, "conflicting_image", said)
        if known_fields != fields:
            said = f"image {row.image_id} has other fields at {position}; the first ones are kept"
            return _reject(row, "conflicting_fields", said)
        self._duplicates += row.query is None
        return None

    def _as_text(self, row: Row) -> str | None:
        """The fields of a row, always in the same order; None if it has none."""
        kept = {name: row.fields[name] for name in self._fields.types if name in row.fields}
        return json.dumps(kept, ensure_ascii=False) if kept else None

    def _add_query(self, row: Row) -> Reject | None:
        said = row.query_id, row.query
        if said != self._asked[:2]:
            problem = self._add_text(row)
            if problem is not None:
                return problem
        if row.image_id is None:
            return None
        pair = self._db.execute(
            "INSERT OR IGNORE INTO pairs VALUES (?, ?, ?)",
            (row.image_id, self._asked[2], row.position),
        )
        self._duplicates += not pair.rowcount
        return None

    def _add_text(self, row: Row) -> Reject | None:
        try:
            text = clean_query(row.query or "")
        except QueryTextError as error:
            return _reject(row, error.code, str(error))
        query_id = stable_id(text) if row.query_id is None else row.query_id
        added = self._db.execute(
            "INSERT OR IGNORE INTO queries VALUES (?, ?, ?)", (query_id, text, row.position)
        )
        if not added.rowcount:
            known, position = self._db.execute(
                "SELECT query, position FROM queries WHERE query_id = ?", (query_id,)
            ).fetchone()
            if known != text:
                said = f"query_id {query_id} is {known[:40]!r} at {position}; the first one is kept"
                return _reject(row, "conflicting_query", said)
        self._asked = row.query_id, row.query, query_id  # mostly that of the next row too
        return None

    def _drop_pairs_without_image(self) -> Iterator[Reject]:
        orphans = self._db.execute(
            "SELECT image_id, query_id, position FROM pairs WHERE image_id NOT IN "
            "(SELECT image_id FROM images) ORDER BY rowid"
        )
        for image_id, query_id, position in orphans:
            self._taken -= 1
            said = f"no row has a picture of image {image_id!r}, which query {query_id} is about"
            yield Reject("dataset", position, str(image_id), "missing_image", said)
        self._db.execute("DELETE FROM pairs WHERE image_id NOT IN (SELECT image_id FROM images)")

    def counts(self) -> CatalogCounts:
        """How much there is of everything; queries count if they have an image."""
        one = "SELECT count(*) FROM "
        copies = "SELECT hash, count(*) AS n FROM images GROUP BY hash HAVING n > 1"
        unasked, unanswered = self.unmatched()
        return CatalogCounts(
            rows=self._rows,
            images=self._count(one + "images"),
            queries=self._count("SELECT count(DISTINCT query_id) FROM pairs"),
            pairs=self._count(one + "pairs"),
            duplicates=self._duplicates,
            largest_id=self._count(
                "SELECT max(coalesce((SELECT max(image_id) FROM images "
                "WHERE typeof(image_id) = 'integer'), 0), "
                "coalesce((SELECT max(query_id) FROM pairs), 0))"
            ),
            text_ids=self._text_ids,
            taken=self._taken,
            copies=self._count(f"SELECT coalesce(sum(n - 1), 0) FROM ({copies})"),
            unasked=unasked,
            unanswered=unanswered,
            most_copied=self._most_copied(),
        )

    def _most_copied(self) -> str:
        found = self._db.execute(
            "SELECT hash, count(*) AS n FROM images GROUP BY hash HAVING n > 1 "
            "ORDER BY n DESC, min(span * 1000000 + number) LIMIT 1"
        ).fetchone()
        if found is None:
            return ""
        first = "SELECT position FROM images WHERE hash = ? ORDER BY span, number LIMIT 1"
        (position,) = self._db.execute(first, found[:1]).fetchone()
        return f"{position} ({found[1]} times)"

    def unmatched(self) -> tuple[int, int]:
        """How many images have no query, and how many queries have no image."""
        one = "SELECT count(*) FROM {0} WHERE {1} NOT IN (SELECT {1} FROM pairs)"
        images = self._count(one.format("images", "image_id"))
        return images, self._count(one.format("queries", "query_id"))

    def _count(self, statement: str) -> int:
        return int(self._db.execute(statement).fetchone()[0])

    def entries(self) -> Iterator[CatalogEntry]:
        """All images in the order of their first appearance, with their queries."""
        rows = self._db.execute(
            "SELECT images.image_id, span, number, images.position, hash, source, product, fields, "
            "pairs.query_id, query FROM images LEFT JOIN pairs USING (image_id) "
            "LEFT JOIN queries USING (query_id) ORDER BY span, number, pairs.rowid"
        )
        for _, lines in groupby(rows, key=itemgetter(1, 2)):
            pairs = list(lines)
            image_id, span, number, position, digest, source, product, fields = pairs[0][:8]
            asked = [line[8:] for line in pairs if line[8] is not None]
            yield CatalogEntry(
                str(image_id) if self._text_ids else image_id,
                span,
                number,
                position,
                digest,
                tuple(query_id for query_id, _ in asked),
                tuple(query for _, query in asked),
                {**(json.loads(fields) if fields else {}), **self._siblings(product)},
                source,
            )

    def ids(self) -> Iterator[str]:
        """The ids of all images, as texts, in the order of `entries`."""
        rows = self._db.execute("SELECT image_id FROM images ORDER BY span, number")
        return (str(image_id) for (image_id,) in rows)

    def _siblings(self, product: str | None) -> dict[str, FieldValue]:
        """How many pictures a product has, as a field; {} if it is of none."""
        if product is None:
            return {}
        count = "SELECT count(*) FROM images WHERE product = ?"
        return {PRODUCT_PICTURES: int(self._db.execute(count, (product,)).fetchone()[0])}

    def sources(self) -> Iterator[tuple[str, str, str]]:
        """(id, row, picture) of all images, and of all their pairs (id, a NUL, query id), sorted:
        where they came from."""
        yield from self._db.execute(
            "SELECT CAST(image_id AS TEXT) AS id, position, source FROM images UNION ALL "
            "SELECT CAST(image_id AS TEXT) || char(0) || query_id, pairs.position, source "
            "FROM pairs JOIN images USING (image_id) ORDER BY 1"
        )

    def field_types(self) -> dict[str, FieldType]:
        """The fields that entries may have, and their types."""
        more: dict[str, FieldType] = {PRODUCT_PICTURES: "int"} if self._fields.product else {}
        return {**self._fields.types, **more}

    def queries(self) -> Iterator[tuple[int, str]]:
        """All queries that have an image, by their first appearance."""
        yield from self._db.execute(
            "SELECT query_id, query FROM queries WHERE query_id IN (SELECT query_id FROM pairs) "
            "ORDER BY rowid"
        )

    def fingerprint(self) -> str:
        """16 hex digits over ids, image contents, queries and their order."""
        return _digest(
            (e.image_id, e.hash, e.query_ids, e.queries, *((e.fields,) if e.fields else ()))
            for e in self.entries()
        )

    def places(self) -> str:
        """16 hex digits over where the images are read from."""
        rows = "SELECT span, number, position, source FROM images ORDER BY span, number"
        return _digest(row if row[3] else row[:3] for row in self._db.execute(rows))

    @property
    def product(self) -> str:
        """The field whose value the pictures of a product share; "" if there is none."""
        return self._fields.product


def _digest(lines: Iterable[tuple[Any, ...]]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for line in lines:
        digest.update(repr(line).encode())
    return digest.hexdigest()


def _reject(row: Row, code: str, reason: str) -> Reject:
    about = row.image_id if row.image_id is not None else row.query_id
    payload = row.image if row.image is not None else (row.query or "").encode("utf-8", "replace")
    return Reject(
        stage="dataset",
        position=row.position,
        id="" if about is None else str(about),
        code=code,
        reason=reason,
        payload_hash=payload_hash(payload) if payload else "",
    )

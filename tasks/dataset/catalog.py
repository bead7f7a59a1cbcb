"""The catalog: one pass over all rows that finds duplicates and conflicts and cuts shards.

Rows may name an image as often as they like, in any order. A temporary SQLite file keeps each
image once, each query once and each pair once, so that memory does not grow with the data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from types import TracebackType
from typing import Any

from tasks.dataset.content import content_name
from tasks.dataset.reader import Reader, stable_id
from tasks.dataset.text import clean_query
from tasks.errors import QueryTextError
from tasks.records import Reject, Row
from tasks.work.rejects import payload_hash, storable
from tasks.work.scratch import scratch_table

_TABLES = """
CREATE TABLE images (image_id INTEGER PRIMARY KEY, span INTEGER, number INTEGER,
                     position TEXT, hash TEXT);
CREATE TABLE queries (query_id INTEGER UNIQUE, query TEXT, position TEXT);
CREATE TABLE pairs (image_id INTEGER, query_id INTEGER, position TEXT,
                    UNIQUE (image_id, query_id));
CREATE TABLE rejects (stage TEXT, position TEXT, id TEXT, code TEXT, reason TEXT,
                      payload_hash TEXT);
"""


@dataclass(frozen=True, slots=True)
class CatalogCounts:
    """What one pass found; `rows` counts every line, `duplicates` lines that repeat another,
    `largest_id` is the largest image or query id that is indexed."""

    rows: int
    images: int
    queries: int
    pairs: int
    duplicates: int
    largest_id: int


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One image of a shard: where its bytes are (row `number` of span `span`), the name of its
    content (see `content`), and all its queries in the order of the data set."""

    image_id: int
    span: int
    number: int
    position: str
    hash: str
    query_ids: tuple[int, ...]
    queries: tuple[str, ...]


class Catalog:
    """All rows of a data set, deduplicated, on disk; use as a context manager."""

    def __init__(self, max_image_bytes: int, upright: bool = False) -> None:
        self._tables = scratch_table("catalog", _TABLES)
        self._max_image_bytes = max_image_bytes
        self._upright = upright
        self._rows = self._duplicates = 0

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
        for span_number, span in enumerate(reader.spans()):
            read = 0
            for number, row in enumerate(reader.read(span)):
                read += 1
                position = storable(row.position)
                row = row if position == row.position else replace(row, position=position)
                yield from self._add(row, span_number, number)
            self._rows += read
            advance(read)
        yield from self._drop_pairs_without_image()
        self._db.execute("CREATE INDEX by_place ON images (span, number)")

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
        digest = content_name(row.image, self._upright)
        added = self._db.execute(
            "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?)",
            (row.image_id, span, number, row.position, digest),
        )
        if added.rowcount:
            return None
        position, known = self._db.execute(
            "SELECT position, hash FROM images WHERE image_id = ?", (row.image_id,)
        ).fetchone()
        if known == digest:
            self._duplicates += row.query is None
            return None
        said = f"image_id {row.image_id} has another picture at {position}; the first one is kept"
        return _reject(row, "conflicting_image", said)

    def _add_query(self, row: Row) -> Reject | None:
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
        if row.image_id is None:
            return None
        pair = self._db.execute(
            "INSERT OR IGNORE INTO pairs VALUES (?, ?, ?)", (row.image_id, query_id, row.position)
        )
        self._duplicates += not pair.rowcount
        return None

    def _drop_pairs_without_image(self) -> Iterator[Reject]:
        orphans = self._db.execute(
            "SELECT image_id, query_id, position FROM pairs WHERE image_id NOT IN "
            "(SELECT image_id FROM images) ORDER BY rowid"
        )
        for image_id, query_id, position in orphans:
            said = f"query {query_id} names image {image_id}, whose picture is not in the data set"
            yield Reject("dataset", position, str(image_id), "missing_image", said)
        self._db.execute("DELETE FROM pairs WHERE image_id NOT IN (SELECT image_id FROM images)")

    def counts(self) -> CatalogCounts:
        """How much there is of everything; queries count if they have an image."""
        one = "SELECT count(*) FROM "
        return CatalogCounts(
            rows=self._rows,
            images=self._count(one + "images"),
            queries=self._count("SELECT count(DISTINCT query_id) FROM pairs"),
            pairs=self._count(one + "pairs"),
            duplicates=self._duplicates,
            largest_id=self._count(
                "SELECT max(coalesce((SELECT max(image_id) FROM images), 0), "
                "coalesce((SELECT max(query_id) FROM pairs), 0))"
            ),
        )

    def unmatched(self) -> tuple[int, int]:
        """How many images have no query, and how many queries have no image."""
        one = "SELECT count(*) FROM {0} WHERE {1} NOT IN (SELECT {1} FROM pairs)"
        images = self._count(one.format("images", "image_id"))
        return images, self._count(one.format("queries", "query_id"))

    def _count(self, statement: str) -> int:
        return int(self._db.execute(statement).fetchone()[0])

    def entries(self) -> Iterator[CatalogEntry]:
        """All images in the order of their first appearance, with their queries."""
        images = self._db.execute(
            "SELECT image_id, span, number, position, hash FROM images ORDER BY span, number"
        )
        for image_id, span, number, position, digest in images:
            pairs = self._db.execute(
                "SELECT query_id, query FROM pairs JOIN queries USING (query_id) "
                "WHERE image_id = ? ORDER BY pairs.rowid",
                (image_id,),
            ).fetchall()
            yield CatalogEntry(
                image_id,
                span,
                number,
                position,
                digest,
                tuple(query_id for query_id, _ in pairs),
                tuple(query for _, query in pairs),
            )

    def queries(self) -> Iterator[tuple[int, str]]:
        """All queries that have an image, by their first appearance."""
        yield from self._db.execute(
            "SELECT query_id, query FROM queries WHERE query_id IN (SELECT query_id FROM pairs) "
            "ORDER BY rowid"
        )

    def fingerprint(self) -> str:
        """16 hex digits over ids, image contents, queries and their order."""
        return _digest((e.image_id, e.hash, e.query_ids, e.queries) for e in self.entries())

    def places(self) -> str:
        """16 hex digits over where the images are read from."""
        return _digest(
            self._db.execute("SELECT span, number, position FROM images ORDER BY span, number")
        )


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

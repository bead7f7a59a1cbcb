"""Rows in memory as a data set, and data sets made of rows as files."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import Catalog, CatalogEntry
from tasks.dataset.reader import NO_FIELDS, NOTHING_IGNORED
from tasks.dataset.readers import open_reader
from tasks.dataset.shards import Plan, plan_shards, read_entries
from tasks.records import Reject, Row, Span
from tasks.work.folder import Folder

LIMIT = 1000


class RowsReader:
    """A data set of rows in memory, `a_span` of them a span."""

    name = "rows"
    links_outside = 0
    fields = NO_FIELDS
    ignored = NOTHING_IGNORED

    def __init__(self, rows: Sequence[Row], a_span: int = 3) -> None:
        self.rows = rows
        self._a_span = a_span

    def spans(self) -> Iterator[Span]:
        for start in range(0, len(self.rows), self._a_span):
            yield Span("", start, start + self._a_span)

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        yield from self.rows[span.start : span.stop]

    def read_queries(self, span: Span) -> Iterator[Row]:
        yield from (replace(row, image=None) for row in self.read(span) if row.query is not None)


def row(
    number: int,
    image_id: int | None = None,
    image: bytes | None = None,
    query_id: int | None = None,
    query: str | None = None,
) -> Row:
    return Row(f"rows:{number}", image_id, image, query_id, query)


def filled(catalog: Catalog, rows: Sequence[Row]) -> list[Reject]:
    return list(catalog.fill(RowsReader(rows), lambda _: None))


def codes(rejects: Sequence[Reject]) -> list[tuple[str, str]]:
    """(position, code) of each reject."""
    return [(reject.position, reject.code) for reject in rejects]


def plan_of(dataset: str, work: Folder, shard_images: int = 1000, limit: int = LIMIT) -> Plan:
    return plan_shards(dataset, open_reader(dataset), work, shard_images, limit)


def entries_of(plan: Plan, work: Folder) -> list[CatalogEntry]:
    folder = work.sub(plan.folder)
    return [entry for shard in plan.shards for entry in read_entries(folder, shard)]


def all_rows(dataset: str) -> list[Row]:
    reader = open_reader(dataset)
    return [row for span in reader.spans() for row in reader.read(span)]


def write_parquet(file: Path, lines: list[dict[str, Any]], **options: Any) -> Path:
    """Lines as Parquet; `schema` and `row_group_size` may be given."""
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = options.pop("schema", None)
    pq.write_table(pa.Table.from_pylist(lines, schema=schema), file, **options)
    return file


def muge_lines(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Lines as MUGE has them: a pair each, two of them an image."""
    return [
        {
            "query_id": str(number),
            "query": f"商品 {number}",
            "image_id": str(number // 2),
            "image": b"picture %d" % (number // 2),
        }
        for number in range(first, first + count)
    ]

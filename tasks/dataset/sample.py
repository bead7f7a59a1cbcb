"""The sample that ships: pictures and queries as two Parquet files, MUGE-shaped rows out."""

from __future__ import annotations

from collections.abc import Container, Iterator
from importlib.resources import files

import pyarrow.parquet as pq

from tasks.dataset.reader import NO_FIELDS, NOTHING_IGNORED, DatasetName
from tasks.errors import DatasetError
from tasks.records import Row, Span

SPLITS = ("indexed", "held_out")


class SampleReader:
    """`sample:` gives pictures and the queries that are indexed with them;
    `sample:?split=held_out` the queries that are kept for evaluation, without pictures."""

    links_outside = 0
    fields = NO_FIELDS
    ignored = NOTHING_IGNORED

    def __init__(self, name: DatasetName) -> None:
        self.split = name.options.get("split", "indexed")
        if self.split not in SPLITS:
            raise DatasetError(f"sample: has no split {self.split!r}, expected one of {SPLITS}")
        if name.path:
            raise DatasetError(f"sample: takes no path, got {name.path!r}")
        self.name = name.slug
        self._data = files("tasks.sample") / "data"

    def spans(self) -> Iterator[Span]:
        """One span a row group: first pictures, then queries."""
        names = ["images.parquet"] if self.split == "indexed" else []
        for name in [*names, "queries.parquet"]:
            for group in range(self._open(name).num_row_groups):
                yield Span(name, group, group + 1)

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """Pictures as rows without query; queries as one row for each of their pictures."""
        table = self._open(span.source).read_row_group(span.start)
        for number, line in enumerate(table.to_pylist()):
            position = f"{span.source}:{span.start}.{number}"
            if span.source == "images.parquet":
                yield Row(position, image_id=line["image_id"], image=line["image"])
            elif line["split"] == self.split:
                for image_id in line["image_ids"]:
                    yield Row(position, image_id, None, line["query_id"], line["query"])

    def read_queries(self, span: Span) -> Iterator[Row]:
        """The queries of a span; pictures have none."""
        return iter(()) if span.source == "images.parquet" else self.read(span)

    def _open(self, name: str) -> pq.ParquetFile:
        return pq.ParquetFile(str(self._data / name))

"""Tables of several files: what holds for all, and what one of them lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.dataset.reader import Bounds
from tasks.dataset.readers import open_reader


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_file_without_a_fields_column_is_said_once(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder's columns may have grown: it is no fault, and never silent."""
    for number, columns in enumerate((("id", "title", "price"), *[("id", "title", "价")] * 3)):
        rows = [{**dict.fromkeys(columns, "1"), "id": f"{number}-{n}"} for n in range(2)]
        place = tmp_path / f"{number}.{kind}"
        if kind == "csv":
            lines = [",".join(columns), *(",".join(row[c] for c in columns) for row in rows)]
            place.write_text("\n".join(lines), encoding="utf-8")
        elif kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), place)
        else:
            place.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    reader = open_reader(f"{kind}:{tmp_path}", Bounds(fields="price:str"))
    read = [row for span in reader.spans() for row in reader.read_queries(span)]
    assert [row.fields.get("price") for row in read] == ["1", "1", *[None] * 6]
    said = [record for record in caplog.records if "has no column 'price'" in record.message]
    assert len(said) == (kind != "jsonl")
    assert all("1." in record.message and getattr(record, "kind", "") == "note" for record in said)

"""Lines of tables as rows: ids as they are, numbers of pandas, and JSON Lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.reader import Bounds, document_id, stable_id
from tasks.dataset.readers import open_reader
from tasks.dataset.table.rows import id_of
from tasks.errors import DatasetError
from tasks.records import Row
from tests.dataset.rows import all_rows, write_parquet


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (7, 7),
        ("7", 7),
        (" 7 ", 7),
        (7.0, 7),
        ("7.0", 7),
        ("0.0", 0),
        ("7.10", "7.10"),
        ("07.0", "07.0"),
        ("v7.0", "v7.0"),
        ("007", "007"),
        ("SKU-001", "SKU-001"),
        ("红 1", "红 1"),
        (-4, "-4"),
        (1 << 64, str(1 << 64)),
        ("1_0", "1_0"),
    ],
)
def test_ids_as_they_are(value: Any, wanted: Any) -> None:
    assert (id_of(value), type(id_of(value))) == (wanted, type(wanted))


@pytest.mark.parametrize(
    "value",
    [None, "", " ", float("nan"), 1.5, float("inf"), True, [1], "6.9E+12", "x" * 501, "\ud800"],
)
def test_ids_that_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^id "):
        id_of(value)


@given(st.text(min_size=1, max_size=80))
def test_every_id_has_a_document(text: str) -> None:
    made = document_id(text)
    assert len(made) <= 64
    assert made.isascii()
    assert made in (text, str(stable_id(text)))


def test_numbers_of_pandas(tmp_path: Path) -> None:
    table = pa.table({"id": [1.0, None, 3.0, 4.5], "image": [b"1", b"2", b"3", b"4"]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = all_rows(f"parquet:{tmp_path}")
    assert [row.image_id for row in rows] == [1, None, 3, None]
    assert [row.defect and row.defect[0] for row in rows] == [None, "bad_id", None, "bad_id"]


def test_ids_of_muge_are_numbers_only(tmp_path: Path) -> None:
    lines = [{"query_id": "1", "query": "猫", "image_id": "SKU-1", "image": b"1"}]
    (row,) = all_rows(f"parquet:{write_parquet(tmp_path / 'a.parquet', lines)}")
    assert row.defect == ("bad_id", "id is 'SKU-1', expected an integer")
    (row,) = all_rows(f"parquet:{tmp_path / 'a.parquet'}?id=image_id")
    assert (row.image_id, row.query, row.image) == ("SKU-1", "猫", b"1")


def test_a_pictures_own_product_is_itself(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"id": "a", "image": b"1", "spu": "P"},
        {"id": "b", "image": b"2", "spu": None},
    ]
    rows = all_rows(f"parquet:{write_parquet(tmp_path / 'a.parquet', lines)}")
    assert [dict(row.fields) for row in rows] == [{"spu": "P"}, {"spu": "b"}]


def test_queries_are_read_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"标题": "猫", "图片": "none.jpg"}', "utf-8")
    reader = open_reader(f"jsonl:{tmp_path}")
    (span,) = reader.spans()
    assert list(reader.read_queries(span)) == [
        Row("a.jsonl:1", stable_id("none.jpg"), query="猫", source="none.jpg")
    ]


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        json.dumps({"sku": "A", "title": "猫", "image": "data:,x", "price": 1.5}),
        "",
        '{"sku": "B", "title": "狗"',
        "[1]",
        json.dumps({"sku": "C", "title": 5, "image": "data:,y"}),
        json.dumps({"sku": "D", "title": ["猫"], "image": "data:,y", "price": 2}),
        '{"sku": "E", "title": "鸟", "image": "data:,z", "price": NaN}',
    ]
    content = "\n".join(lines).encode() + b'\n{"sku": "F", "title": "\xff"}\n'
    (tmp_path / "a.jsonl").write_bytes("\ufeff".encode() + content)
    bounds = Bounds(fields="price")
    reader = open_reader(f"jsonl:{tmp_path}/a.jsonl", bounds)
    rows = [row for span in reader.spans() for row in reader.read(span)]
    good = [(row.position, row.image_id, row.query, row.image) for row in rows if not row.defect]
    assert good == [
        ("a.jsonl:1", "A", "猫", b"x"),
        ("a.jsonl:5", "C", "5", b"y"),
        ("a.jsonl:7", "E", "鸟", b"z"),
    ]
    assert [dict(row.fields) for row in rows if not row.defect] == [{"price": 1.5}, {}, {}]
    bad = {row.position: row.defect[0] for row in rows if row.defect}
    assert bad == {
        "a.jsonl:3": "bad_line",
        "a.jsonl:4": "bad_line",
        "a.jsonl:6": "bad_value",
        "a.jsonl:8": "bad_encoding",
    }
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines[0].encode()))
    assert [row.image_id for row in all_rows(f"jsonl:{tmp_path}/b.jsonl.gz")] == ["A"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty, expected one JSON object a line"),
        ('[{"id": 1}]', r"an array must become lines first: jq -c '\.\[\]' FILE"),
        ('{"价格": 1}', "it has columns '价格', expected one with pictures"),
    ],
)
def test_files_that_are_no_json_lines(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=said) as error:
        all_rows(f"jsonl:{tmp_path}/a.jsonl")
    assert "\n" not in str(error.value)


def test_a_field_that_changes_its_type_between_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"id": 1, "image": b"1", "price": 5}])
    write_parquet(tmp_path / "b.parquet", [{"id": 2, "image": b"2", "price": 6.0}])
    write_parquet(tmp_path / "c.parquet", [{"id": 3, "image": b"3", "price": "便宜"}])
    write_parquet(tmp_path / "d.parquet", [{"id": 4, "image": b"4"}])
    reader = open_reader(f"parquet:{tmp_path}", Bounds(fields="price"))
    assert dict(reader.fields.types) == {"price": "long"}
    rows = [row for span in reader.spans() for row in reader.read(span)]
    assert [dict(row.fields) for row in rows] == [{"price": 5}, {"price": 6}, {}, {}]
    assert [row.defect and row.defect[0] for row in rows] == [None, None, "bad_value", None]
    assert "column 'price' is '便宜', expected a whole number" in str(rows[2].defect)

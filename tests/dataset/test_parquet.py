"""Parquet data sets in every form that people have them, and in forms they should not have."""

from __future__ import annotations

import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.dataset.readers import open_reader
from tasks.dataset.shards import read_images
from tasks.dataset.table.parquet import ROWS_A_SPAN
from tasks.errors import DatasetError
from tasks.records import Row
from tasks.work.folder import Folder
from tests.dataset.rows import all_rows, entries_of, muge_lines, plan_of, write_parquet

LINE: dict[str, Any] = {"query_id": 7, "query": "红色连衣裙", "image_id": 9, "image": b"bytes"}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def refused(dataset: str) -> str:
    with pytest.raises(DatasetError) as error:
        all_rows(dataset)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_muge_as_published(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "train.parquet", muge_lines(3))
    assert all_rows(f"parquet:{file}") == [
        Row("train.parquet:0", 0, b"picture 0", 0, "商品 0"),
        Row("train.parquet:1", 0, b"picture 0", 1, "商品 1"),
        Row("train.parquet:2", 1, b"picture 1", 2, "商品 2"),
    ]


@pytest.mark.parametrize(
    ("ids", "image", "text"),
    [
        (pa.string(), pa.binary(), pa.string()),
        (pa.int64(), pa.binary(), pa.large_string()),
        (pa.int32(), pa.large_binary(), pa.string()),
        (pa.uint64(), IMAGE, pa.string_view()),
        (pa.large_string(), IMAGE, pa.dictionary(pa.int32(), pa.string())),
    ],
)
def test_types_that_writers_choose(
    tmp_path: Path, ids: pa.DataType, image: pa.DataType, text: pa.DataType
) -> None:
    columns = {"query_id": ids, "query": text, "image_id": ids, "image": image}
    as_text = pa.types.is_string(ids) or pa.types.is_large_string(ids)
    line = {
        **LINE,
        "query_id": "7" if as_text else 7,
        "image_id": "9" if as_text else 9,
        "image": {"bytes": b"bytes", "path": "a.jpg"} if image == IMAGE else b"bytes",
    }
    table = pa.table(
        {
            name: pa.array([line[name]]).cast(kind)
            if pa.types.is_dictionary(kind)
            else pa.array([line[name]], kind)
            for name, kind in columns.items()
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert all_rows(f"parquet:{tmp_path}") == [Row("a.parquet:0", 9, b"bytes", 7, "红色连衣裙")]


def test_other_columns_and_missing_ones_do_not_matter(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", [{"image_id": 1, "image": b"x", "price": 3.5}])
    assert all_rows(f"parquet:{file}") == [Row("a.parquet:0", 1, b"x")]
    file = write_parquet(tmp_path / "b.parquet", [{"image_id": 1, "query": "猫"}])
    assert all_rows(f"parquet:{file}") == [Row("b.parquet:0", 1, query="猫")]


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_row_groups_of_any_size(tmp_path: Path, size: int) -> None:
    file = write_parquet(tmp_path / "a.parquet", muge_lines(1300), row_group_size=size)
    spans = list(open_reader(f"parquet:{file}").spans())
    assert len(spans) <= 1300 // ROWS_A_SPAN + 1
    rows = all_rows(f"parquet:{file}")
    assert [row.query_id for row in rows] == list(range(1300))
    assert [row.position for row in rows] == [f"a.parquet:{number}" for number in range(1300)]


def test_a_large_row_group_is_read_once_and_never_held_whole(tmp_path: Path) -> None:
    size, count = 20_000, 2000
    lines = [{"image_id": n, "image": n.to_bytes(2) * (size // 2)} for n in range(count)]
    file = write_parquet(
        tmp_path / "a.parquet", lines, compression="none", use_dictionary=False, write_batch_size=64
    )
    del lines
    reader = open_reader(f"parquet:{file}")
    read = 0
    before = pa.total_allocated_bytes()
    most = 0
    tracemalloc.start()
    for span in reader.spans():
        for row in reader.read(span):
            assert row.image is not None
            read += len(row.image)
            most = max(most, pa.total_allocated_bytes() - before)
    _, python = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == size * count
    assert most + python < read / 4
    assert len(list(reader.spans())) == 1  # a piece of a row group cannot be read without the rest


def test_a_folder_a_glob_and_a_split(tmp_path: Path) -> None:
    for name, first in (("deep/train-0", 0), ("deep/train-1", 2), ("valid-0", 4)):
        write_parquet(tmp_path / f"{name}.parquet", muge_lines(2, first))
    (tmp_path / "README.md").write_text("not data")

    def ids(dataset: str) -> list[int | None]:
        return [row.query_id for row in all_rows(dataset)]

    assert ids(f"parquet:{tmp_path}") == [0, 1, 2, 3, 4, 5]
    assert ids(f"parquet:{tmp_path}?split=train") == [0, 1, 2, 3]
    assert ids(f"parquet:{tmp_path}/deep/*.parquet") == [0, 1, 2, 3]
    assert ids(f"parquet:{tmp_path}/deep/*-1.parquet") == [2, 3]
    assert ids(f"parquet:{tmp_path}/valid-0.parquet") == [4, 5]
    write_parquet(tmp_path / "deep[1]" / "more.PARQUET", muge_lines(1, 6))
    assert ids(f"parquet:{tmp_path}/deep[1]/*.parquet") == [6]
    (tmp_path / "deep[1]" / "more.PARQUET").rename(tmp_path / "deep" / "more.Parquet")
    assert ids(f"parquet:{tmp_path}/deep/*.parquet") == [6, 0, 1, 2, 3]


@pytest.fixture
def memory() -> Iterator[str]:
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.rm(root, recursive=True)


def test_another_file_system(memory: str) -> None:
    with fsspec.open(f"{memory}/a.parquet", "wb") as handle:
        pq.write_table(pa.Table.from_pylist(muge_lines(3)), handle)
    assert len(all_rows(f"parquet:{memory}")) == 3
    assert len(all_rows(f"parquet:{memory}/*.parquet")) == 3


def test_rows_that_make_no_sense_are_rejects_and_the_rest_is_kept(tmp_path: Path) -> None:
    schema = pa.schema(
        [*((name, pa.string()) for name in ("query_id", "query", "image_id")), ("image", IMAGE)]
    )
    image = {"bytes": b"picture", "path": None}
    lines: list[dict[str, Any]] = [
        {"query_id": "1", "query": "猫", "image_id": "1", "image": image},
        {"query_id": "1_0", "query": "猫", "image_id": "1", "image": None},
        {"query_id": "2", "query": "猫", "image_id": None, "image": image},
        {"query_id": "3", "query": "猫", "image_id": "-4", "image": image},
        {"query_id": "4", "query": "猫", "image_id": "9" * 30, "image": image},
        {"query_id": "5", "query": "猫", "image_id": "٣", "image": image},
        {"query_id": None, "query": None, "image_id": "1", "image": None},
        {"query_id": "6", "query": "狗", "image_id": "2", "image": {"bytes": None, "path": "b"}},
        {"query_id": "7", "query": "狗", "image_id": " 1 ", "image": None},
    ]
    write_parquet(tmp_path / "a.parquet", lines, schema=schema)
    work = Folder(str(tmp_path / "work"))
    plan = plan_of(f"parquet:{tmp_path}/a.parquet", work)
    assert plan.counts.rows == 9
    (entry,) = entries_of(plan, work)
    assert (entry.image_id, entry.queries) == (1, ("猫", "狗"))
    with work.sub(plan.folder).reading("rejects/dataset.parquet") as handle:
        said = {r["position"].split(":")[1]: r["code"] for r in pq.read_table(handle).to_pylist()}
    assert said == {
        **dict.fromkeys("12345", "bad_id"),
        "6": "empty_row",
        "7": "no_image_bytes",
    }


def test_text_that_is_no_utf8_is_a_reject(tmp_path: Path) -> None:
    bad = pa.array(["猫".encode(), b"\xff\xfe", "狗".encode()], pa.binary())
    text = pa.StringArray.from_buffers(3, bad.buffers()[1], bad.buffers()[2])
    ids = pa.array([1, 2, 3])
    images = pa.array([b"1", b"2", b"3"])
    table = pa.table({"query_id": ids, "query": text, "image_id": ids, "image": images})
    pq.write_table(table, tmp_path / "a.parquet")
    work = Folder(str(tmp_path / "work"))
    plan = plan_of(f"parquet:{tmp_path}/a.parquet", work)
    assert (plan.rejects, plan.counts.images, plan.counts.queries) == (1, 3, 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"id": 1, "link_to": "x"}, "has columns 'id', 'link_to', expected one with pictures"),
        ({"image_id": 1}, "expected one with pictures (image: image, image_url, 图片; text: "),
        ({"sku": 1, "id": 1, "image": b"x"}, "can each be the id; say which: ?id=sku"),
        (
            {"image_id": 1, "image": 5},
            "column image is int64, expected binary, struct<bytes, path>",
        ),
        ({"image_id": 1, "image": {"path": "a"}}, "column image is struct<path: string>"),
        ({"image_id": [1], "query": "猫"}, "expected integer or string"),
        ({"image_id": 1, "query": 5}, "column query is int64, expected string"),
        ({"image_id": 1, "query": ["猫"]}, "column query is list"),
    ],
)
def test_wrong_columns(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    write_parquet(tmp_path / "a.parquet", [line])
    assert said in refused(f"parquet:{tmp_path}")


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string()), IMAGE])
def test_images_may_be_files_beside(tmp_path: Path, kind: pa.DataType) -> None:
    (tmp_path / "data" / "jpg").mkdir(parents=True)
    (tmp_path / "data" / "jpg" / "一.jpg").write_bytes(b"one")
    (tmp_path / "secret").write_bytes(b"secret")
    paths = [
        "jpg/一.jpg",
        "none.jpg",
        "../secret",
        f"{tmp_path}/secret",
        "file:///etc/passwd",
        "jpg",
    ]
    lines: list[dict[str, Any]] = [
        {"image_id": number, "image": {"path": path} if kind == IMAGE else path}
        for number, path in enumerate(paths)
    ]
    schema = pa.schema([("image_id", pa.int64()), ("image", kind)])
    write_parquet(tmp_path / "data" / "a.parquet", lines, schema=schema)
    rows = all_rows(f"parquet:{tmp_path}/data/a.parquet")
    assert rows[0] == Row("a.parquet:0", 0, b"one", source="jpg/一.jpg")
    assert {row.defect and row.defect[0] for row in rows[1:]} == {"no_image_bytes"}
    assert all(
        repr(path[:80]) in str(row.defect)
        for path, row in zip(paths, rows, strict=True)
        if row.defect
    )


def test_files_that_are_no_parquet(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "a.parquet", muge_lines(50)).read_bytes()
    for content in (b"", b"PAR1", b"not parquet at all", whole[:-5], whole[100:]):
        (tmp_path / "a.parquet").write_bytes(content)
        assert "a.parquet is not a readable Parquet file" in refused(f"parquet:{tmp_path}")


def test_a_damaged_page(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", muge_lines(500), compression="zstd")
    content = bytearray(file.read_bytes())
    start = pq.ParquetFile(file).metadata.row_group(0).column(0).dictionary_page_offset or 4
    content[start : start + 40] = b"\xff" * 40
    file.write_bytes(bytes(content))
    assert "not a readable Parquet file" in refused(f"parquet:{file}")


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.parquet").mkdir()
    for place in ("nowhere", "nowhere.parquet", "empty", "*.txt", "table.parquet"):
        assert "no .parquet file is there" in refused(f"parquet:{tmp_path}/{place}")
    assert "not a readable" in refused(f"parquet:{tmp_path}/*.parquet")


def test_an_unknown_file_system() -> None:
    assert "cannot be read" in refused("parquet:nosuch://place")


def test_a_file_without_rows(tmp_path: Path) -> None:
    schema = pa.schema([("image_id", pa.int64()), ("image", pa.binary())])
    write_parquet(tmp_path / "a.parquet", [], schema=schema)
    with pytest.raises(DatasetError, match=r"is empty: it has no image"):
        plan_of(f"parquet:{tmp_path}", Folder(str(tmp_path / "work")))


def test_images_across_files_and_row_groups(tmp_path: Path) -> None:
    for number in range(3):
        lines = muge_lines(400, first=400 * number)
        write_parquet(tmp_path / f"{number}.parquet", lines, row_group_size=150)
    work, dataset = Folder(str(tmp_path / "work")), f"parquet:{tmp_path}"
    plan = plan_of(dataset, work, shard_images=70)
    entries = entries_of(plan, work)
    assert len(entries) == 600
    for first in range(0, 600, 70):
        part = entries[first : first + 70]
        found = list(read_images(open_reader(dataset), part))
        assert [entry for entry, _ in found] == part
        assert all(image == b"picture %d" % int(entry.image_id) for entry, image in found)


def test_a_column_whose_name_is_no_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({"image_id": [1], "query": ["猫"], "zzzz": [1]})
    pq.write_table(table, file, store_schema=False)
    file.write_bytes(file.read_bytes().replace(b"zzzz", b"\xff\xfe\xff\xfe"))
    with pytest.raises(DatasetError, match=r"a\.parquet is not a readable Parquet file: .*utf-8"):
        all_rows(f"parquet:{file}")

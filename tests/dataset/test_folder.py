"""Folders of pictures with queries in a file or in the pictures' names."""

from __future__ import annotations

import json
import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tasks.dataset.reader import stable_id
from tasks.dataset.readers import open_reader
from tasks.errors import DatasetError
from tasks.records import Row
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests.dataset.rows import all_rows, entries_of, plan_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures in a folder and one in a folder inside."""
    folder = tmp_path / "pictures"
    (folder / "inside").mkdir(parents=True)
    for name in ("a.jpg", "b.PNG", "inside/红色 连衣裙_01.webp"):
        (folder / name).write_bytes(name.encode())
    return folder


def write_lines(folder: Path, *lines: dict[str, Any] | str, start: str = "") -> None:
    said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "queries.jsonl").write_text(start + "\n".join(said) + "\n", "utf-8")


def queries(folder: Path) -> list[Row]:
    """The rows of the query file."""
    return [row for row in all_rows(f"folder:{folder}") if row.position.startswith("queries.")]


def rejects_of(folder: Path, tmp_path: Path) -> dict[str, str]:
    """position -> code, of an indexed folder."""
    work = Folder(str(tmp_path / "work"))
    plan = plan_of(f"folder:{folder}", work)
    return {r.position: r.code for r in read_rejects(work.sub(plan.folder))}


def test_names_are_the_text_without_a_query_file(pictures: Path) -> None:
    (pictures / "notes.txt").write_text("no picture")
    rows = all_rows(f"folder:{pictures}")
    assert [(r.position, r.query) for r in rows] == [
        ("a.jpg", "a"),
        ("b.PNG", "b"),
        ("inside/红色 连衣裙_01.webp", "红色 连衣裙"),
    ]
    assert [r.image for r in rows] == [r.position.encode() for r in rows]
    assert len({r.image_id for r in rows}) == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("连衣裙_红色-01.jpg", "连衣裙 红色"),
        ("连衣裙 (2).jpg", "连衣裙"),
        ("连衣裙（12）.jpg", "连衣裙"),
        ("2023.jpg", "2023"),
        ("a.b.jpg", "a.b"),
        ("___.jpg", "___"),
    ],
)
def test_a_name_as_text(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(b"1")
    (row,) = all_rows(f"folder:{tmp_path}")
    assert row.query == text


def test_jsonl_with_ids(pictures: Path) -> None:
    line = {"query_id": 5, "query": "红色", "image_id": 0, "image": "a.jpg"}
    write_lines(pictures, line, {**line, "query_id": "6", "query": "蓝色"})
    rows = all_rows(f"folder:{pictures}")
    assert rows[0] == Row("a.jpg", 0, b"a.jpg")
    assert rows[3:] == [
        Row("queries.jsonl:1", 0, None, 5, "红色"),
        Row("queries.jsonl:2", 0, None, 6, "蓝色"),
    ]


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_byte_order_mark_and_line_ends(pictures: Path, start: str, end: str, kind: str) -> None:
    lines = {
        "jsonl": ['{"query": "红, 色", "image": "a.jpg"}', '{"query": "蓝", "image": "b.PNG"}'],
        "csv": ["query,image,query_id", '"红, 色",a.jpg,', "蓝,b.PNG,"],
    }[kind]
    (pictures / f"queries.{kind}").write_bytes((start + end.join(lines)).encode())
    assert [(r.query, r.query_id) for r in queries(pictures)] == [("红, 色", None), ("蓝", None)]


@pytest.mark.parametrize("name", ["a.jpg", "./a.jpg"])
def test_a_picture_that_no_line_names_is_kept(name: str, pictures: Path, tmp_path: Path) -> None:
    write_lines(pictures, {"query": "红色", "image": name})
    work = Folder(str(tmp_path / "work"))
    plan = plan_of(f"folder:{pictures}", work)
    found = {entry.position: entry.queries for entry in entries_of(plan, work)}
    assert found == {"a.jpg": ("红色",), "b.PNG": (), "inside/红色 连衣裙_01.webp": ()}


def test_ids_that_are_missing_are_the_same_for_the_same_text(
    pictures: Path, tmp_path: Path
) -> None:
    write_lines(
        pictures, {"query": "红 色", "image": "a.jpg"}, {"query": " 红  色\t", "image": "b.PNG"}
    )
    work = Folder(str(tmp_path / "work"))
    plan = plan_of(f"folder:{pictures}", work)
    assert (plan.counts.queries, plan.counts.pairs) == (1, 2)
    ids = {query_id for entry in entries_of(plan, work) for query_id in entry.query_ids}
    assert ids == {stable_id("红 色")}


def test_an_id_given_once_holds_for_all_lines_of_a_picture(pictures: Path) -> None:
    write_lines(
        pictures,
        {"query": "红", "image": "a.jpg"},
        {"query": "蓝", "image": "a.jpg", "image_id": "41"},
        {"query": "绿", "image_id": 41},
    )
    assert [row.image_id for row in all_rows(f"folder:{pictures}")][::3] == [41, 41]
    assert [row.image_id for row in queries(pictures)] == [41, 41, 41]


def test_lines_that_make_no_sense_are_rejects(pictures: Path, tmp_path: Path) -> None:
    good = {"query": "红色", "image": "a.jpg", "image_id": 1}
    write_lines(
        pictures,
        good,
        "not json",
        '["a", "list"]',
        {**good, "query": None},
        {**good, "query": 5},
        {**good, "query": "  "},
        {**good, "query": "\ud83d"},
        {**good, "image": "nowhere.jpg"},
        {**good, "image": ["a.jpg"]},
        {**good, "image_id": "x"},
        {**good, "image_id": 2},
        {"query": "红色"},
        {"query": "蓝色", "image_id": 77},
        {**good, "query_id": -1},
        "[" * 100_000,
        '{"query": "x", "image_id": ' + "9" * 5000 + "}",
        {**good, "query": "最后"},
    )
    assert rejects_of(pictures, tmp_path) == {
        "queries.jsonl:2": "bad_line",
        "queries.jsonl:3": "bad_line",
        "queries.jsonl:4": "bad_query",
        "queries.jsonl:5": "bad_query",
        "queries.jsonl:6": "empty_query",
        "queries.jsonl:7": "invalid_unicode",
        "queries.jsonl:8": "missing_image",
        "queries.jsonl:9": "missing_image",
        "queries.jsonl:10": "bad_id",
        "queries.jsonl:11": "bad_id",
        "queries.jsonl:12": "bad_id",
        "queries.jsonl:13": "missing_image",
        "queries.jsonl:14": "bad_id",
        "queries.jsonl:15": "bad_line",
        "queries.jsonl:16": "bad_line",
    }


@pytest.mark.parametrize(
    "path", ["../a.jpg", "/etc/passwd", "in/../../a.jpg", "..\\a.jpg", "C:/a.jpg", "s3://b/a.jpg"]
)
def test_paths_that_lead_out_of_the_folder_are_said_to_be_refused(
    pictures: Path, path: str
) -> None:
    write_lines(pictures, {"query": "红色", "image": path}, {"query": "红色", "image": "b/c.jpg"})
    refused, absent = (row.defect for row in queries(pictures)[-2:])
    assert refused is not None
    assert absent is not None
    assert refused[0] == absent[0] == "missing_image"
    assert "only files of the folder may be named" in refused[1]
    assert "is not a picture of this folder" in absent[1]


def test_bytes_that_are_no_utf8_are_rejects(pictures: Path, tmp_path: Path) -> None:
    (pictures / "queries.jsonl").write_bytes(
        b'{"query": "\xff\xfe", "image": "a.jpg"}\n{"query": "ok", "image": "a.jpg"}\n\xff\n'
    )
    assert rejects_of(pictures, tmp_path) == {
        "queries.jsonl:1": "invalid_unicode",
        "queries.jsonl:3": "bad_line",
    }


def test_csv_cells(pictures: Path, tmp_path: Path) -> None:
    rows = ["query_id,query,image_id,image", ",,,a.jpg", "1,红色,,a.jpg", "2,", "x,蓝,,a.jpg"]
    rows += ["3," + "长" * 140_000 + ",,a.jpg", "4,绿,,a.jpg,too,many", "5,nul\0,,a.jpg"]
    (pictures / "queries.csv").write_text("\n".join(rows), "utf-8")
    assert rejects_of(pictures, tmp_path) == {
        "queries.csv:2": "empty_query",
        "queries.csv:4": "bad_id",
        "queries.csv:5": "bad_id",
        "queries.csv:6": "bad_line",
    }
    assert [row.query for row in queries(pictures)][-2:] == ["绿", "nul\0"]


def test_a_csv_without_the_column_is_no_data_set(pictures: Path) -> None:
    (pictures / "queries.csv").write_text("text,file\n红色,a.jpg\n", "utf-8")
    with pytest.raises(DatasetError, match=r"columns \['text', 'file'\], expected query"):
        all_rows(f"folder:{pictures}")


@pytest.mark.skipif(os.name == "nt", reason="names are bytes")
def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"1")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (folder / "b.jpg").write_bytes(b"2")
    assert rejects_of(folder, tmp_path) == {"\\udcff\\udcfe.jpg": "invalid_unicode"}
    work = Folder(str(tmp_path / "work"))
    positions = [e.position for e in entries_of(plan_of(f"folder:{folder}", work), work)]
    assert positions == ["b.jpg", "\\udcff\\udcfe.jpg"]


def test_a_picture_that_went_away_is_a_reject(pictures: Path, tmp_path: Path) -> None:
    reader = open_reader(f"folder:{pictures}")
    (pictures / "b.PNG").unlink()
    rows = [row for span in reader.spans() for row in reader.read(span)]
    assert [row.defect and row.defect[0] for row in rows] == [None, "unreadable_file", None]


def test_another_file_system() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    for name, content in (("a.jpg", b"1"), ("queries.jsonl", b'{"query":"x","image":"a.jpg"}')):
        with fsspec.open(f"{url}/{name}", "wb") as handle:
            handle.write(content)
    assert [(r.position, r.query) for r in all_rows(f"folder:{url}")] == [
        ("a.jpg", None),
        ("queries.jsonl:1", "x"),
    ]


def refused(dataset: str) -> str:
    with pytest.raises(DatasetError) as error:
        open_reader(dataset)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folders_that_are_no_data_set(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is not there, or not a folder" in refused(f"folder:{tmp_path}/nowhere")
    assert "is not there, or not a folder" in refused(f"folder:{pictures}/a.jpg")
    assert "holds no picture" in refused(f"folder:{tmp_path}/empty")
    assert "takes no option {'split'}" in refused(f"folder:{pictures}?split=valid")
    assert "nosuch" in refused("folder:nosuch://place")


def test_queries_without_any_picture(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_lines(folder, {"query": "红色", "image_id": 1})
    with pytest.raises(DatasetError, match=r"no usable image; .*queries.jsonl:1"):
        plan_of(f"folder:{folder}", Folder(str(tmp_path / "work")))


def test_threads_share_a_reader(tmp_path: Path) -> None:
    """Several shards of one run are read at the same time."""
    folder = tmp_path / "many"
    folder.mkdir()
    lines = []
    for number in range(400):
        (folder / f"{number}.png").write_bytes(b"picture")
        lines.append({"query_id": 1, "query": "红", "image_id": number, "image": f"{number}.png"})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "queries.jsonl").write_text(text, "utf-8")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            reader = open_reader(f"folder:{folder}")
            spans = [span for span in reader.spans() if not span.source] * 8
            found = threads.map(lambda span: [row.image_id for row in reader.read(span)], spans)
            assert {number for ids in found for number in ids} == set(range(400))
    finally:
        sys.setswitchinterval(before)

"""Queries can be read without the pictures beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.dataset.readers import open_reader
from tests.dataset.muge_files import write_muge
from tests.dataset.rows import all_rows, muge_lines, write_parquet


def pictures_alone(folder: Path) -> str:
    folder.mkdir()
    for name in ("红裙.png", "帽子.png"):
        (folder / name).write_bytes(name.encode())
    return f"folder:{folder}"


def pictures_with_queries(folder: Path) -> str:
    name = pictures_alone(folder)
    lines = [
        {"query_id": number, "query": text, "image_id": number, "image": "红裙.png"}
        for number, text in enumerate(("红色", "长裙"))
    ]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return name


def parquet(folder: Path) -> str:
    return f"parquet:{write_parquet(folder / 'a.parquet', muge_lines(40), row_group_size=7)}"


def muge(folder: Path) -> str:
    images = {1: b"one", 2: b"two"}
    return f"muge:{write_muge(folder, images, {7: ('红裙', [1, 2]), 8: ('帽子', [2])})}"


DATASETS: dict[str, Callable[[Path], str]] = {
    "pictures alone": pictures_alone,
    "pictures with queries": pictures_with_queries,
    "parquet": parquet,
    "muge": muge,
    "sample": lambda _: "sample:",
    "sample held-out": lambda _: "sample:?split=held_out",
}


@pytest.mark.parametrize("kind", DATASETS)
def test_they_are_the_rows_with_a_query(kind: str, tmp_path: Path) -> None:
    dataset = DATASETS[kind](tmp_path / "data")
    reader = open_reader(dataset)
    found = [row for span in reader.spans() for row in reader.read_queries(span)]
    whole = [replace(row, image=None) for row in all_rows(dataset) if row.query is not None]
    assert [row for row in found if row.query is not None] == whole != []
    assert all(row.image is None for row in found)


def test_pictures_that_are_gone_are_not_missed(tmp_path: Path) -> None:
    lines = [{**line, "image": f"{line['image_id']}.jpg"} for line in muge_lines(4)]
    reader = open_reader(f"parquet:{write_parquet(tmp_path / 'a.parquet', lines)}")
    (span,) = reader.spans()
    assert [row.query for row in reader.read_queries(span)] == [f"商品 {n}" for n in range(4)]
    assert all(row.defect for row in reader.read(span))

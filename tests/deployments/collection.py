"""A small collection of the sample's pictures, indexed without Prefect."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.context import Context
from tasks.index.run import IndexRun
from tasks.settings import Settings, load_settings
from tasks.work.collections import CollectionRecord
from tests.search.library import build, run_of

NAMED = ("熊猫", "雨伞", "生日蛋糕", "猫", "狗", "长颈鹿", "消防车", "帆船", "火车", "香蕉")
EVERY = 25


def sample_pictures(folder: Path, start: int = 0) -> Path:
    """Some of the sample's pictures as files, with queries.jsonl: the named ones and every 25th."""
    folder.mkdir(parents=True)
    data = files("tasks.sample") / "data"
    rows = pq.read_table(str(data / "images.parquet")).to_pylist()
    kept = [
        row
        for number, row in enumerate(rows)
        if number % EVERY == start or (start == 0 and row["name"] in NAMED)
    ]
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for row in kept:
            name = f"{row['image_id']}.{'webp' if row['image'][8:12] == b'WEBP' else 'png'}"
            (folder / name).write_bytes(row["image"])
            line = {"query_id": row["image_id"], "query": row["name"], "image_id": row["image_id"]}
            file.write(json.dumps({**line, "image": name}, ensure_ascii=False) + "\n")
    return folder


def settings_in(place: Path, **options: Any) -> Settings:
    """Settings whose home is a folder of the test."""
    return load_settings(home=str(place / ".muge"), device="cpu", **options)


def index_folder(pictures: Path, settings: Settings, *, anew: bool = False) -> CollectionRecord:
    """Index a folder and let go of the store."""
    return index_dataset(f"folder:{pictures}", settings, anew=anew)[1]


def index_dataset(
    dataset: str, settings: Settings, *, anew: bool = False
) -> tuple[IndexRun, CollectionRecord]:
    """Index a data set, and let go of the store."""
    with Context() as context:
        _, record = build(context, dataset, settings, anew)
        return run_of(context, dataset, settings), record

"""A small shop: pictures with queries in MUGE's keys, and a tiny random model, for whole runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

WORDS = ("红色连衣裙", "蓝色帽子", "绿色的包", "黄色雨伞", "白色球鞋")


@pytest.fixture(scope="session")
def model(model: Path) -> str:
    """The tiny random model as an option names it."""
    return str(model)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 25 pictures with two queries each."""
    return make_pictures(tmp_path / "pictures", 25)


def make_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Pictures that all differ, and a queries.jsonl in MUGE's keys."""
    folder.mkdir(exist_ok=True)
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        for number in range(first, first + count):
            image = Image.new("RGB", (48, 40), (number * 9 % 256, number * 31 % 256, 90))
            ImageDraw.Draw(image).ellipse((number % 20, 5, 40, 35), fill="white")
            image.save(folder / f"{number}.png")
            for extra in range(2):
                query_id = (number + extra) % len(WORDS)
                line = {"query_id": query_id, "query": WORDS[query_id], "image_id": number}
                file.write(json.dumps({**line, "image": f"{number}.png"}) + "\n")
    return folder

"""A small collection, indexed by the plain operation."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw

from tasks.context import Context
from tasks.encode.model.describe import describe_model
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.index.run import IndexRun
from tasks.index.runner import Threads
from tasks.index.stages import plan
from tasks.settings import Settings
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder

WORDS = ("红色连衣裙", "蓝色帽子", "绿色的包", "5G手机", "Apple 充电器 65W", "白色球鞋")
COUNT = 12


def make_pictures(folder: Path, count: int = COUNT) -> Path:
    """Pictures 0.png, 1.png, ... that all differ; query n % 6 names picture n, and picture 0 has
    a second query."""
    folder.mkdir(parents=True)
    lines = []
    for number in range(count):
        image = Image.new("RGB", (40, 40), (number * 20 % 256, number * 67 % 256, 90))
        draw = ImageDraw.Draw(image)
        draw.rectangle((number * 2, 3, 18 + number * 2, 30), fill=(250, 250 - 20 * number, 0))
        draw.ellipse((5, number * 2, 20, 15 + number * 2), fill=(0, 90, 20 * number))
        image.save(folder / f"{number}.png")
        query_id = number % len(WORDS)
        lines.append({"query_id": query_id, "query": WORDS[query_id], "image_id": number})
    lines.append({"query_id": 100, "query": "夏天 长款", "image_id": 0})
    text = "\n".join(json.dumps({**line, "image": f"{line['image_id']}.png"}) for line in lines)
    (folder / "queries.jsonl").write_text(text + "\n", "utf-8")
    return folder


def build(
    context: Context, dataset: str, settings: Settings, anew: bool = False
) -> tuple[IndexReport, CollectionRecord]:
    """Index a data set; returns what was done and the record of the collection, ready."""
    report = index(dataset, settings, Threads(context), anew)
    work = Folder(settings.work_url)
    return report, require_record(work, settings.store_uri, report.collection)


def run_of(context: Context, dataset: str, settings: Settings) -> IndexRun:
    """The run that indexes a data set with these options, to find its outputs."""
    return IndexRun(settings, plan(context, dataset, settings), describe_model(settings.model))

"""A small collection, built stage by stage as the index flow does, without Prefect."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw

from tasks.index import stages as index_stages
from tasks.index.request import check_request
from tasks.index.run import Filling, IndexRun
from tasks.index.verification import verify_filled
from tasks.settings import Settings
from tasks.work.collections import CollectionRecord

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
    dataset: str, settings: Settings, anew: bool = False
) -> tuple[IndexRun, CollectionRecord]:
    """Index a data set; returns the run and the record of the collection, ready."""
    model = check_request(dataset, settings)
    run = IndexRun(settings, index_stages.plan(dataset, settings), model)
    images = [index_stages.encode_images(run, shard) for shard in run.plan.shards]
    for part in range(run.plan.query_parts):
        index_stages.encode_texts(run, part)
    bm25 = index_stages.train_sparse(run)
    for shard in run.plan.shards:
        index_stages.encode_sparse(run, shard)
    filling = Filling(run, index_stages.open_collection(run, anew))
    documents = sum(index_stages.upsert(filling, shard).documents for shard in run.plan.shards)
    verify_filled(filling, documents)
    counts = {"images": sum(done.rows for done in images), "documents": documents}
    return run, index_stages.complete_record(filling, bm25, counts)

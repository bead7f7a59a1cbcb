"""What a catalogue's fields cost, and what a change of prices costs.

python -m tests.benchmarks.catalogue FOLDER --rows 30000

The same rows are indexed as csv: without fields, with six of them, and then prices of 1 % are
changed and the collection is reindexed. Each run is a process of its own, whose memory is its own;
`--model` names another model than the sample.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tests.benchmarks.zvec_scale import machine

COMMAND = [sys.executable, "-c", "from flows.command.app import main; main()"]
FIELDS = "price=价格:float,category=类目,brand=品牌,stock=库存:int,on_sale=在售:bool,spec=规格"
HEADER = ("商品编号", "标题", "图片", "价格", "类目", "品牌", "库存", "在售", "规格")
WORDS = ("红色", "蓝色", "连衣裙", "帽子", "雨伞", "球鞋", "真丝", "复古", "女士", "夏季")


PRODUCT = "款号"


def make(folder: Path, rows: int, products: bool = False) -> Path:
    """Small pictures that all differ, and a table of them in GB18030; with `products` two rows are
    one, as a column more says."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for number in range(rows):
        place = pictures / f"{number}.jpg"
        if not place.exists():
            image = Image.new("RGB", (64, 64), (number % 256, number // 256 % 256, 90))
            ImageDraw.Draw(image).ellipse((number % 40, 5, 60, 60), fill="white")
            image.save(place, quality=85)
    return _written(folder / "catalogue.csv", rows, 0, products)


def _written(file: Path, rows: int, change: int, products: bool = False) -> Path:
    """The table; with `change` the price of every `change`-th row is another one."""
    with file.open("w", encoding="gb18030", newline="") as handle:
        table = csv.writer(handle)
        table.writerow([*HEADER, PRODUCT] if products else HEADER)
        for number, row in enumerate(_rows(rows, change)):
            table.writerow([*row, f"P{number // 2}"] if products else row)
    return file


def _rows(rows: int, change: int) -> Iterator[list[Any]]:
    chance = random.Random(17)
    for number in range(rows):
        title = " ".join(chance.sample(WORDS, 4))
        price = chance.randint(100, 99_999) / 100
        if change and number % change == 0:
            price += 1
        yield [
            *(f"SKU-{number:06d}", title, f"pictures/{number}.jpg", f"{price:.2f}"),
            *(chance.choice(("女装", "男装", "童装")), f"品牌{chance.randrange(200)}"),
            *(chance.randrange(1000), chance.choice(("是", "否")), f"规格 {chance.randrange(50)}"),
        ]


def run(folder: Path, name: str, *words: str) -> dict[str, Any]:
    """Run a command of the project; its JSON, seconds and memory."""
    began = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, *words, "--orchestrator", "none", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    seconds = time.perf_counter() - began
    stages = {stage: round(each["seconds"], 1) for stage, each in said["stages"].items()}
    print(
        f"{name:24} {seconds:7.1f} s, {said.get('peak_rss_mb', 0):6} MiB, encoded "
        f"{said['encoded_images']:6}, sent {said['upserted']:6}, of {said['documents']}  {stages}",
        flush=True,
    )
    return said


def main() -> None:
    """Make the data once, and measure each way in a place of its own, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--model", default="sample")
    options = parser.parse_args()
    print(machine())
    folder = options.folder.resolve()
    table = make(folder, options.rows)
    more = ("--picture", "none", "--model", options.model)
    for repeat in range(options.repeats):
        for name, fields in (("without fields", ()), ("with six fields", ("--fields", FIELDS))):
            place = folder / f"{name.replace(' ', '-')}-{repeat}"
            shutil.rmtree(place, ignore_errors=True)
            home = ("--work-dir", str(place / "work"), "--store", f"zvec:{place / 'store'}")
            run(folder, f"index {name}", "index", f"csv:{table}", *home, *more, *fields)
    _written(table, options.rows, 100)
    run(folder, "reindex, 1 % of prices", "reindex", f"csv:{table}", *home, *more, *fields)
    run(folder, "reindex, unchanged", "reindex", f"csv:{table}", *home, *more, *fields)


if __name__ == "__main__":
    main()

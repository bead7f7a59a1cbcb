"""How fast each reader gives rows, on the same pictures in each form.

python -m tests.benchmarks.readers FOLDER --images 3000
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import io
import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import Catalog
from tasks.dataset.readers import open_reader
from tasks.records import Row
from tests.benchmarks.make_muge import write_muge

LIMIT = 64 << 20


def make_forms(folder: Path, images: int) -> list[str]:
    """The same rows as MUGE files, the same packed, Parquet, a folder of pictures, and tables."""
    plain, packed = folder / "plain", folder / "packed"
    write_muge(plain, images, images, "valid")
    packed.mkdir(exist_ok=True)
    for file in plain.iterdir():
        with file.open("rb") as raw, gzip.open(packed / f"{file.name}.gz", "wb", 6) as out:
            shutil.copyfileobj(raw, out)
    rows = list(_rows(f"muge:{plain}"))
    _write_parquet(folder / "rows.parquet", rows)
    _write_folder(folder / "pictures", rows)
    names = (f"muge:{plain}", f"muge:{packed}")
    others = (f"parquet:{folder / 'rows.parquet'}", f"folder:{folder / 'pictures'}")
    return [*names, *others, *_write_tables(folder, rows)]


def _rows(dataset: str) -> Iterator[Row]:
    reader = open_reader(dataset)
    for span in reader.spans():
        yield from reader.read(span)


def _write_parquet(file: Path, rows: list[Row]) -> None:
    """A row a pair, as ModelScope has it."""
    pictures = {row.image_id: row.image for row in rows if row.image is not None}
    pairs = [
        {"query_id": r.query_id, "query": r.query, "image_id": r.image_id, "image": image}
        for r in rows
        if r.query is not None and (image := pictures[r.image_id])
    ]
    pq.write_table(pa.Table.from_pylist(pairs), file, row_group_size=500)


def _write_tables(folder: Path, rows: list[Row]) -> list[str]:
    """A row a picture, as each kind of table has it: files beside, base64, tar shards, Arrow."""
    texts = {row.image_id: row.query for row in rows if row.query is not None}
    pictures = [row for row in rows if row.image is not None]
    with (folder / "rows.csv").open("w", encoding="gb18030", newline="") as file:
        table = csv.writer(file)
        table.writerow(["编号", "标题", "图片", "价格"])
        for row in pictures:
            place = f"pictures/{row.image_id}.jpg"
            table.writerow([row.image_id, texts.get(row.image_id, ""), place, "19.90"])
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as lines:
        for row in pictures:
            said = {"sku": f"S-{row.image_id}", "title": texts.get(row.image_id, "")}
            said["image"] = base64.b64encode(row.image or b"").decode()
            lines.write(json.dumps(said, ensure_ascii=False) + "\n")
    with tarfile.open(folder / "rows.tar", "w") as tar:
        for row in pictures:
            text = (texts.get(row.image_id) or "").encode()
            for kind, content in (("jpg", row.image or b""), ("txt", text)):
                member = tarfile.TarInfo(f"{row.image_id}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    (folder / "saved").mkdir(exist_ok=True)
    saved = pa.Table.from_pylist(
        [
            {"sku": f"S-{r.image_id}", "title": texts.get(r.image_id), "image": {"bytes": r.image}}
            for r in pictures
        ]
    )
    with pa.ipc.new_stream(str(folder / "saved" / "data-0.arrow"), saved.schema) as writer:
        writer.write_table(saved, max_chunksize=1000)
    names = {
        "csv": "rows.csv",
        "jsonl": "rows.jsonl",
        "webdataset": "rows.tar",
        "datasets": "saved",
    }
    return [f"{kind}:{folder / name}" for kind, name in names.items()]


def _write_folder(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as lines:
        for row in rows:
            if row.image is not None:
                (folder / f"{row.image_id}.jpg").write_bytes(row.image)
            else:
                line = {"query_id": row.query_id, "query": row.query, "image_id": row.image_id}
                text = json.dumps({**line, "image": f"{row.image_id}.jpg"}, ensure_ascii=False)
                lines.write(text + "\n")


def measure(dataset: str) -> None:
    """Print rows and megabytes a second of the reader alone, and with the catalog."""
    began = time.perf_counter()
    count = size = 0
    for row in _rows(dataset):
        count += 1
        size += len(row.image or b"")
    alone = time.perf_counter() - began
    began = time.perf_counter()
    with Catalog(LIMIT) as catalog:
        rejects = sum(1 for _ in catalog.fill(open_reader(dataset), lambda _: None))
    together = time.perf_counter() - began
    name = "/".join(dataset.split("/")[-2:])
    print(
        f"{dataset.split(':')[0]:10} {name:28} {count:7,} rows {rejects:3} rejects  "
        f"alone {count / alone:9,.0f} rows/s {size / alone / 1e6:6,.0f} MB/s of pictures  "
        f"with catalog {count / together:9,.0f} rows/s",
        flush=True,
    )


def main() -> None:
    """Make all forms and measure each twice: the second time the files are in memory."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.benchmarks.readers")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    forms = make_forms(options.folder.resolve(), options.images)
    for dataset in forms * 2:
        measure(dataset)


if __name__ == "__main__":
    main()

"""Tables of products for the fuzzing room: a catalogue in each form, and what a run reads of it."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.dataset.catalog import Catalog
from tasks.dataset.reader import Bounds
from tasks.dataset.readers import open_reader
from tests.toys import toy_picture

LIMIT = 1 << 20
ROWS: list[dict[str, Any]] = [
    {"sku": "S-1", "title": "红色帽子", "price": 19.9, "image": toy_picture(1)},
    {"sku": "货 2", "title": "伞", "price": None, "image": toy_picture(2)},
    {"sku": "3", "title": "", "price": 5.0, "image": toy_picture(3)},
]


def csv_seeds(_: Path) -> list[bytes]:
    """In every encoding, with a quote that is never closed, and what sheets write."""
    lines = ["编号,标题,图片,价格"]
    for row in ROWS:
        picture = base64.b64encode(row["image"]).decode()
        lines.append(f'{row["sku"]},"{row["title"]}",{picture},{row["price"] or ""}')
    text = "\n".join(lines)
    odd = 'sep=;\r\nid;图片\r\n="007";"a\nb"\r\n"9;x\r\n'
    encodings = ("utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-be")
    return [*(text.encode(name) for name in encodings), odd.encode()]


def jsonl_seeds(_: Path) -> list[bytes]:
    """Objects with pictures in every form that a cell can have."""
    picture = base64.b64encode(toy_picture(1)).decode()
    cells: list[object] = [
        *(picture, f"data:image/png;base64,{picture}", "a.jpg", "../a.jpg", "http://a.example/1"),
        *({"bytes": picture, "path": None}, ["a.jpg"], 5, None, "s3://bucket/a.jpg"),
    ]
    lines = [json.dumps({"id": n, "title": "伞", "image": c}) for n, c in enumerate(cells)]
    return ["\n".join(lines).encode(), *(line.encode() for line in lines)]


def tar_seeds(_: Path) -> list[bytes]:
    """A shard as img2dataset writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number, row in enumerate(ROWS):
            said = json.dumps({"caption": row["title"], "price": row["price"]}).encode()
            for kind, content in (("png", row["image"]), ("json", said)):
                member = tarfile.TarInfo(f"{number:09d}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return [out.getvalue()]


def arrow_seeds(_: Path) -> list[bytes]:
    """As `datasets` saves it, and in Arrow's other form."""
    table = pa.Table.from_pylist([{**row, "image": {"bytes": row["image"]}} for row in ROWS])
    seeds = []
    for make in (pa.ipc.new_stream, pa.ipc.new_file):
        out = io.BytesIO()
        with make(out, table.schema) as writer:
            writer.write_table(table)
        seeds.append(out.getvalue())
    return seeds


def take_table(scheme: str, name: str, fields: str) -> Callable[[bytes, Path], str]:
    """What an index run does with the bytes of a table file."""

    def take(content: bytes, place: Path) -> str:
        (place / "a.jpg").write_bytes(toy_picture(9))
        (place / name).write_bytes(content)
        reader = open_reader(f"{scheme}:{place / name}", Bounds(fields=fields))
        with Catalog(LIMIT) as catalog:
            rejects = sum(1 for _ in catalog.fill(reader, lambda _: None))
            list(catalog.entries())
        return "reject" if rejects else "taken"

    return take

"""What is fuzzed: for each kind examples to start from, and what is done with bytes of it.

What a kind does returns "taken" or "reject", or raises a `MugeError` of one line; anything else is
an escape.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import Catalog
from tasks.dataset.readers import open_reader
from tasks.dataset.shards import find_plan, read_entries, read_queries
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, decode_bounded
from tasks.encode.model.describe import describe_model
from tasks.encode.model.pixels import squash
from tasks.errors import ImageError
from tasks.records import QueryPart
from tasks.work.folder import Folder
from tests.dataset.bombs import dictionary_bomb, page_bomb, understated
from tests.dataset.muge_files import picture_line, query_line
from tests.dataset.rows import muge_lines, plan_of
from tests.encode.model.costly import WIDE_WEBP, many_scans
from tests.encode.model.pictures import PICTURES
from tests.fuzz.searched import (
    filter_seeds,
    question_seeds,
    take_filter,
    take_question,
    take_upload,
    upload_seeds,
)
from tests.fuzz.tables import arrow_seeds, csv_seeds, jsonl_seeds, take_table, tar_seeds

LIMIT = 1 << 20
SAMPLE = Path(str(files("tasks.sample"))) / "model"


@dataclass(frozen=True)
class Kind:
    """`seeds(place)` are examples, made in an empty folder; `take(content, place)` does what the
    product does with bytes of this kind, in a folder of its own. A `slow` kind is left to the long
    form."""

    seeds: Callable[[Path], list[bytes]]
    take: Callable[[bytes, Path], str]
    slow: bool = False


def _picture_seeds(_: Path) -> list[bytes]:
    good = [make() for make in PICTURES.values()]
    return [*good, WIDE_WEBP, many_scans(10), many_scans(2000)]


@cache
def _decoders() -> Decoders:
    return Decoders(DecodeLimits(seconds=5.0))


def _take_picture(content: bytes, _: Path) -> str:
    try:
        decode_bounded(content, Decoding(64, 100_000_000, 160), squash, _decoders())
    except ImageError:
        return "reject"
    return "taken"


def _rows(dataset: str) -> str:
    with Catalog(LIMIT) as catalog:
        rejects = sum(1 for _ in catalog.fill(open_reader(dataset), lambda _: None))
    return "reject" if rejects else "taken"


def _line_seeds(_: Path) -> list[bytes]:
    lines = [
        {"query_id": 1, "query": "女士帽子", "image_id": 7, "image": "a.jpg"},
        {"query": "伞", "image": "a.jpg"},
        {"query": "x", "image": "../a.jpg"},
        {"query": "x", "image_id": 10**5000},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines[:2])
    return [text.encode(), json.dumps(lines[2]).encode(), b'{"query": "' + b"x" * 100_000 + b'"}']


def _csv_seeds(_: Path) -> list[bytes]:
    return ["query,image\n伞,a.jpg\n".encode(), b'query,image\n"a\nb",a.jpg\n', b"query\n" * 9]


def _take_beside(name: str) -> Callable[[bytes, Path], str]:
    def take(content: bytes, place: Path) -> str:
        (place / "a.jpg").write_bytes(b"picture")
        (place / name).write_bytes(content)
        return _rows(f"folder:{place}")

    return take


PICTURES_FILE, QUERIES_FILE = "MR_valid_imgs.tsv", "MR_valid_queries.jsonl"


def _tsv_seeds(_: Path) -> list[bytes]:
    lines = [picture_line(number, b"picture %d" % number, bool(number % 2)) for number in range(4)]
    return [b"\n".join(lines), b"1\t" + base64.b64encode(bytes(3000))]


def _query_seeds(_: Path) -> list[bytes]:
    lines = [query_line(number, "伞", [1, 2]) for number in range(3)]
    return [b"\n".join(lines), query_line(1, "伞", list(range(20_000)))]


def _take_muge(name: str) -> Callable[[bytes, Path], str]:
    def take(content: bytes, place: Path) -> str:
        for file in (PICTURES_FILE, QUERIES_FILE):
            (place / file).write_bytes(b"")
        (place / name).write_bytes(content)
        return _rows(f"muge:{place}?split=valid")

    return take


def _parquet_seeds(place: Path) -> list[bytes]:
    file = place / "a.parquet"

    def written(table: pa.Table, **options: Any) -> bytes:
        out = io.BytesIO()
        pq.write_table(table, out, **options)
        return out.getvalue()

    table = pa.Table.from_pylist(muge_lines(20))
    bombs: tuple[Callable[[], Path], ...] = (
        lambda: dictionary_bomb(file, 65, 2),
        lambda: dictionary_bomb(file, 40, 4, nested=True),
        lambda: understated(dictionary_bomb(file, 65, 2)),
        lambda: understated(page_bomb(file, 65)),
    )
    return [
        written(table),
        written(table, compression="zstd", data_page_version="2.0", row_group_size=7),
        written(pa.table({"image_id": [1], "image": [{"bytes": b"x", "path": "b.jpg"}]})),
        written(pa.table({"image_id": [1], "image": ["../../etc/passwd"]})),
        *(make().read_bytes() for make in bombs),
    ]


def _take_parquet(content: bytes, place: Path) -> str:
    (place / "a.parquet").write_bytes(content)
    return _rows(f"parquet:{place}")


def _model_seeds(name: str) -> Callable[[Path], list[bytes]]:
    odd = [b"[" * 100_000, b'{"vocab_size": ' + b"9" * 5000 + b"}", b""]
    return lambda _: [(SAMPLE / name).read_bytes(), *odd]


def _take_model(name: str, loaded: bool = False) -> Callable[[bytes, Path], str]:
    def take(content: bytes, place: Path) -> str:
        folder = place / "model"
        folder.mkdir(exist_ok=True)
        for file in SAMPLE.iterdir():
            if not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
        (folder / name).unlink()
        (folder / name).write_bytes(content)
        describe_model(str(folder))
        if loaded:
            from tasks.encode.model import load

            load.load_encoder(str(folder), "cpu")
            load._loaded.clear()
        return "taken"

    return take


@cache
def _finished_work(place: Path) -> tuple[Folder, Path, list[object]]:
    """A planned work folder, a copy of it as it was, and what is read of it."""
    shop = place / "shop"
    shop.mkdir(parents=True)
    for number in range(6):
        (shop / f"{number}.jpg").write_bytes(b"picture %d" % number)
    work = Folder(str(place / "work"))
    plan = plan_of(f"folder:{shop}", work, 3)
    kept = place / "kept"
    shutil.copytree(work.sub(plan.folder).url, kept)
    return work.sub(plan.folder), kept, _read_all(work.sub(plan.folder)) or []


def _read_all(folder: Folder) -> list[object] | None:
    """All entries and queries of a planned folder; None if it is noticed that it was altered."""
    plan = find_plan(folder, "folder:shop")
    if plan is None:
        return None
    entries = [entry for shard in plan.shards for entry in read_entries(folder, shard)]
    parts = [QueryPart(number) for number in range(plan.query_parts)]
    return [
        plan.counts,
        *entries,
        *(query for part in parts for query in read_queries(folder, part)),
    ]


def _work_seeds(pattern: str) -> Callable[[Path], list[bytes]]:
    def seeds(place: Path) -> list[bytes]:
        _, kept, _ = _finished_work(place / "seeds")
        return [file.read_bytes() for file in sorted(kept.glob(pattern))]

    return seeds


def _take_work(pattern: str) -> Callable[[bytes, Path], str]:
    """Altered files of a work folder are noticed: what is read is what was written, or nothing."""

    def take(content: bytes, place: Path) -> str:
        folder, kept, before = _finished_work(place.parent / f"work-{pattern.replace('/', '-')}")
        shutil.rmtree(folder.url)
        shutil.copytree(kept, folder.url)
        file = next(iter(sorted(Path(folder.url).glob(pattern))))
        file.write_bytes(content)
        found = _read_all(folder)
        assert found is None or found == before, f"{file.name} was altered, and other rows read"
        return "reject" if found is None else "taken"

    return take


KINDS: dict[str, Kind] = {
    "pictures": Kind(_picture_seeds, _take_picture),
    "queries.jsonl": Kind(_line_seeds, _take_beside("queries.jsonl")),
    "queries.csv": Kind(_csv_seeds, _take_beside("queries.csv")),
    "muge pictures": Kind(_tsv_seeds, _take_muge(PICTURES_FILE)),
    "muge queries": Kind(_query_seeds, _take_muge(QUERIES_FILE)),
    "parquet": Kind(_parquet_seeds, _take_parquet),
    "csv": Kind(csv_seeds, take_table("csv", "a.csv", "")),
    "jsonl": Kind(jsonl_seeds, take_table("jsonl", "a.jsonl", "")),
    "webdataset": Kind(tar_seeds, take_table("webdataset", "a.tar", "price:float")),
    "datasets": Kind(arrow_seeds, take_table("datasets", "data.arrow", "price")),
    "model of pictures": Kind(
        _model_seeds("vision_model_config.json"), _take_model("vision_model_config.json")
    ),
    "model of texts": Kind(
        _model_seeds("text_model_config.json"), _take_model("text_model_config.json")
    ),
    "vocabulary": Kind(_model_seeds("vocab.txt"), _take_model("vocab.txt", loaded=True), slow=True),
    "weights": Kind(
        _model_seeds("pytorch_model.bin"), _take_model("pytorch_model.bin", loaded=True), slow=True
    ),
    "filters": Kind(filter_seeds, take_filter),
    "page: questions": Kind(question_seeds, take_question),
    "page: pictures": Kind(upload_seeds, take_upload),
    "work: shards": Kind(_work_seeds("shards.json"), _take_work("shards.json")),
    "work: markers": Kind(_work_seeds("**/*.parquet.done"), _take_work("**/*.parquet.done")),
    "work: catalog": Kind(_work_seeds("**/*.parquet"), _take_work("**/*.parquet")),
}
"""Every kind by its name."""

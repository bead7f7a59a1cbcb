"""A data set that changes, reindexed at one place and from nothing at another."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.context import Context
from tasks.dataset.shards import read_shards
from tasks.encode.model.families import MODELS
from tasks.index.ledger import read_ledger
from tasks.index.runner import Threads
from tasks.records import Document
from tasks.reindex.operation import reindex
from tasks.reindex.report import ReindexReport
from tasks.settings import ReindexChoices, Settings, load_settings
from tasks.sparse.bm25 import train_bm25
from tasks.store.stores import STORES, StoreKind
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder
from tests.plain import AT_ONCE
from tests.shop import WORDS
from tests.toys import make_toy_model, toy_picture

MOST = 6
"""Images a shard."""


@dataclass
class Table:
    """MUGE's files with a query of its own for every picture; some pictures cannot be decoded."""

    folder: Path
    rows: list[tuple[int, int, str]] = field(default_factory=list)
    made: int = 0

    def add(self, at: int) -> None:
        text = f"{WORDS[at % len(WORDS)]} {self.made % 4}"
        self.rows.insert(at % (len(self.rows) + 1), (self.made, self.made, text))
        self.made += 1

    def change(self, kind: str, at: int) -> None:
        place = at % len(self.rows)
        image, picture, text = self.rows[place]
        if kind == "add":
            self.add(at)
        elif kind == "remove" and len(self.rows) > MOST:
            del self.rows[place]
        elif kind == "picture":
            self.rows[place] = (image, picture + 100, text)
        elif kind == "torn":
            self.rows[place] = (image, -1, text)
        elif kind == "text":
            self.rows[place] = (image, picture, f"{text}{WORDS[at % 3]}")
        elif kind == "move":
            self.rows.append(self.rows.pop(place))

    def write(self) -> str:
        self.folder.mkdir(exist_ok=True)
        pictures = (self.folder / "MR_a_imgs.tsv").open("w")
        queries = (self.folder / "MR_a_queries.jsonl").open("w")
        with pictures, queries:
            for image, picture, text in self.rows:
                data = toy_picture(picture) if picture >= 0 else toy_picture(0)[:40]
                pictures.write(f"{image}\t{base64.b64encode(data).decode()}\n")
                line = {"query_id": image, "query_text": text, "item_ids": [image]}
                queries.write(json.dumps(line) + "\n")
        return f"muge:{self.folder}?split=a"


@pytest.fixture(scope="module")
def toys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        kind = StoreKind("tests.toys_store:ToyStore", "toy:NAME", "memory of this process")
        patched.setitem(STORES, "toy", kind)
        patched.setitem(MODELS, "Toy", "tests.toys:ToyFamily")
        yield


def options_in(folder: Path) -> dict[str, Any]:
    """Statistics that do not depend on the data, so that every run has the same."""
    statistics = folder / "bm25.json"
    if not statistics.exists():
        train_bm25(WORDS).save(Folder(str(folder)), "bm25.json")
    return {
        "model": str(make_toy_model(folder / "model")),
        "device": "cpu",
        "shard_images": MOST,
        "max_delta": 0.0,
        "thumbnail_pixels": 16,
        "max_removed": 1.0,
        "max_drop": 1.0,
        "bm25": str(statistics),
        "bm25_sha256": hashlib.sha256(statistics.read_bytes()).hexdigest(),
    }


def place_in(folder: Path, name: str, **options: Any) -> Settings:
    home = str(folder / name)
    made = {**options_in(folder), "home": home, "store": f"toy:{home}", **options}
    return load_settings(**made)


def reindexed(
    dataset: str, place: Settings, strategy: Any = "in-place", retry_rejects: bool = False
) -> ReindexReport:
    with Context() as context:
        choices = ReindexChoices(strategy=strategy, retry_rejects=retry_rejects)
        return reindex(dataset, place, Threads(context, AT_ONCE), choices)


def record_of(place: Settings) -> CollectionRecord:
    with Context() as context:
        live = context.aliases(place).meant()
    return require_record(Folder(place.work_url), place.store_uri, live)


def documents(place: Settings) -> dict[str, tuple[Any, ...]]:
    with Context() as context:
        store, name = context.store(place.store_uri), record_of(place).collection
        found: dict[str, Document] = store.fetch(name, [str(n) for n in range(500)])
        assert store.count(name) == len(found)
    return {
        key: (dict(each.fields), dict(each.sparse), each.vector.tobytes())
        for key, each in found.items()
    }


def files(place: Settings) -> dict[str, bytes]:
    """Everything that the collection's documents are made of, by name: what fingerprints of kept
    statistics are called after is left out."""
    record = record_of(place)
    root, made = Path(place.work_url) / record.run, record.stages
    found = {}
    for output in ("catalog", "queries", made.images, made.pictures, made.texts, made.sparse):
        kind = re.sub(r"-[0-9a-f]{16}$", "", output)
        for path in (root / output).glob("part-*"):
            found[f"{kind}/{path.name}"] = path.read_bytes()
    for path in (root / "rejects").glob(f"{made.images}-*"):
        found[f"rejects/{path.name}"] = path.read_bytes()
    for name in ("shards.json", "sources.parquet", made.bm25):
        found[re.sub(r"-[0-9a-f]{16}", "", name)] = (root / name).read_bytes()
    return found


def ledgers(place: Settings) -> dict[str, dict[str, str]]:
    record = record_of(place)
    folder = Folder(place.work_url).sub(record.run)
    parts = read_shards(folder)
    return {each.part: read_ledger(folder, each.file_in(record.held)) for each in parts}

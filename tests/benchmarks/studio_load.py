"""How the search page's server behaves under load, on loopback: latencies, rate, refusals.

python -m tests.benchmarks.studio_load --documents 2810 30000 --clients 1 8 32 --requests 320
python -m tests.benchmarks.studio_load --catalogue FOLDER --documents 30000

The second is of a shop's catalogue: products of two pictures each, six fields, searches with a
filter, and the page with its facets.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import httpx
import numpy as np

from tasks.context import Context
from tasks.encode.model.describe import describe_model
from tasks.index.documents import collection_spec, read_documents
from tasks.index.operation import index
from tasks.index.run import IndexRun
from tasks.index.runner import Threads
from tasks.index.stages import plan
from tasks.records import Document, Float32
from tasks.settings import Settings
from tasks.work.collections import require_record, save_record
from tests.benchmarks.catalogue import FIELDS, make
from tests.benchmarks.zvec_scale import machine
from tests.deployments.collection import settings_in
from tests.deployments.conftest import server_process

WORDS = ("熊猫", "下雨天打的伞", "红色的赛车", "生日蛋糕", "海上的帆船", "开心", "一杯咖啡", "猫")
KINDS = ("text", "picture", "like", "page")
FILTER = "price < 500 and category = '女装'"
SHOP_KINDS = ("text", "filter", "picture", "like", "page")
SHOP_WORDS = (
    "红色 连衣裙",
    "蓝色的帽子",
    "真丝",
    "女士雨伞",
    "夏季 球鞋",
    "复古",
    "帽子",
    "连衣裙",
)


@dataclass(frozen=True)
class Load:
    """One measurement: milliseconds of the answers of status 200, and all statuses."""

    latencies: list[float]
    statuses: Counter[int]
    seconds: float

    def line(self) -> str:
        p50, p99 = (float(np.percentile(self.latencies or [0], q)) for q in (50, 99))
        good = self.statuses[200] / self.seconds
        refused = {status: n for status, n in sorted(self.statuses.items()) if status != 200}
        return f"{p50:9.1f} {p99:9.1f} {good:9.1f}   {refused or '-'}"


def collection(place: Path, documents: int) -> Settings:
    """The sample in a collection, with slightly moved copies of it up to `documents`."""
    settings = settings_in(place)
    with Context() as context:
        if documents <= index("sample:", settings, Threads(context)).documents:
            return settings
        run = IndexRun(settings, plan(context, "sample:", settings), describe_model(settings.model))
        record = require_record(run.work, settings.store_uri, settings.collection)
        store = context.store(settings.store_uri)
        store.create(collection_spec("large", record.model.dimension))
        store.upsert("large", moved_copies(run, documents))
        store.finish("large")
    large = replace(record, collection="large", incarnation="", counts={"documents": documents})
    save_record(run.work, large)
    return settings.model_copy(update={"collection": "large"})


def catalogue(place: Path, folder: Path, documents: int) -> Settings:
    """A catalogue of so many pictures, two a product, with six fields."""
    settings = settings_in(place, fields=FIELDS)
    table = make(folder, documents, products=True)
    with Context() as context:
        index(f"csv:{table}", settings, Threads(context))
    return settings


def moved_copies(run: IndexRun, documents: int) -> Iterator[Document]:
    """Documents of a run, then the same again under new ids with noise of a tenth."""
    chance = np.random.default_rng(7)
    originals = [
        d for shard in run.plan.shards for d in read_documents(run.folder, shard, run.parts)
    ]
    for number in range(documents):
        original = originals[number % len(originals)]
        vector = original.vector
        if number >= len(originals):
            vector = near(vector, chance)
        yield replace(original, id=str(number + 1), vector=vector)


def near(vector: Float32, chance: np.random.Generator) -> Float32:
    """A vector of norm 1 close to another."""
    noise = chance.standard_normal(len(vector)).astype(np.float32)
    moved = vector + 0.1 * noise / np.linalg.norm(noise)
    return np.asarray(moved / np.linalg.norm(moved), np.float32)


def load(
    address: str,
    kind: str,
    clients: int,
    requests: int,
    picture: str,
    like: str,
    words: tuple[str, ...] = WORDS,
) -> Load:
    """So many requests from so many clients, each asking again as soon as it was answered."""
    numbers, lock = count(), threading.Lock()
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    def one_client() -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while (number := next(numbers)) < requests:
                text = words[number % len(words)]
                params = {
                    "picture": {"picture": picture},
                    "like": {"like": like},
                    "filter": {"text": text, "filter": FILTER},
                }.get(kind, {"text": text})
                start = time.perf_counter()
                answer = client.get("/" if kind == "page" else "/api/search", params=params)
                took = (time.perf_counter() - start) * 1000
                with lock:
                    statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        latencies.append(took)

    threads = [threading.Thread(target=one_client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(latencies, statuses, time.perf_counter() - start)


def first_result(settings: Settings, place: Path, options: dict[str, str]) -> tuple[float, float]:
    """Seconds from the start of the process to its first answered search, and to the page."""
    start = time.perf_counter()
    with server_process(place, **options) as address:
        httpx.get(f"{address}/api/search", params={"text": WORDS[0]}, timeout=60)
        searched = time.perf_counter() - start
        weight = len(httpx.get(f"{address}/", params={"text": WORDS[0]}, timeout=60).content)
    return searched, weight / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, nargs="+", default=[2810, 30_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=320)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--catalogue", type=Path, help="a folder for its pictures and table")
    given = parser.parse_args()
    kinds, words = (SHOP_KINDS, SHOP_WORDS) if given.catalogue else (KINDS, WORDS)
    print(machine())
    for documents in given.documents:
        with tempfile.TemporaryDirectory(prefix="studio-load-") as folder:
            place = Path(folder)
            if given.catalogue:
                settings = catalogue(place, given.catalogue.resolve(), documents)
            else:
                settings = collection(place, documents)
            options = {
                "MUGE_COLLECTION": settings.collection,
                "MUGE_WEB_RATE": "1000000",
                "MUGE_WEB_WORKERS": given.workers,
            }
            searched, weight = first_result(settings, place, options)
            print(f"{documents} documents: first result {searched:.1f} s, page {weight:.0f} KB")
            print("kind      clients    p50 ms    p99 ms  ok per s   refused")
            with server_process(place, **options) as address:
                first = httpx.get(f"{address}/api/search", params={"text": words[0]}, timeout=60)
                like = first.json()["hits"][0]["id"]
                content = httpx.get(f"{address}/api/documents/{like}/picture", timeout=60).content
                kept = httpx.post(
                    f"{address}/api/pictures",
                    content=content,
                    headers={"Content-Type": "image/jpeg"},
                    timeout=60,
                )
                picture = kept.json()["picture"]
                for kind in kinds:
                    for clients in given.clients:
                        done = load(address, kind, clients, given.requests, picture, like, words)
                        print(f"{kind:9} {clients:7} {done.line()}", flush=True)


if __name__ == "__main__":
    main()

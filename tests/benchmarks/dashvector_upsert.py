"""Upsert into the test server: the tutorial's way, the SDK's building, and fast building.

    python -m tests.benchmarks.dashvector_upsert

The server is a process of its own; client CPU is that of the measuring process alone. Vectors have
1024 dimensions, 10 BM25 terms and 3 short fields a document. Peak memory is measured in fresh
processes.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dashvector
import numpy as np
from PIL import Image
from pydantic import SecretStr

from tasks.records import CollectionSpec, Document, FieldValue
from tasks.store.dashvector import wire
from tasks.store.dashvector.check import plain_document
from tasks.store.dashvector.options import DashVectorOptions
from tasks.store.dashvector.store import DashVectorStore
from tests.benchmarks.dashvector_faults import schedule_lines
from tests.servers.loopback import loopback_allowed

DIMENSION = 1024
POOL = 512
API_KEY = "benchmark"
SPEC = CollectionSpec(
    "muge", DIMENSION, {"image_id": "int", "query": "str", "query_id": "int", "picture": "str"}
)
JPEG_THUMBNAIL = "x" * 6_000
"""As long as a 160 pixel JPEG of a product is in base64."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way: documents a second, request bytes and client CPU microseconds a document."""

    name: str
    per_second: float
    bytes_each: float
    cpu_each: float


class Pool:
    """Endless documents that cost next to nothing to make: content repeats, ids do not."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.vectors = rng.standard_normal((POOL, DIMENSION)).astype(np.float32)
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self.sparse = [
            {int(key): float(np.float32(rng.random() + 0.1)) for key in rng.integers(0, 2**32, 10)}
            for _ in range(POOL)
        ]

    def documents(self, count: int, picture: str = "") -> Iterator[Document]:
        """Documents 0 to `count`, with a picture field if there is a picture."""
        for number in range(count):
            fields: dict[str, FieldValue] = {
                "image_id": number,
                "query": "金属产品打印",
                "query_id": number,
            }
            if picture:
                fields["picture"] = picture
            place = number % POOL
            yield Document(str(number), self.vectors[place], self.sparse[place], fields)


@contextmanager
def served() -> Iterator[DashVectorStore]:
    """A server in another process, and a store on it with an empty collection."""
    command = [sys.executable, "-m", "tests.servers.dashvector", "--api-key", API_KEY]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        loopback_allowed(),
    ):
        try:
            assert process.stdout is not None
            endpoint = process.stdout.readline().split()[1].partition("=")[2]
            os.environ["DASHVECTOR_ENDPOINT"] = endpoint
            store = open_store(True)
            store.create(SPEC)
            yield store
            store.close()
        finally:
            process.send_signal(signal.SIGTERM)


def open_store(fast: bool) -> DashVectorStore:
    """A store with the product's own defaults."""
    endpoint = SecretStr(os.environ["DASHVECTOR_ENDPOINT"])
    return DashVectorStore(SecretStr(API_KEY), endpoint, DashVectorOptions(fast_building=fast))


def png_text() -> str:
    """A picture of 224 x 224 pixels as the tutorial stores it: PNG in base64, near 100 kB."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 9, (224, 224, 3), dtype=np.uint8) * 28
    buffer = io.BytesIO()
    Image.fromarray(coarse).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def tutorials_way(pool: Pool, count: int, picture: str) -> None:
    """Tuples in batches of 20, one synchronous request after the other, nothing looked at."""
    client = dashvector.Client(api_key=API_KEY, endpoint=os.environ["DASHVECTOR_ENDPOINT"])
    collection = client.get(SPEC.name)
    batch = []
    for each in pool.documents(count, picture):
        batch.append((each.id, each.vector.tolist(), dict(each.fields), dict(each.sparse)))
        if len(batch) == 20:
            assert collection.upsert(batch)
            batch = []
    client.close()


def measure(name: str, count: int, bytes_each: float, work: Callable[[], None]) -> Row:
    """Wall and CPU time of one way."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Row(name, count / wall, bytes_each, cpu / count * 1e6)


def upsert_rows(pool: Pool, count: int) -> list[Row]:
    """The ways of upserting: `count` documents in the fast ones, fewer in the slow."""
    png = png_text()
    few, some = max(400, count // 20), count // 4
    with served():
        return [
            tutorials_row("tutorial: batches of 20 tuples, PNG in a field", pool, few, png),
            tutorials_row("tutorial without the picture", pool, few, ""),
            stores_row("store, SDK building", pool, some, "", fast=False),
            stores_row("store, fast building", pool, count, ""),
            stores_row("store, fast building, JPEG thumbnail", pool, count, JPEG_THUMBNAIL),
        ]


def tutorials_row(name: str, pool: Pool, count: int, picture: str) -> Row:
    """The tutorial's way."""
    size = bytes_each(pool, picture)
    return measure(name, count, size, lambda: tutorials_way(pool, count, picture))


def stores_row(name: str, pool: Pool, count: int, picture: str, fast: bool = True) -> Row:
    """The product's way."""

    def work() -> None:
        store = open_store(fast)
        assert store.upsert(SPEC.name, pool.documents(count, picture)).upserted == count
        store.close()

    return measure(name, count, bytes_each(pool, picture), work)


def bytes_each(pool: Pool, picture: str) -> float:
    """Request bytes a document."""
    return float(np.mean([wire.pack(each, SPEC).size for each in pool.documents(50, picture)]))


def building_rows(pool: Pool) -> list[tuple[str, float]]:
    """CPU microseconds a document of building a request, without sending it; best of 5."""
    made = list(pool.documents(480))

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        return min(times) / len(made) * 1e6

    def fast() -> bytes:
        checked = [plain_document(each, SPEC) for each in made]
        return wire.request([wire.pack(each, SPEC) for each in checked], "default")  # type: ignore[arg-type]

    def packing() -> bytes:
        return wire.request([wire.pack(each, SPEC) for each in made], "default")

    return [
        ("SDK", best(lambda: wire.sdk_bytes(made, SPEC))),
        ("fast, with every check", best(fast)),
        ("fast, packing alone", best(packing)),
    ]


def print_peak_memory(count: int) -> None:
    """Peak MiB of this process before and after an upsert of `count` documents."""
    pool = Pool()
    with served() as store:
        store.upsert(SPEC.name, pool.documents(POOL))
        before = peak_of_this_process()
        assert store.upsert(SPEC.name, pool.documents(count)).upserted == count
        print(f"{before:.1f} {peak_of_this_process():.1f}")


def peak_of_this_process() -> float:
    """MiB (Linux). Not `ru_maxrss`, which a process inherits from the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").split()
    return int(status[status.index("VmHWM:") + 1]) / 1024


def memory_of(count: int) -> tuple[float, float]:
    """Peak MiB before and after an upsert of `count` documents, in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--memory", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = done.stdout.split()
    return float(before), float(after)


def machine() -> str:
    """Processor and number of cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def report(count: int, schedules: int) -> None:
    """Measure all and print Markdown."""
    pool = Pool()
    rows = upsert_rows(pool, count)
    print(f"machine: {machine()}; load {os.getloadavg()[0]:.1f}\n")
    print(
        "| way | documents/s | times the tutorial | bytes a document | client CPU us a document |"
    )
    print("|---|---|---|---|---|")
    for row in rows:
        ratio = row.per_second / rows[0].per_second
        print(
            f"| {row.name} | {row.per_second:,.0f} | {ratio:.1f} | {row.bytes_each:,.0f} "
            f"| {row.cpu_each:,.1f} |"
        )
    building = building_rows(pool)
    print("\n| building a request | CPU us a document | times the SDK |\n|---|---|---|")
    for name, each in building:
        print(f"| {name} | {each:.1f} | {building[0][1] / each:.1f} |")
    print("\n| documents | peak MiB before | peak MiB after |\n|---|---|---|")
    for number in (10_000, 100_000):
        before, after = memory_of(number)
        print(f"| {number:,} | {before:.0f} | {after:.0f} |", flush=True)
    print()
    print("\n".join(schedule_lines(schedules, 3000)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=40_000, help="documents of the fast ways")
    parser.add_argument("--schedules", type=int, default=200, help="fault schedules")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.memory:
        print_peak_memory(options.memory)
    else:
        report(options.count, options.schedules)


if __name__ == "__main__":
    main()

"""What the benchmarks of encoding share: pictures, ways of encoding them, and their times."""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tasks.context import Context
from tasks.dataset.readers import open_reader
from tasks.encode.model.contract import Encoder
from tasks.encode.model.describe import describe_model
from tasks.encode.model.load import load_encoder
from tasks.encode.model.pending import PendingVectors
from tasks.encode.stage.clock import shares
from tasks.encode.stage.plan import Encoded
from tasks.index import stages as index_stages
from tasks.index.run import IndexRun
from tasks.index.runner import Threads
from tasks.records import Uint8
from tasks.settings import Settings, load_settings
from tests.benchmarks.make_muge import write_muge
from tests.encode.model.pictures import decode_image

LIMIT = 10**8
TENSORS = 2048
"""Pictures kept in memory as tensors; a bare loop goes over them again and again."""


@dataclass(frozen=True)
class Timing:
    """How long some items took, on the clock and on all cores together, in seconds."""

    items: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.wall


def timed(work: Callable[[], int]) -> Timing:
    """Do it; it returns how many items that were."""
    wall, cpu = time.perf_counter(), time.process_time()
    items = work()
    return Timing(items, time.perf_counter() - wall, time.process_time() - cpu)


@dataclass(frozen=True)
class Rates:
    """What each way took, in the order of the rounds."""

    by_way: dict[str, list[Timing]]

    def median(self, way: str) -> float:
        """Items a second, the middle of the rounds."""
        return statistics.median(each.rate for each in self.by_way[way])

    def table(self, base: str) -> str:
        """A line a way: rate, spread of the rounds, how many times as fast as `base`, and what an
        item costs on all cores together, which other work on the machine disturbs less."""
        lines = [f"{'':34} {'a second':>10} {'rounds':>19} {'ratio':>8} {'CPU ms':>8}"]
        for way, done in self.by_way.items():
            spread = f"{min(d.rate for d in done):,.0f} to {max(d.rate for d in done):,.0f}"
            ratio = self.median(way) / self.median(base)
            cpu = 1000 * statistics.median(each.cpu / each.items for each in done)
            line = f"{way:34} {self.median(way):10,.1f} {spread:>19} {ratio:8.2f} {cpu:8.2f}"
            lines.append(line)
        return "\n".join(lines)


def measure(ways: dict[str, Callable[[], Timing]], rounds: int) -> Rates:
    """Each way in turn, several times, so that what else the machine does hits all alike."""
    rates: dict[str, list[Timing]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            rates[way].append(run())
    return Rates(rates)


def machine() -> str:
    """Whose figures these are."""
    cpu = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = next((x.split(":")[1].strip() for x in file if x.startswith("model name")), cpu)
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return (
        f"{', '.join(gpus) or 'no GPU'}; {cpu}, {os.cpu_count()} cores; torch {torch.__version__}"
    )


def write_pictures(folder: Path, images: int) -> str:
    """MUGE's files of so many 224 px JPEGs with as many more pairs as MUGE has (1 in 38); made once
    a folder. Returns the data set's name."""
    place = (folder / f"muge-{images}").resolve()
    if not (place / "MR_valid_imgs.tsv").exists():
        write_muge(place, images, images + images // 38, "valid")
    return f"muge:{place}?split=valid"


def read_jpegs(dataset: str, count: int) -> list[bytes]:
    """The bytes of the first pictures."""
    reader = open_reader(dataset)
    rows = (row for span in reader.spans() for row in reader.read(span))
    pictures = (row.image for row in rows if row.image is not None)
    return [next(pictures) for _ in range(count)]


def tensors(jpegs: Sequence[bytes], side: int) -> Uint8:
    """Pictures decoded, (N, side, side, 3)."""
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda data: decode_image(data, side, LIMIT), jpegs)))


def bare_loop(encoder: Encoder, pixels: Uint8, batch: int, images: int) -> Timing:
    """The model alone over tensors in memory, one batch after the other."""
    encoder.encode_images(pixels[:batch])

    def loop() -> int:
        done = 0
        for start in itertools.cycle(range(0, len(pixels) - batch + 1, batch)):
            encoder.encode_images(pixels[start : start + batch])
            done += batch
            if done >= images:
                return done
        return done

    return timed(loop)


def bare_streams(encoder: Encoder, pixels: Uint8, batch: int, images: int) -> Timing:
    """The same, but as many batches at the same time as the device has use for."""
    there = torch.from_numpy(pixels)
    if encoder.device.startswith("cuda"):
        there = there.pin_memory()
    encoder.begin_images(there[:batch]).result()

    def loop() -> int:
        done, behind = 0, deque[PendingVectors]()
        for start in itertools.cycle(range(0, len(pixels) - batch + 1, batch)):
            behind.append(encoder.begin_images(there[start : start + batch]))
            done += batch
            if len(behind) > encoder.at_once:
                behind.popleft().result()
            if done >= images:
                break
        for pending in behind:
            pending.result()
        return done

    return timed(loop)


@contextmanager
def planned(dataset: str, settings: Settings) -> Iterator[IndexRun]:
    """A run whose outputs are thrown away."""
    with tempfile.TemporaryDirectory(prefix="muge-benchmark-") as home:
        here = settings.model_copy(update={"home": home})
        model = describe_model(here.model)
        yield IndexRun(here, index_stages.plan(Context(), dataset, here), model)


def encode_stage(dataset: str, settings: Settings) -> tuple[Timing, dict[str, float]]:
    """The encode stage, from files to Parquet, as the flow runs it, and what its steps did."""
    done: list[Encoded] = []

    def work() -> int:
        with Threads(Context()).encoding(settings) as encoders:
            done.extend(encoders.over(index_stages.ENCODE_IMAGES, run, run.plan.shards))
        return sum(each.rows for each in done)

    with planned(dataset, settings) as run:
        timing = timed(work)
    return timing, shares([each.seconds for each in done], timing.wall)


def options(module: str, doc: str | None, images: int = 10_000) -> argparse.ArgumentParser:
    """The options that all these commands have."""
    parser = argparse.ArgumentParser(description=doc, prog=f"python -m {module}")
    parser.add_argument("folder", type=Path, help="where the pictures lie or will lie")
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--model", default="sample")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    return parser


def load(given: argparse.Namespace) -> tuple[Settings, Encoder, int]:
    """The settings, the encoder and its batch."""
    settings = load_settings(model=given.model, device=given.device, precision=given.precision)
    encoder = load_encoder(settings.model, settings.device, settings.precision, settings.kernels)
    batch = encoder.batch_images(settings.batch_images, settings.batch_memory_mb << 20)
    return settings, encoder, batch

"""What the flow itself costs: many shards through the real tasks with an encoder that does nothing.

python -m tests.benchmarks.orchestration FOLDER --images 1000000 --shard-images 1000
python -m tests.benchmarks.orchestration FOLDER --throughput 1 2 4

The first reads a data set of tiny rows, plans it and runs the encode stages twice, on threads and
on Ray: `fresh` reads every row and writes every part and marker with empty vectors, `again` finds
everything done. Each runner has a process of its own, so that its memory is its own. The second
encodes the sample with its real model in 1, 2 and 4 Ray workers that are warm, and in threads.
Needs the extra [ray].
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.encode.stage.plan import Encoded, ImageStage
from tasks.encode.stage.stages import PictureSource, QuerySource
from tasks.records import QueryPart, Shard
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete
from tasks.work.parquet import writing_parquet

ROWS_A_FILE = 100_000
EMPTY = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), 8))])
PLACES = 2
"""Threads, or CPUs of the Ray cluster."""


def write_rows(folder: Path, images: int) -> None:
    """`images` rows in MUGE's columns with 24 bytes for a picture, in row groups of 1,000."""
    folder.mkdir(parents=True)
    for start in range(0, images, ROWS_A_FILE):
        numbers = range(start, min(start + ROWS_A_FILE, images))
        table = pa.table(
            {
                "query_id": pa.array(numbers, pa.int64()),
                "query": [f"第{number}件商品" for number in numbers],
                "image_id": pa.array(numbers, pa.int64()),
                "image": [b"%024d" % number for number in numbers],
            }
        )
        pq.write_table(table, folder / f"rows-{start:09d}.parquet", row_group_size=1000)


def encode_nothing() -> None:
    """Put encoders that do nothing in the place of this process's."""
    from tasks.index import stages as index_stages

    vars(index_stages).update(encode_image_shard=_empty_shard, encode_query_part=_empty_part)


def _empty_shard(
    folder: Folder, shard: Shard, stage: ImageStage, source: PictureSource, again: bool
) -> Encoded:
    ids = (str(entry.image_id) for entry, _ in source.read(source.entries()))
    return _write_empty(folder, shard.file_in(stage.images), ids)


def _empty_part(
    folder: Folder, part: QueryPart, texts: str, source: QuerySource, checkpoint: float
) -> Encoded:
    return _write_empty(folder, part.file_in(texts), (str(i) for i, _ in source.queries()))


def _write_empty(folder: Folder, output: str, keys: Iterable[str]) -> Encoded:
    done = completed(folder, output)
    if done is not None:
        return Encoded(done.counts["rows"], 0, 0)
    ids = list(keys)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8 * len(ids), np.float32)), 8)
    with writing_parquet(folder, output, EMPTY) as file:
        file.write_table(pa.table([ids, vectors], schema=EMPTY))
    mark_complete(folder, output, rows=len(ids), rejects=0)
    return Encoded(len(ids), 0, len(ids))


def run_stages(folder: Path, dataset: str, shard_images: int, where: str) -> dict[str, Any]:
    """Plan and run the encode stages twice in one flow; seconds, bytes and MiB."""
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows.orchestration.runners import PrefectRunner
    from tasks.context import Context
    from tasks.encode.model.describe import describe_model
    from tasks.index.operation import encode, plan
    from tasks.index.report import peak_rss_mb
    from tasks.index.times import StageTimes
    from tasks.settings import load_settings
    from tasks.work.progress import SILENT

    said: dict[str, Any] = {"runner": where}

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)  # type: ignore[arg-type]
    def run() -> None:
        settings = load_settings(
            work_dir=str(folder), shard_images=shard_images, workers=PLACES, runner=where
        )
        model, runner = describe_model("sample"), PrefectRunner(Context())
        said["mb_start"] = peak_rss_mb()
        start = time.perf_counter()
        made = plan(dataset, settings, model, runner, StageTimes(SILENT))
        said["plan_seconds"] = time.perf_counter() - start
        said["mb_plan"] = peak_rss_mb()
        said["shards"] = len(made.plan.shards)
        said["plan_json"] = len(made.folder.read_bytes("shards.json"))
        said["plan_sent"] = len(pickle.dumps(made))
        for name in ("fresh", "again"):
            times = StageTimes(SILENT)
            encode(made, runner, times)
            said[name] = times.stages["encode_images"]["seconds"]
            said[f"mb_{name}"] = peak_rss_mb()

    run()
    return said


def run_sample(folder: Path, workers: int) -> dict[str, Any]:
    """Encode the sample's pictures twice, the second time with warm workers; 0: in threads."""
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows.orchestration.runners import PrefectRunner
    from tasks.context import Context
    from tasks.encode.model.describe import describe_model
    from tasks.index.operation import plan
    from tasks.index.stages import ENCODE_IMAGES
    from tasks.index.times import StageTimes
    from tasks.settings import load_settings
    from tasks.work.progress import SILENT

    said: dict[str, Any] = {"workers": workers}

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)  # type: ignore[arg-type]
    def run() -> None:
        options: dict[str, Any] = {"shard_images": 100, "runner": "ray" if workers else "threads"}
        settings = load_settings(work_dir=str(folder / "cold"), **options)
        model, runner = describe_model("sample"), PrefectRunner(Context())
        with runner.encoding(settings) as encoders:
            for name in ("cold", "warm"):
                settings = load_settings(work_dir=str(folder / name), **options)
                made = plan("sample:", settings, model, runner, StageTimes(SILENT))
                start = time.perf_counter()
                encoders.over(ENCODE_IMAGES, made, made.plan.shards)
                said[name] = made.plan.counts.images / (time.perf_counter() - start)

    run()
    return said


def child(arguments: argparse.Namespace) -> None:
    """Measure one runner in this process; one JSON line to standard output."""
    from flows.orchestration.environment import prepare

    prepare(str(arguments.folder / "home"), verbose=False)
    on_ray = arguments.child == "ray" or (arguments.child == "sample" and arguments.workers)
    if on_ray:
        import ray

        options: dict[str, Any] = {"env_vars": {"PYTHONPATH": os.getcwd()}}
        if arguments.child == "ray":
            options["worker_process_setup_hook"] = "tests.benchmarks.orchestration.encode_nothing"
        cpus = arguments.workers or PLACES
        quiet = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
        ray.init(address="local", num_cpus=cpus, runtime_env=options, **quiet)
    place = arguments.folder / f"work-{arguments.child}-{arguments.workers}"
    shutil.rmtree(place, ignore_errors=True)
    if arguments.child == "sample":
        said = run_sample(place, arguments.workers)
    else:
        encode_nothing()
        dataset = f"parquet:{arguments.folder / f'rows-{arguments.images}'}"
        said = run_stages(place, dataset, arguments.shard_images, arguments.child)
    shutil.rmtree(place, ignore_errors=True)
    print(json.dumps(said))


def _measured(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.orchestration", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--shard-images", type=int, default=1000)
    parser.add_argument("--runners", nargs="*", default=["threads", "ray"])
    parser.add_argument("--throughput", nargs="*", type=int, help="Ray workers on the sample.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    print(f"{platform.node()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    folder = str(arguments.folder)
    if arguments.throughput is not None:
        _compare(folder, arguments.throughput)
        return
    rows = arguments.folder / f"rows-{arguments.images}"
    if not rows.exists():
        write_rows(rows, arguments.images)
    sizes = ["--images", str(arguments.images), "--shard-images", str(arguments.shard_images)]
    for runner in arguments.runners:
        _show(_measured(folder, "--child", runner, *sizes))


def _show(said: dict[str, Any]) -> None:
    shards = said["shards"]
    print(
        f"{said['runner']}: {shards:,} shards; plan {said['plan_seconds']:.1f} s, "
        f"{said['plan_json']:,} bytes kept, {said['plan_sent']:,} sent"
    )
    for name in ("fresh", "again"):
        print(f"  {name}: {said[name]:.1f} s, {1000 * said[name] / shards:.1f} ms a shard")
    names = ("start", "plan", "fresh", "again")
    print("  driver, MiB at most: " + ", ".join(f"{n} {said[f'mb_{n}']}" for n in names))


def _compare(folder: str, workers: Sequence[int]) -> None:
    base = None
    for number in [*workers, 0]:
        said = _measured(folder, "--child", "sample", "--workers", str(number))
        base = base or said["warm"]
        print(
            f"{f'{number} Ray workers' if number else 'threads'}: {said['warm']:.0f} images/s warm "
            f"({said['warm'] / base:.2f} of the first), {said['cold']:.0f} with the start"
        )


if __name__ == "__main__":
    main()

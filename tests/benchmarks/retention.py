"""Whether the disk stays bounded: many small reindexes of changed data, each followed by pruning.

python -m tests.benchmarks.retention FOLDER --pictures 60 --reindexes 100

Data, model, work folder and store are made in FOLDER, which must be empty. Every fifth run is
killed half way before it is run again, and every seventh is in place; the rest are blue/green.
Printed is what the work folder and the store take after the first reindex, the most at any time,
and the last, with what they would take without pruning (of so many reindexes that `--without` says;
0: not measured).
"""

from __future__ import annotations

import argparse
import platform
import random
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tasks.free import taken_bytes
from tasks.settings import Strategy
from tests.encode.model.models import make_model
from tests.retention.shop import COUNT, Dies, Shop

KILLED_EVERY, IN_PLACE_EVERY = 5, 7
STAGES = ("encode_images", "encode_sparse", "upsert")


def play(folder: Path, model: str, pictures: int, reindexes: int, prune: bool) -> list[int]:
    """Bytes that work folder and store take after each reindex."""
    chance, taken = random.Random(1), []
    folder.mkdir(parents=True)
    with Shop(folder, model, f"zvec:{folder / 'store'}") as shop:
        for _ in range(pictures - COUNT):
            shop.add()
        shop.reindex()
        for number in range(reindexes):
            for _ in range(max(1, pictures // 20)):
                shop.repaint(chance.choice(sorted(shop.pictures)))
            shop.add()
            shop.remove()
            strategy: Strategy = "blue-green" if number % IN_PLACE_EVERY else "in-place"
            if number % KILLED_EVERY == KILLED_EVERY - 1:
                stage = STAGES[number // KILLED_EVERY % len(STAGES)]
                with suppress(KeyboardInterrupt):
                    shop.reindex(strategy, Dies(stage, True))
                shop.repaint(chance.choice(sorted(shop.pictures)))
            done = shop.reindex(strategy)
            assert shop.ids(done.collection) == set(shop.pictures)
            if prune:
                shop.prune()
            shop.context.close()
            taken.append(sum(taken_bytes(folder / part) for part in ("work", "store")))
        shop.all_there()
    return taken


def main() -> None:
    """Measure, and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--reindexes", type=int, default=100)
    parser.add_argument("--without", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "temporary").mkdir()
    tempfile.tempdir = str(given.folder / "temporary")
    (given.folder / "model").mkdir()
    model = str(make_model(given.folder / "model", "resnet-50").folder)
    print(f"{platform.machine()}, {given.pictures} pictures, {given.reindexes} reindexes")
    start = time.perf_counter()
    taken = play(given.folder / "pruned", model, given.pictures, given.reindexes, True)
    seconds = time.perf_counter() - start
    for what, size in (("first", taken[0]), ("most", max(taken)), ("last", taken[-1])):
        print(f"{what}: {size / 1e6:.2f} MB, {size / taken[0]:.2f} times the first")
    print(f"{seconds:.0f} s in all")
    if given.without:
        kept = play(given.folder / "kept", model, given.pictures, given.without, False)
        last = kept[-1] / kept[0]
        print(f"without pruning, after {given.without}: {last:.2f} times the first")
    shutil.rmtree(given.folder / "temporary")


if __name__ == "__main__":
    main()

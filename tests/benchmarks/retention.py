"""Whether the disk stays bounded: many small reindexes of changed data, each followed by pruning.

python -m tests.benchmarks.retention FOLDER --pictures 20 --reindexes 100

Data, model, work folder and store are made in FOLDER, which must be empty; once with blue/green
reindexes, of which two collections stay, and once in place. Every fifth run is killed half way, and
the data has changed again when it is run again. Printed is what work folder and store take on the
disk after the first reindex, the most after any, and after the last; `--kept` prunes nothing.
"""

from __future__ import annotations

import argparse
import platform
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

from tasks.free import taken_bytes
from tasks.settings import Strategy
from tests.encode.model.models import make_model
from tests.retention.shop import COUNT, Dies, Shop

KILLED_EVERY = 5
STAGES = ("encode_images", "encode_sparse", "upsert")
SHARD = 10


def play(
    folder: Path, model: str, strategy: Strategy, pictures: int, reindexes: int, prune: bool
) -> Iterator[tuple[int, int]]:
    """Bytes that work folder and store take after each reindex."""
    chance = random.Random(1)
    folder.mkdir(parents=True)
    with Shop(folder, model, f"zvec:{folder / 'store'}") as shop:
        for _ in range(pictures - COUNT):
            shop.add()
        shop.reindex(shard_images=SHARD)
        for number in range(reindexes):
            change(shop, chance)
            if number % KILLED_EVERY == KILLED_EVERY - 1:
                dies = Dies(STAGES[number // KILLED_EVERY % len(STAGES)], True)
                with suppress(KeyboardInterrupt):
                    shop.reindex(strategy, dies, shard_images=SHARD)
                change(shop, chance)
            done = shop.reindex(strategy, shard_images=SHARD)
            assert shop.ids(done.collection) == set(shop.pictures)
            if prune:
                shop.prune()
            shop.context.close()
            yield taken_bytes(folder / "work"), taken_bytes(folder / "store")
        shop.all_there()


def change(shop: Shop, chance: random.Random) -> None:
    """One picture is new, one is gone, one is another."""
    shop.add()
    shop.remove()
    shop.repaint(chance.choice(sorted(shop.pictures)))


def main() -> None:
    """Measure, and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--reindexes", type=int, default=100)
    parser.add_argument("--strategy", choices=get_args(Strategy), action="append")
    parser.add_argument("--kept", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "temporary").mkdir()
    tempfile.tempdir = str(given.folder / "temporary")
    (given.folder / "model").mkdir()
    model = str(make_model(given.folder / "model", "resnet-50").folder)
    pruned = "nothing pruned" if given.kept else "pruned after each"
    print(f"{platform.machine()}, {given.pictures} pictures, {given.reindexes} reindexes, {pruned}")
    for strategy in given.strategy or get_args(Strategy):
        start, sizes = time.perf_counter(), []
        place = given.folder / strategy
        for each in play(
            place, model, strategy, given.pictures, given.reindexes, prune=not given.kept
        ):
            sizes.append(each)
            if len(sizes) in (1, given.reindexes) or len(sizes) % 10 == 0:
                work, store = each
                times = sum(each) / sum(sizes[0])
                print(
                    f"{strategy} {len(sizes)}: work {work / 1e6:.2f} MB, store {store / 1e6:.2f} "
                    f"MB, {times:.2f} times the first",
                    flush=True,
                )
        most = max(map(sum, sizes)) / sum(sizes[0])
        print(f"{strategy}: at most {most:.2f} times; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

"""Whatever is indexed, killed, moved, dropped and pruned in whatever order: nothing that is needed
is ever lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import CollectionInUseError, CollectionRecordError, UsageError
from tests.retention.shop import Dies, Shop

STAGES = ("plan", "find_encoded", "encode_images", "encode_sparse", "upsert", "verify", "check")


@dataclass
class Story:
    """A shop, and the numbers of the pictures that each complete collection must hold."""

    shop: Shop
    holds: dict[str, set[int]] = field(default_factory=dict)

    def change(self, how: int) -> None:
        (self.shop.repaint, self.shop.add, self.shop.remove)[how % 3]()

    def index_another(self, how: int) -> None:
        name = f"other{how % 2}"
        if name not in self.holds:
            self.done(self.shop.index(collection=name).collection)

    def reindex_in_place(self, how: int) -> None:
        self.done(self.shop.reindex("in-place", max_removed=1.0).collection)

    def blue_green(self, how: int) -> None:
        self.done(self.shop.reindex(max_removed=1.0).collection)

    def die_in_place(self, how: int) -> None:
        self._die("in-place", how)

    def die_blue_green(self, how: int) -> None:
        self._die("blue-green", how)

    def _die(self, strategy: Any, how: int) -> None:
        progress = Dies(STAGES[how % len(STAGES)], bool(how % 2))
        with suppress(KeyboardInterrupt):
            self.done(self.shop.reindex(strategy, progress, max_removed=1.0).collection)

    def promote(self, how: int) -> None:
        ready = sorted(self.holds)
        if ready:
            with suppress(CollectionRecordError):
                self.shop.promote(ready[how % len(ready)])

    def roll_back(self, how: int) -> None:
        with suppress(UsageError):
            self.shop.promote(None)

    def drop(self, how: int) -> None:
        there = sorted(self.shop.records())
        if there:
            name = there[how % len(there)]
            with suppress(CollectionInUseError):
                self.shop.drop(name, in_use=how % 5 == 0 and not self.is_live(name))

    def prune(self, how: int) -> None:
        self.shop.prune(keep_runs=how % 2)

    def list_leftovers(self, how: int) -> None:
        before = self.shop.files()
        self.shop.prune(delete=False)
        assert self.shop.files() == before

    def repair(self, how: int) -> None:
        with suppress(CollectionRecordError):
            self.shop.repair()

    def is_live(self, name: str) -> bool:
        alias = self.shop.alias()
        return alias is not None and alias.live == name

    def done(self, collection: str) -> None:
        self.holds[collection] = set(self.shop.pictures)

    def check(self) -> None:
        """What is complete holds what it held, and all that it was made of is there."""
        shop, there = self.shop, set(self.shop.collections())
        self.holds = {name: held for name, held in self.holds.items() if name in there}
        alias = shop.alias()
        assert alias is None or alias.live in there
        for name, record in shop.records().items():
            if record.status == "ready" and not record.updates and name in self.holds:
                assert shop.ids(name) == self.holds[name], name
                assert shop.verify(name).verified, name

    def end(self) -> None:
        """After a last pruning the live one and the one before are whole, and go on from there."""
        shop = self.shop
        self.blue_green(0)
        shop.prune()
        self.check()
        live = shop.reindex()
        assert (live.encoded_images, live.upserted) == (0, 0)
        assert shop.repair().documents == len(shop.pictures)
        alias = shop.alias()
        if alias is not None and alias.previous is not None:
            shop.promote(None)
            assert shop.repair().verified
            shop.promote(None)
        self.check()


STEPS: list[Callable[[Story, int], None]] = [
    *(Story.change, Story.change, Story.index_another, Story.reindex_in_place, Story.blue_green),
    *(Story.die_in_place, Story.die_blue_green, Story.promote, Story.roll_back, Story.drop),
    *(Story.prune, Story.prune, Story.list_leftovers, Story.repair),
]
ONE = st.tuples(st.sampled_from(STEPS), st.integers(0, 29))


def play(shop: Shop, steps: list[tuple[Callable[[Story, int], None], int]]) -> None:
    story = Story(shop)
    story.blue_green(0)
    for step, how in steps:
        step(story, how)
        story.check()
    story.end()


@contextmanager
def in_memory(folder: Path, model: str) -> Iterator[Shop]:
    here = uuid.uuid4().hex
    place = folder / here
    place.mkdir()
    with Shop(place, model, f"toy:{here}", f"memory://{here}/work") as shop:
        yield shop
    fsspec.filesystem("memory").rm(f"/{here}", recursive=True)


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.thorough
@settings(max_examples=3, derandomize=True, suppress_health_check=SHARED)
@given(steps=st.lists(ONE, min_size=3, max_size=5))
def test_nothing_needed_is_lost(
    steps: list[tuple[Callable[[Story, int], None], int]], toys: str, tmp_path: Path
) -> None:
    with in_memory(tmp_path, toys) as shop:
        play(shop, steps)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=SHARED)
@given(steps=st.lists(ONE, min_size=4, max_size=16))
def test_nothing_needed_is_lost_in_long_stories(
    steps: list[tuple[Callable[[Story, int], None], int]], toys: str, tmp_path: Path
) -> None:
    with in_memory(tmp_path, toys) as shop:
        play(shop, steps)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zvec", "dashvector"])
def test_nothing_needed_is_lost_on_real_stores(
    kind: str, request: pytest.FixtureRequest, model: str, tmp_path: Path
) -> None:
    remote = request.getfixturevalue("dashvector") if kind == "dashvector" else ""

    @settings(max_examples=4, suppress_health_check=SHARED)
    @given(steps=st.lists(ONE, min_size=4, max_size=8))
    def stories(steps: list[tuple[Callable[[Story, int], None], int]]) -> None:
        place = tmp_path / uuid.uuid4().hex
        place.mkdir()
        with Shop(place, model, remote or f"zvec:{place / 'store'}") as shop:
            store = shop.context.store(shop.settings().store_uri)
            for name in store.collections():  # of the story before, on a server
                store.drop(name)
            play(shop, steps)

    stories()

"""A run that is limited: it stops where nothing is lost, and the next one goes on there."""

from __future__ import annotations

import itertools
import random
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tasks.errors import CollectionRecordError, UsageError
from tasks.index.limit import ITEMS, Limit, allotted, deadline_of
from tasks.index.report import IndexReport
from tasks.records import Document
from tasks.store.stores import open_store
from tasks.work.collections import find_record
from tasks.work.folder import Folder
from tests.plain import index_dataset, reindex_dataset, search_images
from tests.shop import make_pictures

COUNT, BATCH = 25, 4


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUGE_BATCH_IMAGES", str(BATCH))


def place_in(folder: Path, model: str, **more: Any) -> dict[str, Any]:
    work = str(folder / "work")
    place = {"store": f"zvec:{folder / 'store'}", "work_dir": work, "model": model}
    return {**place, "shard_images": 10, **more}


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    return place_in(tmp_path, model)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of which one cannot be decoded."""
    pictures = make_pictures(tmp_path_factory.mktemp("shop") / "pictures", COUNT)
    (pictures / "12.png").write_bytes((pictures / "12.png").read_bytes()[:60])
    return pictures


@pytest.fixture(scope="module")
def at_once(
    shop: Path, tmp_path_factory: pytest.TempPathFactory, model: str
) -> tuple[dict[str, bytes], dict[str, Document]]:
    """What one run without a limit makes: its files, and the documents in its store."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MUGE_BATCH_IMAGES", str(BATCH))
        place = place_in(tmp_path_factory.mktemp("whole"), model)
        report = index_dataset(f"folder:{shop}", **place)
    return made(report), stored(place)


def made(report: IndexReport) -> dict[str, bytes]:
    """The embeddings, pictures, BM25 vectors and rejects of a run's folder, by name."""
    root = Path(report.run_dir)
    kinds = ("images-*", "pictures-*", "texts-*", "sparse-*", "rejects", "bm25-*.json")
    files = itertools.chain(*(root.glob(f"{kind}/**/*") for kind in kinds), root.glob("bm25-*"))
    return {str(f.relative_to(root)): f.read_bytes() for f in files if f.is_file()} | {
        "pieces": b"".join(sorted(bytes(f) for f in root.glob("*/pieces/*")))
    }


def stored(place: dict[str, Any], name: str = "muge") -> dict[str, Document]:
    store = open_store(place["store"])
    found = store.fetch(name, [str(n) for n in range(200)])
    assert store.count(name) == len(found)
    store.close()
    return found


def same(one: dict[str, Document], other: dict[str, Document]) -> bool:
    return one.keys() == other.keys() and all(
        (dict(a.fields), dict(a.sparse), a.vector.tobytes())
        == (dict(b.fields), dict(b.sparse), b.vector.tobytes())
        for a, b in ((one[key], other[key]) for key in one)
    )


MANY = [
    pytest.param(limit, workers, shard, marks=pytest.mark.slow)
    for limit, workers, shard in itertools.product((4, 5, 10, 11, 23), (1, 3), (7, 10, 100))
]


@pytest.mark.parametrize(("limit", "workers", "shard"), [(9, 2, 10), *MANY])
def test_limited_runs_in_a_row_make_what_one_run_makes(
    limit: int,
    workers: int,
    shard: int,
    shop: Path,
    at_once: tuple[dict[str, bytes], dict[str, Document]],
    tmp_path: Path,
    model: str,
) -> None:
    files, documents = at_once
    place = place_in(tmp_path, model, workers=workers)
    place["shard_images"] = shard
    if shard != 10:
        whole = {**place_in(tmp_path / "whole", model), "shard_images": shard}
        files = made(index_dataset(f"folder:{shop}", **whole))
        documents = stored(whole)
    encoded = []
    for _ in range(COUNT):
        report = index_dataset(f"folder:{shop}", max_images=limit, **place)
        encoded.append(report.encoded_images)
        assert report.encoded_images <= limit
        if report.unfinished is None:
            break
        assert report.encoded_images > 0
        assert (report.verified, report.documents) == (False, 0)
        assert f"--max-images {limit}" in report.unfinished.said
        with pytest.raises(CollectionRecordError, match="not complete"):
            search_images(["黄色雨伞"], store=place["store"], work_dir=place["work_dir"])
    assert len(encoded) >= (COUNT - 1) / limit
    assert sum(encoded) == COUNT - 1  # nothing twice
    assert report.verified
    assert report.rejects == 1
    assert made(report) == files
    assert same(stored(place), documents)


def test_less_than_a_batch_is_refused_before_anything(
    pictures: Path, place: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"is 3, .* 4 pictures together: give at least 4"):
        index_dataset(f"folder:{pictures}", max_images=3, **place)
    assert index_dataset(f"folder:{pictures}", max_images=COUNT, **place).unfinished is None
    # where nothing is new any number is enough
    assert index_dataset(f"folder:{pictures}", max_images=1, **place).encoded_images == 0


@pytest.mark.thorough
def test_as_many_as_there_are_new_is_enough(
    pictures: Path, place: dict[str, Any], tmp_path: Path
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    make_pictures(pictures, 6, first=100)
    report = reindex_dataset(f"folder:{pictures}", max_images=6, **place)
    assert (report.unfinished, report.encoded_images) == (None, 6)
    assert len(stored(place)) == COUNT + 6


def test_a_live_collection_answers_as_before_until_its_update_is_whole(
    pictures: Path, place: dict[str, Any]
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    before = stored(place)
    make_pictures(pictures, 12, first=100)
    (pictures / "3.png").unlink()
    lines = (pictures / "queries.jsonl").read_text("utf-8").splitlines(keepends=True)
    gone = [line for line in lines if '"3.png"' not in line]
    (pictures / "queries.jsonl").write_text("".join(gone), "utf-8")

    first = reindex_dataset(f"folder:{pictures}", max_images=8, **place)
    assert first.unfinished is not None
    assert 0 < first.encoded_images <= 8
    assert (first.upserted, first.deleted) == (0, 0)
    assert (first.collection, first.documents, first.verified) == ("muge", COUNT, False)
    assert same(stored(place), before)
    record = find_record(Folder(place["work_dir"]), place["store"], "muge")
    assert record is not None
    assert (record.status, record.updates) == ("ready", ())
    (answer,) = search_images(["黄色雨伞"], store=place["store"], work_dir=place["work_dir"])
    assert answer.hits

    second = reindex_dataset(f"folder:{pictures}", max_images=8, **place)
    assert second.unfinished is None
    assert first.encoded_images + second.encoded_images == 12
    assert stored(place).keys() == before.keys() - {"3"} | {str(n) for n in range(100, 112)}


@pytest.mark.parametrize(
    ("strategy", "shard"),
    [
        ("in-place", 10),
        pytest.param("blue-green", 10, marks=pytest.mark.slow),
        pytest.param("in-place", BATCH, marks=pytest.mark.slow),
        pytest.param("blue-green", BATCH, marks=pytest.mark.slow),
        pytest.param("in-place", 100, marks=pytest.mark.slow),
    ],
)
def test_data_that_changes_every_night_is_not_encoded_again(
    strategy: str, shard: int, pictures: Path, place: dict[str, Any]
) -> None:
    """Each night has another run folder; what the nights before encoded is found all the same."""
    place["shard_images"] = shard  # 10 is cut within a shard
    index_dataset(f"folder:{pictures}", **place)
    place["strategy"] = strategy
    if strategy == "blue-green":
        reindex_dataset(f"folder:{pictures}", **place)
    name = place_of_live(place)
    before = stored(place, name)
    make_pictures(pictures, 20, first=100)
    encoded = []
    for night in range(20):
        report = reindex_dataset(f"folder:{pictures}", max_images=12, **place)
        encoded.append(report.encoded_images)
        if report.unfinished is None:
            break
        assert same(stored(place, name), before)
        assert place_of_live(place) == name
        make_pictures(pictures, 1, first=150 + night)
    assert len(encoded) > 1
    assert sum(encoded) == 20 + len(encoded) - 1
    assert len(stored(place, place_of_live(place))) == COUNT + sum(encoded)
    runs = list(Path(place["work_dir"]).glob("*/*/shards.json"))
    assert len(runs) <= 3  # what was begun is forgotten


def place_of_live(place: dict[str, Any]) -> str:
    from tasks.context import Context
    from tasks.settings import load_settings

    named = {name: place[name] for name in ("store", "work_dir")}
    with Context() as context:
        return context.aliases(load_settings(**named)).meant()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A deadline that is met when it was asked about so many times: [how often, met at]."""
    asked = [0, 10**9]

    def over(self: object) -> bool:
        asked[0] += 1
        return asked[0] > asked[1]

    from tasks.encode.stage.plan import Bounds

    monkeypatch.setattr(Limit, "over", over)
    monkeypatch.setattr(Bounds, "over", over)
    return asked


EVERY_STAGE = 3


@pytest.mark.parametrize(
    "seed",
    [EVERY_STAGE, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 1, 2, 4, 5, 6, 7))],
)
def test_a_deadline_stops_every_stage_and_nothing_is_done_twice(
    seed: int,
    shop: Path,
    at_once: tuple[dict[str, bytes], dict[str, Document]],
    place: dict[str, Any],
    clock: list[int],
) -> None:
    draw, encoded, seen = random.Random(seed), 0, set()
    for _ in range(200):
        clock[:] = [0, draw.randint(0, 6)]
        report = index_dataset(f"folder:{shop}", deadline="2h", workers=1, **place)
        encoded += report.encoded_images
        if report.unfinished is None:
            break
        seen.add(report.unfinished.stage)
        assert "--deadline 2h" in report.unfinished.said
    assert report.unfinished is None
    assert encoded == COUNT - 1
    if seed == EVERY_STAGE:
        assert seen == ITEMS.keys() - {"download"}
    assert made(report) == at_once[0]
    assert same(stored(place), at_once[1])


def test_a_deadline_that_is_over_reads_nothing(pictures: Path, place: dict[str, Any]) -> None:
    report = index_dataset(f"folder:{pictures}", deadline="0s", **place)
    assert report.unfinished is not None
    assert (report.unfinished.stage, report.rows) == ("plan", 0)
    assert not list(Path(place["work_dir"]).rglob("shards.json"))


def test_when_a_deadline_is() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    began = datetime(2026, 3, 1, 3, 0, 30, tzinfo=shanghai).timestamp()
    assert deadline_of("2h", began) == began + 7200
    assert deadline_of("1h30m", began) == began + 5400
    assert deadline_of("0.5d", began) == began + 43200
    six = datetime(2026, 3, 1, 6, 0, tzinfo=shanghai).timestamp()
    assert deadline_of("06:00 Asia/Shanghai", began) == six
    assert deadline_of("6:00  Asia/Shanghai", six) == six + 86400
    assert deadline_of("06:00", began) > began
    assert time.localtime(deadline_of("06:00", began))[3:5] == (6, 0)


@pytest.mark.parametrize("said", ["", "soon", "2", "-2h", "25:00", "6:60", "06:00 Moon/Sea", "2h "])
def test_a_deadline_that_is_none_is_refused(
    said: str, pictures: Path, place: dict[str, Any]
) -> None:
    if said == "2h ":
        assert deadline_of(said, 0) == 7200
        return
    with pytest.raises(UsageError, match="MUGE_DEADLINE"):
        index_dataset(f"folder:{pictures}", deadline=said, **place)


def test_who_waits_for_the_lock_waits_no_longer_than_its_deadline() -> None:
    from tasks.settings import load_settings

    settings = load_settings(wait=3600)
    assert Limit(0, time.time() + 60).waiting(settings).wait <= 60
    assert Limit(0, time.time() - 60).waiting(settings).wait == 0
    assert Limit(5, None).waiting(settings).wait == 3600


def test_parts_share_what_is_allowed() -> None:
    assert allotted({"a": 4, "b": 4, "c": 4}, 6) == {"a": 4, "b": 2, "c": 0}

"""A work folder, a store and an alias that an earlier version made are read and gone on with.

`made_by_0_1.tar.xz` is what commit 7cfc612 left of 12 drawn pictures in shards of 5: `muge index
folder:pictures`, a query changed, `muge reindex folder:pictures --strategy blue-green`. Its sample
model had the weights of the third edition: collections of others are refused, in a line.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.context import Context
from tasks.index.status import collection_statuses
from tasks.reindex.blue_green import move_alias
from tasks.settings import load_settings
from tests.plain import index_dataset, reindex_dataset, search_images
from tests.sparse.without import without_dashtext

MADE = Path(__file__).with_name("made_by_0_1.tar.xz")
PICTURES = "folder:pictures"
OPTIONS: dict[str, Any] = {"shard_images": 5}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(MADE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def first(text: str, **options: Any) -> tuple[str, str]:
    (answer,) = search_images([text], alpha=0.0, topk=1, **options)
    return answer.hits[0].id, str(answer.hits[0].fields["query"])


def test_it_is_known_and_searched(context: Context) -> None:
    settings = load_settings()
    known = {one.collection: one for one in collection_statuses(context, settings)}
    assert {name: (one.status, one.documents) for name, one in known.items()} == {
        "muge": ("ready", 12),
        "muge-1": ("ready", 12),
    }
    assert context.aliases(settings).meant() == "muge-1"
    assert "白色运动鞋" in first("白色运动鞋")[1]
    (by_picture,) = search_images(images=["pictures/7.png"], topk=1)
    assert by_picture.hits[0].id == "7"
    assert by_picture.hits[0].score == pytest.approx(1, abs=1e-5)


@pytest.mark.thorough
def test_it_is_the_same_without_dashtext() -> None:
    pytest.importorskip("dashtext")
    hits = search_images(["白色运动鞋"], alpha=0.5, topk=5)[0].hits
    with without_dashtext():
        assert search_images(["白色运动鞋"], alpha=0.5, topk=5)[0].hits == hits
        again = reindex_dataset(PICTURES, **OPTIONS)
    assert (again.collection, again.changed, again.upserted) == ("muge-1", False, 0)


def test_nothing_is_made_again() -> None:
    indexed = index_dataset(PICTURES, **OPTIONS)
    assert (indexed.collection, indexed.documents) == ("muge-1", 12)
    assert (indexed.encoded_images, indexed.upserted, indexed.skipped_shards) == (0, 0, 3)
    for strategy in ("in-place", "blue-green"):
        again = reindex_dataset(PICTURES, strategy=strategy, **OPTIONS)
        assert (again.collection, again.changed, again.encoded_images) == ("muge-1", False, 0)


def test_a_change_in_place_is_all_that_is_made(here: Path) -> None:
    Image.new("RGB", (40, 40), "purple").save(here / "pictures" / "3.png")
    done = reindex_dataset(PICTURES, **OPTIONS)
    assert (done.collection, done.upserted, done.encoded_images) == ("muge-1", 1, 1)
    assert done.encoded_queries == 0
    (by_picture,) = search_images(images=["pictures/3.png"], topk=1)
    assert by_picture.hits[0].id == "3"


@pytest.mark.thorough
def test_a_new_collection_and_back(here: Path, context: Context) -> None:
    Image.new("RGB", (40, 40), "purple").save(here / "pictures" / "3.png")
    done = reindex_dataset(PICTURES, strategy="blue-green", **OPTIONS)
    assert (done.collection, done.previous, done.encoded_images) == ("muge-2", "muge-1", 1)
    assert move_alias(context, load_settings(), None).live == "muge-1"
    assert "白色运动鞋" in first("白色运动鞋")[1]

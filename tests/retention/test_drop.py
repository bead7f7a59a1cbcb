"""Dropping a collection: never one that is in use unless that is meant, and whole after a kill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasks.dataset.shards import read_shards
from tasks.errors import AliasDoubtError, CollectionInUseError, WorkFolderError
from tasks.retention import drop as room
from tasks.store.contract import VectorStore
from tests.retention.shop import Dies, Shop


def refused(shop: Shop, name: str, why: str) -> None:
    before, there = shop.files(), shop.collections()
    with pytest.raises(CollectionInUseError, match=why) as error:
        shop.drop(name)
    assert "give --in-use if that is meant" in str(error.value)
    assert "\n" not in str(error.value)
    assert (shop.files(), shop.collections()) == (before, there)


def traces(shop: Shop, incarnation: str, name: str) -> list[str]:
    """Files of the work folder that tell of a collection."""
    return [
        file
        for file in shop.files()
        if file.endswith(f"/{name}.json") or any(part in file for part in incarnation.split())
    ]


def ledgers(shop: Shop, name: str) -> str:
    return shop.records()[name].held


@pytest.mark.gate("zvec")
def test_a_collection_is_dropped_with_its_records_and_ledgers(shop: Shop) -> None:
    shop.index(collection="other")
    shop.reindex()
    held = ledgers(shop, "other")
    parts = len(read_shards(shop.work.sub(shop.records()["other"].run)))
    assert len(traces(shop, held, "other")) == 2 + 2 * parts
    refused(shop, "other", "searches of its own name use it")
    done = shop.drop("other", in_use=True)
    assert (done.dropped, done.documents, done.ledgers) == (True, len(shop.pictures), 1)
    assert traces(shop, held, "other") == []
    assert shop.collections() == ["muge-1"]
    shop.all_there()

    again = shop.drop("other", in_use=True)
    assert (again.dropped, again.documents) == (False, 0)
    anew = shop.index(collection="other")
    assert (anew.encoded_images, anew.upserted) == (0, len(shop.pictures))


def test_what_searches_use_or_a_rollback_would_is_refused(toy_shop: Shop) -> None:
    shop = toy_shop
    for _ in range(2):
        shop.repaint()
        shop.reindex()
    refused(shop, "muge-2", r"searches of 'muge' use it; .*\(muge alias promote COLLECTION --coll")
    refused(shop, "muge-1", r"it is kept for `muge alias rollback --collection muge`")
    shop.promote(None)
    refused(shop, "muge-1", "searches of 'muge' use it")
    refused(shop, "muge-2", "rollback")

    said = shop.drop("muge")
    assert (said.dropped, said.advice) == (False, ["'muge' is an alias, of collection 'muge-1'"])
    assert "did you mean 'muge-1'" in shop.drop("muge-11").advice[0]


@pytest.mark.thorough
def test_one_that_is_kept_for_rollback_is_dropped_if_that_is_meant(toy_shop: Shop) -> None:
    shop = toy_shop
    for _ in range(2):
        shop.repaint()
        shop.reindex()
    assert shop.drop("muge-1", in_use=True).dropped
    alias = shop.alias()
    assert alias is not None
    assert (alias.live, alias.previous) == ("muge-2", None)
    shop.all_there()
    shop.repaint()
    assert shop.reindex().collection == "muge-3"


@pytest.mark.thorough
def test_the_live_one_is_dropped_if_that_is_meant_and_built_anew(toy_shop: Shop) -> None:
    shop = toy_shop
    shop.reindex()
    done = shop.drop("muge-1", in_use=True)
    assert done.advice[0].startswith("searches of 'muge' find nothing until")
    assert shop.collections() == []
    anew = shop.index()
    assert (anew.collection, anew.encoded_images) == ("muge-1", 0)
    shop.drop("muge-1", in_use=True)
    assert shop.reindex().collection == "muge-2"


def test_what_no_alias_means_any_more_is_dropped(toy_shop: Shop) -> None:
    shop = toy_shop
    for name in ("first", "second", "third"):
        shop.index(collection=name)
        shop.promote(name)
    assert shop.drop("first").dropped
    assert shop.collections() == ["second", "third"]
    shop.all_there()


def test_one_that_was_never_complete_is_dropped(toy_shop: Shop) -> None:
    shop = toy_shop
    with pytest.raises(KeyboardInterrupt):
        shop.index(Dies("upsert", True))
    assert shop.drop("muge").dropped
    assert (shop.collections(), shop.records()) == ([], {})


def test_another_work_folders_collection_is_not_dropped(toy_shop: Shop) -> None:
    shop = toy_shop
    shop.index()
    shop.work_dir = f"{shop.work_dir}-of-another-team"
    refused(shop, "muge", r"without a record in memory:.*--work-dir it was made with")
    assert shop.drop("muge", in_use=True).dropped


@pytest.mark.gate("both")
@pytest.mark.parametrize("lost", ["copy", "alias", "both"])
def test_a_lost_alias_is_adopted_before_anything_is_dropped(lost: str, toy_shop: Shop) -> None:
    shop = toy_shop
    for _ in range(2):
        shop.repaint()
        shop.reindex()
    shop.index(collection="other")
    folders = {"copy": ["alias-copies"], "alias": ["aliases"], "both": ["alias-copies", "aliases"]}
    for folder in folders[lost]:
        shop.work.remove_folder(folder)
    before = shop.files()
    for name in ("muge-1", "muge-2"):
        with pytest.raises(AliasDoubtError, match="muge alias adopt COLLECTION"):
            shop.drop(name)
    with pytest.raises((AliasDoubtError, CollectionInUseError)):
        shop.drop("other")
    assert shop.files() == before


def test_nothing_is_dropped_under_a_run(toy_shop: Shop) -> None:
    shop = toy_shop

    class Asks(Dies):
        def finish(self, stage: str, made: int | None) -> None:
            if stage == "upsert":
                with pytest.raises(WorkFolderError, match="is held by muge index folder:"):
                    shop.drop("muge")

    assert shop.index(Asks("nothing", False)).documents == len(shop.pictures)


STEPS: dict[str, Callable[[Any], tuple[Any, str]]] = {
    "before the store": lambda store: (type(store), "drop"),
    "before the ledgers": lambda _: (room, "_remove_ledgers"),
    "between ledgers": lambda _: (room, "remove_files"),
    "before the record": lambda _: (room, "remove_record"),
}


@pytest.mark.gate("index-before the record", "drop-between ledgers", "drop-before the store")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("then", ["drop", "index"])
def test_killed_it_is_gone_on_with(
    step: str, then: str, toy_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = toy_shop
    shop.index(collection="other")
    held = ledgers(shop, "other")
    store: VectorStore = shop.context.store(shop.settings().store_uri)
    place, name = STEPS[step](store)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, name, dies)
        with pytest.raises(KeyboardInterrupt):
            shop.drop("other", in_use=True)
    if then == "drop":
        assert shop.drop("other", in_use=True).dropped
        assert traces(shop, held, "other") == []
        assert (shop.collections(), shop.records()) == ([], {})
    else:
        done = shop.index(collection="other")
        assert (done.documents, done.encoded_images) == (len(shop.pictures), 0)
        assert shop.ids("other") == set(shop.pictures)
        shop.all_there()

"""Pruning: what no collection needs goes, and with what is left everything still works."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tasks.errors import WorkFolderError
from tasks.retention.leftovers import DAY
from tests.retention.shop import Dies, Shop


def kinds(report: Any) -> Counter[str]:
    return Counter(leftover.kind for leftover in report.leftovers)


@pytest.mark.gate("zvec")
def test_what_is_left_serves_searches_rollback_repair_and_reindex(shop: Shop) -> None:
    shop.index()
    shop.repaint()
    shop.reindex("in-place")
    shop.repaint()
    shop.reindex()
    listed = shop.prune(delete=False)
    before = shop.files()
    assert (listed.done, kinds(listed)) == (False, {"run": 1, "changes": 1, "reuse": 2})
    assert shop.files() == before

    done = shop.prune()
    assert (done.done, done.leftovers) == (True, listed.leftovers)
    after = shop.files()
    gone = {name: size for name, size in before.items() if name not in after}
    assert (sum(gone.values()), len(gone)) == (done.bytes, done.files)
    assert shop.prune().leftovers == []

    assert shop.collections() == ["muge", "muge-1"]
    best = shop.best()
    assert shop.repair().upserted == len(shop.pictures)
    assert shop.best() == best
    assert shop.promote(None).live == "muge"
    assert shop.verify().compared == len(shop.pictures)
    shop.repaint()
    again = shop.reindex("in-place")
    assert (again.collection, again.encoded_images, again.upserted) == ("muge", 1, 1)


@pytest.mark.thorough
def test_in_place_the_runs_before_go(toy_shop: Shop) -> None:
    shop = toy_shop
    shop.index()
    for _ in range(2):
        shop.repaint()
        shop.add()
        shop.reindex("in-place")
    assert kinds(shop.prune()) == {"run": 1, "changes": 1, "reuse": 1}
    shop.all_there()
    assert shop.repair().documents == len(shop.pictures)
    again = shop.reindex("in-place")
    assert (again.encoded_images, again.upserted, again.deleted) == (0, 0, 0)
    shop.repaint()
    shop.remove()
    more = shop.reindex("in-place")
    assert (more.encoded_images, more.upserted, more.deleted) == (1, 1, 1)
    assert shop.ids("muge") == set(shop.pictures)


@pytest.mark.thorough
def test_blue_green_nothing_stays_but_what_two_collections_need(toy_shop: Shop) -> None:
    shop = toy_shop
    for _ in range(4):
        shop.repaint()
        shop.reindex()
    shop.prune()
    runs = {"/".join(name.split("/")[:2]) for name in shop.files() if name.startswith("folder-")}
    assert runs == {record.run for record in shop.records().values()}
    assert shop.collections() == ["muge-3", "muge-4"]
    shop.all_there()
    again = shop.reindex()
    assert (again.encoded_images, again.upserted, again.collection) == (0, 0, "muge-4")


def test_outputs_of_other_options_go_from_a_folder_that_is_needed(toy_shop: Shop) -> None:
    shop = toy_shop
    (shop.data / "5.png").write_bytes(b"not a picture")
    shop.index(picture="none", document="pair", collection="other")
    shop.index()
    assert shop.drop("other", in_use=True).dropped
    assert kinds(shop.prune()) == {"bm25": 1, "sparse": 1}
    shop.all_there()
    assert shop.repair().documents == len(shop.pictures) - 1
    rejects = [name for name in shop.files() if "/rejects/" in name]
    assert rejects, "the rejects of the collection that is kept"


def test_what_is_young_stays_and_so_do_the_newest_runs(toy_shop: Shop) -> None:
    shop = toy_shop
    reports = []
    for _ in range(3):
        shop.repaint()
        with pytest.raises(KeyboardInterrupt):
            shop.index(Dies("encode_images", at_end=True), collection="other")
        assert shop.drop("other").dropped  # it was never complete
        reports.append(shop.prune(delete=False))
    assert [kinds(report)["run"] for report in reports] == [1, 2, 3]
    assert shop.prune(delete=False, keep_days=1.0).leftovers == []
    assert kinds(shop.prune(delete=False, keep_runs=2)) == {"run": 1}
    now = max(file.changed for file in shop.work.stored()) + 1.5 * DAY
    assert kinds(shop.prune(delete=False, keep_days=1.0, now=now)) == {"run": 3}
    assert kinds(shop.prune(keep_days=1.0, keep_runs=1, now=now)) == {"run": 2}
    assert shop.index(collection="other").encoded_images == 0, "the newest run was kept"


KILLS = [
    ("index", "plan", True),
    ("index", "encode_sparse", True),
    ("index", "upsert", True),
    ("in-place", "encode_images", True),
    ("in-place", "upsert", False),
    ("in-place", "verify", False),
    ("blue-green", "encode_images", True),
    ("blue-green", "upsert", True),
    ("blue-green", "check", False),
]


@pytest.mark.gate("blue-green-upsert-True", "in-place-upsert-False", "index-plan-True")
@pytest.mark.parametrize(("how", "stage", "at_end"), KILLS)
def test_a_run_that_was_killed_goes_on_after_pruning(
    how: Any, stage: str, at_end: bool, toy_shop: Shop
) -> None:
    shop = toy_shop
    if how != "index":
        shop.reindex()
        shop.repaint()
        shop.add()
    run = shop.index if how == "index" else lambda *given: shop.reindex(how, *given)
    with pytest.raises(KeyboardInterrupt):
        run(Dies(stage, at_end))
    shop.prune()
    shop.all_there()
    done = run(Dies("nothing", False))
    # what was begun is kept, though no record names it yet
    assert done.encoded_images == (len(shop.pictures) if stage == "plan" else 0)
    assert shop.ids(done.collection) == set(shop.pictures)
    shop.all_there()


def test_nothing_is_looked_at_while_a_run_is_under_way(toy_shop: Shop) -> None:
    shop = toy_shop
    seen: list[str] = []

    class Asks(Dies):
        def start(self, stage: str, total: int | None) -> None:
            if stage == "encode_images":
                with pytest.raises(WorkFolderError, match="is held by muge index folder:"):
                    shop.prune()
                seen.append(stage)

    shop.index(Asks("nothing", False))
    assert seen == ["encode_images"]


def test_a_record_that_cannot_be_read_may_need_anything(toy_shop: Shop) -> None:
    shop = toy_shop
    shop.index(collection="other")
    shop.repaint()
    shop.index()
    for folder in ("collections", "record-copies"):
        (name,) = [name for name in shop.work.find(folder) if name.endswith("/other.json")]
        with shop.work.writing(name) as handle:
            handle.write(b"{")
    before = shop.files()
    report = shop.prune()
    assert (report.leftovers, shop.files()) == ([], before)
    (doubt,) = report.doubts
    assert "record of 'other'" in doubt
    assert "muge drop other --in-use" in doubt
    assert shop.drop("other", in_use=True).dropped
    report = shop.prune()
    assert (report.doubts, kinds(report)["run"]) == ([], 1)
    shop.all_there()


@pytest.mark.parametrize("which", ["collections", "record-copies"])
def test_a_record_that_is_lost_is_read_from_its_copy_and_the_other_way_round(
    which: str, toy_shop: Shop
) -> None:
    shop = toy_shop
    shop.index()
    shop.work.remove_folder(which)
    assert shop.prune().leftovers == []
    assert shop.repair().documents == len(shop.pictures)


def test_files_of_others_are_never_touched(toy_shop: Shop) -> None:
    shop = toy_shop
    shop.index()
    shop.repaint()
    shop.reindex("in-place")
    run = next(name for name in shop.files() if name.endswith("/shards.json")).rpartition("/")[0]
    others = [
        *("notes.txt", "mine/0123456789abcdef.txt", "images/0123456789abcdef/cat.jpg"),
        *(f"{run}/notes.txt", f"{run}/mine/part.parquet", f"{run}/images-of-cats/1.jpg"),
        *("collections/readme.txt", "aliases/more.json", "folder-x-01234567/mine/shards.json"),
    ]
    for name in others:
        with shop.work.writing(name) as handle:
            handle.write(b"mine")
    shop.prune()
    assert {name for name in others if shop.work.exists(name)} == set(others)

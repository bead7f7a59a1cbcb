"""Reindexing on a real zvec: only what changed moves, nothing is lost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.context import Context
from tasks.errors import (
    CollectionRecordError,
    RemovalRefusedError,
    SwitchRefusedError,
    UsageError,
)
from tasks.index import operation, run
from tasks.index.runner import Threads
from tasks.index.upkeep import repair
from tasks.records import Document
from tasks.reindex.blue_green import move_alias
from tasks.reindex.rejected import summarise_rejects
from tasks.reindex.report import ReindexReport
from tasks.settings import Settings, load_settings
from tasks.store.stores import open_store
from tasks.work.collections import find_record, require_record
from tasks.work.folder import Folder
from tests.plain import index_dataset, reindex_dataset, search_images
from tests.shop import make_pictures

COUNT = 25


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
        "shard_images": 10,
    }


def settings_of(place: dict[str, Any], **more: Any) -> Settings:
    return load_settings(**{**place, **more})


def stored(place: dict[str, Any], collection: str = "muge") -> dict[str, Document]:
    store = open_store(place["store"])
    found = store.fetch(collection, [str(n) for n in range(100)])
    assert store.count(collection) == len(found)
    store.close()
    return found


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]


def write_lines(folder: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "queries.jsonl").write_text(text, "utf-8")


def change(folder: Path) -> None:
    """Picture 3 is another one, 7 is gone, 90 is new, and picture 11 has a new query."""
    Image.new("RGB", (40, 40), "purple").save(folder / "3.png")
    lines = [line for line in lines_of(folder) if line["image_id"] != 7]
    (folder / "7.png").unlink()
    make_pictures(folder, 1, first=90)
    lines += lines_of(folder)[-2:]
    extra = {"query_id": 77, "query": "新款连衣裙", "image_id": 11, "image": "11.png"}
    write_lines(folder, [*lines, extra])


def counts(report: ReindexReport) -> tuple[int, int, int]:
    return report.upserted, report.deleted, report.encoded_images


def test_unchanged_data_sends_and_encodes_nothing(pictures: Path, place: dict[str, Any]) -> None:
    index_dataset(f"folder:{pictures}", **place)
    again = reindex_dataset(f"folder:{pictures}", **place)
    assert (counts(again), again.changed, again.documents) == ((0, 0, 0), False, COUNT)


def test_only_what_changed_is_encoded_and_sent(
    pictures: Path, place: dict[str, Any], tmp_path: Path
) -> None:
    first = reindex_dataset(f"folder:{pictures}", **place)
    assert counts(first) == (COUNT, 0, COUNT)
    before = stored(place)
    change(pictures)
    report = reindex_dataset(f"folder:{pictures}", **place)

    assert counts(report) == (3, 1, 2)
    assert (report.encoded_queries, report.documents, report.rejects) == (1, COUNT, 0)
    assert report.bm25_drift is not None
    assert report.bm25_drift > 0
    after = stored(place)
    assert before.keys() - after.keys() == {"7"}
    assert after["11"].fields["query"] == "蓝色帽子\n绿色的包\n新款连衣裙"
    anew = {**place, "store": f"zvec:{tmp_path / 'other'}", "work_dir": str(tmp_path / "anew")}
    index_dataset(f"folder:{pictures}", **anew)
    for key, document in stored(anew).items():
        assert after[key].fields == document.fields
        assert after[key].vector == pytest.approx(document.vector, abs=1e-5)
    again = reindex_dataset(f"folder:{pictures}", **place)
    assert (counts(again), again.changed) == ((0, 0, 0), False)
    indexed = index_dataset(f"folder:{pictures}", **place)
    assert (indexed.upserted, indexed.encoded_images) == (0, 0)


def test_a_small_update_is_one_piece_of_work_a_stage(
    pictures: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, small = Threads.over, dict[str, bool]()

    def over(runner: Threads, stage: Any, *arguments: Any) -> list[Any]:
        small[stage.name] = arguments[-1] is True
        return whole(runner, stage, *arguments)

    monkeypatch.setattr(Threads, "over", over)
    stages = {"encode_images", "encode_texts", "encode_sparse", "upsert"}
    reindex_dataset(f"folder:{pictures}", **place)  # all of it is new
    assert small == dict.fromkeys(stages, False)
    change(pictures)
    monkeypatch.setattr(run, "FEW", 3)  # two pictures and one query
    monkeypatch.setattr(operation, "FEW", 3)
    reindex_dataset(f"folder:{pictures}", **place)
    assert small == dict.fromkeys(stages, True)
    Image.new("RGB", (40, 40), "teal").save(pictures / "4.png")
    monkeypatch.setattr(run, "FEW", 0)
    monkeypatch.setattr(operation, "FEW", 0)
    reindex_dataset(f"folder:{pictures}", **place)
    assert small == dict.fromkeys(stages, False)


@pytest.mark.thorough
def test_statistics_stay_those_of_the_documents(pictures: Path, place: dict[str, Any]) -> None:
    settings = settings_of(place)
    reindex_dataset(f"folder:{pictures}", **place)
    hash_before = require_record(Folder(settings.work_url), settings.store_uri, "muge").bm25
    sparse_before = stored(place)["5"].sparse
    change(pictures)
    reindex_dataset(f"folder:{pictures}", **place)
    record = require_record(Folder(settings.work_url), settings.store_uri, "muge")
    assert record.bm25 == hash_before == record.kept
    assert stored(place)["5"].sparse == sparse_before
    here = {k: v for k, v in place.items() if k in ("store", "work_dir")}
    (answer,) = search_images(["红色连衣裙"], alpha=0.0, topk=3, **here)
    assert all("红色连衣裙" in str(hit.fields["query"]) for hit in answer.hits)


@pytest.mark.thorough
def test_a_change_and_back_again(pictures: Path, place: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "kept")
    reindex_dataset(f"folder:{pictures}", **place)
    before = stored(place)
    change(pictures)
    reindex_dataset(f"folder:{pictures}", **place)
    shutil.rmtree(pictures)
    shutil.copytree(tmp_path / "kept", pictures)
    back = reindex_dataset(f"folder:{pictures}", **place)
    assert counts(back) == (3, 1, 0)
    after = stored(place)
    assert after.keys() == before.keys()
    assert all(after[key].fields == before[key].fields for key in before)


@pytest.mark.thorough
def test_a_collection_of_long_ids_stays_good_for_short_ones(
    pictures: Path, place: dict[str, Any]
) -> None:
    kept = lines_of(pictures)
    write_lines(pictures, [*kept, {**kept[0], "query_id": 1 << 40, "query": "大号行李箱"}])
    assert reindex_dataset(f"folder:{pictures}", **place).documents == COUNT
    write_lines(pictures, kept)
    assert counts(reindex_dataset(f"folder:{pictures}", **place)) == (1, 0, 0)
    again = index_dataset(f"folder:{pictures}", **place)
    assert (again.upserted, again.documents) == (0, COUNT)


@pytest.mark.thorough
def test_other_options_need_a_new_collection(pictures: Path, place: dict[str, Any]) -> None:
    reindex_dataset(f"folder:{pictures}", **place)
    with pytest.raises(CollectionRecordError, match=r"picture jpeg \(now png\).*blue-green"):
        reindex_dataset(f"folder:{pictures}", picture="png", **place)
    done = reindex_dataset(f"folder:{pictures}", picture="png", strategy="blue-green", **place)
    assert done.collection == "muge-1"


@pytest.mark.thorough
def test_ids_made_from_names_go_into_a_collection_of_small_ids(
    pictures: Path, place: dict[str, Any]
) -> None:
    reindex_dataset(f"folder:{pictures}", **place)
    (pictures / "queries.jsonl").unlink()
    done = reindex_dataset(f"folder:{pictures}", max_removed=1.0, **place)
    assert (done.collection, done.documents, counts(done)) == ("muge", COUNT, (COUNT, COUNT, 0))


@pytest.mark.thorough
def test_ids_made_from_names_need_a_new_collection_where_ids_have_32_bits(
    pictures: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("tasks.index.documents.IDS", ())  # as collections were made before
        reindex_dataset(f"folder:{pictures}", **place)
    (pictures / "queries.jsonl").unlink()
    with pytest.raises(CollectionRecordError, match=r"32 bits, and \d{10,} of folder:") as error:
        reindex_dataset(f"folder:{pictures}", **place)
    assert "without an id of their own" in str(error.value)
    done = reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    assert (done.collection, done.documents) == ("muge-1", COUNT)


@pytest.mark.thorough
def test_a_refused_picture_is_taken_after_its_fix(pictures: Path, place: dict[str, Any]) -> None:
    whole = (pictures / "4.png").read_bytes()
    (pictures / "4.png").write_bytes(whole[:60])
    report = reindex_dataset(f"folder:{pictures}", **place)
    assert (report.rejects, report.documents) == (1, COUNT - 1)
    work = Folder(place["work_dir"])
    settings = settings_of(place)
    found = summarise_rejects(work, require_record(work, settings.store_uri, "muge"))
    assert [(r.stage, r.code, r.count) for r in found.reasons] == [
        ("encode_images", "truncated", 1)
    ]
    (pictures / "4.png").write_bytes(whole)
    done = reindex_dataset(f"folder:{pictures}", retry_rejects=True, **place)
    assert (counts(done), done.rejects, done.documents) == ((1, 0, 1), 0, COUNT)


@pytest.mark.thorough
def test_a_looser_limit_takes_what_was_refused(
    pictures: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (90, 90), "purple").save(pictures / "4.png")
    monkeypatch.setenv("MUGE_MAX_IMAGE_PIXELS", "2000")
    report = reindex_dataset(f"folder:{pictures}", **place)
    assert (report.rejects, report.documents) == (1, COUNT - 1)
    monkeypatch.delenv("MUGE_MAX_IMAGE_PIXELS")
    done = reindex_dataset(f"folder:{pictures}", retry_rejects=True, **place)
    assert (counts(done), done.rejects, done.documents) == ((1, 0, 1), 0, COUNT)


def test_blue_green_moves_the_alias_and_keeps_the_old_one(
    context: Context, pictures: Path, place: dict[str, Any]
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    change(pictures)
    done = reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)

    assert (done.collection, done.previous, done.encoded_images) == ("muge-1", "muge", 2)
    checked = {check.name for check in done.checks}
    assert checked == {"documents", "size", "nothing_lost", "self_retrieval", "R@10"}
    assert all(check.passed for check in done.checks)
    assert stored(place, "muge-1").keys() == stored(place, "muge").keys() - {"7"} | {"90"}
    here = {k: v for k, v in place.items() if k in ("store", "work_dir")}
    (answer,) = search_images(images=[str(pictures / "90.png")], topk=1, **here)
    assert answer.hits[0].id == "90"
    again = reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    assert (counts(again), again.changed, again.collection) == ((0, 0, 0), False, "muge-1")
    settings = settings_of(place)
    assert move_alias(context, settings, None).live == "muge"
    (answer,) = search_images(images=[str(pictures / "90.png")], topk=1, **here)
    assert answer.hits[0].id != "90"


@pytest.mark.thorough
def test_at_most_two_collections_of_a_name(
    context: Context, pictures: Path, place: dict[str, Any]
) -> None:
    for number in range(4):
        Image.new("RGB", (40, 40), (number, 90, 7)).save(pictures / "3.png")
        done = reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
        assert done.collection == f"muge-{number + 1}"
        assert len(open_store(place["store"]).collections()) <= 2
    assert done.previous == "muge-3"
    dropped = reindex_dataset(
        f"folder:{pictures}", strategy="blue-green", keep_previous=False, **place
    )
    assert (dropped.previous, dropped.changed) == (None, False)
    assert open_store(place["store"]).collections() == ["muge-4"]
    with pytest.raises(UsageError, match="no collection to go back to"):
        move_alias(context, settings_of(place), None)


def test_a_collection_that_a_killed_run_did_not_drop_is_dropped_by_the_next(
    context: Context, pictures: Path, place: dict[str, Any]
) -> None:
    settings = settings_of(place)
    for number in range(2):
        Image.new("RGB", (40, 40), (number, 90, 7)).save(pictures / "3.png")
        reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    alias = context.aliases(settings).find()
    assert alias is not None
    context.aliases(settings).save(replace(alias, previous=None))  # the kill came before the drop
    Image.new("RGB", (40, 40), (9, 90, 7)).save(pictures / "3.png")
    reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    assert open_store(place["store"]).collections() == ["muge-2", "muge-3"]


@pytest.mark.thorough
def test_the_advice_for_a_damaged_record_works(pictures: Path, place: dict[str, Any]) -> None:
    reindex_dataset(f"folder:{pictures}", **place)
    (record,) = Path(place["work_dir"]).glob("collections/*/muge.json")
    record.write_bytes(record.read_bytes()[:-9])
    with pytest.raises(CollectionRecordError, match=r"`muge repair muge` .*--replace"):
        reindex_dataset(f"folder:{pictures}", **place)
    with Context() as context:
        assert repair(context, settings_of(place)).documents == COUNT
    again = reindex_dataset(f"folder:{pictures}", **place)
    assert (again.collection, again.upserted, again.encoded_images) == ("muge", 0, 0)
    record.unlink()
    done = reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    assert (done.collection, done.documents, done.encoded_images) == ("muge-1", COUNT, 0)


def test_a_worse_collection_is_not_switched_to(
    context: Context, tmp_path: Path, place: dict[str, Any]
) -> None:
    """Among many more pictures the right ones are found less often: too much worse, so it stays."""
    pictures = with_own_queries(tmp_path / "pictures", 12)
    reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    settings = settings_of(place)
    live = find_record(Folder(settings.work_url), settings.store_uri, "muge-1")
    with_own_queries(pictures, 90)
    with pytest.raises(SwitchRefusedError, match=r"'muge-2' is not switched to: R@10 of 12 .*-0\."):
        reindex_dataset(f"folder:{pictures}", strategy="blue-green", max_drop=0.1, **place)
    alias = context.aliases(settings).find()
    assert alias is not None
    assert alias.live == "muge-1"
    assert find_record(Folder(settings.work_url), settings.store_uri, "muge-1") == live
    done = reindex_dataset(f"folder:{pictures}", strategy="blue-green", max_drop=1.0, **place)
    assert (done.collection, done.upserted, done.documents) == ("muge-2", 0, 90)


def test_a_live_collection_whose_model_is_gone_can_be_replaced(
    tmp_path: Path, pictures: Path, place: dict[str, Any]
) -> None:
    shutil.copytree(place["model"], tmp_path / "old")
    before = {**place, "model": str(tmp_path / "old")}
    reindex_dataset(f"folder:{pictures}", strategy="blue-green", **before)
    shutil.rmtree(tmp_path / "old")
    asked: dict[str, Any] = {"strategy": "blue-green", "tokens": "both", **place}
    with pytest.raises(SwitchRefusedError, match=r"cannot be asked: .*old.*; --max-drop 1 does"):
        reindex_dataset(f"folder:{pictures}", **asked)
    done = reindex_dataset(f"folder:{pictures}", max_drop=1.0, **asked)
    assert (done.collection, done.documents) == ("muge-2", COUNT)
    assert any("nothing was compared" in check.said for check in done.checks)


def with_own_queries(folder: Path, count: int) -> Path:
    """Pictures each of which has a query of its own."""
    make_pictures(folder, count)
    lines = [
        {"query_id": n, "query": f"第{n}件商品", "image_id": n, "image": f"{n}.png"}
        for n in range(count)
    ]
    write_lines(folder, lines)
    return folder


@pytest.mark.thorough
def test_in_place_follows_the_alias(pictures: Path, place: dict[str, Any]) -> None:
    reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    change(pictures)
    done = reindex_dataset(f"folder:{pictures}", **place)
    assert (done.collection, counts(done)) == ("muge-1", (3, 1, 2))
    assert stored(place, "muge-1").keys() >= {"90", "11"}


def test_what_an_interrupted_update_sent_is_not_left_behind(
    pictures: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A new picture is sent, the run dies, and the picture is gone before the next run."""
    shutil.copytree(pictures, tmp_path / "kept")
    reindex_dataset(f"folder:{pictures}", **place)
    make_pictures(pictures, 1, first=90)

    def die(*_: object) -> None:
        raise RuntimeError("power loss")

    with monkeypatch.context() as patched:
        patched.setattr("tasks.index.operation.complete_record", die)
        with pytest.raises(RuntimeError, match="power loss"):
            reindex_dataset(f"folder:{pictures}", **place)
    assert "90" in stored(place)
    shutil.rmtree(pictures)
    shutil.copytree(tmp_path / "kept", pictures)
    done = reindex_dataset(f"folder:{pictures}", **place)
    assert (done.deleted, done.documents) == (0, COUNT)
    assert stored(place).keys() == {str(n) for n in range(COUNT)}
    again = reindex_dataset(f"folder:{pictures}", **place)
    assert (counts(again), again.changed) == ((0, 0, 0), False)


def test_a_broken_data_set_does_not_empty_the_live_collection(
    pictures: Path, place: dict[str, Any]
) -> None:
    reindex_dataset(f"folder:{pictures}", **place)
    whole = {path: path.read_bytes() for path in pictures.glob("*.png")}
    for path in whole:
        path.write_bytes(b"not a picture")
    with pytest.raises(RemovalRefusedError, match=r"25 of the 25 documents .*--max-removed 1"):
        reindex_dataset(f"folder:{pictures}", **place)
    with pytest.raises(SwitchRefusedError, match="size: 0 documents, at least 13"):
        reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)
    with pytest.raises(SwitchRefusedError, match="size: 0 documents, at least 1 "):
        reindex_dataset(f"folder:{pictures}", strategy="blue-green", max_removed=1, **place)
    assert len(stored(place)) == COUNT
    for path, content in list(whole.items())[:5]:
        path.write_bytes(content)
    emptied = reindex_dataset(f"folder:{pictures}", max_removed=1, **place)
    assert (emptied.documents, emptied.deleted) == (5, 20)

"""A collection goes to a folder of files and back, into either store, to the last bit."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.backup.folder import ExportFolder
from tasks.backup.manifest import read_manifest
from tasks.context import Context
from tasks.errors import (
    AliasDoubtError,
    CollectionRecordError,
    UsageError,
    VerificationError,
    WorkFolderError,
)
from tasks.index import upkeep
from tasks.index.ledger import read_ledger, write_ledger
from tasks.reindex.blue_green import adopt
from tasks.settings import Settings, load_settings
from tasks.work.collections import find_record
from tasks.work.folder import Folder
from tasks.work.markers import completed
from tests.backup.made import Made, make_collection
from tests.backup.trips import bits, documents, exported, files, imported, place
from tests.plain import evaluate_search, index_dataset, reindex_dataset, search_images
from tests.servers.dashvector import DashVectorServer

MADE_BEFORE = Path(__file__).parents[1] / "index" / "made_by_0_1.tar.xz"


@pytest.fixture
def shop(pictures: Path, model: str, tmp_path: Path) -> tuple[str, dict[str, Any], Settings]:
    """A data set that is indexed, the options, and where."""
    settings = place(tmp_path)
    options = {"model": model, "shard_images": 10}
    index_dataset(f"folder:{pictures}", **options, **where(settings))
    return f"folder:{pictures}", options, settings


def where(settings: Settings) -> dict[str, Any]:
    return {"store": settings.store_uri, "work_dir": settings.work_url}


def found(settings: Settings) -> list[tuple[str, float, str]]:
    options = {**where(settings), "collection": settings.collection}
    (answer,) = search_images(["红色连衣裙"], topk=25, **options)
    return [(hit.id, hit.score, str(hit.fields["query"])) for hit in answer.hits]


def made_here(folder: Path) -> dict[str, bytes]:
    """The files of a work folder that do not say when, where or by whom they were made."""
    kept = files(folder)
    return {
        name: content
        for name, content in kept.items()
        if "upserts-" not in name and not name.startswith((".", "collections", "record-copies"))
        if not name.endswith("run.json")
    }


@pytest.mark.thorough
def test_an_empty_place_is_as_the_first_one_afterwards(
    shop: tuple[str, dict[str, Any], Settings], tmp_path: Path, context: Context
) -> None:
    dataset, options, first = shop
    report = exported(first, tmp_path / "out")
    assert (report.documents, report.left_out, report.written) == (25, 0, report.files)
    assert exported(first, tmp_path / "out") == replace(report, written=0)

    second = place(tmp_path, "2")
    done = imported(second, tmp_path / "out")
    assert (done.collection, done.documents, done.upserted, done.compared) == ("muge", 25, 25, 25)
    assert made_here(tmp_path / "work2") == made_here(tmp_path / "work")
    assert bits(documents(second)) == bits(documents(first))
    assert [d.fields for d in documents(second).values()] == [
        d.fields for d in documents(first).values()
    ]
    assert found(second) == found(first)
    assert upkeep.verify(context, second, full=True).compared == 25
    context.close()
    for again in (
        index_dataset(dataset, **options, **where(second)),
        reindex_dataset(dataset, **options, **where(second)),
    ):
        assert (again.encoded_images, again.upserted, again.documents) == (0, 0, 25)
    assert evaluate_search(dataset, **where(second)).ann_recall == 1.0
    assert upkeep.repair(context, second).upserted == 25
    context.close()
    assert found(second) == found(first)


@pytest.mark.thorough
def test_it_goes_on_from_there_as_if_nothing_had_been(
    shop: tuple[str, dict[str, Any], Settings], pictures: Path, tmp_path: Path
) -> None:
    dataset, options, first = shop
    exported(first, tmp_path / "out")
    second = place(tmp_path, "2")
    imported(second, tmp_path / "out")
    (pictures / "3.png").write_bytes((pictures / "7.png").read_bytes())
    for settings in (first, second):
        done = reindex_dataset(dataset, **options, **where(settings))
        assert (done.encoded_images, done.upserted, done.documents) == (0, 1, 25)
    assert bits(documents(second)) == bits(documents(first))
    again = exported(second, tmp_path / "again")
    assert again.documents == 25
    with pytest.raises(UsageError, match=r"holds an export of collection 'muge' of .*another fold"):
        exported(second, tmp_path / "out")
    with pytest.raises(CollectionRecordError, match=r"'muge' is there already in zvec:.*25 doc"):
        imported(second, tmp_path / "out")


KINDS: dict[str, tuple[Made, dict[str, Any]]] = {
    "pictures": (Made(23), {}),
    "pairs": (Made(23, queries=3), {"document": "pair"}),
    "positions": (Made(9), {"picture": "uri", "partition": "shoes"}),
    "without queries": (Made(9, queries=0, text_ids=True), {"document": "pair", "picture": "none"}),
    "a catalogue": (
        Made(
            23,
            text_ids=True,
            fields={
                "price": "float",
                "stock": "int",
                "big": "long",
                "brand": "str",
                "sale": "bool",
                "style": "str",
            },
            product="style",
        ),
        {"picture": "none"},
    ),
}


@pytest.mark.gate("a catalogue")
@pytest.mark.parametrize("kind", KINDS)
def test_to_dashvector_and_back_nothing_is_another(
    kind: str,
    tmp_path: Path,
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    context: Context,
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    made, options = KINDS[kind]
    first = place(tmp_path, shard_images=10, **options)
    make_collection(context, first, made)
    context.close()
    before = documents(first)
    assert len(before) == made.count * (made.queries if kind == "pairs" else 1)

    there = place(tmp_path, "2", "dashvector:")
    exported(first, tmp_path / "out")
    assert imported(there, tmp_path / "out").upserted == len(before)
    assert bits(documents(there)) == bits(before)
    # nothing of the first place is needed any more
    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(tmp_path / "work")
    exported(there, tmp_path / "back")
    last = place(tmp_path, "3")
    imported(last, tmp_path / "back")
    after = documents(last)
    assert bits(after) == bits(before)
    assert {id: d.fields for id, d in after.items()} == {id: d.fields for id, d in before.items()}
    record = find_record(Folder(last.work_url), last.store_uri, "muge")
    assert record is not None
    assert (record.product, record.partition) == (made.product, first.partition)
    assert upkeep.verify(context, last, full=True).compared == len(before)


@pytest.mark.thorough
def test_what_was_encoded_may_be_gone(
    shop: tuple[str, dict[str, Any], Settings], tmp_path: Path
) -> None:
    dataset, options, first = shop
    exported(first, tmp_path / "whole")
    (run,) = (tmp_path / "work").glob("folder-*/*")
    for name in ("images-*", "pictures-*", "sparse-*", "texts-*", "upserts-*"):
        (outputs,) = run.glob(name)
        shutil.rmtree(outputs)
    report = exported(first, tmp_path / "out")
    parts = [name for name in files(tmp_path / "out") if name.startswith("documents/")]
    assert len(parts) == 3
    for name in parts:
        whole = pq.read_table(tmp_path / "whole" / name)
        assert pq.read_table(tmp_path / "out" / name).equals(whole)
    second = place(tmp_path, "2")
    assert imported(second, tmp_path / "out").upserted == report.documents == 25
    assert found(second) == found(first)
    done = reindex_dataset(dataset, **options, **where(second))
    # the store has no vectors of queries, so those are encoded again, and nothing else
    assert (done.encoded_images, done.upserted, done.documents) == (0, 0, 25)


def test_what_says_which_documents_there_are_must_be_there(
    shop: tuple[str, dict[str, Any], Settings], tmp_path: Path
) -> None:
    _, _, settings = shop
    (run,) = (tmp_path / "work").glob("folder-*/*")
    statistics = next(run.glob("bm25-*.json"))
    kept = statistics.read_bytes()
    statistics.unlink()
    with pytest.raises(WorkFolderError, match=r"bm25-.*"):
        exported(settings, tmp_path / "out")
    statistics.write_bytes(kept)
    next(run.glob("catalog/*.parquet")).unlink()
    with pytest.raises(WorkFolderError, match=r"the list of shards and the catalog .*muge index"):
        exported(settings, tmp_path / "out")


def test_documents_that_the_store_lost_or_changed_are_named(
    shop: tuple[str, dict[str, Any], Settings], tmp_path: Path, context: Context
) -> None:
    _, _, settings = shop
    store = context.store(settings.store_uri)
    document = store.fetch("muge", ["4"])["4"]
    store.upsert("muge", [replace(document, vector=np.roll(document.vector, 1))])
    store.finish("muge")
    context.close()
    with pytest.raises(VerificationError, match=r"document 4 is not what was made.*muge repair"):
        exported(settings, tmp_path / "out")
    store.upsert("muge", [document])
    store.delete("muge", ["7"])
    store.finish("muge")
    context.close()
    with pytest.raises(VerificationError, match="counts 24 documents, expected 25"):
        exported(settings, tmp_path / "out2")
    store.upsert("muge", [replace(document, id="999")])
    store.finish("muge")
    context.close()
    with pytest.raises(VerificationError, match="document 7 is not there"):
        exported(settings, tmp_path / "out3")


@pytest.mark.thorough
def test_an_alias_is_followed_and_must_be_adopted(
    shop: tuple[str, dict[str, Any], Settings], pictures: Path, tmp_path: Path, context: Context
) -> None:
    dataset, options, first = shop
    (pictures / "3.png").write_bytes((pictures / "7.png").read_bytes())
    reindex_dataset(dataset, strategy="blue-green", **options, **where(first))
    exported(first, tmp_path / "out")
    manifest = read_manifest(ExportFolder(str(tmp_path / "out")))
    assert (manifest.collection, manifest.alias) == ("muge-1", "muge")

    second = place(tmp_path, "2")
    done = imported(second, tmp_path / "out")
    assert (done.collection, done.alias) == ("muge-1", "muge")
    assert found(second.model_copy(update={"collection": "muge-1"})) == found(first)
    with pytest.raises(CollectionRecordError, match="did you mean 'muge-1'"):
        found(second)
    with pytest.raises(AliasDoubtError, match="muge alias adopt"):  # it may have been live
        reindex_dataset(dataset, strategy="blue-green", **options, **where(second))
    assert adopt(context, second, "muge-1").generation == 1
    context.close()
    assert found(second) == found(first)
    (pictures / "3.png").write_bytes((pictures / "8.png").read_bytes())
    again = reindex_dataset(dataset, strategy="blue-green", **options, **where(second))
    assert (again.collection, again.encoded_images) == ("muge-2", 0)
    with pytest.raises(CollectionRecordError, match=r"'muge' is an alias of 'muge-2'"):
        imported(second, tmp_path / "out", name="muge")
    assert imported(second, tmp_path / "out").upserted == 0  # it is there, and as it was


@pytest.mark.thorough
def test_another_store_of_the_same_work_folder_is_filled_from_what_is_there(
    shop: tuple[str, dict[str, Any], Settings],
    tmp_path: Path,
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    dataset, options, first = shop
    exported(first, tmp_path / "out")
    before = made_here(tmp_path / "work")
    there = first.model_copy(update={"store": "dashvector:"})
    imported(there, tmp_path / "out")
    assert made_here(tmp_path / "work") == before
    for settings in (first, there):
        done = index_dataset(dataset, **options, **where(settings))
        assert (done.encoded_images, done.upserted) == (0, 0)
    assert bits(documents(there)) == bits(documents(first))


@pytest.mark.thorough
def test_the_model_may_lie_elsewhere_but_must_be_the_same(
    shop: tuple[str, dict[str, Any], Settings], model: str, tmp_path: Path
) -> None:
    _, _, first = shop
    exported(first, tmp_path / "out")
    moved = shutil.copytree(model, tmp_path / "moved")
    second = place(tmp_path, "2")
    with pytest.raises(CollectionRecordError, match=r"--model sample has .*nothing was written"):
        imported(second, tmp_path / "out", model="sample")
    assert not (tmp_path / "work2").exists()
    imported(second, tmp_path / "out", model=str(moved))
    record = find_record(Folder(second.work_url), second.store_uri, "muge")
    assert record is not None
    assert record.model.name == str(moved)
    assert found(second) == found(first)


def test_a_record_says_nothing_of_where_the_store_was(
    shop: tuple[str, dict[str, Any], Settings], tmp_path: Path
) -> None:
    _, _, first = shop
    exported(first, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "record.json").read_text("utf-8"))
    assert said["store"] == "zvec:"


@pytest.mark.thorough
def test_what_an_earlier_version_made_is_exported_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(MADE_BEFORE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    first, second = load_settings(), place(tmp_path, "2")
    assert exported(first, tmp_path / "out").collection == "muge-1"
    assert imported(second, tmp_path / "out").upserted == 12
    named = second.model_copy(update={"collection": "muge-1"})
    assert bits(documents(named)) == bits(documents(first))


def test_documents_whose_newer_version_was_refused_are_left_out(
    tmp_path: Path, context: Context
) -> None:
    settings = place(tmp_path, shard_images=10)
    record = make_collection(context, settings, Made(13))
    work = Folder(settings.work_url)
    held = find_record(work, settings.store_uri, "muge")
    assert held is not None
    run, name = work.sub(record.run), f"{held.held}/part-00001-of-00002.parquet"
    digests = read_ledger(run, name)
    refused = next(iter(digests))
    embeddings = completed(run, f"{record.stages.images}/part-00001-of-00002.parquet")
    assert embeddings is not None
    write_ledger(run, name, {**digests, refused: ""}, embeddings.checksum, 1)
    context.close()
    report = exported(settings, tmp_path / "out")
    assert (report.documents, report.left_out) == (12, 1)
    second = place(tmp_path, "2")
    assert imported(second, tmp_path / "out").documents == 12
    assert refused not in documents(second)

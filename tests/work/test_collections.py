"""A collection's record is right, or it is an error: never a guess."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import CollectionRecordError, UsageError
from tasks.names import check_name
from tasks.records import ModelInfo
from tasks.work.collections import (
    CollectionRecord,
    Outputs,
    Update,
    find_record,
    forget_runs,
    remove_record,
    require_record,
    save_record,
)
from tasks.work.folder import Folder

STORE = "zvec:.muge/store"
RECORD = CollectionRecord(
    collection="muge",
    store=STORE,
    partition="default",
    status="ready",
    incarnation="1f",
    model=ModelInfo("sample", "1", "ab" * 32, 64, 96, "pixels-1/text-1"),
    dataset="sample:",
    data_fingerprint="00ff",
    made_of="11ee",
    run="sample/22dd",
    stages=Outputs("images-1", "texts-1", "bm25-1.json", "sparse-1"),
    bm25="33cc",
    document="image",
    picture="jpeg",
    counts={"documents": 7},
)


def replace_file(folder: Folder, content: bytes) -> None:
    """Write other bytes where the record is."""
    save_record(folder, RECORD)
    (slug,) = (name.split("/")[-2] for name in record_files(folder))
    with folder.writing(f"collections/{slug}/muge.json") as handle:
        handle.write(content)


def record_files(folder: Folder) -> list[str]:
    filesystem, root = folder._resolved
    return [str(name) for name in filesystem.find(f"{root}/collections")]


def test_a_record_comes_back(folder: Folder) -> None:
    save_record(folder, RECORD)
    assert find_record(folder, STORE, "muge") == RECORD
    assert require_record(folder, STORE, "muge") == RECORD


def test_a_record_is_of_one_store_and_one_name(folder: Folder) -> None:
    save_record(folder, RECORD)
    assert find_record(folder, STORE, "other") is None
    assert find_record(folder, "dashvector:", "muge") is None


def test_a_missing_record_says_what_to_do(folder: Folder) -> None:
    with pytest.raises(CollectionRecordError, match=r"has no record.*muge index DATASET") as error:
        require_record(folder, STORE, "muge")
    assert "\n" not in str(error.value)


def test_an_unfinished_record_says_what_to_do(folder: Folder) -> None:
    save_record(folder, replace(RECORD, status="building"))
    with pytest.raises(CollectionRecordError, match=r"not complete.*muge index sample:"):
        require_record(folder, STORE, "muge")


WHOLE: dict[str, Any] = asdict(RECORD)
BAD: dict[str, Any] = {
    "a field is missing": {k: v for k, v in WHOLE.items() if k != "made_of"},
    "the model is text": {**WHOLE, "model": "sample"},
    "the model lacks its weights": {**WHOLE, "model": {"name": "sample"}},
    "a dimension of text": {**WHOLE, "model": {**WHOLE["model"], "dimension": "64"}},
    "an unknown status": {**WHOLE, "status": "nearly"},
    "counts are a list": {**WHOLE, "counts": [7]},
    "a stage is missing": {**WHOLE, "stages": {"images": "images-1"}},
    "another collection's": {**WHOLE, "collection": "other"},
    "another store's": {**WHOLE, "store": "dashvector:"},
    "a list": [WHOLE],
    "nothing": None,
}


@pytest.mark.parametrize("said", BAD.values(), ids=BAD.keys())
def test_a_record_that_cannot_be_used_is_refused(folder: Folder, said: Any) -> None:
    replace_file(folder, json.dumps(said).encode())
    with pytest.raises(
        CollectionRecordError, match=r"muge.json cannot be used.*--replace"
    ) as error:
        require_record(folder, STORE, "muge")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"collection": "muge"'])
def test_a_torn_record_is_refused(folder: Folder, content: bytes) -> None:
    replace_file(folder, content)
    with pytest.raises(CollectionRecordError, match="cannot be used") as error:
        find_record(folder, STORE, "muge")
    assert "\n" not in str(error.value)


def test_a_removed_record_is_gone(folder: Folder) -> None:
    save_record(folder, RECORD)
    remove_record(folder, STORE, "muge")
    remove_record(folder, STORE, "muge")
    assert find_record(folder, STORE, "muge") is None


@pytest.mark.parametrize("name", ["muge", "a-b", "A_1", "a" * 32])
def test_names_that_the_service_takes(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "ab", "a" * 33, "1ab", "-ab", "a b", "a/b", "../x", "图片库", "abc\n", "a.b", "a\0b"],
)
def test_names_that_the_service_refuses(name: str, folder: Folder) -> None:
    with pytest.raises(UsageError, match="3 to 32 of a-z"):
        check_name(name)
    with pytest.raises(UsageError, match="is not allowed"):
        find_record(folder, STORE, name)


def test_a_store_is_the_same_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_record(Folder("work"), replace(RECORD, store="zvec:store"))
    name = RECORD.collection
    assert find_record(Folder("work"), f"zvec:{tmp_path / 'store'}", name) is not None
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "work").rename(moved / "work")
    monkeypatch.chdir(moved)
    assert find_record(Folder("work"), "zvec:./store", name) is not None
    assert find_record(Folder("work"), "zvec:other", name) is None


def test_runs_that_no_collection_names_are_forgotten(folder: Folder) -> None:
    for run in ("data/1", "data/2", "data/3"):
        folder.write_json(f"{run}/shards.json", {})
    save_record(folder, replace(RECORD, run="data/1"))
    updating = Update("data/2", "changes-1", "22")
    save_record(folder, replace(RECORD, collection="other", updates=(updating,)))
    forget_runs(folder, ["data/1", "data/2", "data/3", "data/gone"])
    assert [folder.exists(f"data/{n}/shards.json") for n in (1, 2, 3)] == [True, True, False]
    remove_record(folder, STORE, "other")
    replace_file(folder, b"{")
    forget_runs(folder, ["data/1"])
    assert folder.exists("data/1/shards.json")

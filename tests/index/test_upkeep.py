"""A damaged store is named, never served, and built anew from the work folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.context import Context
from tasks.errors import (
    CollectionRecordError,
    StoreDamagedError,
    VerificationError,
    WorkFolderError,
)
from tasks.index import upkeep
from tasks.index.status import collection_statuses
from tasks.index.upserting import send
from tasks.settings import Settings, load_settings
from tasks.work.collections import find_record
from tasks.work.folder import Folder
from tests.plain import index_dataset, reindex_dataset, search_images
from tests.store.zvec.flips import flip_all, flipped


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
        "shard_images": 10,
    }


@pytest.fixture
def settings(place: dict[str, Any]) -> Settings:
    return load_settings(store=place["store"], work_dir=place["work_dir"])


@pytest.fixture
def dataset(pictures: Path, place: dict[str, Any]) -> str:
    index_dataset(f"folder:{pictures}", **place)
    return f"folder:{pictures}"


def found(settings: Settings) -> list[tuple[str, float, str]]:
    options = {"store": settings.store_uri, "work_dir": settings.work_url}
    (answer,) = search_images(["红色连衣裙"], topk=25, collection=settings.collection, **options)
    return [(hit.id, hit.score, str(hit.fields["query"])) for hit in answer.hits]


def damage(settings: Settings, collection: str = "muge") -> Path:
    """Change a byte of a field, as a bad disk does."""
    root = Path(settings.store_uri.removeprefix("zvec:"))
    (file,) = root.glob(f"{collection}/default/0/scalar.0.ipc")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file


def test_a_damaged_store_is_built_anew_from_the_work_folder(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    before = found(settings)
    damage(settings)
    with pytest.raises(StoreDamagedError, match=r"scalar\.0\.ipc.*muge repair muge"):
        found(settings)
    with pytest.raises(StoreDamagedError):
        index_dataset(dataset, **place)
    (status,) = collection_statuses(context, settings)
    assert (status.status, status.expected) == ("damaged", 25)
    assert "scalar" in str(status.damage)

    done = upkeep.repair(context, settings)
    context.close()
    assert (done.documents, done.upserted, done.compared, done.verified) == (25, 25, 25, True)
    assert found(settings) == before
    for again in (index_dataset(dataset, **place), reindex_dataset(dataset, **place)):
        assert (again.encoded_images, again.upserted) == (0, 0)
    assert upkeep.verify(context, settings, full=True).checked_bytes > 0


def test_a_repair_that_was_stopped_is_gone_on_with(
    dataset: str, settings: Settings, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found(settings)

    def stops(*given: Any) -> Any:
        if given[-1].index == 1:
            raise KeyboardInterrupt
        return send(*given)

    monkeypatch.setattr(upkeep, "send", stops)
    with pytest.raises(KeyboardInterrupt):
        upkeep.repair(context, settings)
    monkeypatch.undo()
    with pytest.raises(CollectionRecordError, match="not complete"):
        found(settings)
    context.close()
    done = upkeep.repair(context, settings)
    context.close()
    assert (done.documents, done.upserted) == (25, 15)
    assert found(settings) == before


def test_what_is_not_whole_is_not_repaired_but_built_beside(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    before = found(settings)
    part = next(Path(settings.work_url).rglob("sparse-*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(WorkFolderError, match="blue-green"):
        upkeep.repair(context, settings)
    context.close()
    assert found(settings) == before  # as it was
    damage(settings)
    done = reindex_dataset(dataset, strategy="blue-green", **place)
    assert (done.collection, done.encoded_images) == ("muge-1", 0)
    assert found(settings) == before


def test_a_collection_that_is_gone_is_repaired(
    dataset: str, settings: Settings, context: Context
) -> None:
    before = found(settings)
    context.store(settings.store_uri).drop("muge")
    with pytest.raises(VerificationError, match="muge repair muge"):
        upkeep.verify(context, settings, full=False)
    assert upkeep.repair(context, settings).upserted == 25
    context.close()
    assert found(settings) == before


def test_what_was_never_complete_cannot_be_repaired(settings: Settings, context: Context) -> None:
    with pytest.raises(CollectionRecordError, match="has no record"):
        upkeep.repair(context, settings)


def test_verifying_reads_samples_or_everything(
    dataset: str, settings: Settings, context: Context
) -> None:
    some = upkeep.verify(context, settings.model_copy(update={"verify_samples": 6}), full=False)
    assert (some.documents, some.compared, some.checked_bytes) == (25, 6, 0)
    everything = upkeep.verify(context, settings, full=True)
    assert everything.compared == 25
    assert everything.checked_bytes > 10_000_000

    store = context.store(settings.store_uri)
    (document,) = store.fetch("muge", ["7"]).values()
    store.upsert("muge", [replace(document, fields={**document.fields, "query": "另一个"})])
    with pytest.raises(VerificationError, match=r"differ: 7\b"):
        upkeep.verify(context, settings, full=True)


def test_a_flipped_byte_of_alias_or_record_is_detected_or_harmless(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context, pictures: Path
) -> None:
    (pictures / "3.png").unlink()
    reindex_dataset(dataset, strategy="blue-green", **place)
    work = Folder(settings.work_url)
    files = [
        *Path(settings.store_uri.removeprefix("zvec:")).glob(".aliases/*.json"),
        *Path(settings.work_url).glob("alias-copies/*.json"),
        *Path(settings.work_url).glob("collections/*/muge-1.json"),
    ]

    def ask() -> Any:
        aliases = context.aliases(settings)
        meant, alias = aliases.meant(), aliases.agreed()
        return meant, alias, find_record(work, settings.store_uri, meant)

    outcomes = flip_all([each for each in files if "number" not in each.name], ask, 60, seed=2)
    assert outcomes.wrong == []
    assert outcomes.total("detected") > 150


def test_aliases_and_records_without_a_checksum_are_read(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context, pictures: Path
) -> None:
    (pictures / "3.png").unlink()
    reindex_dataset(dataset, strategy="blue-green", **place)
    files = [
        *Path(settings.store_uri.removeprefix("zvec:")).glob(".aliases/*.json"),
        *Path(settings.work_url).glob("alias-copies/*.json"),
        *Path(settings.work_url).glob("collections/*/*.json"),
    ]
    before = context.aliases(settings).agreed()
    for file in files:
        said = json.loads(file.read_bytes())
        said.pop("seal", None)
        file.write_text(json.dumps(said), "utf-8")
    assert context.aliases(settings).agreed() == before
    assert len(found(settings)) == 24


def test_damage_is_found_while_others_read(
    dataset: str, settings: Settings, context: Context
) -> None:
    """A reader that was there first, and one that comes after a byte was changed."""
    store = context.store(settings.store_uri)
    assert store.count("muge") == 25
    root = Path(settings.store_uri.removeprefix("zvec:"))
    (file,) = root.glob("muge/default/0/scalar.0.ipc")
    context.close()
    with flipped(file, 900, 4, keep_time=True), pytest.raises(StoreDamagedError):
        found(settings)
    assert len(found(settings)) == 25

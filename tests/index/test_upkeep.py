"""A damaged store is named, never served, and built anew from the work folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.context import Context
from tasks.errors import (
    AliasDoubtError,
    CollectionRecordError,
    StoreBusyError,
    StoreDamagedError,
    VerificationError,
    WorkFolderError,
)
from tasks.index import stages, upkeep
from tasks.index.status import collection_statuses
from tasks.index.upserting import send
from tasks.settings import Settings, load_settings
from tasks.store.zvec.store import ZvecStore
from tasks.work.collections import COPIES as RECORD_COPIES
from tasks.work.collections import find_record, save_record
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


def test_a_hub_s_model_is_said_with_its_revision(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    """A branch that moved gives two models of one name."""
    work, commit = Folder(settings.work_url), "f" * 40
    record = find_record(work, settings.store_uri, "muge")
    assert record is not None
    branch = replace(record.model, name="hf:a/b", revision=commit, weights="0" * 64)
    save_record(work, replace(record, model=branch))
    (status,) = collection_statuses(context, settings)
    assert (status.model, status.revision) == ("hf:a/b", commit)
    assert status.full_model == f"hf:a/b@{commit}"
    with pytest.raises(CollectionRecordError, match=rf"revision {commit} \(now none\)"):
        index_dataset(dataset, document="pair", **place)


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


@pytest.mark.thorough
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


def root_of(settings: Settings) -> Path:
    return Path(settings.store_uri.removeprefix("zvec:"))


def record_file(settings: Settings, collection: str = "muge") -> Path:
    (file,) = Path(settings.work_url).glob(f"collections/*/{collection}.json")
    return file


LOST = {
    "partition": "muge/default",
    "schema": "muge/muge-schema.json",
    "checksums": "muge/default/muge-checksums.json",
    "lock": "muge/default/LOCK",
}


@pytest.mark.gate("partition")
@pytest.mark.parametrize("lost", LOST)
def test_what_the_store_has_lost_is_said_at_once_and_mended(
    lost: str,
    dataset: str,
    place: dict[str, Any],
    settings: Settings,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = found(settings)
    index_dataset(dataset, collection="another", **place)
    path = root_of(settings) / LOST[lost]
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def slow(*_: object) -> None:
        raise AssertionError("the data set was read before the store was looked at")

    monkeypatch.setattr(stages, "plan_shards", slow)
    commands: list[Callable[[], object]] = [
        lambda: index_dataset(dataset, **place),
        lambda: reindex_dataset(dataset, **place),
        lambda: upkeep.verify(context, settings, full=False),
    ]
    if lost != "lock":  # searches see what was finished last, and need no lock of what is written
        commands.append(lambda: found(settings))
    for command in commands:
        with pytest.raises(StoreDamagedError, match=r"is missing; `muge repair muge`") as caught:
            command()
        assert "\n" not in str(caught.value)
        assert not caught.value.may_pass
    monkeypatch.undo()
    assert lost != "lock" or found(settings) == before
    another, status = collection_statuses(context, settings)
    assert (another.status, another.documents) == ("ready", 25)
    assert (status.status, status.expected) == ("damaged", 25)
    assert "muge repair muge" in str(status.damage)
    context.close()

    assert upkeep.repair(context, settings).upserted == 25
    context.close()
    assert found(settings) == before


@pytest.mark.thorough
def test_a_lost_partition_of_another_name_is_said_too(
    pictures: Path, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    dataset = f"folder:{pictures}"
    index_dataset(dataset, partition="shoes", **place)
    shutil.rmtree(root_of(settings) / "muge" / "shoes")
    for command in (
        lambda: index_dataset(dataset, partition="shoes", **place),
        lambda: found(settings),
        lambda: upkeep.verify(context, settings, full=False),
    ):
        with pytest.raises(StoreDamagedError, match=r"partition 'shoes'.*`muge repair muge`"):
            command()
    (status,) = collection_statuses(context, settings)
    assert status.status == "damaged"
    context.close()
    assert upkeep.repair(context, settings).upserted == 25


def test_a_damaged_schema_leaves_the_record_until_the_store_is_dropped(
    dataset: str, settings: Settings, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root_of(settings) / "muge" / "muge-schema.json").write_text("{")

    def refuses(*_: object) -> None:
        raise StoreBusyError("somebody reads it")

    monkeypatch.setattr(ZvecStore, "drop", refuses)
    with pytest.raises(StoreBusyError):
        upkeep.repair(context, settings)
    record = find_record(Folder(settings.work_url), settings.store_uri, "muge")
    assert record is not None
    assert record.status == "ready"


def test_a_damaged_store_is_replaced(
    dataset: str, place: dict[str, Any], settings: Settings
) -> None:
    before = found(settings)
    damage(settings)
    done = index_dataset(dataset, replace=True, **place)
    assert (done.upserted, done.encoded_images) == (25, 0)
    assert found(settings) == before


@pytest.mark.gate("damaged")
@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_record_is_brought_back_from_its_copy(
    how: str, dataset: str, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    before = found(settings)
    index_dataset(dataset, collection="another", **place)
    file = record_file(settings)
    file.write_text("{") if how == "damaged" else file.unlink()
    for command in (
        lambda: index_dataset(dataset, **place),
        lambda: found(settings),
        lambda: upkeep.verify(context, settings, full=False),
    ):
        with pytest.raises(CollectionRecordError, match=r"muge repair muge") as caught:
            command()
        assert "\n" not in str(caught.value)
    another, status = collection_statuses(context, settings)
    assert (another.status, another.documents) == ("ready", 25)
    expected = "damaged record" if how == "damaged" else "no record"
    assert (status.status, status.documents) == (expected, 25)
    assert "muge repair muge" in str(status.damage)
    context.close()

    assert upkeep.repair(context, settings).documents == 25
    context.close()
    assert found(settings) == before
    assert index_dataset(dataset, **place).upserted == 0


def test_a_damaged_record_without_a_copy_is_replaced_and_never_without_being_asked(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context, pictures: Path
) -> None:
    before = found(settings)
    record_file(settings).write_text("{")
    shutil.rmtree(Path(settings.work_url) / RECORD_COPIES)
    for command in (
        lambda: index_dataset(dataset, **place),
        lambda: reindex_dataset(dataset, **place),
        lambda: reindex_dataset(dataset, strategy="blue-green", **place),
        lambda: upkeep.repair(context, settings),
    ):
        with pytest.raises(CollectionRecordError, match="muge index DATASET --replace"):
            command()
        context.close()
    assert (root_of(settings) / "muge" / "default").is_dir()
    done = index_dataset(dataset, replace=True, **place)
    assert (done.upserted, done.encoded_images) == (25, 0)
    assert found(settings) == before


@pytest.mark.thorough
def test_a_damaged_record_of_an_earlier_number_is_neither_dropped_nor_in_the_way(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context, pictures: Path
) -> None:
    (pictures / "1.png").unlink()
    reindex_dataset(dataset, strategy="blue-green", **place)
    index_dataset(dataset, collection="muge-7", **place)
    record_file(settings, "muge-7").write_text("{")
    (pictures / "3.png").unlink()
    done = reindex_dataset(dataset, strategy="blue-green", **place)
    assert (done.collection, done.previous, done.documents) == ("muge-8", "muge-1", 23)
    assert context.store(settings.store_uri).collections() == ["muge-1", "muge-7", "muge-8"]
    context.close()

    # its record is damaged, but the alias says that it is the one before
    record_file(settings, "muge-1").write_text("{")
    (pictures / "4.png").unlink()
    done = reindex_dataset(dataset, strategy="blue-green", **place)
    assert (done.collection, done.previous) == ("muge-9", "muge-8")

    # without an alias nobody can say what is live
    for file in [
        *root_of(settings).glob(".aliases/*.json"),
        *Path(settings.work_url).glob("alias-copies/*muge.json"),
    ]:
        file.unlink()
    record_file(settings, "muge-9").write_text("{")
    with pytest.raises(AliasDoubtError, match=r"muge-9 \(its record is damaged\)"):
        index_dataset(dataset, replace=True, **place)
    names = {each.collection for each in collection_statuses(context, settings)}
    assert names == {"muge-7", "muge-8", "muge-9"}


def test_a_collection_that_is_written_hides_no_other(
    dataset: str,
    place: dict[str, Any],
    settings: Settings,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index_dataset(dataset, collection="another", **place)
    describe = ZvecStore.describe

    def held(store: ZvecStore, name: str) -> Any:
        if name == "another":
            raise StoreBusyError("it is held by another process")
        return describe(store, name)

    monkeypatch.setattr(ZvecStore, "describe", held)
    busy, muge = collection_statuses(context, settings)
    assert (busy.status, busy.expected, busy.damage) == (
        *("busy", 25),
        "it is held by another process",
    )
    assert (muge.status, muge.documents) == ("ready", 25)


def test_a_collection_that_the_store_has_lost_is_listed(
    dataset: str, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    shutil.rmtree(root_of(settings) / "muge")
    (status,) = collection_statuses(context, settings)
    assert (status.collection, status.status, status.documents) == ("muge", "missing", 0)
    assert "muge repair muge" in str(status.damage)


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


@pytest.mark.thorough
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


@pytest.mark.thorough
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

"""Pictures that are stored lying: indexed upright, and collections from before that was done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.context import Context
from tasks.encode.model.decoding import Decoding
from tasks.errors import CollectionRecordError
from tasks.settings import Settings, load_settings
from tasks.work.collections import CollectionRecord, require_record, save_record
from tasks.work.folder import Folder
from tests.encode.model.pictures import painted, saved
from tests.encode.model.test_orientation import LOSSLESS, STORED
from tests.plain import index_dataset, reindex_dataset, search_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same picture upright and lying, and another one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in STORED:
        (folder / f"{number}.png").write_bytes(LOSSLESS["png"](number))
    (folder / "other.png").write_bytes(saved(painted(50, 90).rotate(45), "PNG"))
    return folder


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
    }


@pytest.fixture
def settings(place: dict[str, Any]) -> Settings:
    return load_settings(store=place["store"], work_dir=place["work_dir"])


def record_in(settings: Settings) -> CollectionRecord:
    return require_record(Folder(settings.work_url), settings.store_uri, settings.collection)


def as_before(settings: Settings) -> CollectionRecord:
    """The record as versions wrote it that turned nothing."""
    record = record_in(settings)
    recipe = {name: said for name, said in record.recipe.items() if name != "upright"}
    old = replace(record, recipe=recipe, upright=False)
    save_record(Folder(settings.work_url), old)
    return old


def vectors(context: Context, settings: Settings) -> dict[str, np.ndarray]:
    """The vectors of the documents, by the name of their picture."""
    store = context.store(settings.store_uri)
    hits = search_images(["1"], topk=20, alpha=1.0, **where(settings))[0].hits
    documents = store.fetch("muge", [hit.id for hit in hits], "default")
    return {str(d.fields["query"]): np.asarray(d.vector) for d in documents.values()}


def where(settings: Settings) -> dict[str, Any]:
    return {"store": settings.store_uri, "work_dir": settings.work_url}


def scores(picture: Path, settings: Settings) -> dict[str, float]:
    (answer,) = search_images((), [str(picture)], topk=20, alpha=1.0, **where(settings))
    return {str(hit.fields["query"]): hit.score for hit in answer.hits}


def test_the_same_picture_in_all_eight_ways_is_one_to_the_model(
    folder: Path, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    index_dataset(f"folder:{folder}", **place)
    made = vectors(context, settings)
    for number in STORED:
        np.testing.assert_allclose(made[str(number)], made["1"], atol=1e-6)
    for number in STORED:
        found = scores(folder / f"{number}.png", settings)
        assert min(found[str(other)] for other in STORED) == pytest.approx(1.0, abs=1e-5)


def test_a_collection_from_before_is_searched_as_it_was_made_and_turned_by_a_reindex(
    folder: Path, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    report = index_dataset(f"folder:{folder}", upright=False, **place)
    assert report.encoded_images == 9
    old, lying = as_before(settings), vectors(context, settings)
    assert float(lying["6"] @ lying["1"]) < 0.99
    assert scores(folder / "6.png", settings)["6"] == pytest.approx(1.0, abs=1e-5)
    assert index_dataset(f"folder:{folder}", upright=False, **place).upserted == 0
    as_before(settings)

    with pytest.raises(CollectionRecordError, match=r"upright False \(now True\).*`muge reindex`"):
        index_dataset(f"folder:{folder}", **place)
    done = reindex_dataset(f"folder:{folder}", **place)
    assert (done.encoded_images, done.upserted, done.deleted) == (7, 7, 0)
    now = record_in(settings)
    assert (now.upright, now.form, now.incarnation) == (True, old.form, old.incarnation)
    made = vectors(context, settings)
    for number in STORED:
        np.testing.assert_allclose(made[str(number)], made["1"], atol=1e-6)
    np.testing.assert_array_equal(made["other"], lying["other"])
    assert scores(folder / "6.png", settings)["1"] == pytest.approx(1.0, abs=1e-5)

    back = reindex_dataset(f"folder:{folder}", upright=False, **place)
    assert (back.upserted, back.encoded_images) == (7, 0)
    np.testing.assert_array_equal(vectors(context, settings)["6"], lying["6"])
    assert scores(folder / "6.png", settings)["6"] == pytest.approx(1.0, abs=1e-5)


def test_data_without_lying_pictures_is_the_same_either_way(
    folder: Path, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    for number in range(2, 9):
        (folder / f"{number}.png").unlink()
    index_dataset(f"folder:{folder}", upright=False, **place)
    old, before = as_before(settings), vectors(context, settings)
    report = index_dataset(f"folder:{folder}", **place)
    assert (report.encoded_images, report.upserted) == (0, 0)
    now = record_in(settings)
    assert (now.made_of, now.run, now.upright) == (old.made_of, old.run, True)
    np.testing.assert_array_equal(vectors(context, settings)["other"], before["other"])


@pytest.mark.parametrize("picture", ["jpeg", "png"])
def test_what_people_see_is_upright(
    folder: Path, place: dict[str, Any], settings: Settings, context: Context, picture: str
) -> None:
    from tasks.search.answers import stored_picture

    index_dataset(f"folder:{folder}", picture=picture, **place)
    store = context.store(settings.store_uri)
    hits = search_images(["1"], topk=20, **where(settings))[0].hits
    shown = {
        str(d.fields["query"]): stored_picture(d)
        for d in store.fetch("muge", [hit.id for hit in hits], "default").values()
    }
    assert len({shown[str(number)] for number in STORED}) == 1
    assert shown["other"] != shown["1"]


def test_a_search_page_decodes_as_the_collection_was_made(
    folder: Path, place: dict[str, Any], settings: Settings, context: Context
) -> None:
    from tasks.search.searcher import open_searcher

    for upright in (False, True):
        index_dataset(f"folder:{folder}", upright=upright, replace=True, **place)
        asked = open_searcher(context, settings).decoding(100)
        assert isinstance(asked, Decoding)
        assert asked.upright is upright

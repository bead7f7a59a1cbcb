"""An index run never mistakes another run's outputs or collection for its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import tasks.index.run as run_module
from tasks.context import Context
from tasks.errors import CollectionRecordError
from tasks.index.documents import read_documents
from tasks.index.run import IndexRun
from tasks.index.stages import plan
from tasks.settings import Settings
from tasks.sparse import tokens
from tasks.work.collections import save_record
from tasks.work.folder import Folder
from tests.dataset.rows import write_parquet
from tests.search.conftest import one_thread, pictures, settings_in
from tests.search.library import build, run_of

__all__ = ["one_thread", "pictures"]


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> Settings:
    return settings_in(tmp_path, model)


def changed(settings: Settings, **options: Any) -> Settings:
    return settings.model_copy(update=options)


def picture_fields(run: IndexRun) -> dict[str, object]:
    documents = (d for s in run.plan.shards for d in read_documents(run.folder, s, run.parts))
    return {document.id: document.fields["picture"] for document in documents}


def test_every_option_that_changes_an_output_changes_its_name(
    context: Context, settings: Settings, pictures: Path
) -> None:
    found = plan(context, f"folder:{pictures}", settings)

    def made_of(**options: Any) -> str:
        from tasks.encode.model.describe import describe_model

        return IndexRun(changed(settings, **options), found, describe_model(settings.model)).made_of

    different = [
        made_of(),
        made_of(picture="png"),
        made_of(picture="uri"),
        made_of(picture="none"),
        made_of(thumbnail_pixels=64),
        made_of(max_image_pixels=1000),
        made_of(document="pair"),
        made_of(partition="other"),
        made_of(precision="bf16"),
        made_of(jpeg_draft=True),
    ]
    assert len(set(different)) == len(different)
    assert made_of(workers=7, batch_images=3, alpha=0.1) == made_of()
    assert made_of(decoders=3, checkpoint_seconds=1.0, kernels="compile") == made_of()


def test_pictures_belong_to_their_embeddings_whatever_was_run_before(
    context: Context, settings: Settings, tmp_path: Path
) -> None:
    """A stricter limit rejects a picture; its thumbnails must not serve the run before it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, side in enumerate((30, 90, 30, 30)):
        Image.new("RGB", (side, side), (60 * number, 200, 9)).save(folder / f"{number}.png")
    dataset = f"folder:{folder}"
    build(context, dataset, settings)
    first = run_of(context, dataset, settings)
    before = picture_fields(first)
    assert len(set(before.values())) == 4
    stricter = changed(settings, max_image_pixels=2000, collection="strict")
    build(context, dataset, stricter)
    strict = run_of(context, dataset, stricter)
    assert len(picture_fields(strict)) == 3
    build(context, dataset, settings)
    again = run_of(context, dataset, settings)
    assert picture_fields(again) == before
    assert picture_fields(strict).items() <= before.items()


def test_positions_of_moved_rows_are_not_those_of_the_collection(
    context: Context, settings: Settings, pictures: Path, tmp_path: Path
) -> None:
    lines = [
        {"image_id": n, "image": (pictures / f"{n}.png").read_bytes(), "query": str(n)}
        for n in range(6)
    ]
    settings, dataset = changed(settings, picture="uri"), f"parquet:{tmp_path}/data"
    write_parquet(tmp_path / "data" / "a.parquet", lines)
    build(context, dataset, settings)
    run = run_of(context, dataset, settings)
    assert picture_fields(run)["5"] == "a.parquet:5"
    write_parquet(tmp_path / "data" / "a.parquet", lines[:3])
    write_parquet(tmp_path / "data" / "b.parquet", lines[3:])
    with pytest.raises(CollectionRecordError, match=r"was made with .*--replace"):
        build(context, dataset, settings)
    build(context, dataset, settings, anew=True)
    run = run_of(context, dataset, settings)
    assert picture_fields(run)["5"] == "b.parquet:2"


def test_moved_rows_of_the_same_content_are_no_other_data(
    context: Context, settings: Settings, pictures: Path, tmp_path: Path
) -> None:
    lines = [
        {"image_id": n, "image": (pictures / f"{n}.png").read_bytes(), "query": str(n)}
        for n in range(6)
    ]
    dataset = f"parquet:{tmp_path}/data"
    write_parquet(tmp_path / "data" / "a.parquet", [*lines, lines[0]])
    _, before = build(context, dataset, settings)
    write_parquet(tmp_path / "data" / "a.parquet", [lines[0], lines[0], *lines[1:]])
    _, after = build(context, dataset, settings)
    assert after.made_of == before.made_of
    assert after.incarnation == before.incarnation
    assert Folder(settings.work_url).sub(after.run).exists("shards.json")


OTHERWISE: dict[str, tuple[dict[str, Any], dict[str, object], str]] = {
    "option": ({"thumbnail_pixels": 64}, {}, r"made with thumbnail_pixels 160 \(now 64\); use"),
    "upgrade": (
        {},
        {"tokens.VERSION": "next"},
        r"with version of cutting texts into words \S+ \(now next\): muge-search was upgraded; use",
    ),
    "both": (
        {"picture": "none"},
        {"run.PICTURES_VERSION": 3},
        r"made with picture jpeg \(now none\), version of pictures 2 \(now 3\)[^:]*; use",
    ),
}


@pytest.mark.gate("True-upgrade", "False-option")
@pytest.mark.parametrize("case", OTHERWISE)
@pytest.mark.parametrize("noted", [True, False])
def test_what_was_made_otherwise_is_said(
    case: str,
    noted: bool,
    context: Context,
    settings: Settings,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = f"folder:{pictures}"
    _, record = build(context, dataset, settings)
    if not noted:
        save_record(Folder(settings.work_url), replace(record, recipe={}))
    options, modules, said = OTHERWISE[case]
    for name, version in modules.items():
        monkeypatch.setattr(
            {"tokens": tokens, "run": run_module}[name.split(".")[0]], name.split(".")[1], version
        )
    if not noted:
        said = "with (an earlier version of muge-search that|picture jpeg .now none.; use)"
    with pytest.raises(CollectionRecordError, match=said):
        build(context, dataset, changed(settings, **options))


def test_collections_of_others_are_left_alone(
    context: Context, settings: Settings, pictures: Path
) -> None:
    dataset = f"folder:{pictures}"
    build(context, dataset, settings)
    with pytest.raises(CollectionRecordError, match=r"made with document image \(now pair\)"):
        build(context, dataset, changed(settings, document="pair"))
    elsewhere = changed(settings, work_dir=f"{settings.home}/other")
    with pytest.raises(CollectionRecordError, match=r"has no record of how it was made"):
        build(context, dataset, elsewhere)
    assert context.store(settings.store_uri).count("muge") == 12


def test_a_store_that_lost_its_collection_is_filled_again(
    context: Context, settings: Settings, pictures: Path
) -> None:
    _, before = build(context, f"folder:{pictures}", settings)
    context.store(settings.store_uri).drop("muge")
    _, after = build(context, f"folder:{pictures}", settings)
    assert after.incarnation != before.incarnation
    assert context.store(settings.store_uri).count("muge") == 12


def test_only_what_was_encoded_in_the_same_way_is_used_again(
    context: Context, settings: Settings, pictures: Path
) -> None:
    _, record = build(context, f"folder:{pictures}", settings)
    run = run_of(context, f"folder:{pictures}", settings)

    def known(**options: Any) -> bool:
        return (
            replace(run, settings=changed(settings, **options)).encodings(record.run, record.stages)
            is not None
        )

    assert known()
    assert known(stop_words=None, document="pair", shard_images=3)
    assert not known(precision="bf16")
    assert not known(jpeg_draft=True)
    assert not known(thumbnail_pixels=64)
    assert known(picture="none")

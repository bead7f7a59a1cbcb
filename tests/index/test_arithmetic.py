"""In which number format a collection was computed, and that it is searched and kept up in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.context import Context
from tasks.encode.model import precision
from tasks.encode.model.contract import Format
from tasks.evaluate.asked import encode_queries
from tasks.evaluate.gallery import open_gallery
from tasks.evaluate.judgements import Judgement
from tasks.index.agreement import computed_in
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.index.status import collection_statuses
from tasks.reindex.operation import reindex
from tasks.search.questions import Question
from tasks.search.searcher import Searcher, open_searcher
from tasks.settings import ReindexChoices, Settings, Strategy
from tasks.work.collections import CollectionRecord, require_record, save_record
from tasks.work.folder import Folder
from tests.search.conftest import settings_in
from tests.search.library import WORDS, build, make_pictures

PACE = (0.0, 0.0, 0.0)
ASKED = [Judgement(str(n), text, frozenset()) for n, text in enumerate(WORDS)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "shop", 6)


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> Settings:
    return settings_in(tmp_path, model)


def fastest_is(format: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another kind of machine."""
    monkeypatch.setattr(precision, "_fastest", lambda device, bf16_on_cpu: format)


def record_of(settings: Settings) -> CollectionRecord:
    return require_record(Folder(settings.work_url), settings.store_uri, settings.collection)


def formats_of_files(settings: Settings) -> set[bytes]:
    record = record_of(settings)
    images = Path(settings.work_url) / record.run / record.stages.images
    return {pq.read_schema(file).metadata[b"computed_in"] for file in images.glob("*.parquet")}


def one_more(shop: Path) -> None:
    """A picture that was not there, in a shard with the others."""
    make_pictures(shop.parent / "more", 8)
    shutil.copy(shop.parent / "more" / "7.png", shop / "7.png")
    with (shop / "queries.jsonl").open("a", encoding="utf-8") as file:
        line = {"query_id": 7, "query": "新的", "image_id": 7, "image": "7.png"}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def test_searches_work_as_the_collection_was_computed(
    context: Context,
    shop: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build(context, f"folder:{shop}", settings.model_copy(update={"precision": "bf16"}))
    assert record_of(settings).computed_in == "bf16"
    (status,) = collection_statuses(context, settings)
    assert status.computed_in == "bf16"
    # this machine has units for it: auto is what the collection has
    monkeypatch.setattr(precision, "has_bf16_units", lambda: True)
    gallery = open_gallery(context, settings)
    same = encode_queries(gallery, ASKED, settings)
    assert (same.format, caplog.messages) == ("bf16", [])
    explicit = settings.model_copy(update={"precision": "bf16"})
    np.testing.assert_array_equal(
        same.vectors.dense, encode_queries(gallery, ASKED, explicit).vectors.dense
    )
    open_searcher(context, settings).search(Question(text=WORDS[0]))
    assert caplog.messages == []
    # one without: a line says so
    monkeypatch.setattr(precision, "has_bf16_units", lambda: False)
    other = encode_queries(gallery, ASKED, settings)
    assert other.format == "fp32"
    assert not np.array_equal(other.vectors.dense, same.vectors.dense)
    assert np.abs(other.vectors.dense - same.vectors.dense).max() < 0.02
    line = "collection 'muge' were computed in bf16, here the model works in fp32"
    assert [line in said for said in caplog.messages] == [True]
    open_searcher(context, settings).search(Question(text=WORDS[0]))
    assert [line in said for said in caplog.messages] == [True, True]
    assert "MUGE_PRECISION=bf16" in caplog.messages[0]


def test_a_record_that_does_not_say_it_is_read_from_the_embeddings(
    context: Context, shop: Path, settings: Settings
) -> None:
    _, record = build(context, f"folder:{shop}", settings)
    work = Folder(settings.work_url)
    save_record(work, replace(record, computed_in=""))
    old, run = record_of(settings), work.sub(record.run)
    assert (record.computed_in, old.computed_in) == ("fp32", "")
    assert computed_in(old, run) == "fp32"
    shutil.rmtree(Path(settings.work_url) / record.run / record.stages.images)
    assert computed_in(old, run) == ""


@pytest.mark.parametrize("strategy", ["in-place", "blue-green"])
def test_a_reindex_goes_on_in_the_format_of_the_collection(
    context: Context,
    shop: Path,
    settings: Settings,
    strategy: Strategy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build(context, f"folder:{shop}", settings)
    one_more(shop)
    fastest_is("bf16", monkeypatch)
    runner = Threads(context, PACE)
    report = reindex(f"folder:{shop}", settings, runner, ReindexChoices(strategy=strategy))
    assert report.upserted > 0
    live = settings.model_copy(update={"collection": report.collection})
    assert (record_of(live).computed_in, formats_of_files(live)) == ("fp32", {b"fp32"})
    assert caplog.messages == []


def test_what_was_computed_in_two_formats_is_said(
    context: Context,
    shop: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fastest_is("bf16", monkeypatch)
    build(context, f"folder:{shop}", settings)
    assert record_of(settings).computed_in == "bf16"
    one_more(shop)
    fastest_is("fp32", monkeypatch)  # and no units: the new picture is encoded in fp32
    reindex(f"folder:{shop}", settings, Threads(context, PACE))
    assert (record_of(settings).computed_in, formats_of_files(settings)) == (
        "bf16,fp32",
        {b"bf16,fp32"},
    )
    assert any("computed in bf16 and fp32" in said for said in caplog.messages)


def test_a_run_that_was_stopped_is_gone_on_with_in_its_format(
    context: Context, shop: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"shard_images": 3, "max_images": 3, "batch_images": 3})
    assert index(f"folder:{shop}", settings, Threads(context, PACE)).unfinished is not None
    fastest_is("bf16", monkeypatch)
    settings = settings.model_copy(update={"max_images": 0})
    build(context, f"folder:{shop}", settings)
    assert (record_of(settings).computed_in, formats_of_files(settings)) == ("fp32", {b"fp32"})


def test_a_searcher_of_a_run_that_is_gone_says_nothing(
    context: Context, shop: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    _, record = build(context, f"folder:{shop}", settings)
    store = context.searched(settings.store_uri)
    empty = Folder(settings.work_url).sub("nowhere")
    searcher = Searcher(replace(record, computed_in=""), store, empty, settings)
    assert searcher.search(Question(text=WORDS[0])).hits
    assert caplog.messages == []

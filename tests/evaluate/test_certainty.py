"""A search for what is not there says so, by what the collection's own queries come to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tasks.context import Context
from tasks.encode.stage.embeddings import read_embeddings
from tasks.evaluate.certainty import REFUSED
from tasks.records import Float32, QueryPart
from tasks.report.components import doubt_words
from tasks.report.run_views import search_view
from tasks.report.terminal import search_table
from tasks.search.answers import as_json
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import Settings
from tasks.work.collections import Certainty, CollectionRecord, require_record, save_record
from tasks.work.folder import Folder
from tests.search.conftest import settings_in
from tests.search.library import build, make_pictures

PICTURES = 48


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Query n is of picture n."""
    folder = make_pictures(tmp_path_factory.mktemp("asked") / "pictures", PICTURES)
    lines = [
        {"query_id": n, "query": f"第{n}件商品", "image_id": n, "image": f"{n}.png"}
        for n in range(PICTURES)
    ]
    said = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "queries.jsonl").write_text(said, "utf-8")
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def settings(dataset: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("certain"), model)
    with Context() as context:
        build(context, dataset, settings)
    return settings


@pytest.fixture
def record(settings: Settings) -> Iterator[CollectionRecord]:
    found = require_record(Folder(settings.work_url), settings.store_uri, settings.collection)
    yield found
    save_record(Folder(settings.work_url), found)


def _vectors(run: Folder, name: str) -> dict[str, Float32]:
    parts = read_embeddings(run, name)
    return {id: v for ids, _, vectors in parts for id, v in zip(ids, vectors, strict=True)}


def test_it_is_what_a_matrix_says(record: CollectionRecord, settings: Settings) -> None:
    found = record.certainty
    assert found is not None
    assert (found.made_of, found.queries, found.refused) == (record.made_of, PICTURES, REFUSED)
    run = Folder(settings.work_url).sub(record.run)
    texts = _vectors(run, QueryPart(0).file_in(record.stages.texts))
    files = [n for n in run.names(record.stages.images) if n.endswith(".parquet")]
    pictures = {
        id: vector
        for name in files
        for id, vector in _vectors(run, f"{record.stages.images}/{name}").items()
    }
    names = list(pictures)
    scores = np.stack(list(texts.values())) @ np.stack(list(pictures.values())).T
    assert found.threshold == pytest.approx(np.quantile(scores.max(axis=1), REFUSED), abs=1e-6)
    for row, query in enumerate(texts):
        scores[row, names.index(query)] = -1
    assert found.caught == pytest.approx((scores.max(axis=1) < found.threshold).mean())


def _with(settings: Settings, record: CollectionRecord, certainty: Certainty | None) -> None:
    save_record(Folder(settings.work_url), replace(record, certainty=certainty))


def test_what_is_farther_than_good_answers_is_doubted(
    context: Context, settings: Settings, record: CollectionRecord
) -> None:
    assert record.certainty is not None
    # a model that knows nothing is near to nothing: all is farther than this
    _with(settings, record, replace(record.certainty, threshold=0.99))
    answer = open_searcher(context, settings).search(Question(text="自行车", topk=5))
    assert answer.doubt is not None
    best = max(hit.dense for hit in answer.hits) / answer.question.alpha
    assert answer.doubt.best == pytest.approx(best)
    assert as_json(answer)["doubt"] == {"best": best, "threshold": 0.99, "refused": REFUSED}
    words = doubt_words(search_view(answer))
    assert isinstance(words, tuple)
    chinese, english = words
    assert f"只有 {best:.2f}" in chinese
    assert "95% 达到 0.99 以上" in chinese
    assert "95% of the collection's own queries reach 0.99" in english
    console = Console(width=200, color_system=None)
    with console.capture() as shown:
        console.print(search_table(search_view(answer), language="zh"))
    assert chinese in shown.get()
    _with(settings, record, replace(record.certainty, threshold=-0.99))
    certain = open_searcher(context, settings).search(Question(text="自行车", topk=5))
    assert certain.doubt is None
    assert "doubt" not in as_json(certain)


NOT_DOUBTED = {
    "keywords alone": Question(text="自行车", alpha=0.0, alpha_is_open=False),
    "its very name": Question(text="第7件商品", alpha=0.8),
    "ranks": Question(text="自行车", fusion="rrf"),
    "like a picture": Question(like="3"),
}


@pytest.mark.parametrize("case", NOT_DOUBTED)
def test_what_cannot_be_judged_is_not_doubted(
    case: str, context: Context, settings: Settings, record: CollectionRecord
) -> None:
    assert record.certainty is not None
    _with(settings, record, replace(record.certainty, threshold=0.99))
    assert open_searcher(context, settings).search(NOT_DOUBTED[case]).doubt is None


@pytest.mark.parametrize("kept", [False, True])
def test_what_was_measured_of_other_data_says_nothing(
    kept: bool, context: Context, settings: Settings, record: CollectionRecord
) -> None:
    other = replace(record.certainty or Certainty("", 0.9, 1, 0, 0), made_of="other", threshold=0.9)
    _with(settings, record, other if kept else None)
    assert open_searcher(context, settings).search(Question(text="自行车")).doubt is None

"""Evaluating a real collection with a real (tiny, random) model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.context import Context
from tasks.encode.model.load import load_encoder
from tasks.errors import (
    CollectionRecordError,
    DatasetError,
    DeviceError,
    NothingInCommonError,
    QueryError,
)
from tasks.evaluate.asked import encode_queries
from tasks.evaluate.gallery import open_gallery
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import METRICS
from tasks.evaluate.stages import evaluate
from tasks.settings import EvaluateChoices, Settings
from tasks.sparse.bm25 import train_bm25
from tasks.work.collections import require_record
from tasks.work.folder import Folder
from tasks.work.markers import mark_complete
from tests.search.conftest import settings_in
from tests.search.library import COUNT, WORDS, build

STANDARD = EvaluateChoices()
HELD_OUT = [("大红连衣裙", [0, 6]), ("蓝色的帽子", [1]), ("65w 充电", [4, 10]), ("没有的", [777])]


def questions(folder: Path, asked: Sequence[tuple[str, Sequence[int]]]) -> str:
    """A data set of queries about pictures of the collection; its own picture is not asked for."""
    folder.mkdir()
    (folder / "own.png").write_bytes(b"1")
    lines = [
        json.dumps({"query_id": 500 + number, "query": text, "image_id": image})
        for number, (text, images) in enumerate(asked)
        for image in images
    ]
    (folder / "queries.jsonl").write_text("\n".join(lines), "utf-8")
    return f"folder:{folder}"


def test_held_out_queries(context: Context, built: Settings, tmp_path: Path) -> None:
    found = evaluate(context, questions(tmp_path / "asked", HELD_OUT), built, STANDARD)
    assert (found.protocol.name, found.protocol.leaks) == ("held-out", 0)
    assert found.metrics.keys() == {"dense", "sparse", "hybrid"}
    assert all(set(scores) == set(METRICS) for scores in found.metrics.values())
    assert (found.queries, found.gallery, found.without_positive) == (4, COUNT, 1)
    assert found.through_store == found.metrics  # a small collection's index is exact
    assert found.ann_recall == 1.0
    sparse = found.metrics["sparse"]
    assert sparse["R@5"] == 0.75  # the fourth query's picture is not there, and it still counts


def test_queries_that_are_indexed_are_measured_by_meaning_only(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    asked = [*HELD_OUT, (f" {WORDS[3].upper()}\u3000", [3]), ("apple充电器65w", [4])]
    found = evaluate(context, questions(tmp_path / "asked", asked), built, STANDARD)
    assert (found.protocol.name, found.protocol.leaks) == ("official", 2)
    assert found.metrics.keys() == found.through_store.keys() == {"dense"}


def test_pair_documents_are_ranked_by_image(
    context: Context, built: Settings, model: Path, pictures: Path, tmp_path: Path
) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    by_image = evaluate(context, dataset, built, STANDARD)
    settings = settings_in(tmp_path, model).model_copy(update={"document": "pair"})
    build(context, f"folder:{pictures}", settings)
    by_pair = evaluate(context, dataset, settings, STANDARD)
    assert by_pair.gallery == COUNT
    assert by_pair.metrics["dense"] == pytest.approx(by_image.metrics["dense"])
    assert by_pair.through_store == by_pair.metrics


def test_no_query(context: Context, built: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no usable query"):
        evaluate(context, questions(tmp_path / "asked", [("，", [])]), built, STANDARD)


def test_a_collection_that_contradicts_its_record(
    context: Context, own: Settings, pictures: Path, tmp_path: Path
) -> None:
    _, record = build(context, f"folder:{pictures}", own, anew=True)
    dataset = questions(tmp_path / "asked", HELD_OUT)
    run = Folder(own.work_url).sub(record.run)
    statistics = run.read_json(record.stages.bm25)
    train_bm25(["别的"]).save(run, record.stages.bm25)
    mark_complete(run, record.stages.bm25)
    with pytest.raises(CollectionRecordError, match="was made with BM25 statistics"):
        evaluate(context, dataset, own, STANDARD)
    run.write_json(record.stages.bm25, statistics)
    context.store(own.store_uri).delete("muge", ["3"])
    context.store(own.store_uri).finish("muge")
    context.close()
    with pytest.raises(CollectionRecordError, match="holds 11 documents, its record says 12"):
        evaluate(context, dataset, own, STANDARD)
    assert require_record(Folder(own.work_url), own.store_uri, "muge") == record


def test_a_filter_restricts_both_sides(context: Context, built: Settings, tmp_path: Path) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    text = "image_id < 4 or (query like '%充电%' and image_id != 10)"
    found = evaluate(context, dataset, built, EvaluateChoices(filter=text))
    everything = evaluate(context, dataset, built, STANDARD)
    assert (found.filter, found.gallery, everything.filter) == (text, 5, None)
    assert found.through_store == found.metrics
    assert found.ann_recall == 1.0
    # the pictures 6 and 10 are filtered out, those of the fourth query were never there
    assert (found.queries, found.without_positive) == (4, 1)
    assert found.metrics["dense"] != everything.metrics["dense"]
    assert found.directions["image_to_text"].asked == 3
    assert "--filter" in found.origin.commands[1]


def test_queries_whose_pictures_are_filtered_out_score_0(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    found = evaluate(context, dataset, built, EvaluateChoices(filter="image_id = 1"))
    assert (found.queries, found.gallery, found.without_positive) == (4, 1, 3)
    assert found.metrics["dense"]["R@1"] == found.through_store["dense"]["R@1"] == 0.25


@pytest.mark.parametrize(
    ("asked", "filter", "said"),
    [
        ([("大红连衣裙", [900]), ("帽子", [901, 902])], None, "none of the 2 queries of 'folder:"),
        (HELD_OUT, "image_id = 2", "that the filter 'image_id = 2' takes: every number would be 0"),
    ],
)
def test_queries_about_something_else_are_an_error(
    context: Context,
    built: Settings,
    tmp_path: Path,
    asked: Sequence[tuple[str, Sequence[int]]],
    filter: str | None,
    said: str,
) -> None:
    dataset = questions(tmp_path / "asked", asked)
    with pytest.raises(NothingInCommonError, match=re.escape(said)) as refused:
        evaluate(context, dataset, built, EvaluateChoices(filter=filter))
    assert refused.value.exit_code == 1


BAD_FILTERS = {
    "image_id < 0": "takes none of the 12 documents",
    "image_id << 3": "cannot be evaluated exactly",
    "picture = 'a'": "'picture' is no field",
    "nowhere = 3": "names field 'nowhere', which documents do not have: they have image_id, query,",
}


@pytest.mark.parametrize("text", BAD_FILTERS)
def test_a_filter_that_cannot_be_used(
    context: Context, text: str, built: Settings, tmp_path: Path
) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    with pytest.raises(QueryError) as caught:
        evaluate(context, dataset, built, EvaluateChoices(filter=text))
    assert BAD_FILTERS[text] in str(caught.value)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_queries_are_encoded_in_the_precision_of_searches(
    context: Context, built: Settings, precision: Any
) -> None:
    settings = built.model_copy(update={"precision": precision})
    asked = [Judgement(str(n), text, frozenset()) for n, text in enumerate(WORDS)]
    found = encode_queries(open_gallery(context, settings), asked, settings).vectors.dense
    right = load_encoder(built.model, "cpu", precision).encode_texts(WORDS)
    np.testing.assert_array_equal(found, right)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_an_evaluation_runs_the_kernels_of_searches(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    with pytest.raises(DeviceError, match="graphs"):
        evaluate(context, dataset, built.model_copy(update={"kernels": "graphs"}), STANDARD)

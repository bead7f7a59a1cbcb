"""One way to fuse meaning and keywords, wherever a search is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from tasks.context import Context
from tasks.errors import QueryError
from tasks.evaluate.stages import evaluate
from tasks.records import Hit, Query
from tasks.search.answers import as_json
from tasks.search.batches import search_file
from tasks.search.fusion import DEPTH, ask_fused, depth_of, fuse
from tasks.search.questions import Question, checked
from tasks.search.searcher import open_searcher
from tasks.settings import EvaluateChoices, Fusion, Settings
from tests.evaluate.test_stages import HELD_OUT, questions
from tests.search.library import COUNT, WORDS

MADE_HERE: tuple[Fusion, ...] = ("normalised", "rrf")
DENSE = [("a", 0.9), ("b", 0.7), ("c", 0.5)]
SPARSE = [("c", 2.0), ("d", 1.0)]


def parts(fusion: Fusion, alpha: float = 0.75) -> dict[str, tuple[float, float]]:
    return {each.id: (each.dense, each.sparse) for each in fuse(DENSE, SPARSE, fusion, alpha, 9)}


def test_normalised_worked_out() -> None:
    found = parts("normalised")
    assert list(found) == ["a", "b", "c", "d"]
    assert found["a"] == (pytest.approx(0.75), 0.0)
    assert found["b"] == (pytest.approx(0.375), 0.0)
    assert found["c"] == (0.0, 0.25)
    assert found["d"] == (0.0, 0.125)


def test_reciprocal_ranks_worked_out() -> None:
    found = parts("rrf")
    assert list(found) == ["c", "a", "b", "d"]  # b and d tie, and are in the order of their ids
    assert found["c"] == (1 / 63, 1 / 61)
    assert found == parts("rrf", 0.1)


@pytest.mark.parametrize("fusion", MADE_HERE)
def test_a_side_without_documents(fusion: Fusion) -> None:
    assert [each.id for each in fuse(DENSE, [], fusion, 0.5, 2)] == ["a", "b"]
    assert [each.id for each in fuse([], SPARSE, fusion, 0.5, 2)] == ["c", "d"]
    assert fuse([], [], fusion, 0.5, 2) == []


def test_more_hits_go_on_where_fewer_end() -> None:
    assert {depth_of(topk) for topk in (1, 10, 40, DEPTH)} == {DEPTH}
    assert depth_of(DEPTH + 1) == depth_of(1024) == 1024


def test_what_the_store_is_asked() -> None:
    asked: list[Query] = []

    def ask(queries: Any) -> list[list[Hit]]:
        asked.extend(queries)
        return [[Hit("a", 1.0, query.alpha, 1 - query.alpha)] for query in queries]

    import numpy as np

    dense = np.ones(2, np.float32)
    queries = [
        Query(dense, {1: 1.0}, 0.5, 10),
        Query(dense, {}, 0.5, 10),
        Query(dense, {1: 1.0}, 1.0, 10),
        Query(None, {1: 1.0}, 0.0, 10),
    ]
    hits = ask_fused(ask, queries, "rrf")
    assert [(q.alpha, q.topk) for q in asked] == [
        *((1.0, DEPTH), (0.0, DEPTH), (1.0, DEPTH)),
        *((1.0, 10), (0.0, 10)),
    ]
    assert [hit.score for found in hits for hit in found] == [2 / 61, 1 / 61, 1.0, 1.0]


@pytest.mark.parametrize("fusion", MADE_HERE)
def test_searches_batches_and_evaluations_agree(
    context: Context, built: Settings, tmp_path: Path, fusion: Fusion
) -> None:
    settings = built.model_copy(update={"fusion": fusion, "alpha": 0.6})
    found = evaluate(context, questions(tmp_path / "asked", HELD_OUT), settings, EvaluateChoices())
    assert found.fusion == fusion
    assert found.through_store == found.metrics
    assert found.ann_recall == 1.0
    assert f"--fusion {fusion}" in found.origin.commands[1]

    searcher = open_searcher(context, settings)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in (*WORDS, "没有的"))
    (tmp_path / "asked.jsonl").write_text(lines, "utf-8")
    out = tmp_path / "out.jsonl"
    defaults = Question(alpha=0.6, topk=5)
    search_file(context, settings, str(tmp_path / "asked.jsonl"), str(out), defaults)
    batch = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    for text, line in zip((*WORDS, "没有的"), batch, strict=True):
        said = as_json(searcher.search(Question(text=text, alpha=0.6, topk=5)))
        assert said["query"]["fusion"] == line["query"]["fusion"] == fusion
        assert [h["id"] for h in said["hits"]] == [h["id"] for h in line["hits"]]
        for hit, other in zip(said["hits"], line["hits"], strict=True):
            assert hit["score"] == hit["dense"] + hit["sparse"]
            assert hit["score"] == pytest.approx(other["score"], abs=1e-6)
            assert hit["fields"]["picture"]
            assert "picture" not in other["fields"]
            assert hit["fields"]["query"] == other["fields"]["query"]
        plain = searcher.search(Question(text=text, alpha=0.6, topk=COUNT, fusion="weighted"))
        assert len(plain.hits) == COUNT
        assert "fusion" not in as_json(plain)["query"]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_one_side_is_the_stores(context: Context, built: Settings, alpha: float) -> None:
    searcher = open_searcher(context, built)
    for fusion in MADE_HERE:
        one = searcher.search(Question(text=WORDS[0], alpha=alpha, fusion=fusion))
        other = searcher.search(Question(text=WORDS[0], alpha=alpha, fusion="weighted"))
        assert one.hits == other.hits


def test_a_filter_holds_on_both_sides(context: Context, built: Settings) -> None:
    searcher = open_searcher(context, built)
    asked = Question(text=WORDS[0], alpha=0.5, fusion="rrf", filter="image_id < 4")
    assert {int(hit.id) for hit in searcher.search(asked).hits} == {0, 1, 2, 3}


def test_what_cannot_be_asked(context: Context, built: Settings, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="fusion is 'sum', expected weighted, normalised, rrf"):
        checked(Question(text="红", fusion="sum"))  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="knows no fusion rrf"):
        open_searcher(context, built).search(
            Question(text="红", alpha=0.5, fusion="rrf", group_by="query")
        )
    (tmp_path / "asked.jsonl").write_text('{"text": "红", "fusion": ["rrf"]}\n', "utf-8")
    out = tmp_path / "out.jsonl"
    report = search_file(context, built, str(tmp_path / "asked.jsonl"), str(out), Question())
    assert (report.queries, report.failed) == (1, 1)
    assert "expected weighted" in json.loads(out.read_text("utf-8"))["error"]


def test_all_ways_are_made_here_or_by_the_store() -> None:
    assert set(get_args(Fusion)) == {"weighted", *MADE_HERE}

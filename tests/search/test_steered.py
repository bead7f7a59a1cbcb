"""A picture and a text together say what is meant: this one, but as the words say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.context import Context
from tasks.errors import QueryError
from tasks.records import Float32
from tasks.search.answers import as_json
from tasks.search.batches import search_file
from tasks.search.questions import Question
from tasks.search.searcher import Searcher, open_searcher
from tasks.settings import Settings

WORDS = "蓝色帽子"


@pytest.fixture
def searcher(context: Context, built: Settings) -> Searcher:
    return open_searcher(context, built)


@pytest.fixture
def picture(pictures: Path) -> str:
    return str(pictures / "5.png")


def dense(searcher: Searcher, question: Question) -> Float32:
    (encoded,) = searcher.encode([searcher.prepare(question)])
    assert encoded.dense is not None
    return encoded.dense


def test_no_weight_is_the_picture_alone(searcher: Searcher, picture: str) -> None:
    both = Question(text=WORDS, image=picture, alpha=0.7)
    assert (dense(searcher, both) == dense(searcher, Question(image=picture))).all()
    assert "text_weight" not in as_json(searcher.search(both))["query"]


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
def test_the_vector_is_the_sum_of_both(searcher: Searcher, picture: str, weight: float) -> None:
    asked = Question(text=WORDS, image=picture, alpha=0.7, text_weight=weight)
    of_picture = dense(searcher, Question(image=picture)).astype(np.float64)
    of_text = dense(searcher, Question(text=WORDS)).astype(np.float64)
    wanted = (1 - weight) * of_picture + weight * of_text
    wanted /= np.linalg.norm(wanted)
    found = dense(searcher, asked)
    assert np.abs(found - wanted).max() < 1e-6
    assert found.dtype == np.float32
    answer = as_json(searcher.search(asked))
    assert answer["query"]["text_weight"] == weight
    assert answer["query"]["text"] == WORDS


def test_the_whole_text_finds_what_the_text_finds(searcher: Searcher, picture: str) -> None:
    steered = Question(text=WORDS, image=picture, alpha=1.0, text_weight=1.0, topk=5)
    alone = Question(text=WORDS, alpha=1.0, topk=5)
    found, wanted = (searcher.search(question).hits for question in (steered, alone))
    assert [hit.id for hit in found] == [hit.id for hit in wanted]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=1e-6)


def test_a_document_may_be_the_picture(searcher: Searcher) -> None:
    hits = {
        weight: searcher.search(
            Question(text=WORDS, like="5", alpha=1.0, text_weight=weight, topk=11)
        ).hits
        for weight in (0.0, 0.5, 1.0)
    }
    assert all(len(found) == 11 and "5" not in {hit.id for hit in found} for found in hits.values())
    vector = searcher.document("5").vector.astype(np.float64)
    mixed = 0.5 * vector + 0.5 * dense(searcher, Question(text=WORDS))
    best = hits[0.5][0]
    wanted = searcher.document(best.id).vector @ (mixed / np.linalg.norm(mixed))
    assert best.dense == pytest.approx(float(wanted), abs=1e-6)
    text = searcher.search(Question(text=WORDS, alpha=1.0, topk=12)).hits
    assert [hit.id for hit in hits[1.0]] == [hit.id for hit in text if hit.id != "5"]


def test_questions_of_a_file_say_it_themselves(
    context: Context, built: Settings, pictures: Path, tmp_path: Path
) -> None:
    asked = tmp_path / "asked.jsonl"
    (tmp_path / "5.png").write_bytes((pictures / "5.png").read_bytes())
    lines = [
        {"text": WORDS, "image": "5.png"},
        {"text": WORDS, "image": "5.png", "text_weight": 0.0},
        {"text": WORDS, "image": "5.png", "text_weight": 1.5},
        {"text": WORDS, "text_weight": 0.9},
    ]
    asked.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    out = tmp_path / "answers.jsonl"
    report = search_file(
        context, built, str(asked), str(out), Question(alpha=1.0, topk=3, text_weight=0.4)
    )
    said = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert report.failed == 1
    assert [line["query"].get("text_weight") for line in said if "query" in line] == [
        0.4,
        None,
        None,
    ]
    assert said[2]["error"] == "text_weight is 1.5, expected 0 (picture) to 1 (text)"
    assert said[0]["hits"] != said[1]["hits"]


@pytest.mark.parametrize("weight", [-0.1, 1.01, float("nan"), "much"])
def test_a_weight_that_is_none_is_one_line(searcher: Searcher, weight: float) -> None:
    with pytest.raises(QueryError, match=r"text_weight is .* expected 0 \(picture\) to 1"):
        searcher.search(Question(text=WORDS, like="5", text_weight=weight))

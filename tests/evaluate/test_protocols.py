"""Protocols, directions, sweep and files of an evaluation, on a real small collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import DatasetError, UsageError
from tasks.evaluate import judgements
from tasks.evaluate.gallery import open_gallery
from tasks.evaluate.judgements import EvaluationProtocol, read_judgements
from tasks.evaluate.metrics import METRICS
from tasks.evaluate.result import Evaluation, as_json
from tasks.evaluate.stages import evaluate
from tasks.report.evaluation_views import protocol_words
from tasks.settings import EvaluateChoices, Settings
from tests.dataset.muge_files import query_line, write_lines
from tests.dataset.rows import RowsReader, row
from tests.evaluate.test_stages import HELD_OUT, STANDARD, questions
from tests.search.conftest import settings_in
from tests.search.library import COUNT, WORDS, build


@pytest.fixture(scope="module")
def of_words(model: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A collection that counts words: all texts but one share a character with others."""
    place = tmp_path_factory.mktemp("words")
    settings = settings_in(place, model).model_copy(update={"tokens": "words"})
    with Context() as context:
        build(context, f"folder:{pictures}", settings)
    return settings


@pytest.fixture(scope="module")
def left_out(
    of_words: Settings, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    """The indexed queries themselves, each scored without itself, with a sweep."""
    path = tmp_path_factory.mktemp("predictions") / "lines.jsonl"
    options = EvaluateChoices(protocol="leave-query-out", alpha_sweep=True, predictions=str(path))
    with Context() as context, pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgements, "MOST_TEXTLESS", 1.0)
        found = evaluate(context, f"folder:{pictures}", of_words, options)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["query_id"] for line in lines] == [*range(len(WORDS)), 100]
    assert all(len(set(line["item_ids"])) == 10 for line in lines)
    return found


def test_queries_find_nothing_by_their_own_words(left_out: Evaluation) -> None:
    """All text of a picture is the one query, but for picture 0: nothing is left to match."""
    assert left_out.protocol == EvaluationProtocol("leave-query-out", len(WORDS) + 1, 5 / 7)
    assert left_out.protocol.honest_hybrid
    assert left_out.metrics["sparse"] == dict.fromkeys(METRICS, 0.0)
    assert left_out.metrics["hybrid"] == left_out.metrics["dense"]
    assert left_out.gains["hybrid_minus_dense"]["MR"].value == 0.0


def test_hybrid_is_not_ranked_where_hardly_any_text_is_left(
    context: Context, built: Settings, pictures: Path
) -> None:
    dataset, options = f"folder:{pictures}", EvaluateChoices(protocol="leave-query-out")
    found = evaluate(context, dataset, built, options)
    assert found.metrics.keys() == {"dense", "sparse", "hybrid"}
    assert found.gains == {}
    assert not found.protocol.ranks_hybrid
    assert as_json(found)["textless"] == pytest.approx(5 / 7)
    assert "71% of the queries keeps any text" in protocol_words(found)[1]
    assert "71% 的查询" in protocol_words(found)[0]
    with pytest.raises(UsageError, match="a sweep of alpha cannot be judged here: for 71%"):
        evaluate(context, dataset, built, options.model_copy(update={"alpha_sweep": True}))


def test_the_live_store_is_asked_by_meaning_only(left_out: Evaluation) -> None:
    assert left_out.through_store == {"dense": left_out.metrics["dense"]}
    assert left_out.ann_recall == 1.0


def test_intervals_hold_their_means(left_out: Evaluation) -> None:
    for mode, found in left_out.metrics.items():
        for name, value in found.items():
            interval = left_out.intervals[mode][name]
            assert interval.low <= value <= interval.high
            assert value == pytest.approx(interval.value)
    assert left_out.curves["dense"][9] == pytest.approx(left_out.metrics["dense"]["R@10"])
    assert left_out.curves["dense"] == sorted(left_out.curves["dense"])
    assert left_out.curves["dense"][COUNT - 1] == 1.0


def test_pictures_find_their_texts_and_each_other(left_out: Evaluation) -> None:
    to_text, to_picture = (left_out.directions[f"image_to_{what}"] for what in ("text", "image"))
    assert (to_text.asked, to_text.candidates) == (COUNT, len(WORDS) + 1)
    assert (to_picture.asked, to_picture.candidates) == (COUNT, COUNT - 1)
    assert to_text.metrics["R@10"].value == 1.0  # 7 texts
    assert 0 < to_picture.metrics["R@10"].value <= 1.0
    assert to_picture.metrics["R@1"].value < 1.0  # a picture does not find itself


def test_worst_queries_come_with_their_pictures(left_out: Evaluation) -> None:
    assert left_out.worst
    ranks = [worst.rank for worst in left_out.worst]
    assert ranks == sorted((rank for rank in ranks if rank is not None), reverse=True)
    for worst in left_out.worst:
        assert worst.wanted != worst.found
        assert str(worst.wanted_fields["image_id"]) == worst.wanted
        assert worst.text in str(worst.wanted_fields["query"])
        assert worst.found_fields["picture"]


def test_groups_add_up(left_out: Evaluation) -> None:
    for groups in left_out.breakdown.values():
        assert sum(group.queries for group in groups) == left_out.queries
        total = sum(group.queries * group.metrics["dense"]["R@1"] for group in groups)
        assert total / left_out.queries == pytest.approx(left_out.metrics["dense"]["R@1"])


def test_the_json_is_json_and_keeps_its_names(left_out: Evaluation) -> None:
    said = json.loads(json.dumps(as_json(left_out)))
    promised = {"protocol", "queries", "gallery", "metrics", "alpha", "ann_recall@10"}
    assert promised <= said.keys()
    assert said["image_to_text"]["metrics"]["dense"].keys() == set(METRICS)
    assert said["sweep"]["curves"]["weighted"].keys() >= {"0", "0.5", "1"}
    assert said["origin"]["commands"][1].startswith("muge evaluate folder:")
    assert "--protocol leave-query-out --alpha-sweep" in said["origin"]["commands"][1]
    assert "picture" not in json.dumps(said["worst"])


def test_the_same_numbers_again(
    context: Context,
    left_out: Evaluation,
    of_words: Settings,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = EvaluateChoices(protocol="leave-query-out", alpha_sweep=True)
    monkeypatch.setattr(judgements, "MOST_TEXTLESS", 1.0)
    again = as_json(evaluate(context, f"folder:{pictures}", of_words, options))
    assert {**again, "seconds": 0} == {**as_json(left_out), "seconds": 0}


def test_held_out_is_refused_where_it_would_be_a_lie(
    context: Context, built: Settings, pictures: Path
) -> None:
    with pytest.raises(UsageError, match=r"7 of the 7 queries .* leave-query-out"):
        evaluate(context, f"folder:{pictures}", built, EvaluateChoices(protocol="held-out"))
    with pytest.raises(UsageError, match="add --protocol leave-query-out"):
        evaluate(context, f"folder:{pictures}", built, EvaluateChoices(alpha_sweep=True))


def test_leaving_out_what_is_not_there_changes_nothing(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    plain = evaluate(context, dataset, built, STANDARD)
    left_out = evaluate(context, dataset, built, EvaluateChoices(protocol="leave-query-out"))
    assert left_out.metrics == plain.metrics
    assert left_out.through_store == plain.through_store
    official = evaluate(context, dataset, built, EvaluateChoices(protocol="official"))
    assert official.metrics == {"dense": plain.metrics["dense"]}


def test_a_test_split_gives_predictions_and_no_metrics(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    """MUGE's test split names no picture."""
    lines = [query_line(n, text, None) for n, text in enumerate(("红色", "蓝色 帽子"))]
    folder = write_lines(tmp_path / "muge", [b"1\tAAAA"], lines, split="test")
    dataset, path = f"muge:{folder}?split=test", tmp_path / "lines.jsonl"
    with pytest.raises(DatasetError, match="--predictions"):
        evaluate(context, dataset, built, STANDARD)
    found = evaluate(context, dataset, built, EvaluateChoices(predictions=str(path)))
    assert (found.queries, found.unanswered, found.metrics) == (0, 2, {})
    assert len(path.read_text("utf-8").splitlines()) == 2
    assert json.loads(json.dumps(as_json(found)))["queries_unanswered"] == 2


def test_unanswered_queries_are_counted_aside() -> None:
    rows = [row(0, 1, b"1", 5, "红色"), row(1, None, None, 6, "蓝色")]
    found = read_judgements(RowsReader(rows), "rows", unanswered=True)
    assert [(j.query_id, j.relevant) for j in found] == [("5", {"1"}), ("6", frozenset())]


def test_the_gallery_lists_what_statistics_were_counted_over(
    context: Context, built: Settings
) -> None:
    gallery = open_gallery(context, built)
    documents = dict(gallery.documents())
    assert len(documents) == COUNT
    assert documents["0"] == [WORDS[0], "夏天 长款"]

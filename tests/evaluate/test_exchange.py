"""An evaluation that exchanges files with other tools: judgements in, runs and scores out."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.context import Context
from tasks.errors import DatasetError, UsageError
from tasks.evaluate.result import Evaluation, as_json
from tasks.evaluate.stages import evaluate
from tasks.settings import EvaluateChoices, Settings
from tests.evaluate.scorers import MEASURES, by_trec_eval
from tests.evaluate.test_stages import HELD_OUT, STANDARD, questions
from tests.search.conftest import settings_in
from tests.search.library import build


def check_runs(folder: Path, found: Evaluation) -> None:
    for mode, ours in found.metrics.items():
        theirs = by_trec_eval(folder / f"r.{mode}.trec", folder / "q.qrels")
        assert {name: ours[name] for name in MEASURES} == pytest.approx(theirs, abs=1e-12), mode


def outputs(folder: Path) -> dict[str, str]:
    return {
        "run": str(folder / "r.trec"),
        "qrels_out": str(folder / "q.qrels"),
        "per_query": str(folder / "s.parquet"),
    }


@pytest.mark.parametrize("fusion", ["weighted", "rrf", "normalised"])
def test_trec_eval_has_the_numbers_of_every_mode(
    context: Context, built: Settings, tmp_path: Path, fusion: str
) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    settings = built.model_copy(update={"fusion": fusion})
    files = EvaluateChoices.model_validate(outputs(tmp_path))
    found = evaluate(context, dataset, settings, files)
    assert found.metrics == evaluate(context, dataset, settings, STANDARD).metrics
    assert found.metrics.keys() == {"dense", "sparse", "hybrid"}
    check_runs(tmp_path, found)
    table = pq.read_table(tmp_path / "s.parquet")
    for mode, ours in found.metrics.items():
        rows = [row for row in table.to_pylist() if row["mode"] == mode]
        assert len(rows) == found.queries == 4
        for name, value in ours.items():
            assert sum(row[name] for row in rows) / 4 == pytest.approx(value, abs=1e-15)
        for row in rows:
            assert row["MRR"] == (1 / row["rank"] if row["rank"] else 0)


def test_pair_documents_are_images_in_a_run(
    context: Context, model: Path, pictures: Path, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, model).model_copy(update={"document": "pair"})
    build(context, f"folder:{pictures}", settings)
    dataset = questions(tmp_path / "asked", HELD_OUT)
    found = evaluate(context, dataset, settings, EvaluateChoices.model_validate(outputs(tmp_path)))
    assert len(found.metrics) == 3
    check_runs(tmp_path, found)


def test_the_datas_own_judgements_change_nothing(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    """Written and read back, with grades of 1: the same to the last bit."""
    dataset = questions(tmp_path / "asked", HELD_OUT)
    own = evaluate(context, dataset, built, EvaluateChoices.model_validate(outputs(tmp_path)))
    qrels = str(tmp_path / "q.qrels")
    read = evaluate(context, dataset, built, EvaluateChoices(judgements=qrels))
    # the fourth query's picture is in no gallery
    assert read.regraded is not None
    assert (read.regraded.queries, read.regraded.unknown_documents) == (4, 1)
    assert (read.metrics, read.intervals, read.curves) == (own.metrics, own.intervals, own.curves)
    assert read.origin.queries == own.origin.queries
    assert (own.regraded, own.best) == (None, read.best)
    assert "--judgements" in read.origin.commands[1]


def test_graded_judgements(context: Context, built: Settings, tmp_path: Path) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    qrels = tmp_path / "graded.qrels"
    lines = ["500 0 0 1", "500 0 6 3", "500 0 3 -2", "501 0 1 2", "502 0 4 0", "9 0 1 1"]
    qrels.write_text("\n".join(lines))
    options = {**outputs(tmp_path), "judgements": str(qrels)}
    found = evaluate(context, dataset, built, EvaluateChoices.model_validate(options))
    # 502 is judged and has no right picture, 503 is not judged: both have no score
    assert (found.queries, found.unanswered, found.without_positive) == (2, 2, 0)
    said = as_json(found)["judgements"]
    assert (said["queries"], said["unjudged"], said["unknown_queries"]) == (3, 1, 1)
    assert (said["negative"], said["highest"]) == (1, 3)
    check_runs(tmp_path, found)
    qrels.write_text("\n".join(line.replace(" 3", " 1") for line in lines))
    other = evaluate(context, dataset, built, EvaluateChoices(judgements=str(qrels)))
    assert other.origin.queries != found.origin.queries
    assert other.metrics["dense"]["nDCG@10"] != found.metrics["dense"]["nDCG@10"]
    assert other.metrics["dense"]["MR"] == found.metrics["dense"]["MR"]
    qrels.write_text("1 0 1 1\n")
    with pytest.raises(DatasetError, match="judges none of the 4 queries"):
        evaluate(context, dataset, built, EvaluateChoices(judgements=str(qrels)))


def table_of(folder: Path) -> str:
    """The held-out queries as a table, with a column of what they are about."""
    folder.mkdir()
    about = {"大红连衣裙": "衣服", "蓝色的帽子": "衣服", "65w 充电": "数码", "没有的": ""}
    with (folder / "asked.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["query_id", "query", "image_id", "类别"])
        for number, (text, images) in enumerate(HELD_OUT):
            rows.writerows([500 + number, text, image, about[text]] for image in images)
    return f"csv:{folder / 'asked.csv'}"


def test_groups_of_a_column(context: Context, built: Settings, tmp_path: Path) -> None:
    dataset = table_of(tmp_path / "asked")
    options = EvaluateChoices(group_by="类别", per_query=str(tmp_path / "s.parquet"))
    found = evaluate(context, dataset, built, options)
    assert [(g.value, g.queries, g.few) for g in found.groups] == [
        ("衣服", 2, True),
        ("", 1, True),
        ("数码", 1, True),
    ]
    sizes = [g.queries for g in found.groups]
    for mode, ours in found.metrics.items():
        means = [group.metrics[mode]["MR"] for group in found.groups]
        assert sum(m * n for m, n in zip(means, sizes, strict=True)) / 4 == pytest.approx(
            ours["MR"]
        )
    said = as_json(found)
    assert said["group_by"] == "类别"
    assert [group["value"] for group in said["breakdown"]["column"]] == ["衣服", "", "数码"]
    groups = pq.read_table(tmp_path / "s.parquet")["group"].to_pylist()
    assert groups[:4] == ["衣服", "衣服", "数码", None]
    assert as_json(replace(found, group_by=None))["breakdown"].keys() == {"length", "frequency"}
    with pytest.raises(DatasetError, match=r"there is no column '颜色', but 'query_id'"):
        evaluate(context, dataset, built, EvaluateChoices(group_by="颜色"))
    plain = questions(tmp_path / "plain", HELD_OUT)
    with pytest.raises(UsageError, match="has no columns beside picture and query"):
        evaluate(context, plain, built, EvaluateChoices(group_by="类别"))


def test_against_another_setting(context: Context, built: Settings, tmp_path: Path) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    path = str(tmp_path / "s.parquet")
    low = built.model_copy(update={"alpha": 0.0})
    then = evaluate(context, dataset, low, EvaluateChoices(per_query=path))
    now = evaluate(context, dataset, built, EvaluateChoices(against=path))
    assert now.against is not None
    assert (now.against.main, now.against.about["alpha"]) == ("hybrid", 0.0)
    assert {each.p for each in now.against.modes["dense"].values()} == {1.0}
    for name, each in now.against.modes["hybrid"].items():
        assert each.then == pytest.approx(then.metrics["hybrid"][name], abs=1e-15)
        assert each.now == pytest.approx(now.metrics["hybrid"][name], abs=1e-15)
    said = json.loads(json.dumps(as_json(now)))["against"]
    assert (said["samples"], said["run"], said["queries"]) == (10_000, None, 4)
    fields = {"then", "now", "difference", "p", "better", "worse"}
    assert said["modes"]["sparse"]["MAP@100"].keys() == fields
    assert as_json(then)["against"] is None
    evaluate(context, dataset, built, EvaluateChoices(run=str(tmp_path / "r.trec")))
    run = evaluate(
        context, dataset, built, EvaluateChoices(against=str(tmp_path / "r.hybrid.trec"))
    )
    assert run.against is not None
    assert run.against.run == "muge-hybrid"
    assert {each.p for each in run.against.modes["hybrid"].values()} == {1.0}
    other = questions(tmp_path / "other", HELD_OUT[:3])
    with pytest.raises(UsageError, match="is of other queries: 4, of which 3 are among the 3 here"):
        evaluate(context, other, built, EvaluateChoices(against=path))


def test_the_best_queries_have_their_picture_first(
    context: Context, built: Settings, tmp_path: Path
) -> None:
    dataset = questions(tmp_path / "asked", [*HELD_OUT, ("包 绿色", [2, 8])])
    found = evaluate(context, dataset, built.model_copy(update={"alpha": 0.0}), STANDARD)
    assert found.best
    right = {"500": {"0", "6"}, "501": {"1"}, "502": {"4", "10"}, "504": {"2", "8"}}
    for query in found.best:
        assert query.rank == 1
        assert query.wanted in right[query.query_id]
        assert query.found not in right[query.query_id]
        assert query.wanted_fields["picture"]
    assert not {q.query_id for q in found.best} & {q.query_id for q in found.worst}
    assert len(found.best) + len(found.worst) == found.queries - found.without_positive
    assert as_json(found)["best"][0].keys() == {"query_id", "text", "rank", "wanted", "found"}

"""From thumbs to an evaluation: exported as files, and measured by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import DatasetError, UsageError, WorkFolderError
from tasks.evaluate.operation import evaluate
from tasks.evaluate.trec import read_qrels
from tasks.index.runner import Threads
from tasks.judge.exported import export_judgements
from tasks.judge.thumbs import thumbs_of
from tasks.settings import EvaluateChoices, ExportedJudgements, Settings
from tests.flows.conftest import Muge
from tests.judge.thumbs import press


@pytest.fixture
def pressed(built: Settings, tmp_path: Path) -> Settings:
    """The collection, with thumbs in a work folder that it does not have."""
    changed = {"work_dir": str(tmp_path / "work"), "store": built.store_uri}
    settings = built.model_copy(update=changed)
    thumbs = thumbs_of(settings)
    for query, up, down in (
        ("大红连衣裙", "0 6", "3"),
        ("蓝色的帽子", "1", "2 777"),
        ("无", "", "5"),
    ):
        for image in up.split():
            press(thumbs, query, image, 1)
        for image in down.split():
            press(thumbs, query, image, -1, "b")
    return settings


def test_an_evaluation_measures_by_what_was_exported(
    built: Settings, pressed: Settings, tmp_path: Path
) -> None:
    qrels, queries = str(tmp_path / "j.qrels"), str(tmp_path / "j.jsonl")
    wanted = ExportedJudgements(qrels=qrels, queries=queries, jsonl=str(tmp_path / "all.jsonl"))
    found = export_judgements(pressed, wanted)
    assert (found.thumbs, found.users, found.queries, found.telling) == (7, 2, 3, 2)
    assert (found.pictures, found.fitting, found.contested) == (7, 3, 0)
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 7
    assert sorted(map(len, read_qrels(qrels).grades.values())) == [1, 3, 3]
    choices = EvaluateChoices(judgements=qrels)
    with Context() as context:
        measured = evaluate(f"jsonl:{queries}", built, Threads(context), choices)
    assert measured.regraded is not None
    assert (measured.queries, measured.regraded.queries, measured.regraded.unjudged) == (2, 3, 0)
    assert measured.regraded.is_whole
    assert measured.metrics["hybrid"]["R@10"] == 1.0


def test_places_that_cannot_be_written_are_said_before(pressed: Settings, tmp_path: Path) -> None:
    place = str(tmp_path / "a")
    with pytest.raises(UsageError, match="twice"):
        export_judgements(pressed, ExportedJudgements(qrels=place, jsonl=f"{tmp_path}/./a"))
    with pytest.raises(WorkFolderError, match="no folder"):
        export_judgements(pressed, ExportedJudgements(qrels=place, queries=f"{place}/b"))
    assert not Path(place).exists()


def test_nothing_was_judged(pressed: Settings) -> None:
    other = pressed.model_copy(update={"collection": "another"})
    with pytest.raises(DatasetError, match=r"nothing of collection 'another'.*some of 'muge'"):
        export_judgements(other, ExportedJudgements())


def test_the_command(pressed: Settings, muge: Muge, tmp_path: Path) -> None:
    place = ("--work-dir", pressed.work_url, "--store", pressed.store_uri)
    said = muge("judgements", "export", "--qrels", "q", "--queries", "a b.jsonl", *place)
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == "muge: 7 thumbs, users: 2; 7 pictures of 3 queries have a grade, 3 fit"
    advice = "muge evaluate 'jsonl:a b.jsonl' --judgements q "
    assert lines[-1].startswith(f"Measure by them: {advice}")
    assert f"--work-dir {pressed.work_url}" in lines[-1]
    counted = json.loads(muge("judgements", "export", "--json", *place).stdout)
    assert counted["telling"] == 2
    chinese = muge("judgements", "export", *place, environment={"MUGE_LANGUAGE": "zh"}).stdout
    said_in_chinese = "muge：赞与踩 7 次，用户 2 个；3 条查询的 7 张图片有等级，3 张合适"
    assert chinese.splitlines()[0] == said_in_chinese
    none = muge("judgements", "export", "--work-dir", str(tmp_path / "empty"))
    assert (none.returncode, none.stdout) == (2, "")
    assert "was judged yet" in none.stderr

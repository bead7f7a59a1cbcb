"""The alpha that suits a collection is measured when it is indexed, and searches use it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import muge_search
from tasks.context import Context
from tasks.evaluate import proposal as proposals
from tasks.evaluate.stages import evaluate
from tasks.index.alpha import is_dominated, is_open, usual_alpha
from tasks.index.runner import Threads
from tasks.index.status import collection_statuses
from tasks.reindex.operation import reindex
from tasks.search.batches import search_file
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import EvaluateChoices, ReindexChoices, Settings, load_settings
from tasks.work.collections import AlphaProposal, CollectionRecord, require_record, save_record
from tasks.work.folder import Folder
from tests.search.conftest import settings_in
from tests.search.library import build, make_pictures

PICTURES = 30
THINGS = ("运动鞋", "连衣裙", "充电器", "保温杯", "双肩包", "太阳镜")
COLOURS = ("红色", "蓝色", "白色", "黑色", "绿色")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pictures with two texts each that share a name: without one text, the other finds it."""
    folder = make_pictures(tmp_path_factory.mktemp("named") / "pictures", PICTURES)
    lines = [
        {"query_id": 2 * n + k, "query": text, "image_id": n, "image": f"{n}.png"}
        for n in range(PICTURES)
        for k, text in enumerate(_texts(n))
    ]
    said = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "queries.jsonl").write_text(said, "utf-8")
    return f"folder:{folder}"


def _texts(number: int) -> tuple[str, str]:
    colour, thing = COLOURS[number % 5], THINGS[number // 5]
    return f"{colour}{thing}", f"{thing}{colour} 新款{number}"


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> Settings:
    return settings_in(tmp_path, model)


def record_of(settings: Settings) -> CollectionRecord:
    return require_record(Folder(settings.work_url), settings.store_uri, settings.collection)


def test_it_is_what_an_evaluation_without_the_query_finds(
    context: Context, dataset: str, settings: Settings
) -> None:
    build(context, dataset, settings)
    found = record_of(settings).proposal
    assert found is not None
    assert found.why == ""
    assert found.made_of == record_of(settings).made_of
    options = EvaluateChoices(protocol="leave-query-out", alpha_sweep=True)
    sweep = evaluate(context, dataset, settings, options).sweep
    assert sweep is not None
    assert (found.chosen_on, found.reported_on) == (sweep.chosen_on, sweep.reported_on)
    assert found.chosen_on + found.reported_on == 2 * PICTURES
    assert 0 < found.alpha < 1
    assert found.gains.keys() == sweep.curves["weighted"].keys()
    assert found.gains[f"{found.alpha:g}"] == (0.0, 0.0, 0.0)
    if sweep.best["weighted"] == found.alpha:
        assert found.gains["1"][0] == pytest.approx(-sweep.gains["dense"]["MR"].value)
        assert found.gains["0"][0] == pytest.approx(-sweep.gains["sparse"]["MR"].value)
    value, low, high = found.gains["1"]
    assert 0 < low <= value <= high  # a random model knows nothing, the names say it all


def test_it_is_measured_once(
    context: Context, dataset: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(context, dataset, settings)
    found = record_of(settings).proposal
    monkeypatch.setattr(proposals, "drawn_queries", None)
    build(context, dataset, settings)
    assert record_of(settings).proposal == found


def test_a_few_changes_do_not_have_it_measured_anew(
    context: Context,
    dataset: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "pictures"
    shutil.copytree(dataset.removeprefix("folder:"), folder)
    dataset = f"folder:{folder}"
    build(context, dataset, settings)
    before = record_of(settings)
    assert before.proposal is not None
    assert before.certainty is not None
    lines = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").split("\n")]

    def reindexed(changed: int) -> CollectionRecord:
        said = [{**line, "query": f"{line['query']} 换 {changed}"} for line in lines[:changed]]
        text = "\n".join(json.dumps(line) for line in [*said, *lines[changed:]])
        (folder / "queries.jsonl").write_text(text, "utf-8")
        reindex(dataset, settings, Threads(context), ReindexChoices())
        return record_of(settings)

    with monkeypatch.context() as patched:
        patched.setattr(proposals, "drawn_queries", None)  # measuring would fail
        after = reindexed(1)
    assert after.made_of != before.made_of
    assert after.proposal == replace(before.proposal, made_of=after.made_of, changed=1)
    assert after.certainty == replace(before.certainty, made_of=after.made_of)
    # one document of 30 more is more than 5 %: they are counted together
    again = reindexed(2)
    assert again.proposal is not None
    assert (again.proposal.made_of, again.proposal.changed) == (again.made_of, 0)
    assert again.certainty is not None
    assert again.certainty.made_of == again.made_of


def measured(settings: Settings, gain: tuple[float, float, float]) -> CollectionRecord:
    """The record, had it been measured so."""
    gains = {"0": gain, "0.3": (0.0, 0.0, 0.0), "0.8": gain, "1": gain}
    found = AlphaProposal("x", alpha=0.3, chosen_on=30, reported_on=30, gains=gains)
    record = replace(record_of(settings), proposal=found)
    save_record(Folder(settings.work_url), record)
    return record


def test_searches_use_one_that_is_clearly_better_and_say_so(
    context: Context,
    dataset: str,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build(context, dataset, settings)
    measured(settings, (0.07, 0.03, 0.11))
    caplog.clear()
    searcher = open_searcher(context, settings)
    asked = Question(text="红色运动鞋", alpha=settings.alpha, alpha_is_open=True)
    assert searcher.search(asked).question.alpha == 0.3
    assert searcher.search(replace(asked, alpha_is_open=False)).question.alpha == 0.8
    (said,) = caplog.messages
    assert "alpha 0.3 finds +0.070 [+0.030, +0.110] mean recall more than 0.8 on 30" in said
    assert "searches use it" in said
    lines = [{"text": "红色运动鞋"}, {"text": "红色运动鞋", "alpha": 0.8}]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    out = tmp_path / "a.jsonl"
    search_file(context, settings, str(tmp_path / "q.jsonl"), str(out), asked)
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [answer["query"]["alpha"] for answer in answers] == [0.3, 0.8]
    # and so does an evaluation
    assert evaluate(context, dataset, settings, EvaluateChoices()).alpha == 0.3
    (status,) = collection_statuses(context, settings)
    assert status.alpha == 0.3
    # from Python too, where the settings do not name one
    context.close()
    assert muge_search.evaluate(dataset, settings=settings).alpha == 0.3
    with muge_search.open_collection(settings=settings) as collection:
        assert collection.search("红色运动鞋").question.alpha == 0.3


@pytest.mark.thorough
def test_one_that_was_asked_for_is_used_and_called_worse(
    context: Context, dataset: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    build(context, dataset, settings)
    record = measured(settings, (0.07, 0.03, 0.11))
    caplog.clear()
    given = load_settings(**settings.model_dump(exclude_unset=True), alpha=0.8)
    assert (is_open(settings), is_open(given)) == (True, False)
    assert usual_alpha(given, record) == 0.8
    open_searcher(context, given)
    (said,) = caplog.messages
    assert "leave --alpha out to use it" in said
    # one side alone is a choice of its own
    assert not any(is_dominated(alpha, record) for alpha in (0.0, 1.0, 0.3))


@pytest.mark.gate("gain0")
@pytest.mark.parametrize("gain", [(0.02, -0.01, 0.05), (0.006, 0.004, 0.008), (0.0, 0.0, 0.0)])
def test_one_that_may_be_no_better_is_not_used(
    context: Context,
    dataset: str,
    settings: Settings,
    gain: tuple[float, float, float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    build(context, dataset, settings)
    record = measured(settings, gain)
    caplog.clear()
    assert usual_alpha(settings, record) == 0.8
    open_searcher(context, settings)
    assert caplog.messages == []


def test_alpha_of_the_environment_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_open(load_settings())
    monkeypatch.setenv("MUGE_ALPHA", "0.8")
    assert not is_open(load_settings())


WHYS = {
    "few": ("FEWEST", 10**6, "it has 60 queries, fewer than 1000000"),
    "many": ("MOST_DOCUMENTS", 3, "it has more than 3 documents"),
}


@pytest.mark.parametrize("case", WHYS)
def test_what_cannot_be_judged_is_not_proposed(
    case: str,
    context: Context,
    dataset: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, value, why = WHYS[case]
    monkeypatch.setattr(proposals, name, value)
    build(context, dataset, settings)
    found = record_of(settings).proposal
    assert found is not None
    assert (found.why, found.alpha, found.gains) == (why, 0.0, {})
    assert usual_alpha(settings, record_of(settings)) == 0.8


def test_pictures_with_one_text_each_cannot_tell(
    context: Context, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "FEWEST", 5)
    make_pictures(tmp_path / "one")  # two pictures a query
    lines = (tmp_path / "one" / "queries.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "one" / "queries.jsonl").write_text("\n".join(lines[:-1]), "utf-8")
    build(context, f"folder:{tmp_path / 'one'}", settings)
    found = record_of(settings).proposal
    assert found is not None
    assert found.why == "for 100% of its queries no right picture has another text"

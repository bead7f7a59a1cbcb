"""The Python API: what the command does, without Prefect and without a server."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

import muge_search
from muge_search import Collection, EvaluateChoices, MugeError, ReindexChoices, Settings
from tasks.errors import (
    CollectionRecordError,
    DatasetError,
    QualityDropError,
    QueryError,
    UsageError,
)
from tasks.evaluate.result import as_json
from tasks.search.questions import Question
from tasks.settings import load_settings
from tests.evaluate.test_stages import HELD_OUT, questions
from tests.forked import ForkedMuge
from tests.search.conftest import built, one_thread, own, pictures, settings_in
from tests.search.library import COUNT, WORDS, make_pictures

__all__ = ["built", "one_thread", "own", "pictures"]


@pytest.fixture
def collection(built: Settings) -> Iterator[Collection]:
    with muge_search.open_collection(settings=built) as opened:
        yield opened


def ids(collection: Collection, *arguments: object, **named: object) -> list[str]:
    answer = collection.search(*arguments, **named)  # type: ignore[arg-type]
    return [hit.id for hit in answer.hits]


def test_importing_it_imports_neither_prefect_nor_torch() -> None:
    code = (
        "import sys, muge_search\n"
        "heavy = {'prefect', 'torch', 'zvec', 'dashvector', 'dashtext', 'pyarrow', 'typer'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.thorough
def test_all_of_it_works_without_prefect(model: Path, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 6)
    code = (
        "import sys; sys.modules['prefect'] = None\n"
        "import muge_search\n"
        f"data = {f'folder:{pictures}'!r}\n"
        f"report = muge_search.index(data, model={str(model)!r})\n"
        f"again = muge_search.reindex(data, model={str(model)!r})\n"
        "choices = muge_search.EvaluateChoices(protocol='leave-query-out')\n"
        "measured = muge_search.evaluate(data, choices=choices)\n"
        "with muge_search.open_collection() as collection:\n"
        "    hits = collection.search('夏天', alpha=0).hits\n"
        "print(report.documents, again.changed, measured.gallery, [hit.id for hit in hits])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"MUGE_HOME": str(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "6 False 6 ['0']"
    assert (tmp_path / "home" / "work").is_dir()


def test_everything_that_is_promised_is_there() -> None:
    for name in muge_search.__all__:
        thing = getattr(muge_search, name)
        assert inspect.getdoc(thing), name
    assert issubclass(UsageError, MugeError)


def test_a_collection_is_searched_while_another_process_changes_it(
    model: Path, tmp_path: Path, forked: ForkedMuge
) -> None:
    data, settings = make_pictures(tmp_path / "pictures"), settings_in(tmp_path, model)
    muge_search.index(f"folder:{data}", settings=settings)
    places = ["--store", settings.store_uri, "--work-dir", settings.work_url, "--model", str(model)]
    with muge_search.open_collection(settings=settings) as collection:
        before = ids(collection, "夏天", topk=COUNT)
        (data / "0.png").unlink()
        asked = ["reindex", f"folder:{data}", *places, "--orchestrator", "none", "--json"]
        done = forked.run(asked, tmp_path, os.environ)
        assert (done.returncode, json.loads(done.stdout)["deleted"]) == (3, 1), done.stderr
        assert ids(collection, "夏天", topk=COUNT) == before
    with muge_search.open_collection(settings=settings) as collection:
        assert sorted(ids(collection, "夏天", topk=COUNT)) == sorted({*before} - {"0"})


def test_index_and_reindex(model: Path, tmp_path: Path) -> None:
    data, settings = make_pictures(tmp_path / "pictures"), settings_in(tmp_path, model)
    dataset = f"folder:{data}"
    first = muge_search.index(dataset, settings=settings)
    assert (first.collection, first.documents, first.encoded_images) == ("muge", COUNT, COUNT)
    assert (first.verified, first.rejects, first.model) == (True, 0, str(model))
    assert json.loads(json.dumps(asdict(first)))["work_dir"] == settings.work_url
    again = muge_search.index(dataset, settings=settings)
    assert (again.encoded_images, again.upserted, again.documents) == (0, 0, COUNT)

    shutil.copy(data / "3.png", data / "0.png")
    changed = muge_search.reindex(dataset, settings=settings)
    assert (changed.upserted, changed.deleted, changed.documents) == (1, 0, COUNT)
    same = muge_search.reindex(dataset, settings=settings)
    assert (same.changed, same.upserted, same.encoded_images) == (False, 0, 0)

    beside = ReindexChoices(strategy="blue-green")
    pairs = settings.model_copy(update={"document": "pair"})
    moved = muge_search.reindex(dataset, settings=pairs, choices=beside)
    assert (moved.name, moved.previous, moved.documents) == ("muge", "muge", COUNT + 1)
    with muge_search.open_collection(settings=pairs) as collection:
        assert collection.name == moved.collection != "muge"
        assert ids(collection, "夏天", alpha=0) == ["0-100"]


def test_what_was_made_of_something_else_is_replaced_if_asked_for(
    model: Path, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, model)
    first, second = (make_pictures(tmp_path / name, count) for name, count in (("a", 6), ("b", 4)))
    muge_search.index(f"folder:{first}", settings=settings)
    with pytest.raises(CollectionRecordError, match="--replace"):
        muge_search.index(f"folder:{second}", settings=settings)
    report = muge_search.index(f"folder:{second}", settings=settings, replace=True)
    assert report.documents == 4


def test_progress_is_told(model: Path, tmp_path: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.stages: list[str] = []
            self.sent = 0

        def start(self, stage: str, total: int | None) -> None:
            self.stages.append(stage)

        def advance(self, stage: str, done: int) -> None:
            self.sent += done if stage == "upsert" else 0

        def finish(self, stage: str, made: int | None) -> None:
            pass

    told, again = Told(), Told()
    dataset, settings = f"folder:{make_pictures(tmp_path / 'a', 6)}", settings_in(tmp_path, model)
    muge_search.index(dataset, settings=settings, progress=told)
    assert (told.stages[0], told.sent) == ("plan", 6)
    assert {"encode_images", "encode_texts", "train_bm25", "upsert", "verify"} <= {*told.stages}
    muge_search.reindex(dataset, settings=settings, progress=again)
    assert "upsert" in again.stages
    measured = Told()
    choices = EvaluateChoices(protocol="leave-query-out")
    muge_search.evaluate(dataset, settings=settings, choices=choices, progress=measured)
    assert "search_exact" in measured.stages
    assert told.sent == 6


@pytest.mark.thorough
def test_evaluate_and_its_baseline(built: Settings, tmp_path: Path) -> None:
    dataset = questions(tmp_path / "asked", HELD_OUT)
    measured = muge_search.evaluate(dataset, settings=built)
    assert (measured.protocol.name, measured.gallery) == ("held-out", COUNT)
    assert measured.metrics.keys() == {"dense", "sparse", "hybrid"}

    baseline = tmp_path / "baseline.json"
    said = json.loads(json.dumps(as_json(measured)))
    baseline.write_text(json.dumps(said), "utf-8")
    held = EvaluateChoices(baseline=str(baseline))
    assert muge_search.evaluate(dataset, settings=built, choices=held).metrics == measured.metrics

    said["metrics"]["sparse"]["R@5"] += 0.2
    baseline.write_text(json.dumps(said), "utf-8")
    with pytest.raises(QualityDropError, match="R@5"):
        muge_search.evaluate(dataset, settings=built, choices=held)
    patient = EvaluateChoices(baseline=str(baseline), max_metric_drop=0.25)
    assert muge_search.evaluate(dataset, settings=built, choices=patient).queries == len(HELD_OUT)
    missing = EvaluateChoices(baseline=str(tmp_path / "none.json"))
    with pytest.raises(UsageError):
        muge_search.evaluate(dataset, settings=built, choices=missing)


def test_search_by_text(collection: Collection) -> None:
    found = ids(collection, WORDS[1], alpha=0, topk=COUNT)
    assert set(found) == {"1", str(1 + len(WORDS))}
    assert len(ids(collection, text=WORDS[1])) == 10
    answer = collection.search("夏天", alpha=0)
    assert answer.hits[0].fields["query"] == "红色连衣裙\n夏天 长款"
    assert (answer.question.text, answer.question.topk) == ("夏天", 10)


def test_search_by_a_picture(collection: Collection, pictures: Path) -> None:
    file = pictures / "7.png"
    for image in (file, str(file), file.read_bytes()):
        answer = collection.search(image=image, topk=3)
        assert answer.hits[0].id == "7"
        assert answer.hits[0].score == pytest.approx(1, abs=1e-4)
        assert answer.picture == file.read_bytes()


def test_search_by_both(collection: Collection, pictures: Path) -> None:
    answer = collection.search("apple", pictures / "3.png", alpha=0.6, topk=COUNT)
    by_id = {hit.id: hit for hit in answer.hits}
    assert by_id["3"].dense == pytest.approx(0.6, abs=1e-4)
    assert {id for id, hit in by_id.items() if hit.sparse > 0} == {"4", "10"}


def test_search_for_more_like_a_document(collection: Collection) -> None:
    found = ids(collection, like="5", topk=4)
    assert len(found) == 4
    assert "5" not in found


def test_filters_and_groups(collection: Collection) -> None:
    assert set(ids(collection, "红色", filter="image_id < 4", topk=9)) == {"0", "1", "2", "3"}
    answer = collection.search("红色", group_by="query_id", topk=2)
    assert len(answer.groups) == 2


def test_a_question_is_asked_as_it_is(collection: Collection, pictures: Path) -> None:
    question = Question("红色", alpha=0.5, topk=2, group_by="query_id", per_group=1)
    assert [len(group.hits) for group in collection.ask(question).groups] == [1, 1]
    content = (pictures / "2.png").read_bytes()
    named = Question(image="anything", topk=1)
    assert [hit.id for hit in collection.ask(named, content).hits] == ["2"]


BAD = {
    "nothing asked": {},
    "text twice": {"text": "a", "image": b"1", "like": "3"},
    "alpha": {"text": "红色", "alpha": 2.0},
    "topk": {"text": "红色", "topk": 0},
    "no picture": {"image": b"not a picture"},
    "no file": {"image": "missing.png"},
    "nobody": {"like": "nobody"},
    "filter": {"text": "红色", "filter": "nonsense = = 1"},
    "no keyword": {"text": "的", "alpha": 0.0},
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_asked_is_a_query_error(case: str, collection: Collection) -> None:
    with pytest.raises(QueryError) as caught:
        ids(collection, **BAD[case])  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert ids(collection, "夏天", alpha=0) == ["0"]  # and it goes on


def test_errors_are_of_one_tree(built: Settings, tmp_path: Path, model: Path) -> None:
    nowhere = settings_in(tmp_path, model)
    with pytest.raises(CollectionRecordError, match="muge index"):
        muge_search.open_collection(settings=nowhere)
    with pytest.raises(CollectionRecordError, match=r"'other' .*has no record"):
        muge_search.open_collection("other", settings=built)
    with pytest.raises(UsageError, match="zvec:DIR"):
        muge_search.open_collection(store="milvus:x", settings=built)
    with pytest.raises(DatasetError):
        muge_search.index(f"folder:{tmp_path / 'none'}", settings=nowhere)
    ray, few = nowhere.model_copy(update={"runner": "ray"}), make_pictures(tmp_path / "a", 3)
    with pytest.raises(UsageError, match="ray"):
        muge_search.index(f"folder:{few}", settings=ray)
    choices = ReindexChoices(gate_queries="sample:")
    with pytest.raises(UsageError, match="gate-queries"):
        muge_search.reindex("sample:", settings=nowhere, choices=choices)


def test_an_opened_collection_is_let_go(own: Settings, pictures: Path) -> None:
    """Nothing is open after the block, so that the next one may write."""
    muge_search.index(f"folder:{pictures}", settings=own, replace=True)
    with muge_search.open_collection(settings=own) as collection:
        assert len(ids(collection, "红色")) == 10
    pairs = own.model_copy(update={"document": "pair"})
    report = muge_search.index(f"folder:{pictures}", settings=pairs, replace=True)
    assert report.documents == COUNT + 1


def test_arguments_win_over_settings_and_settings_over_the_environment(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'a', 3)}"
    settings = settings_in(tmp_path, model).model_copy(update={"collection": "chosen"})
    monkeypatch.setenv("MUGE_COLLECTION", "environment")
    monkeypatch.setenv("MUGE_MODEL", str(tmp_path / "no model"))
    monkeypatch.setenv("MUGE_PICTURE", "none")
    monkeypatch.setenv("MUGE_HOME", str(tmp_path / "elsewhere"))
    store = f"zvec:{tmp_path}/store"

    said = muge_search.index(dataset, settings=settings)
    assert (said.collection, said.store) == ("chosen", settings.store_uri)
    won = muge_search.index(dataset, settings=settings, collection="given", store=store)
    assert (won.collection, won.store, won.work_dir) == ("given", store, settings.work_url)
    copied = shutil.copytree(model, tmp_path / "model")
    other = muge_search.index(dataset, settings=settings, collection="other", model=str(copied))
    assert other.model == str(copied)

    with muge_search.open_collection("given", store=store, settings=settings) as collection:
        assert collection.name == "given"
        assert collection.search("夏天", alpha=0).hits[0].fields["picture"]
    plain = muge_search.index(dataset, model=str(model))
    assert plain.collection == "environment"
    assert plain.work_dir == str(tmp_path / "elsewhere" / "work")
    with muge_search.open_collection() as collection:
        assert collection.name == "environment"
        assert not collection.search("夏天", alpha=0).hits[0].fields["picture"]
    changed = muge_search.reindex(dataset, settings=settings, collection="given", store=store)
    assert changed.name == "given"
    assert load_settings().collection == "environment"


def test_an_argument_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="collection name 'a b' is not allowed"):
        muge_search.index("sample:", collection="a b", settings=load_settings(home=str(tmp_path)))


def test_the_settings_say_how_to_search(built: Settings) -> None:
    few = built.model_copy(update={"topk": 3, "alpha": 0.0})
    with muge_search.open_collection(settings=few) as collection:
        answer = collection.search("红色连衣裙")
        assert (answer.question.alpha, answer.question.topk) == (0.0, 3)
        assert {hit.id for hit in answer.hits} == {"0", "6"}
        assert len(ids(collection, "红色连衣裙", alpha=1.0, topk=5)) == 5


BAD_CALLS: dict[str, Callable[[Settings, Collection], object]] = {
    "text is 5, expected str or None": lambda _, opened: opened.search(text=5),  # type: ignore[arg-type]
    "filter is 5": lambda _, opened: opened.search("帽子", filter=5),  # type: ignore[arg-type]
    "like is 3, expected str": lambda _, opened: opened.search(like=3),  # type: ignore[arg-type]
    "image is 5, expected str or Path": lambda _, opened: opened.search(image=5),  # type: ignore[arg-type]
    "dataset is 5, expected str": lambda *_: muge_search.index(5),  # type: ignore[arg-type]
    "settings is {'topk': 3}": lambda *_: muge_search.index("x:", settings={"topk": 3}),  # type: ignore[arg-type]
    "store is 7": lambda *_: muge_search.index("x:", store=7),  # type: ignore[arg-type]
    "choices is 'blue-green', expected ReindexChoices": lambda given, _: muge_search.reindex(
        "folder:x",
        settings=given,
        choices="blue-green",  # type: ignore[arg-type]
    ),
    "choices is {}, expected EvaluateChoices": lambda given, _: muge_search.evaluate(
        "folder:x",
        settings=given,
        choices={},  # type: ignore[arg-type]
    ),
    "expected an object with start": lambda given, _: muge_search.index(
        "folder:x",
        settings=given,
        progress=print,  # type: ignore[arg-type]
    ),
    "topk (MUGE_TOPK) is 0": lambda *_: Settings(topk=0),
    "strategy is 'green'": lambda *_: ReindexChoices(strategy="green"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("said", BAD_CALLS)
def test_a_wrong_argument_is_one_line(said: str, built: Settings, collection: Collection) -> None:
    with pytest.raises(UsageError) as error:
        BAD_CALLS[said](built, collection)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_closed_collection_says_so(built: Settings) -> None:
    opened = muge_search.open_collection(settings=built)
    opened.close()
    with pytest.raises(UsageError, match="was closed; open it again"):
        opened.search("帽子")

"""Searching a real collection with a real (tiny, random) model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.context import Context
from tasks.encode.model import load
from tasks.encode.model.load import load_encoder
from tasks.errors import CollectionRecordError, QueryError, WorkFolderError
from tasks.index.documents import collection_spec
from tasks.search.questions import Question
from tasks.search.searcher import Searcher, answers, as_json, open_searcher, searcher_of
from tasks.search.stages import search
from tasks.settings import Settings
from tasks.sparse.bm25 import train_bm25
from tasks.work.collections import find_record, require_record, save_record
from tasks.work.folder import Folder
from tasks.work.markers import mark_complete
from tests.encode.model.models import make_model
from tests.search.conftest import settings_in
from tests.search.library import COUNT, WORDS, build, make_pictures


@pytest.fixture(scope="module")
def opened() -> Iterator[Context]:
    """The context of all tests that only read `built`."""
    with Context() as made:
        yield made


@pytest.fixture(scope="module")
def searcher(opened: Context, built: Settings) -> Searcher:
    return open_searcher(opened, built)


def ids(searcher: Searcher, question: Question) -> list[str]:
    return [hit.id for hit in searcher.search(question).hits]


def test_text_by_meaning(opened: Context, searcher: Searcher, model: Path) -> None:
    hits = searcher.search(Question("红色连衣裙", topk=COUNT)).hits
    assert sorted(hit.id for hit in hits) == sorted(str(number) for number in range(COUNT))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    vector = load_encoder(str(model), "cpu").encode_texts(["红色连衣裙"])[0]
    for hit in hits:
        document = opened.store(searcher._settings.store_uri).fetch("muge", [hit.id])[hit.id]
        assert hit.score == pytest.approx(float(np.dot(vector, document.vector)), abs=1e-5)
        assert hit.sparse == 0


def test_one_text_alone_needs_no_torch_and_a_picture_does(
    opened: Context, built: Settings, searcher: Searcher, pictures: Path
) -> None:
    alone = open_searcher(opened, built, texts_first=True)
    text = Question("红色连衣裙", alpha=0.5, topk=COUNT)
    picture = Question(image=str(pictures / "7.png"), topk=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "torch")  # as in a process of its own
        patch.setattr(load, "is_without_accelerator", lambda: True)
        found = alone.search(text).hits
        assert "torch" not in sys.modules
    assert [hit.id for hit in found] == ids(searcher, text)
    steered = replace(picture, text="红色", text_weight=0.5)
    for question in (picture, steered):
        assert ids(alone, question) == ids(searcher, question)


def test_once_the_whole_model_is_there_it_reads_texts_too(
    opened: Context, built: Settings, searcher: Searcher
) -> None:
    text = Question("红色连衣裙", topk=COUNT)
    (right,) = searcher.encode([searcher.prepare(text)])
    served = open_searcher(opened, built, texts_first=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        patch.setattr(load, "is_without_accelerator", lambda: True)
        (before,) = served.encode([served.prepare(text)])
    served.load()
    (after,) = served.encode([served.prepare(text)])
    assert before.dense is not None
    assert after.dense is not None
    assert right.dense is not None
    np.testing.assert_allclose(before.dense, right.dense, atol=2e-6)
    np.testing.assert_array_equal(after.dense, right.dense)


def test_one_text_alone_wants_the_very_model_too(
    opened: Context, built: Settings, searcher: Searcher
) -> None:
    other = replace(searcher.record, model=replace(searcher.record.model, weights="0" * 64))
    alone = searcher_of(opened, built, other, texts_first=True)
    with pytest.raises(CollectionRecordError, match=r"was made with .* weights 000000000000"):
        alone.search(Question("红色连衣裙"))


def test_a_picture_finds_itself(searcher: Searcher, pictures: Path) -> None:
    for number in (0, 7, 11):
        file = pictures / f"{number}.png"
        answer = searcher.search(Question(image=str(file), topk=3))
        assert answer.hits[0].id == str(number)
        assert answer.hits[0].score == pytest.approx(1, abs=1e-4)
        assert answer.picture == file.read_bytes()


def test_keywords_alone(searcher: Searcher) -> None:
    for number, word in enumerate(WORDS):
        found = ids(searcher, Question(word, alpha=0, topk=COUNT))
        assert set(found[:2]) == {str(number), str(number + len(WORDS))}


def test_both_are_the_picture_by_meaning_and_the_text_by_keywords(
    searcher: Searcher, pictures: Path
) -> None:
    picture = str(pictures / "3.png")
    asked = Question("apple", picture, alpha=0.6, topk=COUNT)
    near = {hit.id: hit.score for hit in searcher.search(replace(asked, alpha=1)).hits}
    words = {hit.id: hit.score for hit in searcher.search(replace(asked, alpha=0)).hits}
    assert set(words) == {"4", "10"}
    hits = searcher.search(asked).hits
    assert len(hits) == COUNT
    for hit in hits:
        assert hit.dense == pytest.approx(0.6 * near[hit.id], abs=1e-4)
        assert hit.sparse == pytest.approx(0.4 * words.get(hit.id, 0), abs=1e-4)
        assert hit.score == pytest.approx(hit.dense + hit.sparse, abs=1e-6)


def test_an_answer_says_which_words_counted(searcher: Searcher) -> None:
    """Pages mark those: cut as the collection is, which counts words."""
    counted = searcher.search(Question("红色连衣裙", alpha=0.5, topk=1)).counted
    assert "".join(sorted(set("".join(counted)))) == "".join(sorted(set("红色连衣裙")))
    assert max(map(len, counted)) > 2
    assert searcher.search(Question("红色连衣裙", alpha=1, topk=1)).counted == ()


def test_a_filter(searcher: Searcher) -> None:
    for alpha in (0.0, 0.5, 1.0):
        found = ids(searcher, Question("红色连衣裙", alpha=alpha, topk=9, filter="image_id < 4"))
        assert set(found) <= {"0", "1", "2", "3"}
        assert "0" in found
    with pytest.raises(QueryError):
        searcher.search(Question("红色", filter="nonsense = = 1"))


def test_fields_of_hits(searcher: Searcher) -> None:
    (hit,) = searcher.search(Question("夏天", alpha=0)).hits
    assert hit.fields["query"] == "红色连衣裙\n夏天 长款"
    assert (hit.fields["image_id"], hit.fields["query_id"], hit.fields["queries"]) == (0, 0, 2)
    assert str(hit.fields["picture"]).startswith("/9j/")


@pytest.mark.parametrize("text", ["的", "，。！", "the 了 ，"])
def test_stop_words_alone(searcher: Searcher, text: str) -> None:
    with pytest.raises(QueryError, match=r"no keyword.*--alpha above 0"):
        searcher.search(Question(text, alpha=0))
    by_meaning = ids(searcher, Question(text, alpha=1, topk=COUNT))
    assert ids(searcher, Question(text, alpha=0.3, topk=COUNT)) == by_meaning


def test_keywords_that_no_document_has(searcher: Searcher) -> None:
    assert ids(searcher, Question("宇宙飞船", alpha=0)) == []
    assert len(ids(searcher, Question("宇宙飞船", alpha=0.5))) == 10


def test_topk_beyond_the_collection(searcher: Searcher) -> None:
    assert len(ids(searcher, Question("红色", topk=1024))) == COUNT


def test_hard_text(searcher: Searcher) -> None:
    for text in ("长" * 10_000, "😀👨\u200d👩", "a\0b", "'; drop", "红色" * 3000):
        assert len(ids(searcher, Question(text, alpha=0.5, topk=3))) == 3


def test_pictures_that_cannot_be_used(searcher: Searcher, tmp_path: Path) -> None:
    for content in (b"", b"not a picture", b"\x89PNG\r\n\x1a\n1234"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(QueryError, match=r"picture .*a.png. cannot be used") as error:
            searcher.search(Question(image=str(tmp_path / "a.png")))
        assert "\n" not in str(error.value)
    with pytest.raises(QueryError, match="No such file"):
        searcher.search(Question(image=str(tmp_path / "b.png")))


def test_the_json_of_an_answer(searcher: Searcher) -> None:
    said = json.loads(json.dumps(as_json(searcher.search(Question("夏天", alpha=0, topk=2)))))
    assert said["query"] == {
        "text": "夏天",
        "image": None,
        "alpha": 0,
        "topk": 2,
        "filter": None,
    }
    assert said["hits"][0].keys() == {"id", "score", "dense", "sparse", "fields", "source"}
    assert said["hits"][0]["source"] == {"row": "0.png"}
    assert said["took_ms"].keys() == {"model", "store", "total"}


def test_many_questions_at_once(opened: Context, built: Settings) -> None:
    asked = [Question("夏天", alpha=0), Question("宇宙飞船", alpha=0), Question("夏天", alpha=0)]
    found = search(opened, built, asked)
    assert [[hit.id for hit in answer.hits] for answer in found] == [["0"], [], ["0"]]


def test_answers_by_keywords_have_a_score(searcher: Searcher) -> None:
    (hit,) = searcher.search(Question("夏天", alpha=0)).hits
    assert answers(hit, 0)
    assert not answers(replace(hit, score=0.0), 0)
    assert answers(replace(hit, score=-0.5), 0.1)


def test_pair_documents(context: Context, model: Path, pictures: Path, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, model).model_copy(update={"document": "pair"})
    _, record = build(context, f"folder:{pictures}", settings)
    assert record.counts["documents"] == COUNT + 1
    searcher = open_searcher(context, settings)
    (hit,) = searcher.search(Question("夏天", alpha=0)).hits
    assert hit.id == "0-100"
    assert (hit.fields["query"], hit.fields["queries"]) == ("夏天 长款", 1)


def refused(
    context: Context, settings: Settings, said: str, question: Question | None = None
) -> None:
    with pytest.raises(CollectionRecordError, match=said) as error:
        open_searcher(context, settings).search(question or Question("红色", alpha=0.5))
    assert "\n" not in str(error.value)


def test_no_record(context: Context, own: Settings, tmp_path: Path) -> None:
    refused(context, own.model_copy(update={"work_dir": str(tmp_path / "other")}), "has no record")
    refused(context, own.model_copy(update={"collection": "other"}), "has no record")


@pytest.fixture
def mine(context: Context, own: Settings, pictures: Path) -> Settings:
    """A collection of this test's own, with its record."""
    build(context, f"folder:{pictures}", own, anew=True)
    return own


def work_of(settings: Settings) -> Folder:
    return Folder(settings.work_url)


def test_an_unfinished_record(context: Context, mine: Settings) -> None:
    record = require_record(work_of(mine), mine.store_uri, "muge")
    save_record(work_of(mine), replace(record, status="building"))
    refused(context, mine, "not complete")


def test_a_collection_that_is_not_in_the_store(context: Context, mine: Settings) -> None:
    context.store(mine.store_uri).drop("muge")
    refused(context, mine, "is not in zvec:")


def test_a_collection_of_another_dimension(context: Context, mine: Settings) -> None:
    store = context.store(mine.store_uri)
    store.drop("muge")
    store.create(collection_spec("muge", 8))
    refused(context, mine, "has 8 dimensions in the store and 64 in its record")


def test_another_model_than_asked_for(context: Context, mine: Settings, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", "resnet-50", seed=1).folder
    with pytest.raises(CollectionRecordError, match="leave --model out"):
        open_searcher(context, mine, str(other))
    assert open_searcher(context, mine, mine.model).record.model.dimension == 64


@pytest.mark.parametrize("asked", ["iic/multi-modal_clip-vit-base-patch16_zh", "owner/other@v1"])
def test_no_hub_is_asked_which_model_is_meant(
    opened: Context, built: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str
) -> None:
    def download(*_: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    for name in ("check_hub", "list_snapshot", "download_snapshot"):
        monkeypatch.setattr(f"tasks.download.modelscope.{name}", download)
    with pytest.raises(CollectionRecordError, match=f"not with {asked}; leave --model out"):
        open_searcher(opened, built, asked)
    assert open_searcher(opened, built, built.model).record.model.name == built.model


def test_a_hub_s_model_is_said_with_its_revision(context: Context, mine: Settings) -> None:
    record = require_record(work_of(mine), mine.store_uri, "muge")
    moved = replace(record.model, name="hf:a/b", revision="f" * 40)
    save_record(work_of(mine), replace(record, model=moved))
    with pytest.raises(CollectionRecordError, match=rf"with model hf:a/b@{'f' * 40} .*not with a/"):
        open_searcher(context, mine, "a/b@v9")


def test_a_model_that_is_another_one_now(context: Context, mine: Settings, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", "resnet-50", seed=1).folder
    record = require_record(work_of(mine), mine.store_uri, "muge")
    moved = replace(record.model, name=str(other))
    save_record(work_of(mine), replace(record, model=moved))
    refused(context, mine, "was made with .* weights")
    old = replace(record.model, preprocessing="pixels-0")
    save_record(work_of(mine), replace(record, model=old))
    refused(context, mine, "preprocessing pixels-0")


def test_other_statistics_than_it_was_made_with(context: Context, mine: Settings) -> None:
    record = require_record(work_of(mine), mine.store_uri, "muge")
    run = work_of(mine).sub(record.run)
    train_bm25(["别的"]).save(run, record.stages.bm25)
    mark_complete(run, record.stages.bm25)
    refused(context, mine, "was made with BM25 statistics")


def test_torn_statistics(context: Context, mine: Settings) -> None:
    record = require_record(work_of(mine), mine.store_uri, "muge")
    file = Path(mine.work_url) / record.run / record.stages.bm25
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(WorkFolderError, match="is not JSON"):
        open_searcher(context, mine).search(Question("红色", alpha=0))


def test_a_model_folder_that_moved_is_followed_by_indexing_again(
    context: Context, pictures: Path, model: Path, tmp_path: Path
) -> None:
    first = shutil.copytree(model, tmp_path / "first")
    settings = settings_in(tmp_path, first)
    build(context, f"folder:{pictures}", settings)
    moved = settings.model_copy(update={"model": str(first.rename(tmp_path / "second"))})
    _, record = build(context, f"folder:{pictures}", moved)
    assert record.model.name == moved.model
    assert len(open_searcher(context, moved).search(Question("红色")).hits) == 10


def test_a_data_set_that_moved_is_followed_by_indexing_again(
    context: Context, model: Path, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, model)
    first = make_pictures(tmp_path / "first", 6)
    _, before = build(context, f"folder:{first}", settings)
    second = first.rename(tmp_path / "second")
    shutil.rmtree(Path(settings.work_url) / before.run)
    _, after = build(context, f"folder:{second}", settings)
    assert (after.run, after.dataset) != (before.run, before.dataset)
    assert find_record(work_of(settings), settings.store_uri, "muge") == after
    assert len(open_searcher(context, settings).search(Question("红色", alpha=0.5)).hits) == 6

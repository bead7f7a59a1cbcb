"""What BM25 counts is the collection's: one made before keeps words, new ones characters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import CollectionRecordError
from tasks.evaluate.judgements import Judgement, protocol_of
from tasks.index.runner import Threads
from tasks.reindex.operation import reindex
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import ReindexChoices, Settings
from tasks.work.collections import CollectionRecord, require_record, save_record
from tasks.work.folder import Folder
from tests.search.conftest import settings_in
from tests.search.library import build, make_pictures

PACE = (0.0, 0.0, 0.0)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = make_pictures(tmp_path / "shop", 3)
    texts = ["羊毛運動鞋", "女士皮鞋", "红色帽子"]
    lines = [
        {"query_id": n, "query": text, "image_id": n, "image": f"{n}.png"}
        for n, text in enumerate(texts)
    ]
    said = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "queries.jsonl").write_text(said, "utf-8")
    return folder


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> Settings:
    return settings_in(tmp_path, model)


def found(context: Context, settings: Settings, text: str) -> list[str]:
    searcher = open_searcher(context, settings)
    return [hit.id for hit in searcher.search(Question(text=text, alpha=0.0)).hits]


def as_before(settings: Settings, record: CollectionRecord) -> None:
    """The record as a version wrote it that knew words only."""
    recipe = {k: v for k, v in record.recipe.items() if k not in ("tokens", "simplified")}
    save_record(Folder(settings.work_url), replace(record, recipe=recipe))


def test_a_new_collection_counts_characters_of_one_spelling(
    context: Context, shop: Path, settings: Settings
) -> None:
    _, record = build(context, f"folder:{shop}", settings)
    assert (record.recipe["tokens"], record.recipe["simplified"]) == ("chars", "yes")
    assert found(context, settings, "运动鞋") == ["0", "1"]  # the second has 鞋 alone
    assert found(context, settings, "運動") == ["0"]


def test_a_collection_made_before_keeps_words(
    context: Context, shop: Path, settings: Settings
) -> None:
    words = settings.model_copy(update={"tokens": "words", "simplified": "no"})
    _, record = build(context, f"folder:{shop}", words)
    as_before(settings, record)
    assert found(context, settings, "运动鞋") == []  # written in other characters there
    assert found(context, settings, "皮鞋") == ["1"]
    again, kept = build(context, f"folder:{shop}", settings)
    assert (again.upserted, kept.bm25, kept.made_of) == (0, record.bm25, record.made_of)
    assert (kept.recipe["tokens"], kept.recipe["simplified"]) == ("words", "no")
    as_before(settings, record)
    done = reindex(f"folder:{shop}", settings, Threads(context, PACE))
    assert (done.upserted, done.documents) == (0, 3)
    chars = settings.model_copy(update={"tokens": "chars"})
    with pytest.raises(CollectionRecordError, match=r"tokens words \(now chars\).*blue-green"):
        reindex(f"folder:{shop}", chars, Threads(context, PACE))
    with pytest.raises(CollectionRecordError, match=r"tokens words \(now chars\)"):
        build(context, f"folder:{shop}", chars)
    anew = ReindexChoices(strategy="blue-green")
    same = reindex(f"folder:{shop}", settings, Threads(context, PACE), anew)
    assert same.upserted == 0  # it has all that already
    other = chars.model_copy(update={"simplified": "yes"})
    done = reindex(f"folder:{shop}", other, Threads(context, PACE), anew)
    assert (done.encoded_images, done.upserted) == (0, 3)
    assert found(context, settings, "运动鞋") == ["0", "1"]
    live = settings.model_copy(update={"collection": done.collection})
    record = require_record(Folder(live.work_url), live.store_uri, live.collection)
    assert record.recipe["tokens"] == "chars"
    # and from now on that is what the collection has
    assert reindex(f"folder:{shop}", settings, Threads(context, PACE)).upserted == 0


def test_a_query_in_other_characters_is_the_same_query() -> None:
    asked = [Judgement("1", "运动鞋", frozenset({"0"}))]
    assert protocol_of(asked, iter(["運動鞋"])).leaks == 1

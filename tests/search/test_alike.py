"""One hit for pictures that are nearly the same, with the others beneath it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.context import Context
from tasks.errors import QueryError
from tasks.records import Float32, Hit
from tasks.report.run_views import search_view
from tasks.report.search_page import render_search_page
from tasks.search.alike import best_of_alike
from tasks.search.answers import as_json
from tasks.search.questions import Question
from tasks.search.searcher import Searcher, open_searcher
from tasks.settings import Settings
from tests.search.conftest import settings_in
from tests.search.library import build, make_pictures

PICTURES, COPIES = 12, 3


@pytest.fixture(scope="module")
def settings(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Twelve pictures, each under three ids: n, 100 + n and 200 + n."""
    place = tmp_path_factory.mktemp("alike")
    folder = make_pictures(place / "pictures", PICTURES)
    lines = [
        {"query_id": 100 * k + n, "query": f"第{n}种 第{k}张", "image_id": 100 * k + n}
        | {"image": f"{n}.png" if k == 0 else f"{k}-{n}.png"}
        for n in range(PICTURES)
        for k in range(COPIES)
    ]
    for n in range(PICTURES):
        for k in range(1, COPIES):
            (folder / f"{k}-{n}.png").write_bytes((folder / f"{n}.png").read_bytes())
    said = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "queries.jsonl").write_text(said, "utf-8")
    settings = settings_in(place, model)
    with Context() as context:
        build(context, f"folder:{folder}", settings)
    return settings


@pytest.fixture
def searcher(context: Context, settings: Settings) -> Searcher:
    return open_searcher(context, settings)


@pytest.mark.parametrize("fusion", ["weighted", "rrf"])
def test_copies_are_beneath_the_best_of_them(searcher: Searcher, fusion: str) -> None:
    asked = Question(text="第5种", alpha=0.6, topk=PICTURES, alike=0.9999, fusion=fusion)  # type: ignore[arg-type]
    answer = searcher.search(asked)
    said = as_json(answer)
    ids = [hit["id"] for hit in said["hits"]]
    assert len({int(id) % 100 for id in ids}) == len(ids) == PICTURES
    for hit in said["hits"]:
        assert {int(id) % 100 for id in hit["alike"]} == {int(hit["id"]) % 100}
        assert len(hit["alike"]) == COPIES - 1
    plain = searcher.search(Question(text="第5种", alpha=0.6, topk=36, fusion=fusion)).hits  # type: ignore[arg-type]
    best: dict[int, str] = {}
    for hit in plain:
        best.setdefault(int(hit.id) % 100, hit.id)
    assert ids == list(best.values())
    assert "还有 2 张几乎一样的" in render_search_page([search_view(answer)], title="x")
    assert "alike" not in as_json(searcher.search(Question(text="第5种")))["hits"][0]


def test_fewer_are_the_beginning_of_more(searcher: Searcher) -> None:
    few, more = (
        searcher.search(Question(text="第5种", topk=topk, alike=0.9999)).hits for topk in (3, 9)
    )
    assert [hit.id for hit in few] == [hit.id for hit in more][:3]


def test_of_one_that_is_searched_with_the_copies_stay(searcher: Searcher) -> None:
    answer = searcher.search(Question(like="5", topk=4, alike=0.9999))
    assert "5" not in {hit.id for hit in answer.hits}
    assert answer.hits[0].id in ("105", "205")
    (beneath,) = answer.alike[answer.hits[0].id]
    assert {beneath, answer.hits[0].id} == {"105", "205"}


@pytest.mark.parametrize("bound", [0, -0.5, 1.01, float("nan"), "much"])
def test_a_bound_that_is_none_is_one_line(searcher: Searcher, bound: float) -> None:
    with pytest.raises(QueryError, match=r"alike is .* expected a similarity above 0, up to 1"):
        searcher.search(Question(text="猫", alike=bound))


def test_groups_are_made_otherwise(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="alike and group_by: give one of them"):
        searcher.search(Question(text="猫", alike=0.9, group_by="query"))


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 12), st.floats(0.5, 1.0))
def test_any_hits_are_kept_or_beneath_one_that_is_alike(
    kinds: list[int], topk: int, bound: float
) -> None:
    hits = [Hit(str(n), 1.0 - n / 100, 0.0, 0.0) for n in range(len(kinds))]
    axes = np.eye(6, dtype=np.float32)
    asked: list[int] = []

    def ask(depth: int) -> list[Hit]:
        asked.append(depth)
        return hits[:depth]

    def vectors(ids: list[str]) -> dict[str, Float32]:
        return {id: axes[kinds[int(id)]] for id in ids}

    found = best_of_alike(ask, vectors, topk, bound)  # type: ignore[arg-type]
    first = list({kind: str(n) for n, kind in reversed(list(enumerate(kinds)))}.items())
    wanted = sorted((int(id) for _, id in first))[:topk]
    assert [int(hit.id) for hit, _ in found] == wanted
    for hit, others in found:
        assert all(kinds[int(other)] == kinds[int(hit.id)] for other in others)
        assert all(int(other) > int(hit.id) for other in others)
    assert asked == sorted(set(asked))

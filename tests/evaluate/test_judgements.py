"""Judgements of a data set, and the protocol that may be called honest."""

from __future__ import annotations

import pytest

from tasks.errors import DatasetError
from tasks.evaluate.judgements import (
    EvaluationProtocol,
    Judgement,
    protocol_of,
    read_judgements,
    textless_share,
)
from tasks.records import Row
from tests.dataset.rows import RowsReader, row


def judgement(text: str, number: int = 1) -> Judgement:
    return Judgement(str(number), text, frozenset({"1"}))


def test_every_query_with_all_its_images() -> None:
    rows = [
        row(0, 1, b"1", 5, "红色"),
        row(1, 2, None, 6, " 蓝色 "),
        row(2, 3, None, 5, "红色"),
        row(3, 4, b"4"),
    ]
    assert read_judgements(RowsReader(rows), "rows") == [
        Judgement("5", "红色", frozenset({"1", "3"})),
        Judgement("6", "蓝色", frozenset({"2"})),
    ]


def test_rows_that_indexing_rejects_judge_nothing() -> None:
    rows = [
        row(0, 1, None, 5, "红色"),
        row(1, 2, None, 5, "蓝色"),
        row(2, 3, None, 6, "\ud83d"),
        row(3, 4, None, 7, " "),
        Row("rows:4", 9, query="x", defect=("bad", "bad")),
        row(5, None, None, 8, "绿色"),
    ]
    assert read_judgements(RowsReader(rows), "rows") == [Judgement("5", "红色", frozenset({"1"}))]


@pytest.mark.parametrize("rows", [[], [row(0, 1, b"1")], [row(0, 1, None, 5, "")]])
def test_no_query_is_an_error(rows: list[Row]) -> None:
    with pytest.raises(DatasetError, match="'rows' has no usable query"):
        read_judgements(RowsReader(rows), "rows")


def test_queries_whose_pictures_keep_no_text() -> None:
    asked = [
        Judgement("1", "红色", frozenset({"a"})),  # its own text alone
        Judgement("2", "蓝色", frozenset({"b", "c"})),  # c keeps another
        Judgement("3", "绿色", frozenset({"d"})),  # no text at all
        Judgement("4", "黄色", frozenset({"gone"})),  # not in the gallery: it has no say
        Judgement("5", "白色", frozenset({"a"})),  # a's text is not this query
    ]
    texts = {"a": ["红 色"], "b": ["蓝色"], "c": ["蓝色", "帽子"], "d": [], "e": ["x"]}
    assert textless_share(asked, iter(texts.items())) == 0.5
    assert textless_share(asked[3:4], iter(texts.items())) == 0.0


def test_held_out_queries_are_honest() -> None:
    found = protocol_of([judgement("红色连衣裙")], iter(["红色", "连衣裙 红色", "蓝色连衣裙"]))
    assert found == EvaluationProtocol("held-out", 0)
    assert found.honest_hybrid


@pytest.mark.parametrize(
    ("asked", "indexed"),
    [
        ("红色连衣裙", "红色连衣裙"),
        ("Apple 手机", "apple 手机"),
        ("APPLE手机", "apple 手机"),
        ("红色 连衣裙", "红色连衣裙"),
        ("５Ｇ手机", "5g手机"),
        ("红色\u200b连衣裙", "红色连衣裙"),
        ("Straße", "STRASSE"),
    ],
)
def test_a_query_that_documents_carry_leaks_in_any_spelling(asked: str, indexed: str) -> None:
    for one, other in ((asked, indexed), (indexed, asked)):
        found = protocol_of([judgement(one), judgement("别的", 2)], iter(["无关", other, other]))
        assert found == EvaluationProtocol("official", 1)
        assert not found.honest_hybrid

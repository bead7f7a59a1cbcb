"""The catalog keeps each thing once, and accounts for every row."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset.catalog import Catalog
from tasks.dataset.reader import stable_id
from tasks.records import ImageId, Row
from tests.dataset.rows import LIMIT, RowsReader, codes, filled, row


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog(LIMIT) as opened:
        yield opened


def found(catalog: Catalog) -> dict[ImageId, tuple[str, ...]]:
    return {entry.image_id: entry.queries for entry in catalog.entries()}


def fingerprint_of(*rows: Row) -> str:
    with Catalog(LIMIT) as catalog:
        filled(catalog, rows)
        return catalog.fingerprint()


def test_images_and_queries_in_any_order(catalog: Catalog) -> None:
    rejects = filled(
        catalog,
        [
            row(0, 2, None, 21, "蓝"),
            row(1, 1, b"one", 11, "红"),
            row(2, 3, b"three"),
            row(3, 2, b"two", 22, "绿"),
            row(4, 1, None, 12, "黄"),
            row(5, 1, b"one", 21, "蓝"),
        ],
    )
    assert rejects == []
    assert found(catalog) == {1: ("红", "黄", "蓝"), 3: (), 2: ("蓝", "绿")}
    assert [(e.span, e.number, e.position) for e in catalog.entries()] == [
        (0, 1, "rows:1"),
        (0, 2, "rows:2"),
        (1, 0, "rows:3"),
    ]
    counts = catalog.counts()
    assert (counts.rows, counts.images, counts.queries, counts.pairs) == (6, 3, 4, 5)


def test_queries_come_by_their_first_appearance(catalog: Catalog) -> None:
    filled(catalog, [row(n, 1, b"1", i, str(i)) for n, i in enumerate((9, 3, 7, 9, 1))])
    assert list(catalog.queries()) == [(9, "9"), (3, "3"), (7, "7"), (1, "1")]


def test_repeats_are_counted_and_kept_once(catalog: Catalog) -> None:
    pair = row(0, 1, b"1", 5, "红")
    rejects = filled(catalog, [pair, pair, row(2, 1, b"1"), row(3, 1, None, 5, " 红 ")])
    assert rejects == []
    assert found(catalog) == {1: ("红",)}
    assert catalog.counts().duplicates == 3


def test_copies_of_a_picture_are_counted_and_named(catalog: Catalog) -> None:
    filled(catalog, [row(0, 1, b"1"), *(row(n, n, b"2") for n in range(2, 6)), row(7, 7, b"1")])
    counts = catalog.counts()
    assert (counts.images, counts.copies, counts.most_copied) == (6, 4, "rows:2 (4 times)")
    assert (counts.unasked, counts.unanswered, counts.taken) == (6, 0, 6)


def test_a_query_without_id_gets_that_of_its_text(catalog: Catalog) -> None:
    filled(catalog, [row(0, 1, b"1", None, "红"), row(1, 2, b"2", None, "\t红 ")])
    assert list(catalog.queries()) == [(stable_id("红"), "红")]


GOOD = row(0, 1, b"one", 11, "红色")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (row(1, 1, b"another", 12, "蓝"), "conflicting_image"),
        (row(1, 1, None, 11, "蓝"), "conflicting_query"),
        (row(1, 9, None, 12, "蓝"), "missing_image"),
        (row(1, 1, None, 12, " \n"), "empty_query"),
        (row(1, 1, None, 12, ""), "empty_query"),
        (row(1, 1, None, 12, "\0"), "empty_query"),
        (row(1, 1, None, 12, "a\ud83d"), "invalid_unicode"),
        (row(1, 2, b"x" * (LIMIT + 1), 12, "蓝"), "too_many_bytes"),
        (row(1, None, b"x", 12, "蓝"), "no_image_id"),
        (row(1, 1), "empty_row"),
        (Row("rows:1", defect=("bad_id", "id is 'x'")), "bad_id"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_is_kept(catalog: Catalog, bad: Row, code: str) -> None:
    rejects = filled(catalog, [GOOD, bad, row(2, 1, None, 13, "绿色")])
    assert codes(rejects) == [("rows:1", code)]
    assert rejects[0].stage == "dataset"
    assert "\n" not in rejects[0].reason
    assert found(catalog)[1] == ("红色", "绿色")
    assert catalog.counts().queries == 2


def test_a_bad_query_does_not_cost_its_image(catalog: Catalog) -> None:
    assert codes(filled(catalog, [row(0, 1, b"1", 5, "")])) == [("rows:0", "empty_query")]
    assert found(catalog) == {1: ()}


def test_long_text_and_emoji_are_kept(catalog: Catalog) -> None:
    long, emoji = "长" * 10_000, "👨\u200d👩\u200d👧🥹"
    assert filled(catalog, [row(0, 1, b"1", 5, long), row(1, 1, None, 6, emoji)]) == []
    assert found(catalog) == {1: (long, emoji)}


def test_the_largest_ids(catalog: Catalog) -> None:
    top = 2**63 - 1
    assert filled(catalog, [row(0, top, b"1", top, "红"), row(1, 0, b"2", 0, "蓝")]) == []
    assert found(catalog) == {top: ("红",), 0: ("蓝",)}


def test_a_conflict_names_where_the_first_one_is(catalog: Catalog) -> None:
    (reject,) = filled(catalog, [GOOD, row(1, 1, b"another")])
    assert reject.id == "1"
    assert "at rows:0; the first one is kept" in reject.reason
    assert len(reject.payload_hash) == 32


def test_a_position_may_be_any_file_name(catalog: Catalog) -> None:
    rows = [replace(GOOD, position="\udcff.jpg"), Row("\udcfe", defect=("bad", "no"))]
    assert codes(filled(catalog, rows)) == [("\\udcfe", "bad")]
    assert [entry.position for entry in catalog.entries()] == ["\\udcff.jpg"]


def test_a_fingerprint_changes_with_content_order_and_queries() -> None:
    first, second = row(0, 1, b"1", 5, "红"), row(1, 2, b"2", 6, "蓝")
    base = fingerprint_of(first, second)
    others = {
        "order": fingerprint_of(second, first),
        "image": fingerprint_of(replace(first, image=b"x"), second),
        "image id": fingerprint_of(replace(first, image_id=3), second),
        "query": fingerprint_of(replace(first, query="绿"), second),
        "query id": fingerprint_of(replace(first, query_id=7), second),
        "one less": fingerprint_of(first),
        "one more query": fingerprint_of(first, second, row(2, 2, None, 5, "红")),
        "no query": fingerprint_of(replace(first, query=None), second),
    }
    assert len({base, *others.values()}) == 1 + len(others)


def test_a_fingerprint_does_not_change_with_where_things_are() -> None:
    first, second = row(0, 1, b"1", 5, "红"), row(1, 2, b"2", 6, "蓝")
    base = fingerprint_of(first, second)
    assert base == fingerprint_of(first, first, second)
    assert base == fingerprint_of(replace(first, position="elsewhere"), second)
    assert base == fingerprint_of(row(9, None, b"bad"), first, second)
    apart = [row(0, 1, b"1"), row(1, 2, b"2", 6, "蓝"), row(2, 1, None, 5, "红")]
    assert base == fingerprint_of(*apart)


ROWS = st.lists(
    st.builds(
        Row,
        position=st.just(""),
        image_id=st.none() | st.integers(0, 4),
        image=st.none() | st.sampled_from([b"", b"a", b"b", b"x" * (LIMIT + 1)]),
        query_id=st.none() | st.integers(0, 4),
        query=st.none() | st.sampled_from(["", "红", " 红", "蓝", "\ud800", "\0"]),
        defect=st.none() | st.none() | st.just(("bad_line", "no sense")),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_every_row_is_accounted_for(rows: list[Row]) -> None:
    rows = [replace(each, position=f"rows:{number}") for number, each in enumerate(rows)]
    with Catalog(LIMIT) as catalog:
        rejects = filled(catalog, rows)
        entries, counts = list(catalog.entries()), catalog.counts()
        assert catalog.unmatched()[0] == sum(not entry.queries for entry in entries)
    rejected = {reject.position for reject in rejects}
    images = {entry.image_id for entry in entries}
    pairs = {(e.image_id, query_id) for e in entries for query_id in e.query_ids}
    orphans = {_pair(rows[int(p.split(":")[1])]) for p, code in codes(rejects) if code == ORPHAN}
    for each in rows:
        if each.position in rejected:
            continue
        assert each.defect is None
        assert each.image is not None or each.query is not None
        if each.image is not None:
            assert each.image_id in images
        if each.query is not None and each.image_id is not None:
            assert _pair(each) in pairs | orphans  # of repeated orphans the first is the reject
    assert counts.rows == len(rows) == counts.taken + counts.duplicates + len(rejects)
    assert counts.copies == len(entries) - len({entry.hash for entry in entries})
    assert counts.images == len(images) == len(entries)
    assert counts.pairs == len(pairs) == sum(len(entry.queries) for entry in entries)
    assert counts.queries == len({query_id for _, query_id in pairs})


ORPHAN = "missing_image"


def _pair(row: Row) -> tuple[ImageId | None, int]:
    text = (row.query or "").strip()
    return row.image_id, stable_id(text) if row.query_id is None else row.query_id


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        with Catalog(LIMIT) as catalog:
            reader = RowsReader(_Counted(count), 500)
            for _ in catalog.fill(reader, lambda _: None):
                pass
            for _ in catalog.entries():
                pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(6000) < peak(600) + 200_000


class _Counted(list[Row]):
    """Rows that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: slice) -> Iterator[Row]:  # type: ignore[override]
        for n in range(*which.indices(self._count)):
            yield row(n, n, b"%d" % n, n, f"商品 {n}")

"""What every vector database must do, checked against brute force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tasks.errors import QueryError, SchemaMismatchError, StoreError
from tasks.records import CollectionSpec, Document, Hit, Query
from tasks.store.contract import VectorStore
from tests.store.conftest import SPEC
from tests.store.reference import Answer, Predicate, exact_groups, exact_hits
from tests.store.samples import DOCUMENTS, document, random_documents, random_query

NAME = SPEC.name
ALPHAS = [step / 10 for step in range(11)]
WORDS_ONLY = Query(None, {1: 1.0}, 0.0)


@pytest.fixture
def filled(store: VectorStore, collection: str) -> str:
    result = store.upsert(collection, iter(DOCUMENTS))
    assert (result.upserted, result.rejects) == (len(DOCUMENTS), ())
    return collection


def assert_same(hits: Sequence[Hit], expected: Sequence[Answer]) -> None:
    assert [hit.id for hit in hits] == [answer[0] for answer in expected]
    for hit, (_, dense, sparse) in zip(hits, expected, strict=True):
        assert hit.dense == pytest.approx(dense, abs=1e-9)
        assert hit.sparse == pytest.approx(sparse, abs=1e-9)
        assert hit.score == hit.dense + hit.sparse


# --- collections ---------------------------------------------------------------------------------


def test_a_new_collection_is_described_and_empty(store: VectorStore, collection: str) -> None:
    info = store.describe(collection)
    assert info is not None
    assert (info.spec, info.documents, info.partitions) == (SPEC, 0, ("default",))
    assert store.collections() == [collection]
    assert store.query(collection, WORDS_ONLY) == []
    assert store.query(collection, random_query(1)) == []


def test_creating_again_changes_nothing(store: VectorStore, filled: str) -> None:
    store.create(SPEC)
    assert store.count(filled) == len(DOCUMENTS)


def test_another_schema_is_refused_with_each_difference(
    store: VectorStore, collection: str
) -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        store.create(CollectionSpec(collection, 9, {"image_id": "str", "new": "int"}))
    message = str(caught.value)
    for part in ("8", "9", "image_id", "query", "new"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["", "ab", "1st", "a" * 33, "../up", "mu ge", "muge\n", "集合"])
def test_a_name_that_cannot_be_used_is_refused(store: VectorStore, name: str) -> None:
    with pytest.raises(StoreError):
        store.create(replace(SPEC, name=name))


def test_dropping_removes_the_collection_alone(store: VectorStore, filled: str) -> None:
    store.create(replace(SPEC, name="other"))
    store.drop(filled)
    assert store.collections() == ["other"]
    assert store.describe(filled) is None
    store.drop(filled)
    store.create(SPEC)
    assert store.count(filled) == 0


def test_a_missing_collection_is_named(store: VectorStore) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.count("missing"),
        lambda: store.fetch("missing", ["1"]),
        lambda: store.delete("missing", ["1"]),
        lambda: store.upsert("missing", []),
        lambda: store.query("missing", WORDS_ONLY),
        lambda: store.query_groups("missing", WORDS_ONLY, "query", 1, 1),
        lambda: store.finish("missing"),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="missing"):
            call()


# --- documents -----------------------------------------------------------------------------------


def test_documents_come_back_as_they_went_in(library: VectorStore) -> None:
    found = library.fetch(NAME, ["7", "1099", "nowhere"])
    assert set(found) == {"7", "1099"}
    for identifier, back in found.items():
        sent = DOCUMENTS[int(identifier)]
        assert back.vector.dtype == np.float32
        np.testing.assert_array_equal(back.vector, sent.vector)
        assert dict(back.sparse) == sent.sparse
        assert dict(back.fields) == sent.fields


def test_an_upsert_replaces_the_whole_document(store: VectorStore, filled: str) -> None:
    new = document("7", [1, 0, 0, 0, 0, 0, 0, 0], {99: 2.0}, image_id=-5)
    assert store.upsert(filled, [new]).upserted == 1
    back = store.fetch(filled, ["7"])["7"]
    assert (dict(back.sparse), dict(back.fields)) == ({99: 2.0}, {"image_id": -5})
    assert store.count(filled) == len(DOCUMENTS)
    hits = store.query(filled, Query(None, {99: 1.0}, 0.0, topk=1))
    assert [(hit.id, hit.score) for hit in hits] == [("7", 2.0)]


def test_the_last_of_equal_ids_wins(store: VectorStore, collection: str) -> None:
    twice = [document("same", [value, 1, 0, 0, 0, 0, 0, 0]) for value in (1.0, 2.0)]
    store.upsert(collection, twice)
    assert store.count(collection) == 1
    assert store.fetch(collection, ["same"])["same"].vector[0] == 2.0


def test_deleted_documents_are_gone(store: VectorStore, filled: str) -> None:
    gone = [str(number) for number in range(0, 1100, 2)]
    store.delete(filled, [*gone, "nowhere"])
    store.delete(filled, [])
    assert store.count(filled) == 550
    assert store.fetch(filled, gone[:10]) == {}
    query = random_query(3, topk=1024)
    assert_same(store.query(filled, query), exact_hits(DOCUMENTS[1::2], query))


BAD: list[tuple[str, Document]] = [
    ("bad_id", document("", [1.0] * 8)),
    ("bad_id", document("a b", [1.0] * 8)),
    ("bad_id", document("line\n", [1.0] * 8)),
    ("bad_id", document("名", [1.0] * 8)),
    ("bad_id", document("x" * 65, [1.0] * 8)),
    ("bad_vector", document("short", [1.0] * 7)),
    ("bad_vector", document("nan", [float("nan")] * 8)),
    ("bad_vector", document("inf", [float("inf")] * 8)),
    ("bad_sparse", document("key", [1.0] * 8, {2**32: 1.0})),
    ("bad_sparse", document("minus", [1.0] * 8, {-1: 1.0})),
    ("bad_sparse", document("zero", [1.0] * 8, {1: 0.0})),
    ("bad_sparse", document("negative", [1.0] * 8, {1: -1.0})),
    ("bad_sparse", document("huge", [1.0] * 8, {1: 1e300})),
    ("bad_sparse", document("spnan", [1.0] * 8, {1: float("nan")})),
    ("bad_field", document("type", [1.0] * 8, image_id="7")),
    ("bad_field", document("bool", [1.0] * 8, image_id=True)),
    ("bad_field", document("big", [1.0] * 8, image_id=2**63)),
    ("bad_field", document("fnan", [1.0] * 8, price=float("nan"))),
    ("bad_field", document("unknown", [1.0] * 8, colour="red")),
    ("bad_field", document("surrogate", [1.0] * 8, query="\ud800")),
]


def test_bad_documents_come_back_and_the_rest_is_kept(store: VectorStore, collection: str) -> None:
    good = random_documents(len(BAD) + 1)
    mixed = [each for pair in zip(good, [bad for _, bad in BAD], strict=False) for each in pair]
    result = store.upsert(collection, [*mixed, good[-1]])
    assert result.upserted == store.count(collection) == len(good)
    assert [reject.id for reject in result.rejects] == [bad.id for _, bad in BAD]
    for reject in result.rejects:
        assert reject.stage == "upsert"
        assert reject.code
        assert reject.reason
        assert "\n" not in reject.reason


def test_the_widest_values_are_taken(store: VectorStore, collection: str) -> None:
    wide = document(
        "aZ09_-!@#$%+=." + "x" * 50,
        [1.0] * 8,
        {0: 1e-6, 2**32 - 1: 1e6},
        image_id=2**31 - 1,
        query="红'裙\"\\ 😀\n" * 500,
        price=-0.5,
        sold=False,
    )
    assert store.upsert(collection, [wide]).rejects == ()
    back = store.fetch(collection, [wide.id])[wide.id]
    assert dict(back.fields) == wide.fields
    assert set(back.sparse) == set(wide.sparse)


def test_nothing_to_upsert_is_no_error(store: VectorStore, collection: str) -> None:
    assert store.upsert(collection, iter([])).upserted == 0


def test_partitions_are_apart(store: VectorStore, collection: str) -> None:
    here, there = DOCUMENTS[:30], DOCUMENTS[30:70]
    store.upsert(collection, here)
    store.upsert(collection, there, partition="second")
    assert (store.count(collection), store.count(collection, "second")) == (70, 40)
    info = store.describe(collection)
    assert info is not None
    assert sorted(info.partitions) == ["default", "second"]
    query = replace(random_query(5, topk=100), partition="second")
    assert_same(store.query(collection, query), exact_hits(there, query))
    store.delete(collection, ["30"])
    assert set(store.fetch(collection, ["30", "3"], "second")) == {"30"}
    with pytest.raises(StoreError, match="third"):
        store.query(collection, replace(query, partition="third"))


# --- queries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", ALPHAS)
def test_hybrid_scores_are_exact(library: VectorStore, alpha: float) -> None:
    for topk in (1, 10, 100, 1024):
        query = random_query(topk, alpha=alpha, topk=topk)
        assert_same(library.query(NAME, query), exact_hits(DOCUMENTS, query))


def test_one_side_alone_and_missing_sides_count_nothing(library: VectorStore) -> None:
    both = random_query(11, topk=50)
    for alpha in (0.0, 0.3, 1.0):
        for query in (
            replace(both, dense=None, alpha=alpha),
            replace(both, sparse=None, alpha=alpha),
            replace(both, sparse={}, alpha=alpha),
        ):
            assert_same(library.query(NAME, query), exact_hits(DOCUMENTS, query))


def test_after_finish_and_more_writes_scores_stay_exact(store: VectorStore, filled: str) -> None:
    store.finish(filled)
    extra = random_documents(1200, seed=9)[1000:]
    store.upsert(filled, extra)
    query = random_query(8, topk=200)
    expected = exact_hits([*DOCUMENTS[:1000], *extra], query)
    assert_same(store.query(filled, query), expected)
    store.finish(filled)
    assert_same(store.query(filled, query), expected)


FILTERS: list[tuple[str, Predicate]] = [
    (
        "image_id >= 100 and image_id < 110",
        lambda each: 100 <= int(each.fields["image_id"]) < 110,
    ),
    (
        "image_id >= 1000 or image_id = 3",
        lambda each: int(each.fields["image_id"]) in {3, *range(1000, 1100)},
    ),
    ("query like '红色连衣裙1%'", lambda each: str(each.fields["query"]).startswith("红色连衣裙1")),
    ("query = '红色连衣裙7'", lambda each: each.fields["query"] == "红色连衣裙7"),
    ("price < 10.5", lambda each: float(each.fields["price"]) < 10.5),
    ("sold = true", lambda each: each.fields["sold"] is True),
    ("image_id < 0", lambda each: False),
]


@pytest.mark.parametrize(("text", "keep"), FILTERS, ids=[text for text, _ in FILTERS])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_filters(library: VectorStore, text: str, keep: Predicate, alpha: float) -> None:
    query = replace(random_query(21, alpha=alpha, topk=600), filter=text)
    assert_same(library.query(NAME, query), exact_hits(DOCUMENTS, query, keep))


DECIMALS = {
    "price = 19.9": {"a"},
    "price >= 19.9": {"a", "c"},
    "price<19.9 and price > 0.1": set(),
    "price <= 0.1 or query = 'price = 0.1'": {"b", "c"},
    "price != 19.9": {"b", "c"},
    "price > -1e30": {"a", "b", "c"},
}


def test_a_number_is_found_as_it_was_written(store: VectorStore, collection: str) -> None:
    prices = {"a": 19.9, "b": 0.1, "c": 20.0}
    texts = {"a": "", "b": "", "c": "price = 0.1"}
    vector = [1.0] + [0.0] * 7
    store.upsert(
        collection,
        [document(each, vector, price=prices[each], query=texts[each]) for each in prices],
    )
    for text, ids in DECIMALS.items():
        query = replace(random_query(1, topk=3), filter=text)
        assert {hit.id for hit in store.query(collection, query)} == ids, text


@pytest.mark.parametrize(
    "bad", ["image_id >>= 3", "nowhere = 3", "image_id = 'seven'", "query = '"]
)
def test_a_bad_filter_is_quoted(library: VectorStore, bad: str) -> None:
    for alpha in (0.0, 0.5, 1.0):
        with pytest.raises(QueryError) as caught:
            library.query(NAME, replace(random_query(1, alpha=alpha), filter=bad))
        assert bad in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "REL_TYPE" not in str(caught.value)  # a store's inner words


def test_bad_queries_are_refused(library: VectorStore) -> None:
    fine = random_query(1)
    nan = np.full(8, np.nan, dtype=np.float32)
    for bad in (
        replace(fine, topk=0),
        replace(fine, topk=1025),
        replace(fine, alpha=1.5),
        replace(fine, alpha=float("nan")),
        replace(fine, dense=None, sparse=None),
        replace(fine, dense=np.ones(7, dtype=np.float32)),
        replace(fine, dense=nan),
        replace(fine, sparse={1: float("inf")}),
        replace(fine, sparse={-1: 1.0}),
        replace(fine, output_fields=("nowhere",)),
    ):
        with pytest.raises(QueryError):
            library.query(NAME, bad)


def test_output_fields_are_what_was_asked(library: VectorStore) -> None:
    query = random_query(2, topk=3)
    for names in (("query",), (), None):
        for hit in library.query(NAME, replace(query, output_fields=names)):
            fields = DOCUMENTS[int(hit.id)].fields
            assert dict(hit.fields) == {
                key: fields[key] for key in (fields if names is None else names)
            }


def test_without_a_match_documents_score_zero_in_id_order(library: VectorStore) -> None:
    hits = library.query(NAME, Query(None, {4_000_000: 1.0}, 0.0, topk=5))
    assert [(hit.id, hit.score) for hit in hits] == [
        (identifier, 0.0) for identifier in ("0", "1", "10", "100", "1000")
    ]


def test_equal_documents_are_ordered_by_id(store: VectorStore, collection: str) -> None:
    same = [replace(DOCUMENTS[0], id=f"d{number}") for number in range(300)]
    store.upsert(collection, [*same, *DOCUMENTS[1:50]])
    expected = sorted(each.id for each in same)[:7]
    for alpha in (0.0, 0.5, 1.0):
        own = Query(DOCUMENTS[0].vector, {**DOCUMENTS[0].sparse, 77: 1.0}, alpha, topk=7)
        query = own if DOCUMENTS[0].sparse or alpha > 0 else replace(own, alpha=1.0)
        assert [hit.id for hit in store.query(collection, query)] == expected


def test_a_batch_answers_as_single_queries_do(library: VectorStore) -> None:
    both = [random_query(seed, alpha=ALPHAS[seed % 11], topk=7) for seed in range(150)]
    odd = [
        replace(both[0], dense=None),
        replace(both[1], sparse=None),
        replace(both[2], sparse={4_000_000: 1.0}, alpha=0.0),
        replace(both[3], output_fields=("price",)),
        replace(both[4], topk=1024, output_fields=()),
        *(replace(each, filter="image_id < 60") for each in both[5:]),
        replace(both[6], filter="image_id < 0"),
    ]
    asked = [*both, *odd]
    assert library.query_batch(NAME, asked) == [library.query(NAME, each) for each in asked]
    assert library.query_batch(NAME, []) == []


def test_a_bad_query_in_a_batch_is_refused(library: VectorStore) -> None:
    fine = [random_query(seed) for seed in range(100)]
    for bad in (replace(fine[0], filter="nowhere = 3"), replace(fine[0], alpha=2.0)):
        with pytest.raises(QueryError):
            library.query_batch(NAME, [*fine, bad])
    with pytest.raises(QueryError, match="nowhere"):
        library.query_batch(NAME, [replace(each, filter="nowhere = 3") for each in fine])


# --- groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["query", "image_id", "sold", "price"])
@pytest.mark.parametrize(("groups", "per_group"), [(1, 1), (5, 3), (30, 2)])
def test_groups(library: VectorStore, by: str, groups: int, per_group: int) -> None:
    for alpha in (0.0, 0.5):
        query = random_query(31, alpha=alpha)
        found = library.query_groups(NAME, query, by, groups, per_group)
        expected = exact_groups(DOCUMENTS, query, by, groups, per_group)
        assert [group.value for group in found] == [str(value) for value, _ in expected]
        for group, (_, answers) in zip(found, expected, strict=True):
            assert_same(group.hits, answers)


def test_groups_of_awkward_values(store: VectorStore, collection: str) -> None:
    values = ["it's", 'a "quote"', "back\\slash", "ends\\", "\\'", "", "%", "红裙", "a\nb"]
    filled = [
        replace(each, fields={"query": values[number % len(values)]})
        for number, each in enumerate(DOCUMENTS[:60])
    ]
    documents = [*filled, replace(DOCUMENTS[60], fields={"image_id": 1})]
    store.upsert(collection, documents)
    query = random_query(33)
    found = store.query_groups(collection, query, "query", 20, 4)
    expected = exact_groups(documents, query, "query", 20, 4)
    assert [group.value for group in found] == [value for value, _ in expected]
    for group, (_, answers) in zip(found, expected, strict=True):
        assert_same(group.hits, answers)


def test_bad_groups_are_refused(library: VectorStore) -> None:
    for by, groups, per_group in (("nowhere", 1, 1), ("query", 0, 1), ("query", 1, 0)):
        with pytest.raises(QueryError):
            library.query_groups(NAME, random_query(1), by, groups, per_group)


# --- threads -------------------------------------------------------------------------------------


def test_threads_share_a_store(store: VectorStore, collection: str) -> None:
    parts = [DOCUMENTS[start : start + 100] for start in range(0, 1100, 100)]
    with ThreadPoolExecutor(4) as threads:
        written = threads.map(lambda part: store.upsert(collection, part).upserted, parts)
        assert sum(written) == len(DOCUMENTS)
        queries = [random_query(seed) for seed in range(20)]
        answers = threads.map(lambda query: store.query(collection, query), queries)
        for query, hits in zip(queries, answers, strict=True):
            assert_same(hits, exact_hits(DOCUMENTS, query))


def test_files_are_checked_and_nothing_is_lost(store: VectorStore, collection: str) -> None:
    store.upsert(collection, DOCUMENTS[:20])
    store.finish(collection)
    assert store.check(collection) >= 0
    assert store.losses(collection) == ""
    for ask in (store.check, store.losses) if not store.reads_may_lag else (store.check,):
        with pytest.raises(StoreError, match="nothing"):
            ask("nothing")

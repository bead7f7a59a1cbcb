"""Facets of hits: values that are worth choosing, and filters that keep just those hits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluate.filters import read_filter
from tasks.records import FieldType, FieldValue, Hit
from tasks.report.facets import facets_of, narrowed
from tasks.store.checks import TYPES


def hit(number: int, **fields: FieldValue) -> Hit:
    own: dict[str, FieldValue] = {"image_id": number, "query": "猫", "queries": 1, "picture": ""}
    return Hit(str(number), 1.0, 1.0, 0.0, {**own, **fields})


def test_values_and_ranges() -> None:
    hits = [
        hit(n, price=n * 7.5, kind=("女装", "男装")[n % 3 == 0], sale=n % 2 == 0, spu=f"P{n}")
        for n in range(30)
    ]
    found = {facet.field: facet.choices for facet in facets_of(hits, "spu")}
    assert [(c.said, c.count, c.filter) for c in found["kind"]] == [
        ("女装", 20, "kind = '女装'"),
        ("男装", 10, "kind = '男装'"),
    ]
    assert [(c.said, c.filter) for c in found["sale"]] == [
        ("True", "sale = true"),
        ("False", "sale = false"),
    ]
    assert [(c.said, c.count) for c in found["price"]] == [
        ("< 75", 10),
        ("75 – 150", 10),
        ("≥ 150", 10),
    ]
    assert found.keys() == {"kind", "sale", "price"}
    assert narrowed("price < 5 or sale = true", "kind = 'x'") == (
        "(price < 5 or sale = true) and kind = 'x'"
    )


def test_what_is_no_facet() -> None:
    assert facets_of([]) == ()
    assert facets_of([hit(n, same="一") for n in range(9)]) == ()
    assert facets_of([hit(n, name=f"名字 {n}") for n in range(40)]) == ()
    assert (
        facets_of([hit(n, odd=("a'b", 'c"d', "e\\f", "", "长" * 90)[n % 5]) for n in range(9)])
        == ()
    )


KINDS: dict[FieldType, st.SearchStrategy[FieldValue]] = {
    "str": st.sampled_from(["女装", "男装", "a b", "o'k", "x%y"]),
    "long": st.integers(-50, 50),
    "float": st.floats(-1e6, 1e6, width=32),
    "bool": st.booleans(),
}


@given(st.data(), st.sampled_from(list(KINDS)))
def test_every_filter_keeps_as_many_hits_as_it_says(data: st.DataObject, kind: FieldType) -> None:
    values = data.draw(st.lists(KINDS[kind], max_size=40))
    hits = [hit(number, field=value) for number, value in enumerate(values)]
    for facet in facets_of(hits):
        for choice in facet.choices:
            takes = read_filter(choice.filter, {"field": kind})
            assert sum(takes(each.fields) for each in hits) == choice.count
    assert set(KINDS) <= set(TYPES)

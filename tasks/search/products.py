"""One hit a product: its best picture, and how many more it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tasks.dataset.catalog import PRODUCT_PICTURES
from tasks.ranges import MAX_TOPK
from tasks.records import Hit, Query

FIRST = 4
"""So many times as many pictures are asked for as products are wanted; then so many times more."""

Ask = Callable[[Sequence[Query]], list[list[Hit]]]
"""Queries to their hits, in order."""


def best_of_products(
    ask: Ask, queries: Sequence[Query], product: str, wanted: Sequence[Callable[[Hit], bool]]
) -> list[list[Hit]]:
    """The best picture that is wanted of each of the `topk` best products of every query, best
    first.

    More pictures are asked for until there are enough products, no more pictures, or `MAX_TOPK` of
    them: then a query has fewer. Pictures of no product stand for themselves.
    """
    answered: list[list[Hit]] = [[] for _ in queries]
    left = list(range(len(queries)))
    depth = FIRST
    while left:
        deep = [_deeper(queries[number], depth, product) for number in left]
        still = []
        for number, query, hits in zip(left, deep, ask(deep), strict=True):
            answered[number] = _first_of_each(filter(wanted[number], hits), product)
            enough = len(answered[number]) >= queries[number].topk
            if not enough and len(hits) == query.topk < MAX_TOPK:
                still.append(number)
        left, depth = still, depth * FIRST
    return [hits[: query.topk] for query, hits in zip(queries, answered, strict=True)]


def more_pictures(hit: Hit) -> int:
    """How many other pictures the product of a hit has."""
    count = hit.fields.get(PRODUCT_PICTURES, 1)
    return int(count) - 1


def _deeper(query: Query, times: int, product: str) -> Query:
    fields = query.output_fields
    if fields is not None:
        fields = tuple(dict.fromkeys((*fields, product, PRODUCT_PICTURES)))
    return replace(query, topk=min(query.topk * times, MAX_TOPK), output_fields=fields)


def _first_of_each(hits: Iterable[Hit], product: str) -> list[Hit]:
    best: dict[object, Hit] = {}
    for hit in hits:
        best.setdefault(hit.fields.get(product, hit.id), hit)
    return list(best.values())

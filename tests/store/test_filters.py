"""Filters against fields: one line that names the field and its type, the same for both stores."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tasks.errors import QueryError
from tasks.records import FieldType
from tasks.store.filters import check_filter_fields

FIELDS: Mapping[str, FieldType] = {
    **{"price": "float", "category": "str", "stock": "long", "queries": "int", "on_sale": "bool"}
}

WRONG = {
    "price < 'abc'": "field 'price' is a number (float), and 'abc' is a text; one",
    'stock >= "7"': "field 'stock' is a whole number (long), and \"7\" is a text",
    "queries < 1.5": "field 'queries' is a whole number (int), and 1.5 is no whole one",
    "stock = 1e3": "is a whole number (long), and 1e3 is no whole one",
    "category = 5": "field 'category' is a text (str), and 5 is a number; one that can:",
    "category = 女装": "is a text (str), and 女装 is a text without its quotes",
    "price < 9 and (category != true)": "is a text (str), and true is true or false",
    "category in ('a', 5)": "is a text (str), and 5 is a number; one that can: category =",
    "price in ('a')": "is a number (float), and 'a' is a text",
    "price like '1%'": "is a number (float), and like compares texts; one that can: price = 100",
    "on_sale = 1": "field 'on_sale' is true or false (bool), and 1 is a number; one that",
    "category like 5": "is a text (str), and 5 is a number",
}
RIGHT = (
    "price < 9 and category = '女装' or not (stock >= -1)",
    "price = -1.5e-3 and on_sale = TRUE",
    "price > .5 and price < 5.",
    "category like '%price < \\'abc\\'%'",
    "category is null and price is not null",
    "category in ('a', 'b') and stock in (1, 2)",
    "price < stock",
    "price <",
    "category contain_any ('a')",
)


@pytest.mark.parametrize("text", WRONG)
def test_what_a_field_cannot_be_compared_with(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        check_filter_fields(text, FIELDS)
    assert WRONG[text] in str(caught.value)
    assert f"filter {text!r} cannot be used" in str(caught.value)


@pytest.mark.parametrize("text", RIGHT)
def test_what_the_store_is_left_to_read(text: str) -> None:
    check_filter_fields(text, FIELDS)


def test_a_field_that_there_is_not() -> None:
    with pytest.raises(QueryError, match=r"names field 'prise', .*did you mean 'price'"):
        check_filter_fields("category = 'x' and prise < 'abc'", FIELDS)

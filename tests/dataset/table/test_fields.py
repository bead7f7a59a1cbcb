"""Fields of documents out of columns: which, named how, of which type, and what does not fit."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.table.columns import Columns
from tasks.dataset.table.fields import (
    Field,
    choose_fields,
    is_nothing,
    row_fields,
    value_of,
    with_types,
)
from tasks.errors import DatasetError
from tasks.records import FieldType
from tasks.store.checks import TYPES

COLUMNS = Columns("id", "title", "image", "spu")
SEEN: dict[str, FieldType | None] = dict.fromkeys(
    ["id", "title", "image", "spu", "价格", "类目", "a:b", "材料表"]
)


def test_fields_that_are_chosen() -> None:
    fields = choose_fields("价格:float, kind=类目, odd=a:b", SEEN, COLUMNS)
    assert [(f.name, f.column, f.kind) for f in fields] == [
        ("price", "价格", "float"),
        ("kind", "类目", None),
        ("odd", "a:b", None),
        ("spu", "spu", "str"),
    ]
    types = row_fields(with_types(fields, []), COLUMNS)
    assert (dict(types.types), types.product) == (
        {"price": "float", "kind": "str", "odd": "str", "spu": "str"},
        "spu",
    )


def test_all_of_them() -> None:
    seen: dict[str, FieldType | None] = {**dict.fromkeys(["id", "image", "品牌"]), "stock": "long"}
    fields = choose_fields("all,maker=品牌", seen, Columns("id", "", "image"))
    assert [(f.name, f.kind) for f in fields] == [("maker", None), ("stock", "long")]
    assert choose_fields("", seen, Columns("id", "", "image")) == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("prize", r"--fields prize: there is no column 'prize', but 'id', 'title'"),
        ("价格:double", r"type 'double' is none of int, long, str, float, bool"),
        ("材料表", r"'材料表' cannot be a field's name .* --fields name=材料表"),
        ("all", r"'a:b' cannot be a field's name"),
        ("picture=类目", r"every document has a field 'picture' of its own; .* my_picture=类目"),
        ("x=价格,x=类目", r"'价格' and '类目' would both be field 'x'; .* --fields other=类目"),
        ("spu=价格", r"'价格' and 'spu' would both be field 'spu'"),
        ("9x=价格", "cannot be a field's name"),
        (f"{'x' * 33}=价格", "cannot be a field's name"),
    ],
)
def test_fields_that_cannot_be(asked: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said) as error:
        choose_fields(asked, SEEN, COLUMNS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "", None], "long"),
        ([1, 2], "long"),
        (["1", "2.5"], "float"),
        (["¥1,299.00", "5"], "float"),
        ([1.0, 2.0], "float"),
        (["true", "FALSE", "是"], "bool"),
        ([True, False], "bool"),
        (["0", "1"], "long"),
        (["007", "8"], "str"),
        (["红", "1"], "str"),
        (["9" * 25], "float"),
        ([], "str"),
        (["", "nan", None, float("nan")], "str"),
        ([datetime.date(2026, 1, 2)], "str"),
        ([decimal.Decimal("1.5")], "float"),
    ],
)
def test_types_that_are_told(values: list[Any], kind: str) -> None:
    (field,) = with_types([Field("x", "x", None)], [{"x": value} for value in values])
    assert field.kind == kind


def test_a_type_that_was_given_is_not_told() -> None:
    given_type = Field("x", "x", "str")
    assert with_types([given_type], [{"x": "1"}]) == (given_type,)


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("float", "19.90", 19.9),
        ("float", " ¥1,299.00 ", 1299.0),
        ("float", "12元", 12.0),
        ("float", 3, 3.0),
        ("float", "-1e3", -1000.0),
        ("float", "#N/A", None),
        ("long", "1,234", 1234),
        ("long", 5.0, 5),
        ("long", str(2**63 - 1), 2**63 - 1),
        ("int", "2147483647", 2147483647),
        ("bool", "是", True),
        ("bool", "0", False),
        ("str", 5, "5"),
        ("str", "", None),
        ("str", "NaN", "NaN"),
        ("str", float("nan"), None),
        ("str", datetime.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    ],
)
def test_values_that_fit(kind: FieldType, cell: Any, value: Any) -> None:
    found = value_of(Field("x", "列", kind), cell)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("float", "便宜"),
        ("float", "1e999"),
        ("float", float("inf")),
        ("float", "1,29.0"),
        ("float", True),
        ("float", "3.9e38"),
        ("long", "1.5"),
        ("long", 1.5),
        ("long", str(2**63)),
        ("int", "2147483648"),
        ("bool", "maybe"),
        ("bool", 2),
        ("str", ["a"]),
        ("str", {"a": 1}),
        ("str", b"a"),
        ("str", "\udcff"),
        ("str", "长" * 20_000),
    ],
)
def test_values_that_do_not_fit(kind: FieldType, cell: Any) -> None:
    with pytest.raises(ValueError, match=r"^column '列' is .*, expected ") as error:
        value_of(Field("x", "列", kind), cell)
    assert ("--fields x=列:str" in str(error.value)) is (kind != "str")
    assert len(str(error.value)) < 250


CELLS = st.one_of(
    st.none(),
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(),
    st.lists(st.text()),
)


@given(st.sampled_from(list(TYPES)), CELLS)
def test_any_cell_is_a_value_of_its_type_or_does_not_fit(kind: FieldType, cell: Any) -> None:
    try:
        value = value_of(Field("x", "x", kind), cell)
    except ValueError as error:
        said = str(error)
        value = None
    else:
        said = "column 'x' is nothing" if is_nothing(cell) else ""
    assert said.startswith("column 'x' is ") if value is None else type(value) is TYPES[kind]

"""The columns of a table that documents carry: which, under which name, of which type.

A type that a person or the file gives holds. Else it is told from the first `LOOKED_AT` rows: whole
numbers are `long`, numbers `float`, true and false `bool`, and everything else is text. A number
may have a currency sign and commas between thousands; digits that begin with 0 are text.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tasks.dataset.reader import RowFields
from tasks.dataset.table.columns import Columns
from tasks.errors import DatasetError
from tasks.records import FieldType, FieldValue

LOOKED_AT = 1000
ALL = "all"
MOST_TEXT = 32_000  # bytes of one value
LARGEST = 3.4e38  # of a number, which has 32 bits in DashVector
RESERVED = frozenset(
    ("id", "image_id", "query", "query_id", "queries", "picture", "product_pictures", "score")
)
"""Names that every document, or every hit, has of its own."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_Parts = tuple[str | None, str, str | None]
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_TRUTHS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "是", "有"), True),
    **dict.fromkeys(("false", "no", "否", "无"), False),
}
_NOTHING = frozenset(("", "nan", "null", "none", "n/a", "#n/a", "#ref!", "#value!", "#div/0!"))
ENGLISH: Mapping[str, str] = {
    **{"价格": "price", "售价": "price", "单价": "price", "现价": "price", "原价": "list_price"},
    **{"品牌": "brand", "类目": "category", "分类": "category", "品类": "category"},
    **{"类别": "category", "颜色": "color", "尺码": "size", "尺寸": "size", "规格": "spec"},
    **{"材质": "material", "库存": "stock", "销量": "sales", "店铺": "shop", "产地": "origin"},
    **{
        "标题": "title",
        "商品标题": "title",
        "名称": "name",
        "商品名称": "name",
        "描述": "description",
    },
    **{"款号": "product", "产品编号": "product", "商品组": "product", "同款": "product"},
    **{"评分": "rating", "折扣": "discount", "性别": "gender", "季节": "season", "上架": "on_sale"},
    **{"價格": "price", "售價": "price", "單價": "price", "類目": "category", "分類": "category"},
    **{"類別": "category", "顏色": "color", "尺碼": "size", "庫存": "stock", "款號": "product"},
}
"""Names of fields for columns with these names: a store's fields have English letters only."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of documents, the column that it comes from, and its type (None: to be told)."""

    name: str
    column: str
    kind: FieldType | None


def choose_fields(
    asked: str, seen: Mapping[str, FieldType | None], columns: Columns
) -> tuple[Field, ...]:
    """The fields that are asked for ("price:float,brand", "price=价格", "all"), and the product.

    `seen` are the columns with the types that the file itself gives. Raises `DatasetError` for a
    column that is not there, a name or type that no store takes, or two fields of one name.
    """
    parts = [part.strip() for part in asked.split(",") if part.strip()]
    fields = [_field(part, seen) for part in parts if part != ALL]
    taken = {field.column for field in fields}
    if ALL in parts:
        rest = [name for name in seen if name not in taken and name not in columns.names]
        fields += [_field_of(name, seen[name]) for name in rest]
        taken |= set(rest)
    if columns.product and columns.product not in taken:
        fields.append(Field(_english(columns.product, "product"), columns.product, "str"))
    names = [field.name for field in fields]
    if twice := next((name for name in names if names.count(name) > 1), None):
        both = [field.column for field in fields if field.name == twice]
        raise DatasetError(
            f"--fields: {both[0]!r} and {both[1]!r} would both be field {twice!r}; give one "
            f"another name: --fields other={both[1]}"
        )
    return tuple(fields)


def _field(part: str, seen: Mapping[str, FieldType | None]) -> Field:
    name, column, kind = _taken_apart(part, seen)
    if column not in seen:
        raise DatasetError(
            f"--fields {part}: there is no column {column!r}, but {', '.join(map(repr, seen))}"
        )
    kinds = get_args(FieldType)
    if kind is not None and kind not in kinds:
        raise DatasetError(f"--fields {part}: type {kind!r} is none of {', '.join(kinds)}")
    found = _field_of(column, seen[column], name)
    return Field(found.name, column, kind) if kind else found  # type: ignore[arg-type]


def _taken_apart(part: str, seen: Mapping[str, FieldType | None]) -> _Parts:
    """Name, column and type: columns may have a colon or an equals sign of their own."""
    name, equals, rest = part.partition("=")
    ways: list[_Parts] = []
    for given, column in ((None, part), (name, rest)) if equals else ((None, part),):
        bare, colon, kind = column.rpartition(":")
        ways += [(given, column, None), *([(given, bare, kind)] if colon else [])]
    return next((way for way in ways if way[1] in seen), ways[-1])


def _field_of(column: str, kind: FieldType | None, name: str | None = None) -> Field:
    chosen = name if name is not None else _english(column)
    if not _NAME.fullmatch(chosen):
        raise DatasetError(
            f"--fields: {chosen!r} cannot be a field's name (1 to 32 of A-Z a-z 0-9 _, a letter "
            f"first); give it one: --fields name={column}"
        )
    if chosen in RESERVED:
        raise DatasetError(
            f"--fields: every document has a field {chosen!r} of its own; give column {column!r} "
            f"another name: --fields my_{chosen}={column}"
        )
    return Field(chosen, column, kind)


def _english(column: str, otherwise: str = "") -> str:
    plain = column.strip()
    known = ENGLISH.get(plain, plain)
    return known if _NAME.fullmatch(known) and known not in RESERVED else otherwise or known


def with_types(fields: Sequence[Field], rows: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """The fields with all their types, told from these rows where they were not given."""
    unknown = [field for field in fields if field.kind is None]
    if not unknown:
        return tuple(fields)
    values: dict[str, list[Any]] = {field.column: [] for field in unknown}
    for row in rows:
        for column, kept in values.items():
            value = row.get(column)
            if isinstance(value, dict | list | tuple | bytes):
                raise DatasetError(
                    f"--fields: column {column!r} holds {type(value).__name__}s, which cannot be a "
                    f"field; name the columns that you want: --fields price,brand"
                )
            if not is_nothing(value):
                kept.append(value)
    told = {column: _kind_of(kept) for column, kept in values.items()}
    return tuple(
        field if field.kind else Field(field.name, field.column, told[field.column])
        for field in fields
    )


def row_fields(fields: Sequence[Field], columns: Columns) -> RowFields:
    """The fields' names and types, and which is the product."""
    types: dict[str, FieldType] = {field.name: field.kind or "str" for field in fields}
    product = next((f.name for f in fields if f.column == columns.product), "")
    return RowFields(types, product)


def _kind_of(values: Sequence[Any]) -> FieldType:
    for kind in ("bool", "long", "float"):
        if values and all(_fits(kind, value) for value in values):
            return kind
    return "str"


def _fits(kind: FieldType, value: Any) -> bool:
    if isinstance(value, str) and kind == "bool" and value.strip().lower() not in _TRUTHS:
        return False
    if isinstance(value, float) and kind == "long":
        return False
    try:
        return _CONVERT[kind](value) is not None
    except (ValueError, OverflowError):
        return False


def is_nothing(value: Any) -> bool:
    """Whether a cell says that there is no value: empty, null, not a number, a sheet's error."""
    if isinstance(value, str):
        return value.strip().lower() in _NOTHING
    return value is None or (isinstance(value, float) and math.isnan(value))


def value_of(field: Field, value: Any) -> FieldValue | None:
    """A cell as the field's type, None where there is no value.

    Raises `ValueError`, saying what the cell is, if it does not fit.
    """
    kind = field.kind or "str"
    if is_nothing(value) and not (kind == "str" and isinstance(value, str) and value.strip()):
        return None
    try:
        return _CONVERT[kind](value)
    except (ValueError, OverflowError, ArithmeticError):
        named = field.column if field.column == field.name else f"{field.name}={field.column}"
        hint = "" if kind == "str" else f" (--fields {named}:str takes it as text)"
        shown = str(value)[:60]
        raise ValueError(
            f"column {field.column!r} is {shown!r}, expected {_MEANS[kind]}{hint}"
        ) from None


def _text(value: Any) -> str:
    if isinstance(value, datetime.date | datetime.time):
        value = value.isoformat()
    if isinstance(value, bytes | dict | list | tuple | set):
        raise ValueError("not one value")
    text = str(value)
    if len(text.encode()) > MOST_TEXT:  # UnicodeEncodeError is a ValueError
        raise ValueError("too long")
    return text


def _number(value: Any) -> float:
    if isinstance(value, str):
        text = value.strip().lstrip("¥￥$€£ ").removesuffix("元").strip()
        if _GROUPED.fullmatch(text):
            text = text.replace(",", "")
        elif not _NUMBER.fullmatch(text) or _is_code(text):
            raise ValueError(value)
        value = text
    if isinstance(value, bool) or not isinstance(value, str | int | float | decimal.Decimal):
        raise ValueError(value)
    number = float(value)
    if not abs(number) <= LARGEST:
        raise ValueError(value)
    return number


def _is_code(text: str) -> bool:
    """Whether digits begin with 0, as numbers of articles do and amounts do not."""
    return len(text) > 1 and text[0] == "0" and text[1].isdigit()


def _long(value: Any, bits: int = 64) -> int:
    if isinstance(value, str):
        text = value.strip()
        text = text.replace(",", "") if _GROUPED.fullmatch(text) else text
        if not _WHOLE.fullmatch(text):
            raise ValueError(value)
        value = int(text)
    if isinstance(value, float | decimal.Decimal) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(value)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(value)
    return value


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    said = _TRUTHS.get(str(value).strip().lower())
    if said is None and str(value).strip() in ("0", "1"):
        said = str(value).strip() == "1"
    if said is None:
        raise ValueError(value)
    return said


_CONVERT: Mapping[FieldType, Callable[[Any], FieldValue]] = {
    "str": _text,
    "float": _number,
    "long": _long,
    "int": lambda value: _long(value, 32),
    "bool": _bool,
}
_MEANS: Mapping[FieldType, str] = {
    "str": f"a text of at most {MOST_TEXT:,} bytes",
    "float": "a number",
    "long": "a whole number of 64 bits",
    "int": "a whole number of 32 bits",
    "bool": "true or false",
}

"""Columns of tables: found by name in two languages, named by people, and what is refused."""

from __future__ import annotations

import pytest

from tasks.dataset.table.columns import ROLES, Columns, find_columns
from tasks.errors import DatasetError


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ("id title image", Columns("id", "title", "image")),
        ("商品编号 标题 图片", Columns("商品编号", "标题", "图片")),
        ("商品編號 標題 圖片", Columns("商品編號", "標題", "圖片")),
        ("SKU_ID 商品名称 主图链接 款号", Columns("SKU_ID", "商品名称", "主图链接", "款号")),
        ("编号 标题 描述 图片地址", Columns("编号", "标题", "图片地址")),
        ("sku name description image_url spu", None),
        ("Image-URL Title", Columns("", "Title", "Image-URL")),
        ("key caption jpg url width", Columns("key", "caption", "jpg")),
        ("url title", Columns("", "title", "url")),
        (
            "query_id query image_id image title",
            Columns("image_id", "query", "image", query="query_id", strict=True),
        ),
        ("image_id image", Columns("image_id", "", "image")),
        ("image_id image title price", Columns("image_id", "title", "image")),
        ("query_id query image_id", Columns("image_id", "query", query="query_id", strict=True)),
        ("text_id text", Columns("", "text", query="text_id")),
        ("product_id picture", Columns("", "", "picture", "product_id")),
    ],
)
def test_columns_by_name(seen: str, wanted: Columns | None) -> None:
    if wanted is None:
        with pytest.raises(DatasetError, match=r"'name', 'description' can each be the text; say"):
            find_columns(seen.split(), {})
    else:
        assert find_columns(seen.split(), {}) == wanted


def test_columns_that_people_name() -> None:
    seen = ["sku", "id", "title", "query", "pic", "image", "x"]
    named = {"id": "sku", "text": "x", "image": "pic"}
    assert find_columns(seen, named) == Columns("sku", "x", "pic")
    with pytest.raises(DatasetError, match=r"\?id=sky: there is no such column, but 'sku', 'id'"):
        find_columns(seen, {"id": "sky"})


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (["价格"], r"it has columns '价格', expected one with pictures \(image: image, image_url"),
        (["title"], "expected one with pictures"),
        ([], "expected one with pictures"),
        (
            ["image", "图片"],
            r"'image', '图片' can each be the image; say which: \?image=",
        ),
        ([f"c{n}" for n in range(300)], "and 270 more"),
    ],
)
def test_what_cannot_be_used(seen: list[str], said: str) -> None:
    with pytest.raises(DatasetError, match=said) as error:
        find_columns(seen, {})
    assert "\n" not in str(error.value)


def test_no_name_means_two_things() -> None:
    for which in ("names", "else_names"):
        words = [word for role in ROLES.values() for word in getattr(role, which).split()]
        assert len(words) == len(set(words))

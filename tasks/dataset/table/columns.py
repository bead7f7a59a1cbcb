"""Which column of a table is what: found by name in Chinese and English, or named by people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.errors import DatasetError

MUGE = ("query_id", "query", "image_id", "image")
"""MUGE's own columns. A table that has these means them, and its ids are whole numbers."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a column can be: the names that say so, and names that do where no other does."""

    names: str
    else_names: str = ""
    wanted: str = ""

    def fitting(self, seen: Sequence[str]) -> list[str]:
        """The columns that are this by their name."""
        for names in (self.names, self.else_names):
            known = set(names.split())
            if found := [name for name in seen if _plain(name) in known]:
                return found
        return []


ROLES: Mapping[str, Role] = {
    "id": Role(
        "id imageid pictureid sku skuid skucode itemid itemids goodsid key uid "
        "编号 商品编号 商品id 商品编码 编码 货号 图片编号 图片id 商品货号 sku编码 sku编号 "
        "編號 商品編號 貨號",
        wanted="id, sku, 编号",
    ),
    "text": Role(
        "text title query querytext caption 标题 商品标题 文本 查询 查询词 搜索词 图片描述 "
        "標題 商品標題",
        "name productname goodsname itemname description desc "
        "名称 品名 商品名称 商品名 描述 商品描述 名稱 商品名稱",
        wanted="title, query, 标题",
    ),
    "image": Role(
        "image img picture pic photo imageurl imgurl pictureurl picurl photourl imagepath imgpath "
        "picturepath picpath imagefile picturefile imagelink mainimage jpg jpeg png webp "
        "图片 图像 照片 主图 商品图片 商品主图 图片地址 图片链接 图片url 图片路径 图片文件 "
        "主图地址 主图链接 主图url 商品图 圖片 主圖 商品圖片 圖片鏈接 圖片連結 圖片網址",
        "url link path file filename imagename 链接 地址 网址 文件 文件名 路径",
        wanted="image, image_url, 图片",
    ),
    "product": Role(
        "product productid productcode spu spuid spucode styleid "
        "款号 产品编号 产品id 商品组 spu编号 spu编码 同款 款號 產品編號",
        wanted="product, spu, 款号",
    ),
    "query": Role("queryid textid 查询编号", wanted="query_id"),
}
"""What a table's columns can be; `query` is the id of a text."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a table's columns by what they are ("" if there is none); `strict` says that
    ids must be whole numbers, as MUGE's are."""

    id: str = ""
    text: str = ""
    image: str = ""
    product: str = ""
    query: str = ""
    strict: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are something."""
        roles = (self.query, self.text, self.id, self.image, self.product)
        return tuple(dict.fromkeys(name for name in roles if name))


def find_columns(seen: Sequence[str], named: Mapping[str, str]) -> Columns:
    """Which of the columns `seen` are what; `named` are those that people named, by role.

    Raises `DatasetError` if a named one is not there, if two fit, and if there is neither a picture
    nor a text with an id.
    """
    for role, name in named.items():
        if name not in seen:
            raise DatasetError(f"?{role}={name}: there is no such column, but {_list(seen)}")
    if not named and _is_muge(seen):
        query_id, query, image_id, image = (name if name in seen else "" for name in MUGE)
        return Columns(image_id, query, image, query=query_id, strict=True)
    taken = set(named.values())
    free = [name for name in seen if name not in taken]
    found = {role: named.get(role) or _one(role, free) for role in ROLES}
    columns = Columns(found["id"], found["text"], found["image"], found["product"], found["query"])
    if not columns.image and not (columns.text and (columns.id or columns.query)):
        wanted = "; ".join(f"{role}: {ROLES[role].wanted}" for role in ("image", "text", "id"))
        raise DatasetError(
            f"it has columns {_list(seen)}, expected one with pictures ({wanted}); name them: "
            f"?image=COLUMN&text=COLUMN&id=COLUMN"
        )
    return columns


def _is_muge(seen: Sequence[str]) -> bool:
    return {"image_id", "query_id"} <= set(seen) and ("image" in seen or "query" in seen)


def _one(role: str, seen: Sequence[str]) -> str:
    fitting = ROLES[role].fitting(seen)
    if len(fitting) > 1:
        raise DatasetError(
            f"its columns {_list(fitting)} can each be the {role}; say which: ?{role}={fitting[0]}"
        )
    return fitting[0] if fitting else ""


def _plain(name: str) -> str:
    """A column's name as it is compared: without case, blanks and signs between words."""
    return re.sub(r"[\s_\-./]+", "", name).lower()


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:30])
    return shown + (f" and {len(names) - 30} more" if len(names) > 30 else "")

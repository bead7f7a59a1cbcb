"""A shop's table that changes every day: rows come and go, prices, titles and pictures change."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.campaign.world import WORDS, draw_picture

BRANDS = ("山茶", "远山", "小满", "海鸥")
LEAST_ITEMS = 24


@dataclass(frozen=True, slots=True)
class Item:
    """One row; the price is a multiple of 0.25, which 32 bits hold exactly."""

    title: str
    price: float
    picture: bytes
    brand: str


@dataclass(frozen=True, slots=True)
class Day:
    """The table as it was on a day: items by id, and whether it had a column of brands."""

    items: Mapping[str, Item]
    branded: bool

    def fields(self, id: str) -> dict[str, object]:
        """Those of a document's fields that people see change."""
        item = self.items[id]
        said: dict[str, object] = {"image_id": id, "query": item.title, "price": item.price}
        return said | ({"brand": item.brand} if self.branded else {})


@dataclass
class Catalogue:
    """The table and its pictures in a folder; what changes is drawn from `chance`."""

    folder: Path
    chance: random.Random
    items: dict[str, Item] = field(default_factory=dict)
    branded: bool = False
    _made: int = 0

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return f"csv:{self.folder / 'shop.csv'}"

    @property
    def fields(self) -> str:
        """The option that names the columns which documents carry."""
        return "price=价格:float" + (",brand=品牌:str" if self.branded else "")

    def change(self) -> Day:
        """What a day brings, laid out as files: at least one price, mostly rows and pictures."""
        self._price()
        some = (self._add, self._add, self._remove, self._price, self._title, self._picture)
        for _ in range(self.chance.choice((1, 2, 4, 6))):
            self.chance.choice(some)()
        while len(self.items) < LEAST_ITEMS:
            self._add()
        self._write()
        return Day(dict(self.items), self.branded)

    def _write(self) -> None:
        new = self.folder.with_name(f"{self.folder.name}.new")
        (new / "pics").mkdir(parents=True)
        with (new / "shop.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            brand = ("品牌",) if self.branded else ()
            table.writerow(("编号", "标题", "图片", "价格", *brand))
            for id, item in self.items.items():
                (new / "pics" / f"{id}.png").write_bytes(item.picture)
                cells = (id, item.title, f"pics/{id}.png", item.price)
                table.writerow((*cells, item.brand) if self.branded else cells)
        shutil.rmtree(self.folder, ignore_errors=True)
        new.rename(self.folder)

    def _add(self) -> None:
        self._made += 1
        self.items[f"A-{self._made:05d}"] = Item(
            self._words(), self._amount(), draw_picture(self.chance), self.chance.choice(BRANDS)
        )

    def _remove(self) -> None:
        if len(self.items) > LEAST_ITEMS:
            del self.items[self._any()]

    def _price(self) -> None:
        if self.items:
            self._replace(price=self._amount())

    def _title(self) -> None:
        if self.items:
            self._replace(title=self._words())

    def _picture(self) -> None:
        if self.items:
            self._replace(picture=draw_picture(self.chance))

    def _replace(self, **changes: object) -> None:
        id = self._any()
        self.items[id] = replace(self.items[id], **changes)  # type: ignore[arg-type]

    def _any(self) -> str:
        return self.chance.choice(list(self.items))

    def _amount(self) -> float:
        return self.chance.randrange(4, 4000) / 4

    def _words(self) -> str:
        words = self.chance.sample(WORDS, self.chance.randint(1, 4))
        return f"{''.join(words)}{self.chance.randrange(10_000)}"

"""A data set that changes at random, and what an index of it must hold, worked out on its own."""

from __future__ import annotations

import base64
import io
import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tasks.encode.model.load import load_encoder
from tasks.encode.model.pixels import decode_picture
from tasks.records import Float32
from tasks.settings import Settings

WORDS = (
    "红色",
    "蓝色",
    "连衣裙",
    "帽子",
    "球鞋",
    "充电器",
    "5G",
    "手机",
    "儿童",
    "夏季",
    "雨伞",
    "背包",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One document as it must be: fields, text and dense vector (D,) float32."""

    fields: dict[str, object]
    text: str
    vector: Float32


@dataclass
class World:
    """Pictures with queries in a folder, some of them bad.

    `pictures` maps image id to file content, `queries` query id to text, `pairs` are lines in
    order, `cut` the ids of pictures that cannot be decoded, `bad_lines` lines that are no rows.
    """

    folder: Path
    chance: random.Random
    pictures: dict[int, bytes] = field(default_factory=dict)
    queries: dict[int, str] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    cut: set[int] = field(default_factory=set)
    bad_lines: list[str] = field(default_factory=list)
    _next: int = 0
    _vectors: dict[bytes, Float32] = field(default_factory=dict)

    def grow(self, count: int) -> None:
        """Add pictures, each with one to three queries, some shared with others."""
        for _ in range(count):
            self._next += 1
            self.pictures[self._next] = draw_picture(self.chance)
            for _ in range(self.chance.randint(1, 3)):
                self._pair(self._next)

    def change(self) -> None:
        """Change a few things, or nothing at all."""
        for _ in range(self.chance.choice((0, 1, 2, 4, 8))):
            self.chance.choice(
                (
                    self._add,
                    self._replace,
                    self._remove,
                    self._ask,
                    self._forget,
                    self._cut,
                    self._spoil,
                    self._mend,
                )
            )()

    def write(self) -> None:
        """Lay the data set out as files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for image_id, content in self.pictures.items():
            (self.folder / f"{image_id}.png").write_bytes(content)
        lines = [
            json.dumps(
                {
                    "query_id": query_id,
                    "query": self.queries[query_id],
                    "image_id": image_id,
                    "image": f"{image_id}.png",
                }
            )
            for image_id, query_id in self.pairs
        ]
        text = "\n".join([*lines, *self.bad_lines])
        (self.folder / "queries.jsonl").write_text(text + "\n", "utf-8")

    def documents(self, settings: Settings) -> dict[str, Wanted]:
        """What a collection made with the settings must hold, by document id."""
        found: dict[str, Wanted] = {}
        for image_id in sorted(self.pictures.keys() - self.cut):
            ids = [query_id for image, query_id in self.pairs if image == image_id]
            texts = [self.queries[query_id] for query_id in ids]
            vector = self._vector(self.pictures[image_id], settings)
            picture = self._shown(self.pictures[image_id], settings)
            if settings.document == "image":
                said = {"query": "\n".join(texts), "query_id": ids[0], "queries": len(ids)}
                fields = {"image_id": image_id, "picture": picture, **said}
                found[str(image_id)] = Wanted(fields, "\n".join(texts), vector)
                continue
            for query_id, text in zip(ids, texts, strict=True):
                said = {"query": text, "query_id": query_id, "queries": 1}
                fields = {"image_id": image_id, "picture": picture, **said}
                found[f"{image_id}-{query_id}"] = Wanted(fields, text, vector)
        return found

    def rejects(self) -> list[tuple[str, str]]:
        """(code, id) of all rejects, sorted."""
        cut = [("truncated", str(image_id)) for image_id in self.cut]
        return sorted([*cut, *(("bad_line", "") for _ in self.bad_lines)])

    def _pair(self, image_id: int) -> None:
        if self.queries and self.chance.random() < 0.4:
            query_id = self.chance.choice(list(self.queries))
        else:
            query_id = 1000 + len(self.queries)
            words = self.chance.sample(WORDS, self.chance.randint(1, 4))
            self.queries[query_id] = f"{''.join(words)}{query_id}"
        if (image_id, query_id) not in self.pairs:
            self.pairs.append((image_id, query_id))

    def _any(self) -> int:
        return self.chance.choice(list(self.pictures))

    def _add(self) -> None:
        self.grow(1)

    def _replace(self) -> None:
        image_id = self._any()
        self.pictures[image_id] = draw_picture(self.chance)
        self.cut.discard(image_id)

    def _remove(self) -> None:
        if len(self.pictures) > 10:
            image_id = self._any()
            del self.pictures[image_id]
            self.cut.discard(image_id)
            self.pairs = [pair for pair in self.pairs if pair[0] != image_id]

    def _ask(self) -> None:
        self._pair(self._any())

    def _forget(self) -> None:
        image_id, query_id = self.chance.choice(self.pairs)
        if sum(image == image_id for image, _ in self.pairs) > 1:
            self.pairs.remove((image_id, query_id))

    def _cut(self) -> None:
        image_id = self._any()
        if image_id not in self.cut:
            self.pictures[image_id] = self.pictures[image_id][:60]
            self.cut.add(image_id)

    def _mend(self) -> None:
        if self.cut:
            image_id = self.chance.choice(sorted(self.cut))
            self.pictures[image_id] = draw_picture(self.chance)
            self.cut.discard(image_id)

    def _spoil(self) -> None:
        self.bad_lines.append(f"not a row {self.chance.random()}")

    def _vector(self, content: bytes, settings: Settings) -> Float32:
        if content not in self._vectors:
            self._vectors[content] = picture_vector(content, settings)
        return self._vectors[content]

    def _shown(self, content: bytes, settings: Settings) -> str:
        if settings.picture != "jpeg":
            return ""
        encoder = load_encoder(settings.model, "cpu")
        side, limit = encoder.info.resolution, settings.max_image_pixels
        shown = decode_picture(content, side, limit, settings.thumbnail_pixels).thumbnail
        return base64.b64encode(shown or b"").decode()


def draw_picture(chance: random.Random) -> bytes:
    """A small PNG that hardly any other equals."""
    colour = tuple(chance.randrange(256) for _ in range(3))
    image = Image.new("RGB", (40, 40), colour)
    box = (chance.randrange(15), chance.randrange(15), 25, 30)
    ImageDraw.Draw(image).ellipse(box, fill=(chance.randrange(256), 200, 30))
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def picture_vector(content: bytes, settings: Settings) -> Float32:
    """The dense vector (D,) of a picture, by the model itself."""
    encoder = load_encoder(settings.model, "cpu")
    pixels = decode_picture(content, encoder.info.resolution, settings.max_image_pixels).pixels
    vector: Float32 = encoder.encode_images(np.stack([pixels]))[0]
    return vector

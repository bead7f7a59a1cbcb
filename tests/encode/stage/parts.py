"""A shard of pictures in memory, and what encoding it leaves in a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.dataset.catalog import CatalogEntry
from tasks.encode.model.contract import Encoder
from tasks.encode.model.load import load_encoder
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.plan import Encoded, ImageStage
from tasks.encode.stage.stages import encode_image_shard, encode_query_part
from tasks.records import Float32, QueryPart, Shard
from tasks.work.folder import Folder
from tasks.work.rejects import payload_hash
from tests.encode.model.pictures import saved

STAGE = ImageStage(
    images="images",
    pictures="pictures",
    picture="jpeg",
    longest=24,
    max_pixels=10**6,
    batch=4,
    decoders=2,
    checkpoint=0.0,
)
QUERIES = [
    (number, "猫狗红色"[: 1 + number % 4] * (number % 5) + str(number)) for number in range(9000)
]


class Killed(Exception):
    """A run that ends where it is."""


@dataclass(frozen=True)
class Pictures:
    """Pictures by their entries; those with a number in `bad` cannot be decoded."""

    entries: list[CatalogEntry]
    data: dict[int, bytes]

    @property
    def shard(self) -> Shard:
        return Shard(0, 1, len(self.entries), "of these pictures")

    def read(self, wanted: Sequence[CatalogEntry]) -> Iterator[tuple[CatalogEntry, bytes]]:
        for entry in wanted:
            yield entry, self.data[int(entry.image_id)]


Read = Callable[[Sequence[CatalogEntry]], Iterator[tuple[CatalogEntry, bytes]]]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Part:
    """What both kinds of parts are encoded with, a model of a folder (on the CPU) or one that is
    loaded, and who is told."""

    model: Path | Encoder
    told: Advance

    def encoder(self) -> Encoder:
        return load(self.model) if isinstance(self.model, Path) else self.model

    def advance(self, more: int) -> None:
        self.told(more)


@dataclass(frozen=True)
class ShardOf(Part):
    """A `PictureSource` of pictures in memory."""

    pictures: Pictures
    reading: Read
    marks: Mapping[str, KnownImage]

    def base(self, schema: pa.Schema) -> None:
        return None

    def entries(self, only: Sequence[int] | None = None) -> Sequence[CatalogEntry]:
        return self.pictures.entries

    def read(self, entries: Sequence[CatalogEntry]) -> Iterator[tuple[CatalogEntry, bytes]]:
        return self.reading(entries)

    def known(self, wanted: Collection[str]) -> Mapping[str, KnownImage]:
        return self.marks


@dataclass(frozen=True)
class PartOf(Part):
    """A `QuerySource` of queries in memory."""

    asked: Sequence[tuple[int, str]]
    marks: Mapping[str, Float32]

    def queries(self) -> Iterator[tuple[int, str]]:
        return iter(self.asked)

    def known(self) -> Mapping[str, Float32]:
        return self.marks


def make_pictures(count: int, bad: Sequence[int] = ()) -> Pictures:
    random = np.random.default_rng(count)
    data = {}
    for number in range(count):
        coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((40, 30), Image.Resampling.NEAREST)
        data[number] = b"not a picture %d" % number if number in bad else saved(picture, "PNG")
    entries = [
        CatalogEntry(n, 0, n, f"rows:{n}", payload_hash(data[n]), (), ()) for n in range(count)
    ]
    return Pictures(entries, data)


def encode(
    folder: Path,
    model: Path | Encoder,
    pictures: Pictures,
    stage: ImageStage = STAGE,
    read: Read | None = None,
    advance: Advance = lambda _: None,
    known: Mapping[str, KnownImage] | None = None,
) -> Encoded:
    """Encode the shard in a folder."""
    source = ShardOf(model, advance, pictures, read or pictures.read, known or {})
    return encode_image_shard(Folder(str(folder)), pictures.shard, stage, source)


def encode_texts(
    folder: Path,
    model: Path,
    queries: Sequence[tuple[int, str]] = QUERIES,
    advance: Advance = lambda _: None,
    known: Mapping[str, Float32] | None = None,
    checkpoint: float = 0.0,
) -> Encoded:
    """Encode queries as one part."""
    source = PartOf(model, advance, queries, known or {})
    return encode_query_part(Folder(str(folder)), QueryPart(0), "texts", source, checkpoint)


def load(model: Path) -> Encoder:
    return load_encoder(str(model), "cpu", "fp32")


def files(folder: Path) -> dict[str, bytes]:
    """Everything that lies there, by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def dying(after: int) -> Advance:
    """To be told of progress, and end the run when so many are done."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if done >= after:
            raise Killed

    return advance


def patient(**changes: object) -> ImageStage:
    """The stage with other options."""
    return replace(STAGE, **changes)  # type: ignore[arg-type]

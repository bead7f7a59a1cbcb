"""Bases: the file of an earlier run that has most of a shard's pictures, and serves as it is.

Where little of a shard changed, what is new is written beside that file (see `tasks.work.layers`)
until it has grown to a share of the shard; then the shard is written anew.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.shards import read_keys
from tasks.encode.stage.reuse import Encodings, listed_parts
from tasks.records import Shard
from tasks.work.folder import Folder
from tasks.work.layers import BASE, PARQUET, base_of, layers_of
from tasks.work.markers import Marker, completed, take_over

NOT_THERE = -1


@dataclass(frozen=True, slots=True)
class Base:
    """A file of embeddings, and one of pictures for people with the same rows ("" if none are
    kept), named in the work folder; `rows` says where each picture of a shard of `run` is in them,
    or that it is `NOT_THERE`; `taken` of them are there, and so many of these are `odd`."""

    work: Folder
    run: str
    images: str
    pictures: str
    checksums: tuple[str, str]
    rows: Sequence[int]
    taken: int
    odd: Mapping[str, int] = field(default_factory=dict)

    def others(self) -> list[int]:
        """The numbers of the shard's pictures that are not in it."""
        return [number for number, row in enumerate(self.rows) if row == NOT_THERE]

    def take(self, images: str, pictures: str | None) -> None:
        """Give the files a second name, beside the deltas of the shard's outputs."""
        pairs = {f"{self.run}/{base_of(images)}": self.images}
        if pictures is not None:
            pairs[f"{self.run}/{base_of(pictures)}"] = self.pictures
        take_over(self.work, pairs)


def find_base(
    work: Folder, own: Encodings, reuse: str, shard: Shard, schema: pa.Schema, most: float
) -> Base | None:
    """The base of a shard, of the files that a run's list of reuse names; None if there is none in
    which all but a share of `most` of the shard's pictures are, and hardly anything else."""
    if not reuse or not most:
        return None
    folder = work.sub(own.run)
    keys = list(zip(*read_keys(folder, shard), strict=True))
    found: list[tuple[int, Base]] = []
    for images, pictures in _candidates(work, own, reuse, shard):
        if (each := _base(work, own.run, images, pictures, keys, schema)) is not None:
            found.append(each)
    if not found:
        return None
    dead, base = max(found, key=lambda each: each[1].taken)
    return None if len(keys) - base.taken + dead > most * len(keys) else base


def _candidates(
    work: Folder, own: Encodings, reuse: str, shard: Shard
) -> Iterator[tuple[str, str]]:
    """Files of embeddings and of pictures that have some of a shard's pictures, in the work
    folder."""
    for source, part in listed_parts(work.sub(own.run), reuse, shard):
        if (source.images, source.pictures) != (own.images, own.pictures) or "/" in part:
            continue
        outputs = [f"{name}/{part}{PARQUET}" for name in filter(None, (own.images, own.pictures))]
        files = [layers_of(work.sub(source.run), output)[0] for output in outputs]
        if len({file.endswith(BASE) for file in files}) == 1:
            images, *pictures = (f"{source.run}/{file}" for file in files)
            yield images, "".join(pictures)


def _base(
    work: Folder,
    run: str,
    images: str,
    pictures: str,
    keys: Sequence[tuple[str, str]],
    schema: pa.Schema,
) -> tuple[int, Base] | None:
    """How many rows of a file are not the shard's, and the file as its base; None if it is torn, of
    another form, or has the shard's pictures in another order."""
    of_images = completed(work, images)
    of_pictures = completed(work, pictures) if pictures else _NO_PICTURES
    if of_images is None or of_pictures is None:
        return None
    with work.reading(images) as handle:
        file = pq.ParquetFile(handle)
        if not file.schema_arrow.equals(schema, check_metadata=False):
            return None
        table = file.read(["image_id", "hash", "oddity"])
    ids, hashes, oddities = (column.to_pylist() for column in table.columns)
    there = {key: row for row, key in enumerate(zip(ids, hashes, strict=True))}
    rows = [there.get(key, NOT_THERE) for key in keys]
    taken = [row for row in rows if row != NOT_THERE]
    if any(after <= before for before, after in itertools.pairwise(taken)):
        return None
    odd = Counter(oddity for row in taken if (oddity := oddities[row]))
    checksums = (of_images.checksum, of_pictures.checksum)
    return len(ids) - len(taken), Base(
        work, run, images, pictures, checksums, rows, len(taken), odd
    )


_NO_PICTURES = Marker(0, "", {})

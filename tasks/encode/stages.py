"""The encode stages: a shard's pictures, or a part of the queries, to Parquet."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from tasks.dataset.catalog import CatalogEntry
from tasks.encode.embeddings import EmbeddingWriter, embedding_schema
from tasks.encode.pixels import DecodedPicture, decode_picture, picture_png
from tasks.errors import ImageError
from tasks.records import Reject, Shard
from tasks.work.folder import Folder
from tasks.work.markers import Marker, completed, mark_complete
from tasks.work.parquet import writing_parquet
from tasks.work.rejects import payload_hash, write_rejects

if TYPE_CHECKING:
    from tasks.encode.encoder import Encoder

PICTURE_SCHEMA = pa.schema([("image_id", pa.string()), ("picture", pa.binary())])


@dataclass(frozen=True, slots=True)
class ImageStage:
    """Where a shard's outputs go and how pictures are read.

    `images` and `pictures` are folder names that carry the fingerprint of what they are made of;
    `picture` is the kind of picture kept for people (None for none), `longest` its longest side in
    pixels (None for the original size).
    """

    images: str
    pictures: str
    picture: Literal["jpeg", "png"] | None
    longest: int | None
    max_pixels: int
    batch: int
    decoders: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a stage did with one part: rows there are, of which `fresh` were made just now."""

    rows: int
    rejects: int
    fresh: int


def encode_image_shard(
    folder: Folder,
    shard: Shard,
    pictures: Iterable[tuple[CatalogEntry, bytes]],
    stage: ImageStage,
    load: Callable[[], Encoder],
    advance: Callable[[int], None] = lambda _: None,
) -> Encoded:
    """Decode and encode each picture of a shard once; does nothing if it is done.

    Writes `<images>/<part>.parquet` (embeddings) and `<pictures>/<part>.parquet` (thumbnails), each
    with its marker, and rejects of pictures that cannot be decoded.
    """
    done = image_shard_done(folder, shard, stage)
    if done is not None:
        advance(shard.images)
        return Encoded(done.counts["rows"], done.counts["rejects"], 0)
    encoder = load()
    images, thumbnails = _outputs(shard, stage)
    rejects: list[Reject] = []
    with ExitStack() as open_files:
        schema = embedding_schema("image_id", encoder.info)
        vectors = EmbeddingWriter(open_files.enter_context(writing_parquet(folder, images, schema)))
        small = None
        if thumbnails is not None:
            small = open_files.enter_context(writing_parquet(folder, thumbnails, PICTURE_SCHEMA))
        decoded = _decode_ahead(pictures, encoder.info.resolution, stage)
        for batch in _batches(decoded, stage.batch, rejects, advance):
            pixels = np.stack([picture.pixels for _, picture in batch])
            ids = [str(entry.image_id) for entry, _ in batch]
            vectors.write(ids, [e.hash for e, _ in batch], encoder.encode_images(pixels))
            if small is not None:
                columns = [ids, [picture.thumbnail for _, picture in batch]]
                small.write_table(pa.table(columns, schema=PICTURE_SCHEMA))
            advance(len(batch))
        vectors.flush()
    write_rejects(folder, f"{stage.images}-{shard.part}", rejects)
    if thumbnails is not None:
        mark_complete(folder, thumbnails, rows=vectors.rows)
    mark_complete(folder, images, rows=vectors.rows, rejects=len(rejects))
    return Encoded(vectors.rows, len(rejects), vectors.rows)


def image_shard_done(folder: Folder, shard: Shard, stage: ImageStage) -> Marker | None:
    """The marker of a shard's embeddings if they and its thumbnails are complete."""
    images, thumbnails = _outputs(shard, stage)
    if thumbnails is not None and completed(folder, thumbnails) is None:
        return None
    return completed(folder, images)


def encode_query_part(
    folder: Folder,
    part: str,
    queries: Iterable[tuple[int, str]],
    texts: str,
    load: Callable[[], Encoder],
    advance: Callable[[int], None] = lambda _: None,
) -> Encoded:
    """Encode one part of the queries to `<texts>/<part>.parquet`; does nothing if it is done."""
    output = f"{texts}/{part}.parquet"
    done = completed(folder, output)
    if done is not None:
        advance(done.counts["rows"])
        return Encoded(done.counts["rows"], 0, 0)
    encoder = load()
    schema = embedding_schema("query_id", encoder.info)
    with writing_parquet(folder, output, schema) as file:
        writer = EmbeddingWriter(file)
        stream = iter(queries)
        while piece := list(itertools.islice(stream, 1024)):
            hashes = [payload_hash(text.encode()) for _, text in piece]
            vectors = encoder.encode_texts([text for _, text in piece])
            writer.write([str(query_id) for query_id, _ in piece], hashes, vectors)
            advance(len(piece))
        writer.flush()
    mark_complete(folder, output, rows=writer.rows)
    return Encoded(writer.rows, 0, writer.rows)


def _outputs(shard: Shard, stage: ImageStage) -> tuple[str, str | None]:
    thumbnails = f"{stage.pictures}/{shard.part}.parquet" if stage.picture else None
    return f"{stage.images}/{shard.part}.parquet", thumbnails


_Decoded = tuple[CatalogEntry, bytes, "Future[DecodedPicture]"]


def _decode_ahead(
    pictures: Iterable[tuple[CatalogEntry, bytes]], resolution: int, stage: ImageStage
) -> Iterator[_Decoded]:
    """Decode in threads, in order, at most two batches ahead of the model."""
    waiting: deque[_Decoded] = deque()
    with ThreadPoolExecutor(stage.decoders, thread_name_prefix="decode") as pool:
        for entry, data in pictures:
            future = pool.submit(_decode, data, resolution, stage)
            waiting.append((entry, data, future))
            if len(waiting) >= 2 * stage.batch:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _decode(data: bytes, resolution: int, stage: ImageStage) -> DecodedPicture:
    picture = decode_picture(data, resolution, stage.max_pixels, stage.longest)
    if stage.picture != "png":
        return picture
    return replace(picture, thumbnail=picture_png(data, stage.max_pixels))


def _batches(
    decoded: Iterator[_Decoded],
    size: int,
    rejects: list[Reject],
    advance: Callable[[int], None],
) -> Iterator[Sequence[tuple[CatalogEntry, DecodedPicture]]]:
    """Batches of pictures that could be decoded; the others are added to `rejects`."""
    batch: list[tuple[CatalogEntry, DecodedPicture]] = []
    for entry, data, future in decoded:
        try:
            batch.append((entry, future.result()))
        except ImageError as error:
            about = (entry.position, str(entry.image_id), error.code, str(error))
            rejects.append(Reject("encode_images", *about, payload_hash=payload_hash(data)))
            advance(1)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

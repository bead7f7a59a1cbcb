"""The encode stages: a shard's pictures, or a part of the queries, to Parquet."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import CatalogEntry
from tasks.encode.model.contract import Encoder
from tasks.encode.stage.bases import NOT_THERE, Base
from tasks.encode.stage.clock import Clock
from tasks.encode.stage.embeddings import (
    PICTURES_A_GROUP,
    EmbeddingWriter,
    GroupWriter,
    embedding_schema,
)
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.pieces import PIECES, PartWriter, Pieces, Rows
from tasks.encode.stage.plan import UNBOUNDED, Bounds, Encoded, ImageStage, as_done
from tasks.records import Float32, QueryPart, Shard
from tasks.work.folder import Folder
from tasks.work.freed import give_back
from tasks.work.layers import (
    BASE_SUM,
    ROWS,
    delta_of,
    output_done,
    remove_layers,
    remove_output,
    runs_of,
)
from tasks.work.markers import Marker, completed, fingerprint, mark_complete, mark_delta
from tasks.work.parquet import writing_parquet
from tasks.work.rejects import payload_hash, write_rejects

if TYPE_CHECKING:  # torch, which a part that is done does not need
    from tasks.encode.stage.pipeline import Batch

PICTURE_SCHEMA = pa.schema([("image_id", pa.string()), ("picture", pa.binary())])
QUERIES_A_GROUP = 4096
"""Texts that are sorted by length together: their batches depend on nothing outside."""


class PictureSource(Protocol):
    """What encoding the pictures of a shard needs; asked only if there is work."""

    def base(self, schema: pa.Schema) -> Base | None:
        """The file of an earlier run that has most of the shard's pictures, with embeddings of this
        schema; None if there is none, and the shard is written anew."""

    def entries(self, only: Sequence[int] | None = None) -> Sequence[CatalogEntry]:
        """The pictures of the shard, in order; those of some numbers alone."""

    def read(self, entries: Sequence[CatalogEntry]) -> Iterable[tuple[CatalogEntry, bytes]]:
        """The bytes of some of them, in order."""

    def known(self, wanted: Collection[str]) -> Mapping[str, KnownImage]:
        """What is known of pictures with these content hashes, by them."""

    def encoder(self) -> Encoder:
        """The model."""

    def advance(self, images: int) -> None:
        """Be told that so many more are through."""


class QuerySource(Protocol):
    """What encoding a part of the queries needs; asked only if there is work."""

    def queries(self) -> Iterable[tuple[int, str]]:
        """(query_id, text), in order."""

    def known(self) -> Mapping[str, Float32]:
        """Vectors (D,) float32 that are known, by the hash of the text."""

    def encoder(self) -> Encoder:
        """The model."""

    def advance(self, queries: int) -> None:
        """Be told that so many more are through."""


class _Stopped(Exception):
    """Ends a part within its bounds; nobody but the stage sees it."""


def encode_image_shard(
    folder: Folder,
    shard: Shard,
    stage: ImageStage,
    source: PictureSource,
    again: bool = False,
    bounds: Bounds = UNBOUNDED,
) -> Encoded:
    """Decode and encode each picture of a shard once; does nothing if it is done.

    Writes `<images>/<part>.parquet` (embeddings) and `<pictures>/<part>.parquet` (thumbnails), each
    with its marker, and rejects of pictures that cannot be decoded; goes on behind the pieces that
    a killed run left. Where the source has a base they are deltas beside it. Pictures whose content
    hash is known are neither read nor encoded; one that is known without its thumbnail, where one
    is kept, is encoded anew. With `again` a part that is done is written anew, from what is known
    and what can be decoded by now. Where its `bounds` are met it stops between two batches of the
    model, and the next call goes on there.
    """
    done = None if again else image_shard_done(folder, shard, stage)
    if done is not None:
        source.advance(shard.images)
        return as_done(done.counts)
    if bounds.over():
        return Encoded(0, 0, 0, left=shard.images)
    work = _ImageWork(folder, shard, stage, source)
    try:
        with ExitStack() as open_files:
            part = work.open_part(open_files)
            try:
                source.advance(work.taken + part.resume())
                fresh, clock = work.encode(part, bounds)
                if part.entries < work.entries:
                    raise _Stopped
            except (KeyboardInterrupt, _Stopped):
                part.keep()
                raise
            part.flush()
            work.tell_rows(part)
    except _Stopped:
        give_back()
        left, step = work.left(part)
        rows = work.taken + part.rows
        return Encoded(rows, len(part.rejects), fresh, clock.seconds, {}, left, step)
    write_rejects(folder, f"{stage.images}-{shard.part}", part.rejects)
    rows, odd = work.mark(part)
    work.pieces.remove()
    give_back()
    return Encoded(rows, len(part.rejects), fresh, clock.seconds, odd)


def image_shard_done(folder: Folder, shard: Shard, stage: ImageStage) -> Marker | None:
    """The marker of a shard's embeddings if they and its thumbnails are complete."""
    images, thumbnails = _outputs(shard, stage)
    if thumbnails is not None and output_done(folder, thumbnails) is None:
        return None
    return output_done(folder, images)


def encode_query_part(
    folder: Folder,
    part: QueryPart,
    texts: str,
    source: QuerySource,
    checkpoint: float = 10.0,
    bounds: Bounds = UNBOUNDED,
) -> Encoded:
    """Encode one part of the queries to `<texts>/<part>.parquet`; does nothing if it is done.

    Texts whose vector is known are not encoded. Goes on behind the pieces that a killed run left;
    every `checkpoint` seconds there is one. After the end of its `bounds` it stops at the next
    group.
    """
    output = part.file_in(texts)
    done = completed(folder, output)
    if done is not None:
        source.advance(done.counts["rows"])
        return Encoded(done.counts["rows"], 0, 0)
    if bounds.over():
        return Encoded(0, 0, 0, left=1)
    encoder, before, clock = source.encoder(), source.known(), Clock()
    schema = embedding_schema("query_id", encoder.info, encoder.format)
    pieces = Pieces(
        folder, f"{texts}/{PIECES}", part.part, made_by=encoder.way, known=_names(before)
    )
    fresh = 0
    try:
        with writing_parquet(folder, output, schema, dictionary=False) as file:
            writer = PartWriter(EmbeddingWriter(file), None, pieces, checkpoint)
            source.advance(writer.resume())
            stream = itertools.islice(source.queries(), writer.entries, None)
            while group := list(itertools.islice(stream, QUERIES_A_GROUP)):
                if bounds.over():
                    writer.keep()
                    raise _Stopped
                with clock.timing("model_busy"):
                    rows, new = _encode_texts(encoder, group, before, writer.entries)
                with clock.timing("write_busy"):
                    writer.write(rows)
                source.advance(len(group))
                fresh += new
            writer.flush()
    except _Stopped:
        return Encoded(writer.rows, 0, fresh, clock.seconds, left=1)
    mark_complete(folder, output, rows=writer.rows)
    pieces.remove()
    give_back()
    return Encoded(writer.rows, 0, fresh, clock.seconds)


class _ImageWork:
    """One shard's pictures and what they go through."""

    def __init__(
        self,
        folder: Folder,
        shard: Shard,
        stage: ImageStage,
        source: PictureSource,
    ) -> None:
        self._folder, self._shard, self._stage, self._source = folder, shard, stage, source
        self._encoder = source.encoder()
        self._base = source.base(embedding_schema("image_id", self._encoder.info))
        self._entries = source.entries(None if self._base is None else self._base.others())
        known = source.known({entry.hash for entry in self._entries})
        usable = (e.hash for e in self._entries if _is_usable(known.get(e.hash), stage))
        self._known = {digest: known[digest] for digest in usable}
        self._batch = self._encoder.batch_images(stage.batch, stage.memory)
        self._files: list[pq.ParquetWriter] = []
        self.pieces = Pieces(
            folder,
            f"{stage.images}/{PIECES}",
            shard.part,
            computed_in=self._encoder.format,
            shard=shard.fingerprint,
            pictures=stage.pictures,
            batch=self._batch,
            made_by=self._encoder.way,
            known=_names(self._known),
            **({} if self._base is None else {"base": self._base.checksums[0]}),
        )

    def open_part(self, files: ExitStack) -> PartWriter:
        """The writer of both outputs, which appear when `files` is closed without an error."""
        images, thumbnails = _outputs(self._shard, self._stage)
        schema = embedding_schema("image_id", self._encoder.info, self._formats())
        vectors = EmbeddingWriter(self._open(files, images, schema))
        pictures = None
        if thumbnails is not None:
            file = self._open(files, thumbnails, PICTURE_SCHEMA, "none")  # they are compressed
            pictures = GroupWriter(file, PICTURES_A_GROUP)
        return PartWriter(vectors, pictures, self.pieces, self._stage.checkpoint)

    def _open(
        self, files: ExitStack, output: str, schema: pa.Schema, compression: str = "zstd"
    ) -> pq.ParquetWriter:
        name = output if self._base is None else delta_of(output)
        opened = writing_parquet(self._folder, name, schema, compression, dictionary=False)
        self._files.append(files.enter_context(opened))
        return self._files[-1]

    def tell_rows(self, part: PartWriter) -> None:
        """Write into deltas which rows of them and of their bases make the outputs."""
        if self._base is None:
            return
        rejected = {reject.id for reject in part.rejects}
        others = iter([str(entry.image_id) not in rejected for entry in self._entries])
        fresh, rows = itertools.count(), list[tuple[int, int]]()
        for row in self._base.rows:
            if row != NOT_THERE:
                rows.append((0, row))
            elif next(others):
                rows.append((1, next(fresh)))
        for file, checksum in zip(self._files, self._base.checksums, strict=False):
            # the base too, so that the delta is another one beside another base
            file.add_key_value_metadata({ROWS: json.dumps(runs_of(rows)), BASE_SUM: checksum})

    def mark(self, part: PartWriter) -> tuple[int, dict[str, int]]:
        """Write the markers of the outputs; returns how many rows there are, and how many pictures
        are odd, by oddity."""
        images, thumbnails = _outputs(self._shard, self._stage)
        odd, rows = dict(part.odd), self.taken + part.rows
        if self._base is not None:
            odd = dict(part.odd + Counter(self._base.odd))
            for output in filter(None, (images, thumbnails)):  # torn, or of other options
                remove_output(self._folder, output)
            self._base.take(images, thumbnails)
        counts = {"rows": rows, "rejects": len(part.rejects), **odd}
        if thumbnails is not None:
            self._mark(thumbnails, 1, {"rows": rows})
        self._mark(images, 0, counts)
        return rows, odd

    def _mark(self, output: str, which: int, counts: Mapping[str, int]) -> None:
        if self._base is not None:
            mark_delta(self._folder, delta_of(output), self._base.checksums[which], counts)
            return
        mark_delta(self._folder, output, "", counts)
        remove_layers(self._folder, output)

    @property
    def taken(self) -> int:
        """How many pictures of the shard are in its base."""
        return 0 if self._base is None else self._base.taken

    @property
    def entries(self) -> int:
        """How many pictures of the shard are not."""
        return len(self._entries)

    def left(self, part: PartWriter) -> tuple[int, int]:
        """How many pictures of those that `part` does not have must be encoded, and how many of
        them at once."""
        wanted = sum(e.hash not in self._known for e in self._entries[part.entries :])
        return wanted, min(self._batch, wanted)

    def _formats(self) -> str:
        """The number formats of the vectors, by commas."""
        found = {known.computed_in for known in self._known.values()}
        if any(entry.hash not in self._known for entry in self._entries):
            found.add(self._encoder.format)
        return ",".join(sorted(filter(None, found)))

    def encode(self, part: PartWriter, bounds: Bounds) -> tuple[int, Clock]:
        """Do what `part` does not have yet, within bounds; returns how many pictures were
        encoded."""
        from tasks.encode.model.pending import PixelBuffers
        from tasks.encode.stage.ahead import decoded_ahead
        from tasks.encode.stage.pipeline import encode_batches, fill_batches

        fresh, clock, first = 0, Clock(), part.entries
        wanted = [e for e in self._entries[first:] if e.hash not in self._known]
        if wanted and not bounds.admit(1):
            return fresh, clock
        size = min(self._batch, max(1, len(wanted)))
        side = self._encoder.info.resolution
        # one is filled, one has its vectors written, and the others are in the device
        buffers = PixelBuffers(self._encoder.at_once + 2, size, side, self._encoder.device)

        def write(rows: Rows, new: int) -> None:
            nonlocal fresh
            done = rows.entries - part.entries
            part.write(rows)
            self._source.advance(done)
            fresh += new

        read = self._source.read(wanted)
        with decoded_ahead(
            read, self._encoder, self._stage, len(wanted), 2 * size, clock
        ) as decoded:
            batches = fill_batches(self._entries, first, self._known, decoded, buffers, size, clock)
            keep = self._stage.picture is not None
            encode_batches(_admitted(batches, bounds), self._encoder, buffers, write, keep, clock)
        return fresh, clock


def _admitted(batches: Iterator[Batch], bounds: Bounds) -> Iterator[Batch]:
    """The batches up to the first that the bounds do not admit."""
    fresh = 0
    for batch in batches:
        fresh += batch.new
        if not bounds.admit(fresh):
            return
        yield batch


def _encode_texts(
    encoder: Encoder,
    group: Sequence[tuple[int, str]],
    known: Mapping[str, Float32],
    before: int,
) -> tuple[Rows, int]:
    """The rows of a group of queries, and how many texts were encoded."""
    hashes = [payload_hash(text.encode()) for _, text in group]
    new = [number for number, digest in enumerate(hashes) if digest not in known]
    vectors = np.empty((len(group), encoder.info.dimension), np.float32)
    vectors[new] = encoder.encode_texts([group[number][1] for number in new])
    for number, digest in enumerate(hashes):
        if digest in known:
            vectors[number] = known[digest]
    ids = [str(query_id) for query_id, _ in group]
    return Rows(ids, hashes, vectors, None, (), before + len(group)), len(new)


def _is_usable(known: KnownImage | None, stage: ImageStage) -> bool:
    return known is not None and (stage.picture is None or known.thumbnail is not None)


def _names(known: Mapping[str, object]) -> str:
    """What is known decides which rows share a batch."""
    return fingerprint(hashes=sorted(known))


def _outputs(shard: Shard, stage: ImageStage) -> tuple[str, str | None]:
    thumbnails = shard.file_in(stage.pictures) if stage.picture else None
    return shard.file_in(stage.images), thumbnails

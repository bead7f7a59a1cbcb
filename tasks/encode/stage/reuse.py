"""Reuse: what an earlier run encoded is found by the hash of its content, and not encoded again."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from tasks.dataset.shards import find_plan, read_hashes, read_queries
from tasks.encode.stage.embeddings import (
    formats_in,
    read_embeddings,
    read_oddities,
    read_pictures,
)
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.pieces import PIECES, pieces_of, read_piece
from tasks.errors import WorkFolderError
from tasks.records import Float32, QueryPart, Shard
from tasks.work.folder import Folder
from tasks.work.layers import output_done, outputs_there, read_rows
from tasks.work.markers import completed, fingerprint, mark_complete
from tasks.work.rejects import payload_hash
from tasks.work.scratch import rows_with, scratch_table

_ENCODED = "CREATE TABLE encoded (hash TEXT PRIMARY KEY, source INTEGER, part TEXT) WITHOUT ROWID;"


@dataclass(frozen=True, slots=True)
class Encodings:
    """What a run encoded: folder of the run in the work folder, and in it the folders of image
    embeddings, pictures kept for people ("" if none) and query embeddings."""

    run: str
    images: str
    pictures: str
    texts: str


@dataclass(frozen=True, slots=True)
class Reuse:
    """Where a run finds what was encoded before: the folder of the lists that say so, "" if there
    is no source; and how many of its pictures and queries are in none (None: nobody counted)."""

    folder: str = ""
    fresh: int | None = None


def plan_reuse(
    work: Folder, own: Encodings, shards: Sequence[Shard], parts: int, sources: Sequence[Encodings]
) -> Reuse:
    """Write for every shard and query part of the run of `own` which parts of the sources have
    something of it."""
    sources = [s for s in sources if (s.run, s.images) != (own.run, own.images)]
    if not sources:
        return Reuse()
    folder, name = work.sub(own.run), f"reuse-{fingerprint(sources=[asdict(s) for s in sources])}"
    if (marker := completed(folder, f"{name}/sources.json")) is not None:
        return Reuse(name, marker.counts.get("fresh"))
    fresh = 0
    with scratch_table("index", _ENCODED) as db:
        for number, source in enumerate(sources):
            for part, hashes in _encoded_images(work, source):
                _add(db, number, part, hashes)
        for shard in shards:
            found, missing = _parts_of(db, read_hashes(folder, shard))
            folder.write_json(f"{name}/images/{shard.part}.json", found)
            fresh += missing
    with scratch_table("index", _ENCODED) as db:
        for number, source in enumerate(sources):
            for part, hashes in _encoded_texts(work, source):
                _add(db, number, part, hashes)
        for each in map(QueryPart, range(parts)):
            hashes = [payload_hash(text.encode()) for _, text in read_queries(folder, each)]
            found, missing = _parts_of(db, hashes)
            folder.write_json(f"{name}/texts/{each.part}.json", found)
            fresh += missing
    folder.write_json(f"{name}/sources.json", [asdict(source) for source in sources])
    mark_complete(folder, f"{name}/sources.json", sources=len(sources), fresh=fresh)
    return Reuse(name, fresh)


def known_images(
    work: Folder, run: str, reuse: str, shard: Shard, wanted: Collection[str]
) -> dict[str, KnownImage]:
    """What is known of the `wanted` pictures of a shard, by content hash; memory: one shard."""
    if not reuse:
        return {}
    found: dict[str, KnownImage] = {}
    for source, part in listed_parts(work.sub(run), reuse, shard):
        found.update(_read_images(work, source, part, set(wanted) - found.keys()))
    return found


def listed_parts(folder: Folder, reuse: str, shard: Shard) -> Iterator[tuple[Encodings, str]]:
    """The parts that have some of a shard's pictures, as the list in a run's folder says."""
    return _listed(folder, reuse, f"images/{shard.part}.json")


def known_of_part(work: Folder, source: Encodings, shard: Shard) -> dict[str, KnownImage]:
    """Everything that a shard's part holds, by content hash; {} if it is torn."""
    return dict(_read_images(work, source, shard.part, None))


def known_texts(work: Folder, run: str, reuse: str, part: QueryPart) -> Mapping[str, Float32]:
    """The vectors (D,) float32 known of a part's queries, by the hash of the text."""
    if not reuse:
        return {}
    folder = work.sub(run)
    wanted = {payload_hash(text.encode()) for _, text in read_queries(folder, part)}
    found: dict[str, Float32] = {}
    for source, name in _listed(folder, reuse, f"texts/{part.part}.json"):
        output = f"{source.texts}/{name}.parquet"
        if completed(work.sub(source.run), output) is None:
            continue
        for _, hashes, vectors in read_embeddings(work.sub(source.run), output):
            found |= {h: v for h, v in zip(hashes, vectors, strict=True) if h in wanted}
    return found


def _read_images(
    work: Folder, source: Encodings, part: str, wanted: set[str] | None
) -> Iterator[tuple[str, KnownImage]]:
    """(hash, what is known) of the wanted pictures of one part (None: all); nothing of a torn
    one."""
    folder, images = work.sub(source.run), f"{source.images}/{part}.parquet"
    if part.startswith(f"{PIECES}/"):
        found = _read_piece(folder, source, part)
        yield from (each for each in found if wanted is None or each[0] in wanted)
        return
    if wanted is not None and not (wanted := _having(folder, images, wanted)):
        return
    pictures = f"{source.pictures}/{part}.parquet" if source.pictures else None
    if not all(output_done(folder, name) for name in filter(None, (images, pictures))):
        return
    odd, format = read_oddities(folder, images), formats_in(folder, [images])
    for ids, hashes, vectors in read_embeddings(folder, images, wanted, "hash"):
        kept = _pictures(folder, pictures, ids) if pictures else {}
        for image_id, digest, vector in zip(ids, hashes, vectors, strict=True):
            yield digest, KnownImage(vector, kept.get(image_id), odd.get(image_id, ""), format)


def _having(folder: Folder, images: str, wanted: set[str]) -> set[str]:
    """Those of the wanted hashes that are in a file of embeddings, nothing if it is torn."""
    try:
        some = [column for rows in read_rows(folder, images, ["hash"]) for column in rows.columns]
    except WorkFolderError:
        return set()
    return wanted & {digest for column in some for digest in column.to_pylist()}


def _pictures(folder: Folder, name: str, ids: Sequence[str]) -> dict[str, bytes]:
    return {i: picture.as_py() for i, picture in read_pictures(folder, name, set(ids))}


def _add(db: sqlite3.Connection, source: int, part: str, hashes: Iterable[str]) -> None:
    rows = ((digest, source, part) for digest in hashes)
    db.executemany("INSERT OR IGNORE INTO encoded VALUES (?, ?, ?)", rows)


def _parts_of(db: sqlite3.Connection, hashes: Sequence[str]) -> tuple[list[tuple[int, str]], int]:
    """The parts that have some of these, and how many of them no part has."""
    query = "SELECT hash, source, part FROM encoded WHERE hash IN"
    found = {digest: part for digest, *part in rows_with(db, query, set(hashes))}
    parts = {(source, part) for source, part in found.values()}
    return sorted(parts), sum(digest not in found for digest in hashes)


def _encoded_images(work: Folder, source: Encodings) -> Iterator[tuple[str, list[str]]]:
    folder = work.sub(source.run)
    plan = find_plan(folder)
    there = {f"{source.images}/{name}" for name in outputs_there(folder, source.images)}
    for shard in plan.shards if plan else ():
        if shard.file_in(source.images) in there:
            yield shard.part, read_hashes(folder, shard)
    # of shards that were begun and are not done
    for piece in pieces_of(folder, source.images):
        if (rows := read_piece(folder, piece, source.pictures)) is not None:
            yield _part_of(piece, source), rows.hashes


def _part_of(piece: str, source: Encodings) -> str:
    return piece.removeprefix(f"{source.images}/").removesuffix(".parquet")


def _read_piece(folder: Folder, source: Encodings, part: str) -> Iterator[tuple[str, KnownImage]]:
    rows = read_piece(folder, f"{source.images}/{part}.parquet", source.pictures)
    if rows is None:
        return
    kept, odd = rows.pictures or [None] * len(rows.ids), rows.oddities or [""] * len(rows.ids)
    for each in zip(rows.hashes, rows.vectors, kept, odd, strict=True):
        yield each[0], KnownImage(*each[1:], rows.computed_in)


def _encoded_texts(work: Folder, source: Encodings) -> Iterator[tuple[str, list[str]]]:
    folder = work.sub(source.run)
    plan = find_plan(folder)
    for part in map(QueryPart, range(plan.query_parts if plan else 0)):
        if folder.exists(part.file_in(source.texts)):
            hashes = [payload_hash(text.encode()) for _, text in read_queries(folder, part)]
            yield part.part, hashes


def _listed(folder: Folder, reuse: str, name: str) -> Iterator[tuple[Encodings, str]]:
    if not folder.exists(f"{reuse}/{name}"):  # a shard that had its output then
        return
    sources = [Encodings(**said) for said in folder.read_json(f"{reuse}/sources.json")]
    for source, part in folder.read_json(f"{reuse}/{name}"):
        yield sources[source], part

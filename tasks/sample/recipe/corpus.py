"""The corpus that ships: which pictures and queries, and the two Parquet files."""

import io
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tasks.sample.recipe.pictures import ARTISTS, drawings, render_all
from tasks.sample.recipe.words import Concept, Lexicon

# Concepts a group: things people like to look at, of emojibase's groups.
_QUOTAS = {0: 50, 1: 55, 3: 120, 4: 105, 5: 85, 6: 50, 7: 105}
_FEWEST_ARTISTS = 4
_SIZE = 224
_WEBP_QUALITY = 65
_WORDS_A_PICTURE = 4
_MOST_OWNERS = 12  # words of more concepts than this ("脸") say too little
_UNWANTED = (
    "点",
    "钟",
    "中指",
    "香烟",
    "便便",
    "枪",
    "棺材",
    "骨灰",
    "按钮",
    "耶稣",
    "避孕",
    "情人",
    "犹太",
    "克尔白",
)
_FIRST_IMAGE_ID, _FIRST_QUERY_ID = 100_001, 200_001


@dataclass(frozen=True)
class Query:
    """One query row; image_ids are sorted."""

    query: str
    image_ids: tuple[int, ...]
    split: str
    kind: str


def write_corpus(lexicon: Lexicon, packages: Path, folder: Path) -> None:
    """Write images.parquet and queries.parquet; the same packages give the same rows."""
    english = {code: concept.english for code, concept in lexicon.concepts.items()}
    shipped = [artist for artist in ARTISTS if artist.shipped]
    drawn = {artist.name: drawings(artist, packages, english) for artist in shipped}
    chosen = _choose(lexicon, {name: set(found) for name, found in drawn.items()})
    pairs = [(c, a.name) for c in chosen for a in shipped if c.code in drawn[a.name]]
    pictures = render_all([drawn[artist][concept.code] for concept, artist in pairs], _SIZE)
    kept = [(*pair, p) for pair, p in zip(pairs, pictures, strict=True) if p is not None]
    ids = {(c.code, a): _FIRST_IMAGE_ID + i for i, (c, a, _) in enumerate(kept)}
    queries = _queries(lexicon, chosen, ids)
    folder.mkdir(parents=True, exist_ok=True)
    images = pa.table(
        {
            "image_id": pa.array([ids[c.code, a] for c, a, _ in kept], pa.int64()),
            "image": pa.array([_webp(Image.fromarray(p)) for _, _, p in kept], pa.binary()),
            "artist": [a for _, a, _ in kept],
            "concept": [c.code for c, _, _ in kept],
            "name": [c.name for c, _, _ in kept],
        }
    )
    pq.write_table(images, folder / "images.parquet", compression="zstd", use_dictionary=False)
    pq.write_table(_query_table(queries), folder / "queries.parquet", compression="zstd")


def _choose(lexicon: Lexicon, drawn: dict[str, set[str]]) -> list[Concept]:
    """Pick concrete concepts that most artists draw and that have words to search for."""
    chance = random.Random(5)
    chosen: list[Concept] = []
    for group, quota in _QUOTAS.items():
        fitting = [
            concept
            for concept in lexicon.concepts.values()
            if concept.group == group
            and len(lexicon.trained_words(concept)) >= 2
            and not any(part in concept.name for part in _UNWANTED)
            and "200d" not in concept.code
            and sum(concept.code in codes for codes in drawn.values()) >= _FEWEST_ARTISTS
        ]
        chance.shuffle(fitting)
        fitting.sort(key=lambda c: -sum(c.code in codes for codes in drawn.values()))
        chosen += fitting[:quota]
    return sorted(chosen, key=lambda c: c.code)


def _queries(
    lexicon: Lexicon, chosen: list[Concept], ids: dict[tuple[str, str], int]
) -> list[Query]:
    """Names and search words that pictures carry, then the held-out words.

    A picture carries its name and a few of its concept's words; the artists' pictures of a concept
    need not carry the same ones. A held-out word lists every picture of every concept that owns it.
    """
    chance = random.Random(9)
    owners: dict[str, set[str]] = {}
    for concept in chosen:
        for word in concept.words:
            owners.setdefault(word, set()).add(concept.code)
    names: dict[str, list[int]] = {}
    carried: dict[str, list[int]] = {}
    for concept in chosen:
        words = [
            word
            for word in lexicon.trained_words(concept)
            if word != concept.name and len(owners[word]) <= _MOST_OWNERS
        ]
        for artist in ARTISTS:
            if (concept.code, artist.name) in ids:
                image_id = ids[concept.code, artist.name]
                names.setdefault(concept.name, []).append(image_id)
                for word in chance.sample(words, min(_WORDS_A_PICTURE, len(words))):
                    carried.setdefault(word, []).append(image_id)
    held_out = {
        word: [i for (code, _), i in ids.items() if code in owners[word]]
        for word in sorted(lexicon.held_out)
        if word in owners
    }
    for word in set(names) & set(carried):
        names[word] += carried.pop(word)
    return [
        *_rows(names, "indexed", "name"),
        *_rows(carried, "indexed", "keyword"),
        *_rows(held_out, "held_out", "keyword"),
    ]


def _rows(found: dict[str, list[int]], split: str, kind: str) -> list[Query]:
    return [Query(text, tuple(sorted(set(found[text]))), split, kind) for text in sorted(found)]


def _query_table(queries: list[Query]) -> pa.Table:
    count = len(queries)
    query_ids = range(_FIRST_QUERY_ID, _FIRST_QUERY_ID + count)
    return pa.table(
        {
            "query_id": pa.array(query_ids, pa.int64()),
            "query": [q.query for q in queries],
            "image_ids": pa.array([list(q.image_ids) for q in queries], pa.list_(pa.int64())),
            "split": [q.split for q in queries],
            "kind": [q.kind for q in queries],
        }
    )


def _webp(picture: Image.Image) -> bytes:
    """An RGBA picture on white as WebP."""
    white = Image.new("RGBA", picture.size, "white")
    out = io.BytesIO()
    Image.alpha_composite(white, picture).convert("RGB").save(
        out, "WEBP", quality=_WEBP_QUALITY, method=6
    )
    return out.getvalue()

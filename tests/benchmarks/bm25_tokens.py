"""What BM25 should count of Chinese: words, characters and pairs of them, or both, with paired
intervals.

python -m tests.benchmarks.bm25_tokens --queries DATASET [--protocol P] [--store S] [--work-dir W]
python -m tests.benchmarks.bm25_tokens --annotations PACKAGES

The first measures a collection by the texts of its pictures, by keywords alone and with meaning.
The second has no pictures: texts of emoji by one group of Chinese annotators (CLDR zh), asked for
in the words of others (zh-Hant, zh-Hant-HK, yue), but for those that a right text has. PACKAGES
holds cldr-annotations-full and emojibase-data, unpacked (`npm pack`). Concepts that the sample has
and those that it has not are measured apart: what is chosen on one is judged on the other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import tasks.sample
from tasks.context import Context
from tasks.dataset.readers import bounds_of, open_reader
from tasks.evaluate.asked import encode_queries
from tasks.evaluate.exact import Chunk, QueryVectors, StoredKeywords, rank_exactly, weighted
from tasks.evaluate.gallery import Gallery, open_gallery
from tasks.evaluate.intervals import intervals_of
from tasks.evaluate.judgements import Judgement, choose_protocol, read_judgements
from tasks.evaluate.keywords import keyword_scores
from tasks.evaluate.metrics import DEPTH, METRICS, Float64, score_queries
from tasks.records import SparseVector
from tasks.settings import Settings, load_settings
from tasks.sparse.bm25 import train_bm25
from tasks.sparse.lexicon import Lexicon, simplify

WAYS: Mapping[str, Lexicon] = {
    "words": Lexicon(),
    "chars": Lexicon(tokens="chars"),
    "both": Lexicon(tokens="both"),
    "words, simplified": Lexicon(simplified=True),
    "chars, simplified": Lexicon(tokens="chars", simplified=True),
    "both, simplified": Lexicon(tokens="both", simplified=True),
}
BESIDE = {"words": "words", "chars": "words", "both": "words"} | {
    "words, simplified": "words",
    "chars, simplified": "words, simplified",
    "both, simplified": "chars, simplified",
}
"""What each way is compared with."""
SHOWN = ("R@1", "R@10", "MR", "nDCG@10")
OTHERS = ("zh-Hant", "zh-Hant-HK", "yue")


def tell(title: str, scores: Mapping[str, Float64]) -> None:
    """Means, and differences with paired 95 % intervals."""
    queries = len(next(iter(scores.values())))
    print(f"\n{title}: {queries} queries")
    names = {f"{way} - {BESIDE[way]}": scores[way] - scores[BESIDE[way]] for way in scores}
    found = intervals_of({**scores, **{n: v for n, v in names.items() if v.any()}}, METRICS)
    for name, of in found.items():
        cells = (f"{m} {of[m].value:.3f} [{of[m].low:.3f}, {of[m].high:.3f}]" for m in SHOWN)
        print(f"  {name:36} {'  '.join(cells)}")


def of_collection(settings: Settings, dataset: str, protocol: str) -> None:
    """All ways on an indexed collection's texts and the queries of a data set."""
    with Context() as context:
        gallery = open_gallery(context, settings)
        judgements = read_judgements(open_reader(dataset, bounds_of(settings)), dataset)
        asked = encode_queries(gallery, judgements, settings)
        chosen = choose_protocol(judgements, gallery.texts(), protocol)  # type: ignore[arg-type]
        texts = {id: "\n".join(said) for id, said in gallery.documents()}
        alphas = {"sparse": 0.0, f"hybrid {settings.alpha:g}": settings.alpha}
        tables: dict[str, dict[str, Float64]] = {mode: {} for mode in alphas}
        for way, lexicon in WAYS.items():
            bm25 = train_bm25(texts.values(), lexicon)
            words = {id: bm25.encode_document(text) for id, text in texts.items()}
            sparse = tuple(bm25.encode_query(j.text) for j in judgements)
            vectors = QueryVectors(asked.vectors.ids, asked.vectors.dense, sparse)
            ranked = rank_exactly(
                partial(_chunks, gallery, words),
                vectors,
                keyword_scores(gallery, bm25, judgements, chosen),
                {mode: weighted(alpha) for mode, alpha in alphas.items()},
                DEPTH,
            )
            for mode, rankings in ranked.items():
                tables[mode][way] = asked.score(rankings)
        for mode, table in tables.items():
            tell(f"{dataset}, {chosen.name}, {mode}", table)


def _chunks(gallery: Gallery, words: Mapping[str, SparseVector]) -> Iterator[Chunk]:
    for ids, vectors, _ in gallery.chunks():
        yield ids, vectors, [words[id] for id in ids]


def of_annotations(packages: Path) -> None:
    """All ways on the texts of emoji, without pictures."""
    notes = {
        name: _notes(packages / "cldr-annotations-full" / "annotations" / name)
        for name in ("zh", *OTHERS)
    }
    groups = _groups(packages / "emojibase-data" / "en" / "data.json")
    texts = {e: list(dict.fromkeys(said)) for e, said in notes["zh"].items() if e in groups}
    asked: dict[str, set[str]] = {}
    for name in OTHERS:
        for emoji, said in notes[name].items():
            for word in said if emoji in texts else ():
                asked.setdefault(word, set()).add(emoji)
    data = Path(tasks.sample.__file__).parent / "data" / "images.parquet"
    shipped = set(pq.read_table(data, columns=["concept"])[0].to_pylist())
    inside = {e for e in texts if _code(e) in shipped}
    for title, kept in (("the sample's concepts", inside), ("others", texts.keys() - inside)):
        documents = {e: texts[e] for e in sorted(kept)}
        judged = []
        for word, emojis in sorted(asked.items()):
            right = emojis & documents.keys()
            same = {simplify(w) for e in right for w in documents[e]}
            if right and simplify(word) not in same:
                judged.append(Judgement(word, word, frozenset(right)))
        tell(
            f"words of other annotators, {title} ({len(documents)} texts)",
            _text_scores(documents, judged),
        )


def _text_scores(
    documents: Mapping[str, Sequence[str]], judged: Sequence[Judgement]
) -> dict[str, Float64]:
    found: dict[str, Float64] = {}
    none = np.zeros((1, 1), np.float32)
    for way, lexicon in WAYS.items():
        texts = ["\n".join(said) for said in documents.values()]
        bm25 = train_bm25(texts, lexicon)
        chunk: Chunk = (
            list(documents),
            np.repeat(none, len(documents), 0),
            [bm25.encode_document(text) for text in texts],
        )
        queries = QueryVectors(
            tuple(j.query_id for j in judged),
            np.repeat(none, len(judged), 0),
            tuple(bm25.encode_query(j.text) for j in judged),
        )
        rankings = rank_exactly(
            partial(iter, [chunk]),
            queries,
            lambda some: StoredKeywords(some.sparse),
            {"sparse": weighted(0.0)},
            DEPTH,
        )["sparse"]
        found[way] = score_queries(rankings, [j.relevant for j in judged])
    return found


def _notes(folder: Path) -> dict[str, list[str]]:
    said = json.loads((folder / "annotations.json").read_text("utf-8"))
    every = said["annotations"]["annotations"].items()
    return {emoji: [*of.get("tts", []), *of.get("default", [])] for emoji, of in every}


def _groups(file: Path) -> set[str]:
    """Emoji that are things of their own: no flags, components or symbols."""
    entries = json.loads(file.read_text("utf-8"))
    return {e["emoji"].replace("\ufe0f", "") for e in entries if e.get("group") in range(8)}


def _code(emoji: str) -> str:
    return "-".join(f"{ord(c):x}" for c in emoji)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", action="append", default=[])
    parser.add_argument("--protocol", default="auto")
    parser.add_argument("--annotations", type=Path)
    for name in ("store", "work-dir"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--alpha", type=float)
    given = parser.parse_args(arguments)
    if given.annotations:
        of_annotations(given.annotations)
    for queries in given.queries:
        settings = load_settings(store=given.store, work_dir=given.work_dir, alpha=given.alpha)
        of_collection(settings, queries, given.protocol)


if __name__ == "__main__":
    main()

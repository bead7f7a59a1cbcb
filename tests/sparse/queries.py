"""Texts to cut: the same ones everywhere, from the sample's queries and jieba's words.

python -m tests.sparse.queries            how many of 100,000 are cut as DashText cuts them
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files

import pyarrow.parquet as pq

from tasks.sparse import segmenter
from tasks.sparse.tokens import dashtext_cut

Cut = Callable[[str], list[str]]

OTHERS = (
    (0x4E00, 0xA000),
    (0x3040, 0x3100),
    (0x20, 0x7F),
    (0xA1, 0x500),
    (0x3000, 0x3020),
    (0xFF00, 0xFF60),
    (0x1F300, 0x1F700),
    (0x20000, 0x20100),
)
"""Han, kana, ASCII, other letters, punctuation, wide forms, pictures, rare Han."""


def sample_queries() -> list[str]:
    """The sample's, in their order."""
    table = pq.read_table(str(files("tasks.sample") / "data" / "queries.parquet"))
    queries: list[str] = table.column("query").to_pylist()
    return queries


def made_queries(count: int, seed: int = 2026) -> Iterator[str]:
    """One to four words in a row: as often as they are, any of jieba's, or one of the sample's."""
    chosen = random.Random(seed)
    weights = segmenter.logarithms()
    words = sorted(weights)
    common = chosen.choices(words, [2.718281828 ** weights[word] for word in words], k=count)
    sampled = sample_queries()
    for _ in range(count):
        yield "".join(
            chosen.choice(chosen.choice((common, common, words, sampled)))
            for _ in range(chosen.randint(1, 4))
        )


def mixtures(count: int, seed: int = 2026) -> Iterator[str]:
    """Runs of characters of all kinds, with separators and words that DashText adds to jieba's."""
    chosen = random.Random(seed)
    rows = [
        *("".join(map(chr, range(*each))) for each in OTHERS),
        "云计算韩玉鉴赏蓝翔区块链",
        " \t\n，。",
    ]
    for _ in range(count):
        runs = (chosen.choice(rows) for _ in range(chosen.randint(1, 6)))
        yield "".join("".join(chosen.choices(row, k=chosen.randint(1, 4))) for row in runs)


def differences(
    texts: Sequence[str], one: Cut, other: Cut
) -> list[tuple[str, list[str], list[str]]]:
    """Texts that two segmenters cut otherwise, with both cuts."""
    cuts = ((text, one(text), other(text)) for text in texts)
    return [(text, first, second) for text, first, second in cuts if first != second]


def main() -> None:
    """Count, and show the first that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    for kind in (made_queries, mixtures):
        texts = list(kind(given.count, given.seed))
        others = differences(texts, dashtext_cut(), segmenter.cut)
        print(f"{kind.__name__}: {len(texts) - len(others):,} of {len(texts):,} are cut the same")
        for text, theirs, ours in others[:10]:
            print(f"  {text!r}: DashText {theirs}, here {ours}")


if __name__ == "__main__":
    main()

"""Texts sorted into batches of a budget of tokens, against all of them padded to 52.

python -m tests.benchmarks.encode_text --texts 20000

Texts are MUGE-shaped: two or three of the sample's queries in a row (mean 8 tokens).
"""

from __future__ import annotations

import argparse
import statistics

import torch
import torch.nn.functional as F

from tasks.encode.model.chinese_clip.encoder import ChineseClipEncoder
from tasks.encode.model.chinese_clip.layout import LONGEST_TEXT
from tasks.encode.model.load import load_encoder
from tests.benchmarks.bm25_speed import make_texts
from tests.benchmarks.encode_setup import Timing, machine, measure, timed

TEXTS_A_GROUP = 4096
PADDED_BATCH = 64


def padded(encoder: ChineseClipEncoder, texts: list[str]) -> int:
    """Every text padded to 52 tokens, as in the original, in the order they come."""
    tokens = [encoder._tokenizer.encode(text) for text in texts]
    pad = encoder._tokenizer.pad
    with torch.inference_mode():
        for start in range(0, len(tokens), PADDED_BATCH):
            part = tokens[start : start + PADDED_BATCH]
            ids = torch.tensor([t + [pad] * (LONGEST_TEXT - len(t)) for t in part])
            ids = ids.to(encoder.device)
            F.normalize(encoder._model.text(ids, ids != pad).float(), dim=-1).cpu().numpy()
    return len(texts)


def sorted_texts(encoder: ChineseClipEncoder, texts: list[str]) -> int:
    """As the encode stage does."""
    for start in range(0, len(texts), TEXTS_A_GROUP):
        encoder.encode_texts(texts[start : start + TEXTS_A_GROUP])
    return len(texts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.encode_text"
    )
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--model", default="sample")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    encoder = load_encoder(given.model, given.device, given.precision)
    assert isinstance(encoder, ChineseClipEncoder)
    texts = make_texts(given.texts)
    few = texts[: max(PADDED_BATCH, len(texts) // 5)]
    lengths = [len(encoder._tokenizer.encode(text)) for text in texts]

    def padding() -> Timing:
        return timed(lambda: padded(encoder, few))

    def tokenising() -> Timing:
        return timed(lambda: len([encoder._tokenizer.encode(text) for text in texts]))

    rates = measure(
        {
            "padded to 52": padding,
            "sorted, by token budget": lambda: timed(lambda: sorted_texts(encoder, texts)),
            "tokenising alone": tokenising,
        },
        given.rounds,
    )
    print(machine())
    print(
        f"{len(texts):,} texts of {statistics.mean(lengths):.1f} tokens (longest {max(lengths)}), "
        f"{encoder.info.name}, {encoder.format}"
    )
    print(rates.table("padded to 52"))


if __name__ == "__main__":
    main()

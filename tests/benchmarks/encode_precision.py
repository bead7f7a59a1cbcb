"""What each number format costs in accuracy and gains in speed, against fp32 on this machine.

python -m tests.benchmarks.encode_precision

The sample's pictures and its held-out queries: cosines of the vectors to those of fp32, R@10 of
text to image, and pictures a second. fp8 on a CPU has the GPU's numbers and none of its speed.
"""

from __future__ import annotations

import argparse
import io
from importlib.resources import files
from typing import get_args

import numpy as np
import pyarrow.parquet as pq

from tasks.encode.model.contract import Encoder, Format
from tasks.encode.model.load import load_encoder
from tasks.errors import DeviceError
from tasks.records import Float32, Uint8
from tests.benchmarks.encode_setup import Timing, machine, tensors, timed

TOP = 10


def read(name: str) -> list[dict[str, object]]:
    """A table of the sample."""
    content = (files("tasks.sample") / "data" / f"{name}.parquet").read_bytes()
    rows: list[dict[str, object]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def recall(images: Float32, texts: Float32, positives: list[set[int]], ids: list[int]) -> float:
    """Share of texts with a positive among the nearest ten."""
    nearest = np.argsort(-(texts @ images.T), axis=1, kind="stable")[:, :TOP]
    found = (
        bool(wanted & {ids[column] for column in row})
        for wanted, row in zip(positives, nearest, strict=True)
    )
    return sum(found) / len(positives)


def encode(encoder: Encoder, pixels: Uint8, batch: int) -> tuple[Float32, Timing]:
    """All pictures, and the time that took."""
    done: list[Float32] = []
    encoder.encode_images(pixels[:batch])

    def work() -> int:
        for start in range(0, len(pixels), batch):
            done.append(encoder.encode_images(pixels[start : start + batch]))
        return len(pixels)

    timing = timed(work)
    return np.concatenate(done), timing


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.encode_precision"
    )
    parser.add_argument("--model", default="sample")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=10**6, help="at most so many of the sample")
    given = parser.parse_args()
    rows = read("images")[: given.images]
    ids = [int(str(row["image_id"])) for row in rows]
    held_out = [row for row in read("queries") if row["split"] == "held_out"]
    positives = [set(map(int, map(str, _list(row["image_ids"])))) & set(ids) for row in held_out]
    texts = [str(row["query"]) for row, wanted in zip(held_out, positives, strict=True) if wanted]
    positives = [wanted for wanted in positives if wanted]
    print(machine())
    print(f"{len(ids):,} pictures, {len(texts):,} held-out queries, {given.model}")
    print(
        f"{'':6} {'image cosine':>22} {'text cosine':>22} {'R@10':>7} {'change':>8} {'a second':>9}"
    )
    base: tuple[Float32, Float32, float] | None = None
    for precision in get_args(Format):
        try:
            encoder = load_encoder(given.model, given.device, precision)
        except DeviceError as error:
            print(f"{precision:6} {error}")
            continue
        pixels = tensors([_bytes(row["image"]) for row in rows], encoder.info.resolution)
        images, timing = encode(encoder, pixels, encoder.batch_images(0, 4 << 30))
        vectors = encoder.encode_texts(texts)
        reached = recall(images, vectors, positives, ids)
        base = base or (images, vectors, reached)
        cosines = [(a * b).sum(axis=1) for a, b in ((images, base[0]), (vectors, base[1]))]
        said = " ".join(f"{f'{c.mean():.6f} (min {c.min():.4f})':>22}" for c in cosines)
        change = f"{100 * (reached - base[2]):+8.2f} {timing.rate:9,.0f}"
        print(f"{precision:6} {said} {100 * reached:7.2f} {change}", flush=True)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


if __name__ == "__main__":
    main()

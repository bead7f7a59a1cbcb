"""Write MUGE's official files in any size from the sample's pictures, each changed a little.

python -m tests.benchmarks.make_muge FOLDER --images 30000 --pairs 30588 --split valid
"""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from tasks.dataset.readers import open_reader
from tasks.records import ImageId

FIRST_ID = 100_000
IMAGES_A_QUERY = 6  # as in MUGE's valid split
SIDE = 224  # pixels, as most of MUGE
LARGEST_SHIFT = 16  # pixels
IMAGES_A_JOB = 64


@dataclass(frozen=True)
class Sample:
    """The sample's pictures (WEBP bytes), and the texts of each."""

    pictures: list[bytes]
    texts: list[list[str]]


def read_sample() -> Sample:
    """Pictures that have a text, in order."""
    reader = open_reader("sample:")
    pictures: dict[ImageId, bytes] = {}
    texts: dict[ImageId, list[str]] = defaultdict(list)
    for span in reader.spans():
        for row in reader.read(span):
            assert row.image_id is not None
            if row.image is not None:
                pictures[row.image_id] = row.image
            if row.query is not None:
                texts[row.image_id].append(row.query)
    known = [image_id for image_id in pictures if texts[image_id]]
    return Sample([pictures[i] for i in known], [texts[i] for i in known])


def write_muge(folder: Path, images: int, pairs: int, split: str, processes: int = 2) -> int:
    """Write both files of a split; returns how many queries there are.

    Image n is picture n modulo the sample's, shifted, brightened and compressed by its number.
    Its query is one of the picture's; a query has up to `IMAGES_A_QUERY` images. Pairs beyond the
    number of images give the first ones a second query.
    """
    sample = read_sample()
    folder.mkdir(parents=True, exist_ok=True)
    queries = _queries(sample, images, pairs)
    with (folder / f"MR_{split}_queries.jsonl").open("w", encoding="utf-8") as file:
        for query_id, (text, items) in enumerate(queries):
            line = {"query_id": query_id, "query_text": text, "item_ids": items}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    with (folder / f"MR_{split}_imgs.tsv").open("wb") as file:
        for lines in _lines(sample, images, processes):
            file.write(lines)
    return len(queries)


def _queries(sample: Sample, images: int, pairs: int) -> list[tuple[str, list[int]]]:
    """(text, image ids) of each query: images of a text are dealt out six at a time."""
    of_text: dict[str, list[int]] = defaultdict(list)
    for number in range(pairs):
        image = number % images
        texts = sample.texts[image % len(sample.texts)]
        turn = image // len(sample.texts) + number // images
        of_text[texts[turn % len(texts)]].append(FIRST_ID + image)
    return [
        (text, items[start : start + IMAGES_A_QUERY])
        for text, items in of_text.items()
        for start in range(0, len(items), IMAGES_A_QUERY)
    ]


def _lines(sample: Sample, images: int, processes: int) -> Iterator[bytes]:
    """The TSV in pieces, in order; few are in memory at a time."""
    with ProcessPoolExecutor(processes) as pool:
        jobs = _jobs(sample, images)
        while ahead := list(itertools.islice(jobs, 8 * processes)):
            yield from pool.map(_encode_lines, *zip(*ahead, strict=True))


def _jobs(sample: Sample, images: int) -> Iterator[tuple[list[int], list[bytes]]]:
    for start in range(0, images, IMAGES_A_JOB):
        numbers = list(range(start, min(start + IMAGES_A_JOB, images)))
        yield numbers, [sample.pictures[n % len(sample.pictures)] for n in numbers]


def _encode_lines(numbers: Sequence[int], pictures: Sequence[bytes]) -> bytes:
    lines = []
    for number, picture in zip(numbers, pictures, strict=True):
        text = base64.b64encode(_changed(picture, number))
        lines.append(b"%d\t%s\n" % (FIRST_ID + number, text))
    return b"".join(lines)


def _changed(picture: bytes, number: int) -> bytes:
    """A 224 x 224 JPEG of the picture that no other number gives."""
    random = np.random.default_rng(number)
    with Image.open(io.BytesIO(picture)) as image:
        left, top, right, bottom = (int(n) for n in random.integers(0, LARGEST_SHIFT, 4))
        box = (left, top, image.width - right, image.height - bottom)
        resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
    changed = ImageEnhance.Brightness(resized).enhance(float(random.uniform(0.85, 1.15)))
    changed.putpixel((0, 0), (number % 256, number // 256 % 256, number // 65536))
    out = io.BytesIO()
    changed.save(out, "JPEG", quality=int(random.integers(75, 93)), comment=str(number))
    return out.getvalue()


def main() -> None:
    """Write the files and say how large they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.make_muge"
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--pairs", type=int, default=30_588)
    parser.add_argument("--split", default="valid")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    queries = write_muge(
        options.folder, options.images, options.pairs, options.split, options.processes
    )
    size = sum(file.stat().st_size for file in options.folder.iterdir()) / 1e6
    print(f"{options.images} images, {options.pairs} pairs, {queries} queries, {size:.1f} MB")


if __name__ == "__main__":
    main()

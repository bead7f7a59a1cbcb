"""The encode stage against the tutorial's way, on the same rows.

python -m tests.benchmarks.encode_tutorial FOLDER --images 10000

The tutorial's way: ModelScope's own CLIP class in one thread, a row at a time to a tensor through
PIL, in batches of 20 rows, and a picture as often as rows name it. Of the model's class no part is
ours; it needs the packages of `pip install '.[dev]'`.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tasks.dataset.readers import open_reader
from tasks.encode.model.chinese_clip.checkpoint import read_weights
from tasks.encode.model.chinese_clip.encoder import PIXEL_DEVIATION, PIXEL_MEAN
from tasks.encode.model.chinese_clip.layout import WEIGHTS_FILE
from tasks.encode.model.locate import locate_model
from tasks.records import ImageId
from tests.benchmarks.encode_setup import (
    Timing,
    encode_stage,
    load,
    machine,
    measure,
    options,
    timed,
    write_pictures,
)
from tests.encode.model.models import load_original

ROWS_A_BATCH = 20


def original_model(model: str, device: str) -> tuple[Any, int]:
    """ModelScope's class with a model's weights, and the side of its pictures."""
    folder = locate_model(model).path
    original = load_original(folder)
    expected = original.original.state_dict()
    weights = {n: w for n, w in read_weights(folder / WEIGHTS_FILE).items() if n in expected}
    for name in expected.keys() - weights.keys():  # BERT's pooler, which no vector depends on
        weights[name] = expected[name]
    original.original.load_state_dict(weights)
    return original.original.to(device), original.resolution


def rows(dataset: str, count: int) -> Iterator[bytes]:
    """The picture of each row (image, query), as often as rows name it."""
    reader = open_reader(dataset)
    pictures: dict[ImageId, bytes] = {}
    for span in reader.spans():
        for row in reader.read(span):
            if row.image is not None and row.image_id is not None:
                pictures[row.image_id] = row.image
    everything = (row for span in reader.spans() for row in reader.read(span))
    named = (row.image_id for row in everything if row.query is not None)
    return (pictures[i] for i in itertools.islice(named, count) if i is not None)


def encode_rows(model: Any, side: int, device: str, pictures: Iterator[bytes]) -> int:
    """As the tutorial does; returns how many rows."""
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_DEVIATION))
    done = 0
    while batch := list(itertools.islice(pictures, ROWS_A_BATCH)):
        pixels = torch.stack([_to_tensor(data, side, mean, deviation) for data in batch])
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            vectors = F.normalize(model.encode_image(pixels.to(device)), dim=-1)
        done += len(vectors.cpu().numpy())
    return done


def _to_tensor(data: bytes, side: int, mean: Tensor, deviation: Tensor) -> Tensor:
    with Image.open(io.BytesIO(data)) as image:
        square = image.resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
    scaled = torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
    return (scaled - mean) / deviation


def main() -> None:
    """Print the table; both count rows, of which some name the same picture."""
    parser = options("tests.benchmarks.encode_tutorial", __doc__)
    parser.add_argument("--tutorial-rows", type=int, default=2000, help="rows timed its way")
    given = parser.parse_args()
    dataset = write_pictures(given.folder, given.images)
    settings, encoder, batch = load(given)
    model, side = original_model(given.model, encoder.device)
    a_row = 1 + (given.images // 38) / given.images

    def tutorial() -> Timing:
        pictures = list(rows(dataset, given.tutorial_rows))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return timed(lambda: encode_rows(model, side, encoder.device, iter(pictures)))
        finally:
            torch.set_num_threads(threads)

    def all_threads() -> Timing:
        pictures = iter(list(rows(dataset, given.tutorial_rows)))
        return timed(lambda: encode_rows(model, side, encoder.device, pictures))

    def stage(picture: str) -> Callable[[], Timing]:
        with_picture = settings.model_copy(update={"picture": picture})

        def run() -> Timing:
            timing, _ = encode_stage(dataset, with_picture)
            return Timing(round(timing.items * a_row), timing.wall, timing.cpu)

        return run

    rates = measure(
        {
            "tutorial, one thread": tutorial,
            "tutorial, torch's own threads": all_threads,
            "encode stage, no pictures kept": stage("none"),
            "encode stage with thumbnails": stage("jpeg"),
        },
        given.rounds,
    )
    print(machine())
    print(f"rows of {given.images:,} JPEGs, {encoder.info.name}, {encoder.format}, batch {batch}")
    print(rates.table("tutorial, one thread"))


if __name__ == "__main__":
    main()

"""The whole encode stage with random weights: speed needs no trained ones, so any machine can tell.

python -m tests.benchmarks.encode_random FOLDER --images 20000
python -m tests.benchmarks.encode_random FOLDER --images 200 --tiny --rounds 1     (without a GPU)

Real 224 px JPEGs, from files to Parquet, through ViT-B/16, L/14 and H/14 in the family's shapes;
the share of the rate of matrix products that this device was measured to reach, in the same run;
and the tutorial's way (see encode_tutorial) through ModelScope's class of the same shape.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from tasks.context import Context
from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.readers import open_reader
from tasks.dataset.shards import read_entries, read_images
from tasks.encode.model.chinese_clip.encoder import ChineseClipEncoder
from tasks.encode.model.chinese_clip.fp8 import use_fp8
from tasks.encode.model.chinese_clip.layout import ModelLayout, TextLayout, VisionLayout
from tasks.encode.model.chinese_clip.tokenizer import TextTokenizer
from tasks.encode.model.chinese_clip.towers import ChineseClip
from tasks.encode.model.contract import Encoder, Precision
from tasks.encode.model.device import choose_device
from tasks.encode.model.pixels import decode_picture
from tasks.encode.model.precision import TYPES, choose_format
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.stages import encode_image_shard
from tasks.encode.stage.workers import decoders_at_once, shards_at_once
from tasks.index import stages as index_stages
from tasks.index.run import IndexRun
from tasks.records import ModelInfo, Shard
from tasks.settings import Settings, load_settings
from tasks.work.folder import Folder
from tests.benchmarks.encode_setup import (
    LIMIT,
    Timing,
    bare_streams,
    machine,
    measure,
    options,
    read_jpegs,
    tensors,
    timed,
    write_pictures,
)
from tests.benchmarks.encode_tutorial import encode_rows
from tests.encode.model.models import load_original, original_module

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"猫狗"]
SECONDS = 2.0


@dataclass(frozen=True)
class Shape:
    """A picture tower of the family."""

    name: str
    dimension: int
    vision: VisionLayout

    @property
    def layout(self) -> ModelLayout:
        """With the smallest text tower, which is not used."""
        return ModelLayout(self.dimension, self.vision, TextLayout(len(WORDS), 64, 1, 1, 64, 64, 2))

    @property
    def multiply_adds(self) -> float:
        """Of one picture."""
        v = self.vision
        assert isinstance(v.layers, int)
        patches = (v.resolution // v.patch) ** 2
        states = patches + 1
        block = 12 * v.width**2 * states + 2 * states**2 * v.width
        return float(
            v.layers * block + patches * 3 * v.patch**2 * v.width + v.width * self.dimension
        )


SHAPES = (
    Shape("ViT-B/16", 512, VisionLayout(224, 12, 768, 16, 12)),
    Shape("ViT-L/14", 768, VisionLayout(224, 24, 1024, 14, 16)),
    Shape("ViT-H/14", 1024, VisionLayout(224, 32, 1280, 14, 16)),
)
TINY = (Shape("tiny ViT", 64, VisionLayout(224, 2, 128, 16, 2)),)


def random_encoder(shape: Shape, settings: Settings) -> Encoder:
    """A model of that shape that nobody trained."""
    device = choose_device(settings.device)
    precision: Precision = settings.precision
    format = choose_format(precision, device, isinstance(shape.vision.layers, int))
    model = ChineseClip(shape.layout).to_empty(device=device)
    torch.manual_seed(0)
    for parameter in model.parameters():
        scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.02
        torch.nn.init.normal_(parameter, 0.0, scale)
    # processes that decode ask for the family of the model by its name
    info = ModelInfo("sample", "", "", shape.dimension, shape.vision.resolution, "")
    tokenizer = TextTokenizer(WORDS)
    weights = model.to(TYPES[format])
    if format == "fp8":
        use_fp8(weights)
    return ChineseClipEncoder(info, weights, tokenizer, device, format, settings.kernels)


def product_rate(encoder: Encoder, side: int) -> float:
    """Multiply-adds a second of a square matrix product in the encoder's type, the best of some."""
    device, kind = torch.device(encoder.device), TYPES[encoder.format]
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    best, end = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        _wait(device)
        began = time.perf_counter()
        for _ in range(10):
            a @ b
        _wait(device)
        best = max(best, 10 * side**3 / (time.perf_counter() - began))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Pictures:
    """A `PictureSource`: a shard's, for an encoder that has no name."""

    dataset: str
    folder: Folder
    shard: Shard
    model: Encoder

    def base(self, schema: pa.Schema) -> None:
        """There is none."""

    def entries(self, only: Sequence[int] | None = None) -> Sequence[CatalogEntry]:
        """All of the shard."""
        return list(read_entries(self.folder, self.shard))

    def read(self, entries: Sequence[CatalogEntry]) -> Iterable[tuple[CatalogEntry, bytes]]:
        """From the data set's files."""
        return read_images(open_reader(self.dataset), entries)

    def known(self, wanted: Collection[str]) -> Mapping[str, KnownImage]:
        """None are."""
        return {}

    def encoder(self) -> Encoder:
        """The one given."""
        return self.model

    def advance(self, images: int) -> None:
        """Nobody looks."""


def stage(dataset: str, encoder: Encoder, settings: Settings) -> Timing:
    """From files to Parquet, as the flow runs it."""
    with tempfile.TemporaryDirectory(prefix="muge-benchmark-") as home:
        here = settings.model_copy(update={"home": home})
        run = IndexRun(here, index_stages.plan(Context(), dataset, here), encoder.info)

        def encode(shard: Shard) -> int:
            pictures = Pictures(dataset, run.folder, shard, encoder)
            return encode_image_shard(run.folder, shard, run.image_stage, pictures).rows

        at_once = shards_at_once(settings.workers, "cpu")
        with ThreadPoolExecutor(at_once) as pool:
            return timed(lambda: sum(pool.map(encode, run.plan.shards)))


def original(shape: Shape, device: str) -> Any:
    """ModelScope's class in that shape, with its own random weights, in fp16 on a GPU."""
    v, t = shape.vision, shape.layout.text
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        vision = {
            "embed_dim": shape.dimension,
            "image_resolution": v.resolution,
            "vision_layers": v.layers,
            "vision_width": v.width,
            "vision_patch_size": v.patch,
            "vision_head_width": v.width // v.heads,
        }
        text = {
            "vocab_size": t.vocabulary,
            "text_attention_probs_dropout_prob": 0.1,
            "text_hidden_act": "gelu",
            "text_hidden_dropout_prob": 0.1,
            "text_hidden_size": t.width,
            "text_initializer_range": 0.02,
            "text_intermediate_size": t.hidden,
            "text_max_position_embeddings": t.positions,
            "text_num_attention_heads": t.heads,
            "text_num_hidden_layers": t.layers,
            "text_type_vocab_size": t.segments,
        }
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
        (folder / "vision_model_config.json").write_text(json.dumps(vision))
        (folder / "text_model_config.json").write_text(json.dumps(text))
        model = load_original(folder).original
    if device.startswith("cuda"):
        original_module("model").convert_weights(model)
    return model.to(device)


def main() -> None:
    """Print a table for each shape."""
    parser = options("tests.benchmarks.encode_random", __doc__, 20_000)
    parser.add_argument("--tiny", action="store_true", help="a shape that any CPU can do")
    parser.add_argument("--only", default="", help="part of a shape's name")
    parser.add_argument("--picture", default="none", help="none, or jpeg for thumbnails too")
    parser.add_argument("--kernels", default="eager")
    parser.add_argument("--decode-in", default="auto", help="auto, threads or processes")
    parser.add_argument("--tutorial-rows", type=int, default=200)
    given = parser.parse_args()
    dataset = write_pictures(given.folder, given.images)
    settings = load_settings(
        device=given.device,
        precision=given.precision,
        kernels=given.kernels,
        picture=given.picture,
        decode_in=given.decode_in,
    )
    jpegs = read_jpegs(dataset, min(given.images, 1024))
    print(machine())
    for shape in TINY if given.tiny else SHAPES:
        if given.only not in shape.name:
            continue
        encoder = random_encoder(shape, settings)
        side = shape.vision.resolution
        batch = encoder.batch_images(settings.batch_images, settings.batch_memory_mb << 20)
        pixels = tensors(jpegs, side)
        size = min(batch, len(pixels))
        peak = product_rate(encoder, 8192 if encoder.device.startswith("cuda") else 1024)
        theirs = original(shape, encoder.device)

        def decoding(side: int = side) -> Timing:
            kept = settings.thumbnail_pixels if settings.picture == "jpeg" else None
            with ThreadPoolExecutor(decoders_at_once(0)) as pool:
                work = pool.map(lambda data: decode_picture(data, side, LIMIT, kept), jpegs)
                return timed(lambda: len(list(work)))

        def tutorial(
            side: int = side, theirs: Any = theirs, device: str = encoder.device
        ) -> Timing:
            some = itertools.islice(itertools.cycle(jpegs), given.tutorial_rows)
            return timed(lambda: encode_rows(theirs, side, device, iter(list(some))))

        rates = measure(
            {
                "bare model": lambda e=encoder, p=pixels, s=size: bare_streams(  # type: ignore[misc]
                    e, p, s, given.images
                ),
                "encode stage": lambda e=encoder: stage(dataset, e, settings),  # type: ignore[misc]
                "decoding alone, all cores": decoding,
                "tutorial, its own threads": tutorial,
            },
            given.rounds,
        )
        print(f"\n{shape.name}, {encoder.format}, {encoder.device}, batch {batch}")
        print(rates.table("bare model"))
        adds = shape.multiply_adds
        for way in ("bare model", "encode stage"):
            reached = rates.median(way) * adds
            print(
                f"{way}: {reached * 2 / 1e12:.2f} of the {peak * 2 / 1e12:.2f} TFLOP/s of a matrix "
                f"product = {reached / peak:.2f}"
            )
        ratio = rates.median("encode stage") / rates.median("tutorial, its own threads")
        print(f"encode stage against the tutorial's way: {ratio:.1f} times")
        del encoder, theirs


if __name__ == "__main__":
    main()

"""Pictures through our stage, from files to Parquet, against each library's own loop, in one run.

python -m tests.benchmarks.encode_families FOLDER --images 128

Random models with a picture side as large as a ViT-B/16, of each family that transformers has, and
one through Sentence Transformers where that is installed. The library's loop decodes and prepares a
batch of 32 with its own processor and then encodes it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tasks.encode.model.library import quiet
from tasks.settings import Settings, load_settings
from tests.benchmarks.encode_setup import (
    Timing,
    encode_stage,
    machine,
    measure,
    options,
    read_jpegs,
    timed,
    write_pictures,
)
from tests.encode.model.dual import make_dual, make_tokenizer

FAMILIES = ("CLIP", "AltCLIP", "SigLIP", "SigLIP 2")
BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
}
BATCH = 32
Encode = Callable[[list[Image.Image]], Any]


def decoded(jpegs: Sequence[bytes]) -> list[Image.Image]:
    """Pictures as the libraries are given them."""
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in jpegs]


def own_loop(encode: Encode, jpegs: Sequence[bytes]) -> Timing:
    """The library's own way over all pictures."""

    def loop() -> int:
        with torch.inference_mode():
            for start in range(0, len(jpegs), BATCH):
                encode(decoded(jpegs[start : start + BATCH]))
        return len(jpegs)

    return timed(loop)


def staged(dataset: str, settings: Settings) -> Timing:
    """Our stage over the same pictures."""
    return encode_stage(dataset, settings)[0]


def dual(folder: Path, name: str) -> tuple[str, Encode]:
    """A family of transformers: the model's name, and how the library encodes."""
    model, processor, _ = make_dual(folder, name, BASE)

    def encode(pictures: list[Image.Image]) -> Any:
        return model.get_image_features(**processor(images=pictures, return_tensors="pt"))

    return str(folder), encode


def sentence_transformers(folder: Path) -> tuple[str, Encode]:
    """A CLIP as Sentence Transformers wraps it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from transformers import CLIPProcessor

    source, made = folder / "source", folder / "made"
    _, pictures, _ = make_dual(source, "CLIP", BASE)
    CLIPProcessor(pictures, make_tokenizer()).save_pretrained(source)
    SentenceTransformer(modules=[Transformer(str(source))], device="cpu").save(str(made))
    model = SentenceTransformer(str(made), device="cpu", local_files_only=True)

    def encode(pictures: list[Image.Image]) -> Any:
        return model.encode_document(pictures, batch_size=BATCH, show_progress_bar=False)

    return f"st:{made}", encode


def main() -> None:
    """Print a table a family."""
    parser = options("tests.benchmarks.encode_families", __doc__, images=128)
    given = parser.parse_args()
    dataset = write_pictures(given.folder, given.images)
    jpegs = read_jpegs(dataset, given.images)
    print(machine())
    print(f"{given.images:,} JPEGs of 224 px, ViT-B/16 in size, fp32")
    with tempfile.TemporaryDirectory(prefix="muge-families-") as place:
        made: dict[str, Callable[[Path], tuple[str, Encode]]] = {
            name: partial(dual, name=name) for name in FAMILIES
        }
        if find_spec("sentence_transformers"):
            made["Sentence Transformers"] = sentence_transformers
        for number, (name, make) in enumerate(made.items()):
            with quiet():
                model, encode = make(Path(place) / str(number))
            settings = load_settings(model=model, device="cpu", precision="fp32", picture="none")
            encode_stage(dataset, settings)  # loads the model
            print(name)
            print(
                measure(
                    {
                        "the library's own loop": partial(own_loop, encode, jpegs),
                        "encode stage": partial(staged, dataset, settings),
                    },
                    given.rounds,
                ).table("the library's own loop"),
                flush=True,
            )


if __name__ == "__main__":
    main()

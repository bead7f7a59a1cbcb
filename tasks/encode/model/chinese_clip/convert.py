"""A Chinese-CLIP of any form to ModelScope's layout with safetensors, checked to be the same."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.encode.model.chinese_clip.encoder import ModelParts
from tasks.encode.model.chinese_clip.family import ChineseClipFamily
from tasks.encode.model.chinese_clip.layout import (
    HEAD_WIDTH,
    KIND_FILE,
    MODEL_KIND,
    RESNET_REDUCTION,
    TEXT_FILE,
    VISION_FILE,
    VOCABULARY_FILE,
    ModelLayout,
)
from tasks.encode.model.contract import ModelFamily, ModelFolder
from tasks.encode.model.families import describe_folder, named_family
from tasks.encode.model.locate import locate_model
from tasks.encode.model.safetensors_file import write_tensors
from tasks.encode.model.weight_files import SAFE
from tasks.errors import ModelError
from tasks.records import Float32

CARD_FILE = "README.md"
TRIED_TEXTS = ("红色连衣裙", "一只猫", "hello 2023")
LARGEST_DIFFERENCE = 1e-6
"""Between any two numbers of vectors before and after; the weights are the same to the bit."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion made: `largest_difference` between numbers of the same vectors before and
    after, of `checked` texts and pictures; `bytes` of the weights, `seconds` in all."""

    source: str
    family: str
    architecture: str
    dimension: int
    out: str
    bytes: int
    checked: int
    largest_difference: float
    seconds: float


def convert_model(model: str, out: str) -> Conversion:
    """Write a model to the folder `out`, which appears when its vectors are those of the source.

    Raises `ModelError` if the model is no Chinese-CLIP, is wrong, holds numbers that are none, or
    gives other vectors afterwards, and if `out` is there already.
    """
    began = time.perf_counter()
    source = locate_model(model)
    name, family = named_family(source.path)
    if not isinstance(family, ChineseClipFamily):
        raise ModelError(f"{model} is a model of {name}; only Chinese-CLIP is converted")
    place = Path(os.path.expanduser(out)).resolve()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ModelError(f"{place} is there already; name a folder that is not, or is empty")
    partial = place.with_name(f"{place.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        before = _vectors(family, source)
        _write(family.parts(source), partial)
        made = ModelFolder(str(partial), "", partial)
        largest = float(np.abs(_vectors(named_family(partial)[1], made) - before).max())
        if not largest <= LARGEST_DIFFERENCE:
            raise ModelError(
                f"{model} gives other vectors after conversion (largest difference {largest:g}, "
                f"expected at most {LARGEST_DIFFERENCE:g}); nothing was written"
            )
        info = describe_folder(source)
        about = Conversion(
            source=source.name,
            family=name,
            architecture=family.architecture(source.path),
            dimension=info.dimension,
            out=str(place),
            bytes=(partial / SAFE).stat().st_size,
            checked=len(before),
            largest_difference=largest,
            seconds=round(time.perf_counter() - began, 2),
        )
        card = _card(about, info.weights, describe_folder(made).weights)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        if place.exists():
            place.rmdir()
        partial.rename(place)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return about


def _vectors(family: ModelFamily, folder: ModelFolder) -> Float32:
    """Vectors (N, D) of a few texts and pictures, in float32 on the CPU."""
    info = describe_folder(folder)
    encoder = family.load(folder, info, torch.device("cpu"), "fp32", "eager")
    random = np.random.default_rng(0)
    side = info.resolution
    pixels = random.integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    both = (encoder.encode_texts(TRIED_TEXTS), encoder.encode_images(pixels))
    vectors: Float32 = np.concatenate(both)
    if not np.isfinite(vectors).all():
        raise ModelError(
            f"{folder.name} makes vectors that are no numbers: its weights are damaged"
        )
    return vectors


def _write(parts: ModelParts, folder: Path) -> None:
    kind = {"framework": "pytorch", "task": "multi-modal-embedding", "model": {"type": MODEL_KIND}}
    for name, said in (
        (KIND_FILE, kind),
        (VISION_FILE, _vision_config(parts.layout)),
        (TEXT_FILE, _text_config(parts.layout)),
    ):
        (folder / name).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    _write_words(folder / VOCABULARY_FILE, parts.words)
    for name, tensor in parts.weights.items():
        _check_numbers(name, tensor, parts.source)
    write_tensors(folder / SAFE, parts.weights)
    parts.weights.clear()


def _write_words(file: Path, words: Sequence[str]) -> None:
    file.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


def _check_numbers(name: str, tensor: Tensor, source: Path) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ModelError(
            f"{source}: {name} holds {bad:,} values that are no numbers (NaN or infinity) of "
            f"{tensor.numel():,}; the checkpoint is damaged"
        )


def _vision_config(layout: ModelLayout) -> dict[str, Any]:
    vision = layout.vision
    is_resnet = isinstance(vision.layers, tuple)
    whole = vision.width * (RESNET_REDUCTION if is_resnet else 1)
    head = whole // vision.heads
    return {
        "embed_dim": layout.dimension,
        "image_resolution": vision.resolution,
        "vision_layers": json.dumps(vision.layers) if is_resnet else vision.layers,
        "vision_width": vision.width,
        "vision_patch_size": None if is_resnet else vision.patch,
        **({} if head == HEAD_WIDTH else {"vision_head_width": head}),
    }


def _text_config(layout: ModelLayout) -> dict[str, Any]:
    text = layout.text
    return {
        "vocab_size": text.vocabulary,
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_size": text.width,
        "text_initializer_range": 0.02,
        "text_intermediate_size": text.hidden,
        "text_max_position_embeddings": text.positions,
        "text_num_attention_heads": text.heads,
        "text_num_hidden_layers": text.layers,
        "text_type_vocab_size": text.segments,
    }


def _card(about: Conversion, before: str, after: str) -> str:
    return f"""# {Path(about.source).name}

Chinese-CLIP in ModelScope's layout, made by `muge model convert`. 由该命令转换而来。

| | |
|---|---|
| source | `{about.source}` ({about.family}) |
| towers | {about.architecture} |
| dimension | {about.dimension} |
| weights before, SHA-256 | `{before}` |
| weights after, SHA-256 | `{after}` |
| self-check | {about.checked} vectors, largest difference {about.largest_difference:g} |

A collection that was made with the source names its hash: it is searched with the source.
"""

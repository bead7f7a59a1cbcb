"""Chinese-CLIP as the table of models knows it: recognised and described by its files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tasks.encode.model.chinese_clip.layout import (
    KIND_FILE,
    MODEL_FILES,
    TEXT_FILE,
    VISION_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    read_layout,
)
from tasks.encode.model.chinese_clip.tokenizer import TEXT_VERSION
from tasks.encode.model.contract import Encoder, Format, Kernels, ModelFolder, Precision
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.pixels import PIXELS_VERSION, squash
from tasks.records import ModelInfo

if TYPE_CHECKING:
    import torch

PREPROCESSING = f"{PIXELS_VERSION}/{TEXT_VERSION}"
"""Changes whenever equal bytes or texts would reach a model differently."""

_SHAPING = (VISION_FILE, TEXT_FILE, VOCABULARY_FILE)


class ChineseClipFamily:
    """ViT and ResNet models of Chinese-CLIP in ModelScope's layout (see `layout`)."""

    files = MODEL_FILES
    optional = frozenset({KIND_FILE})

    def recognises(self, folder: Path) -> bool:
        """Whether a configuration of one of the two towers is there."""
        return any((folder / file).exists() for file in (VISION_FILE, TEXT_FILE))

    def describe(self, folder: ModelFolder) -> ModelInfo:
        """The model's description; raises `ModelError` as `read_layout`, or for a file that cannot
        be read."""
        layout = read_layout(folder.path)
        return ModelInfo(
            name=folder.name,
            revision=folder.revision,
            weights=hash_file(folder.path / WEIGHTS_FILE),
            dimension=layout.dimension,
            resolution=layout.vision.resolution,
            preprocessing=f"{PREPROCESSING}/{_shape(folder.path)}",
        )

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """The whole picture, squashed."""
        return squash(image, side)

    def choose_format(
        self, folder: ModelFolder, device: torch.device, precision: Precision
    ) -> Format:
        """As `precision.choose_format`. A ResNet stays in fp32 on a CPU: its narrow convolutions
        are slower in bf16 even where there are units for it."""
        from tasks.encode.model.precision import choose_format

        is_vit = isinstance(read_layout(folder.path).vision.layers, int)
        return choose_format(precision, device, bf16_on_cpu=is_vit)

    def load(
        self,
        folder: ModelFolder,
        info: ModelInfo,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> Encoder:
        """The encoder; raises `ModelError` for files that do not fit each other."""
        from tasks.encode.model.chinese_clip.encoder import read_encoder

        return read_encoder(folder, info, device, format, kernels)


def _shape(folder: Path) -> str:
    """8 hex digits over the configurations and the vocabulary: with others the same weights are
    another model."""
    together = "".join(hash_file(folder / name) for name in _SHAPING)
    return hashlib.sha256(together.encode()).hexdigest()[:8]

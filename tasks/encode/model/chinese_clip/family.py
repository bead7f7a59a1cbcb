"""Chinese-CLIP as the table of models knows it: recognised and described by its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tasks.encode.model.chinese_clip.layout import (
    KIND_FILE,
    MODEL_FILES,
    TEXT_FILE,
    VISION_FILE,
    VOCABULARY_FILE,
    ModelLayout,
    read_layout,
    read_vocabulary,
)
from tasks.encode.model.chinese_clip.tokenizer import TEXT_VERSION
from tasks.encode.model.contract import (
    Encoder,
    Format,
    Kernels,
    ModelFolder,
    Precision,
    TextEncoder,
)
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.pixels import PIXELS_VERSION, squash
from tasks.encode.model.weight_files import WEIGHT_FILES, hash_weights, weight_files
from tasks.records import ModelInfo

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tasks.encode.model.chinese_clip.encoder import ModelParts
    from tasks.encode.model.chinese_clip.stored import StoredTensor

PREPROCESSING = f"{PIXELS_VERSION}/{TEXT_VERSION}"
"""Changes whenever equal bytes or texts would reach a model differently."""

_SHAPING = (VISION_FILE, TEXT_FILE, VOCABULARY_FILE)
_SIZES = {(12, 768): "B", (24, 1024): "L", (32, 1280): "H"}


class ChineseClipFamily:
    """ViT and ResNet models of Chinese-CLIP in ModelScope's layout (see `layout`); other forms of
    the same models say where their layout, words and weights are."""

    files: tuple[str, ...] = (*MODEL_FILES, *(n for n in WEIGHT_FILES if n not in MODEL_FILES))
    optional = frozenset({KIND_FILE, *WEIGHT_FILES})

    def recognises(self, folder: Path) -> bool:
        """Whether a configuration of one of the two towers is there."""
        return any((folder / file).exists() for file in (VISION_FILE, TEXT_FILE))

    def layout(self, folder: Path) -> ModelLayout:
        """The shape of the model; raises `ModelError` naming the file that is wrong."""
        return read_layout(folder)

    def words(self, folder: Path, count: int) -> Sequence[str]:
        """The vocabulary by token id; `count` is how many rows the embedding table has. Raises
        `ModelError` if there are others."""
        return read_vocabulary(folder, count)

    def weight_files(self, folder: ModelFolder) -> list[Path]:
        """The files that hold the weights; errors as `weight_files`."""
        return weight_files(folder.path, from_hub=folder.revision != "")

    def weights(self, folder: ModelFolder) -> dict[str, Tensor]:
        """The weights by the original's names; errors as `read_weights`."""
        from tasks.encode.model.chinese_clip.checkpoint import read_all_weights

        # a hub's files never change
        return read_all_weights(self.weight_files(folder), mapped=folder.revision != "")

    def stored(self, folder: ModelFolder) -> dict[str, StoredTensor] | None:
        """The weights by the original's names where they lie, None if only torch can read them;
        errors as `weight_files`."""
        from tasks.encode.model.chinese_clip.stored import stored_tensors

        return stored_tensors(self.weight_files(folder))

    def shape(self, folder: Path) -> str:
        """8 hex digits over the configurations and the vocabulary: with others the same weights are
        another model."""
        return hash_of(hash_file(folder / name) for name in _SHAPING)

    def architecture(self, folder: Path) -> str:
        """Its towers, for people: "ViT-B/16 at 224 px, text of 12 layers, 768 wide"."""
        layout = self.layout(folder)
        vision, text = layout.vision, layout.text
        if isinstance(vision.layers, tuple):
            tower = f"ResNet ({', '.join(map(str, vision.layers))})"
        else:
            size = _SIZES.get((vision.layers, vision.width))
            tower = (
                f"ViT-{size}/{vision.patch}" if size else f"ViT {vision.layers} x {vision.width}"
            )
        told = f"text of {text.layers} layers, {text.width} wide"
        return f"{tower} at {vision.resolution} px, {told}"

    def describe(self, folder: ModelFolder) -> ModelInfo:
        """The model's description; raises `ModelError` as `layout`, or for a file that cannot be
        read."""
        layout = self.layout(folder.path)
        return ModelInfo(
            name=folder.name,
            revision=folder.revision,
            weights=hash_weights(self.weight_files(folder)),
            dimension=layout.dimension,
            resolution=layout.vision.resolution,
            preprocessing=f"{PREPROCESSING}/{self.shape(folder.path)}",
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

        is_vit = isinstance(self.layout(folder.path).vision.layers, int)
        return choose_format(precision, device, bf16_on_cpu=is_vit)

    def parts(self, folder: ModelFolder) -> ModelParts:
        """What the files hold; errors as `layout`, `words` and `weights`."""
        from tasks.encode.model.chinese_clip.encoder import ModelParts

        layout = self.layout(folder.path)
        words = self.words(folder.path, layout.text.vocabulary)
        return ModelParts(layout, words, self.weights(folder), self.weight_files(folder)[0])

    def load(
        self,
        folder: ModelFolder,
        info: ModelInfo,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> Encoder:
        """The encoder; raises `ModelError` for files that do not fit each other."""
        from tasks.encode.model.chinese_clip.encoder import build_encoder

        return build_encoder(self.parts(folder), info, device, format, kernels)

    def load_texts(self, folder: ModelFolder, info: ModelInfo) -> TextEncoder | None:
        """What encodes texts on a CPU in fp32, without torch; None if only torch can read the
        weights, or they do not fit: then it says how. Errors as `layout` and `words`."""
        from tasks.encode.model.chinese_clip.text_in_numpy import TextInNumpy, fits

        layout, tensors = self.layout(folder.path), self.stored(folder)
        if tensors is None or not fits(tensors, layout):
            return None
        words = self.words(folder.path, layout.text.vocabulary)
        return TextInNumpy(info, layout, words, tensors)


def hash_of(parts: Iterable[str]) -> str:
    """8 hex digits over some texts."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8]

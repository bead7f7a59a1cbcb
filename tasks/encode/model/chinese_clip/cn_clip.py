"""Chinese-CLIP as the package cn_clip keeps it: one checkpoint, whose shapes say what it is.

Published ones (`clip_cn_vit-b-16.pt`) and those of training (`epoch_latest.pt`, with the state of
the optimizer beside and `module.` before every name) hold tensors and nothing that says a layout or
words. Shapes do not say how many heads an attention has: that is known of the widths that cn_clip
has, and other widths are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.encode.model.chinese_clip.family import ChineseClipFamily, hash_of
from tasks.encode.model.chinese_clip.layout import (
    LONGEST_TEXT,
    RESNET_REDUCTION,
    TEXT_FILE,
    VISION_FILE,
    ModelLayout,
    TextLayout,
    VisionLayout,
)
from tasks.encode.model.chinese_clip.standard_vocabulary import SHA256, standard_words
from tasks.encode.model.chinese_clip.stored import stored_tensors
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.weight_files import KINDS
from tasks.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pt", ".pth")
VISION_HEAD_WIDTHS = {768: 64, 1024: 64, 1280: 80}
"""Width of a head, by the width of a ViT: B, L and H."""
RESNET_HEAD_WIDTHS = {64: 64}
TEXT_HEAD_WIDTHS = {768: 64, 1024: 64}
"""By the width of the text tower: RBT3 and RoBERTa base, RoBERTa large."""

Shapes = dict[str, tuple[int, ...]]


class CnClipFamily(ChineseClipFamily):
    """A checkpoint of cn_clip: the file itself, or a folder with one of them."""

    files = tuple(f"*{suffix}" for suffix in SUFFIXES)
    optional = frozenset({f"*{SUFFIXES[1]}"})

    def recognises(self, folder: Path) -> bool:
        """Whether it is such a file, or a folder with one and no other form of a model."""
        if folder.is_file():
            return folder.suffix in SUFFIXES
        others = (VISION_FILE, TEXT_FILE, "config.json", *KINDS)
        return bool(_checkpoints(folder)) and not any((folder / name).exists() for name in others)

    def layout(self, folder: Path) -> ModelLayout:
        """The shape of the model, from the shapes of its tensors (this alone of all forms may need
        torch for it); raises `ModelError` for what is none of cn_clip's families."""
        file = _checkpoint(folder)
        return layout_of(_shapes(file), file)

    def words(self, folder: Path, count: int) -> Sequence[str]:
        """The standard vocabulary."""
        words = standard_words()
        if len(words) != count:
            raise ModelError(
                f"{_checkpoint(folder)}: the embedding table has {count:,} rows, the standard "
                f"vocabulary that belongs to such checkpoints {len(words):,} words: they do not "
                f"fit; give the model as a folder with its own vocab.txt"
            )
        return words

    def weight_files(self, folder: ModelFolder) -> list[Path]:
        """The checkpoint."""
        return [_checkpoint(folder.path)]

    def weights(self, folder: ModelFolder) -> dict[str, Tensor]:
        """The weights by the original's names; what training kept beside them stays in the file."""
        from tasks.encode.model.chinese_clip.checkpoint import read_weights

        return read_weights(_checkpoint(folder.path), mapped=True)

    def shape(self, folder: Path) -> str:
        """8 hex digits over the layout and the vocabulary."""
        return hash_of((repr(self.layout(folder)), SHA256))


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)


def _checkpoint(folder: Path) -> Path:
    if folder.is_file():
        return folder
    found = _checkpoints(folder)
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:3])
        raise ModelError(f"{folder} holds {len(found)} checkpoints ({names}); name the one meant")
    return found[0]


def _shapes(file: Path) -> Shapes:
    try:
        state = file.stat()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}") from None
    return _shapes_of(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _shapes_of(file: Path, size: int, changed: int) -> Shapes:
    stored = stored_tensors([file])
    if stored is not None:
        return {name: tensor.shape for name, tensor in stored.items()}
    from tasks.encode.model.chinese_clip.checkpoint import read_weights

    return {name: tuple(tensor.shape) for name, tensor in read_weights(file, mapped=True).items()}


def layout_of(shapes: Shapes, file: Path) -> ModelLayout:
    """The layout of a model whose tensors have these shapes, by the original's names.

    Raises `ModelError` naming what is missing, or the widths that are known.
    """
    try:
        vision = _vision(shapes, file)
        return ModelLayout(shapes["text_projection"][1], vision, _text(shapes, file))
    except (KeyError, IndexError, ValueError) as error:
        missing = f" ({error})" if isinstance(error, KeyError) else ""
        raise ModelError(
            f"{file} holds no Chinese-CLIP of cn_clip: a tensor is missing or of another shape"
            f"{missing}"
        ) from None


def _vision(shapes: Shapes, file: Path) -> VisionLayout:
    first = shapes["visual.conv1.weight"]
    if len(first) != 4:
        raise ValueError
    if "visual.attnpool.positional_embedding" in shapes:
        width = 2 * first[0]
        places, whole = shapes["visual.attnpool.positional_embedding"]
        layers = tuple(
            _count(shapes, rf"visual\.layer{n}\.(\d+)\.conv1\.weight") for n in range(1, 5)
        )
        heads = whole // _known(RESNET_HEAD_WIDTHS, width, "ResNet", file)
        return VisionLayout(RESNET_REDUCTION * _side(places), layers, width, 0, heads)
    width, patch = first[0], first[-1]
    places = shapes["visual.positional_embedding"][0]
    count = _count(shapes, r"visual\.transformer\.resblocks\.(\d+)\.ln_1\.weight")
    heads = width // _known(VISION_HEAD_WIDTHS, width, "ViT", file)
    return VisionLayout(patch * _side(places), count, width, patch, heads)


def _text(shapes: Shapes, file: Path) -> TextLayout:
    vocabulary, width = shapes["bert.embeddings.word_embeddings.weight"]
    positions = shapes["bert.embeddings.position_embeddings.weight"][0]
    if positions < LONGEST_TEXT:
        raise ValueError
    return TextLayout(
        vocabulary=vocabulary,
        width=width,
        layers=_count(shapes, r"bert\.encoder\.layer\.(\d+)\.output\.dense\.weight"),
        heads=width // _known(TEXT_HEAD_WIDTHS, width, "text tower", file),
        hidden=shapes["bert.encoder.layer.0.intermediate.dense.weight"][0],
        positions=positions,
        segments=shapes["bert.embeddings.token_type_embeddings.weight"][0],
    )


def _known(widths: dict[int, int], width: int, what: str, file: Path) -> int:
    if width not in widths:
        known = ", ".join(map(str, widths))
        raise ModelError(
            f"{file} holds a {what} of width {width}, expected one of cn_clip's ({known}): shapes "
            f"do not say how many heads another has; give the model as a folder with its "
            f"configurations"
        )
    return widths[width]


def _side(places: int) -> int:
    """Patches a side, of so many places with the one that stands for all."""
    side = math.isqrt(places - 1)
    if side < 1 or side * side != places - 1:
        raise ValueError
    return side


def _count(shapes: Iterable[str], pattern: str) -> int:
    numbers = {int(found[1]) for name in shapes if (found := re.fullmatch(pattern, name))}
    if not numbers or numbers != set(range(len(numbers))):
        raise KeyError(pattern.replace("\\", ""))
    return len(numbers)

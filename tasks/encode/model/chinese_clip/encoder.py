"""Pixels and texts to vectors, with one loaded model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from tasks.encode.model.chinese_clip.checkpoint import fill
from tasks.encode.model.chinese_clip.fp8 import use_fp8
from tasks.encode.model.chinese_clip.kernels import prepare_tower
from tasks.encode.model.chinese_clip.layout import PIXEL_DEVIATION as PIXEL_DEVIATION
from tasks.encode.model.chinese_clip.layout import PIXEL_MEAN as PIXEL_MEAN
from tasks.encode.model.chinese_clip.layout import ModelLayout
from tasks.encode.model.chinese_clip.resnet import fold_norms
from tasks.encode.model.chinese_clip.tokenizer import TextTokenizer
from tasks.encode.model.chinese_clip.towers import ChineseClip
from tasks.encode.model.contract import Format, Kernels
from tasks.encode.model.pixels import squash
from tasks.encode.model.precision import TYPES
from tasks.encode.model.towers_encoder import TowersEncoder, count_numbers, unit
from tasks.records import ModelInfo


class ChineseClipEncoder(TowersEncoder):
    """A Chinese-CLIP on one device; texts are cut at 50 tokens."""

    def __init__(
        self,
        info: ModelInfo,
        model: ChineseClip,
        tokenizer: TextTokenizer,
        device: torch.device,
        format: Format = "fp32",
        kernels: Kernels = "eager",
    ) -> None:
        """`model` holds its weights on `device`, in the type of `format`."""
        super().__init__(info, device, format, kernels)
        self._model = model.requires_grad_(False).eval()
        self._parameters = {"text": count_numbers(model.text), "image": count_numbers(model.vision)}
        fold_norms(model.vision)
        self._vision = prepare_tower(self._model.vision, kernels, device)
        self._tokenizer = tokenizer
        self._mean = torch.tensor(PIXEL_MEAN, device=device)
        self._deviation = torch.tensor(PIXEL_DEVIATION, device=device)

    def parameters(self) -> dict[str, int]:
        """How many numbers each tower holds."""
        return dict(self._parameters)

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """The whole picture, squashed."""
        return squash(image, side)

    def _features(self, pixels: Tensor) -> Tensor:
        # Four bytes a pixel instead of one would cross to the device if this were done before.
        batch = (pixels.to(self._place).float() / 255 - self._mean) / self._deviation
        return self._vision(batch.permute(0, 3, 1, 2).to(self._type))

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._tokenizer.encode(text) for text in texts]

    def _encode_tokens(self, tokens: list[list[int]]) -> Tensor:
        """Token ids of texts, in order of length, to vectors (N, D) float32 on the device."""
        pad = self._tokenizer.pad
        longest = len(tokens[-1])
        padded = [ids + [pad] * (longest - len(ids)) for ids in tokens]
        ids = torch.tensor(padded, device=self._place)
        keep = None if len(tokens[0]) == longest else ids != pad

        def forward(start: int, stop: int) -> Tensor:
            kept = None if keep is None else keep[start:stop]
            return unit(self._model.text(ids[start:stop], kept))

        with torch.inference_mode():
            return self._texts.run(len(ids), forward)


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What the files of a model hold, in whatever form: its layout, the words of its vocabulary by
    token id, its tensors by the original's names (given away when a model is filled), and the file
    that errors about them name."""

    layout: ModelLayout
    words: Sequence[str]
    weights: dict[str, Tensor]
    source: Path


def build_encoder(
    parts: ModelParts, info: ModelInfo, device: torch.device, format: Format, kernels: Kernels
) -> ChineseClipEncoder:
    """A model on a device.

    Raises `ModelError` naming the file that is wrong, `DeviceError` if the device cannot do what
    `kernels` asks for.
    """
    model = ChineseClip(parts.layout)
    fill(model, parts.weights, parts.source, device, TYPES[format])
    if format == "fp8":
        use_fp8(model)
    return ChineseClipEncoder(info, model, TextTokenizer(parts.words), device, format, kernels)

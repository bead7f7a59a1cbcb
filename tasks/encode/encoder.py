"""Pixels and texts to vectors, with one loaded model."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.encode.checkpoint import fill, read_weights
from tasks.encode.describe import model_info
from tasks.encode.device import choose_device, working_type
from tasks.encode.layout import WEIGHTS_FILE, ModelLayout, read_layout, read_vocabulary
from tasks.encode.locate import ModelFolder, locate_model
from tasks.encode.tokenizer import TextTokenizer
from tasks.encode.towers import ChineseClip
from tasks.records import Float32, ModelInfo, Uint8

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training pictures, channels R, G, B, on a scale of 0 to 1."""

_TEXTS_A_CALL = {"cpu": 64}
_TEXTS_A_CALL_ELSEWHERE = 512


class Encoder:
    """One model on one device, safe to use from several threads.

    All vectors are float32 with L2 norm 1; the dot product of two of them is their cosine.
    """

    def __init__(
        self, info: ModelInfo, model: ChineseClip, tokenizer: TextTokenizer, device: torch.device
    ) -> None:
        """`model` holds its weights on `device`, in the device's working type."""
        self.info = info
        self.device = str(device)
        self._place = device
        self._type = working_type(device)
        self._model = model.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        self._mean = torch.tensor(PIXEL_MEAN, device=device)
        self._deviation = torch.tensor(PIXEL_DEVIATION, device=device)

    def parameters(self) -> dict[str, int]:
        """How many numbers each tower holds."""
        towers = {"text": self._model.text, "image": self._model.vision}
        return {name: sum(p.numel() for p in tower.parameters()) for name, tower in towers.items()}

    def encode_images(self, pixels: Uint8) -> Float32:
        """(N, R, R, 3) uint8 RGB pixels, as `decode_image` gives them, to vectors (N, D).

        All N go through the model at once: the caller chooses a batch that fits the device.
        Raises `ValueError` for another shape or type.
        """
        side = self.info.resolution
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (N, {side}, {side}, 3)"
            )
        if len(pixels) == 0:
            return self._nothing()
        with torch.inference_mode():
            batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(self._place)
            # Four bytes a pixel instead of one would cross to the device if this were done before.
            batch = (batch.float() / 255 - self._mean) / self._deviation
            return _unit(self._model.vision(batch.permute(0, 3, 1, 2).to(self._type)))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Texts to vectors (N, D) in the same order; longer texts are cut at 50 tokens."""
        if len(texts) == 0:
            return self._nothing()
        tokens = [self._tokenizer.encode(text) for text in texts]
        vectors = np.empty((len(texts), self.info.dimension), np.float32)
        with torch.inference_mode():
            for rows in self._batches(tokens):
                vectors[rows] = _unit(self._encode_tokens([tokens[row] for row in rows]))
        return vectors

    def _batches(self, tokens: list[list[int]]) -> Iterator[list[int]]:
        """Row numbers by length of text, so that batches hold little padding."""
        rows = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        size = _TEXTS_A_CALL.get(self._place.type, _TEXTS_A_CALL_ELSEWHERE)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _encode_tokens(self, tokens: list[list[int]]) -> Tensor:
        """Token ids of texts, in order of length, to features (N, D)."""
        pad = self._tokenizer.pad
        longest = len(tokens[-1])
        padded = [ids + [pad] * (longest - len(ids)) for ids in tokens]
        ids = torch.tensor(padded, device=self._place)
        keep = None if len(tokens[0]) == longest else ids != pad
        features: Tensor = self._model.text(ids, keep)
        return features

    def _nothing(self) -> Float32:
        return np.empty((0, self.info.dimension), np.float32)


def load_encoder(model: str, device: str = "auto") -> Encoder:
    """The encoder of a model, loaded once a process for each model file and device.

    `model` is "sample", a folder, or a ModelScope id; `device` as in `choose_device`. Raises
    `ModelError` or `DeviceError`.
    """
    place = choose_device(device)
    with _loading:
        folder = locate_model(model)
        layout = read_layout(folder.path)
        info = model_info(folder, layout)
        key = (info, layout, str(place))
        if key not in _loaded:
            _loaded[key] = _load(folder, layout, info, place)
        return _loaded[key]


_loading = threading.Lock()
_loaded: dict[tuple[ModelInfo, ModelLayout, str], Encoder] = {}


def _load(
    folder: ModelFolder, layout: ModelLayout, info: ModelInfo, device: torch.device
) -> Encoder:
    tokenizer = TextTokenizer(read_vocabulary(folder.path, layout.text.vocabulary))
    weights = folder.path / WEIGHTS_FILE
    model = ChineseClip(layout)
    read = read_weights(weights, mapped=folder.revision != "")  # a hub's files never change
    fill(model, read, weights, device, working_type(device))
    return Encoder(info, model, tokenizer, device)


def _unit(features: Tensor) -> Float32:
    """Features (N, D) of any type to float32 vectors of L2 norm 1 in memory."""
    vectors: Float32 = F.normalize(features.float(), dim=-1).cpu().numpy()
    return vectors

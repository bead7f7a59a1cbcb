"""What encoders of every family do alike: batches within memory, several at once, texts by length.

A family's encoder says how pixels become features and how texts become tokens and features.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.encode.model.contract import Format, Kernels
from tasks.encode.model.memory import ON_PICTURES, ON_TEXTS, BatchLimit, batch_within, device_errors
from tasks.encode.model.pending import PendingVectors, begin
from tasks.encode.model.precision import TYPES
from tasks.encode.model.streams import count_streams, cpu_streams
from tasks.records import Float32, ModelInfo, Uint8

_TOKENS_A_CALL = {"cpu": 1024}
_TOKENS_A_CALL_ELSEWHERE = 32_768


class PicturesEncoder(ABC):
    """One model on one device, safe to use from several threads.

    All vectors are float32 with L2 norm 1; the dot product of two of them is their cosine.
    """

    def __init__(
        self, info: ModelInfo, device: torch.device, format: Format, kernels: Kernels
    ) -> None:
        self.info = info
        self.device = str(device)
        self.format: Format = format
        self._place = device
        self._type = TYPES[format]
        self._kernels = kernels
        self._images, self._texts = BatchLimit(), BatchLimit()
        self._measuring = threading.Lock()
        self._batches_within: dict[int, int] = {}

    @property
    def way(self) -> str:
        """On what kind of device and how it works: with another one vectors differ in their last
        digits."""
        return f"{self._place.type}-{self.format}-{self._kernels}"

    def batch_images(self, asked: int, budget: int) -> int:
        """How many pictures to encode at once: `asked`, or if that is 0 what a budget of so many
        bytes of a GPU's memory allows (a fixed number elsewhere)."""
        if asked:
            return asked
        with self._measuring:  # memory would be counted together
            if budget not in self._batches_within:
                side = self.info.resolution
                found = batch_within(budget, self._place, side, self._try_images)
                self._batches_within[budget] = found
            return self._batches_within[budget]

    def _try_images(self, rows: int) -> None:
        side = self.info.resolution
        with torch.inference_mode():
            self._features(torch.zeros(rows, side, side, 3, dtype=torch.uint8, device=self._place))

    def encode_images(self, pixels: Uint8) -> Float32:
        """(N, R, R, 3) uint8 RGB pixels, as `decode_picture` gives them, to vectors (N, D).

        All N go through the model at once, or in halves where the device's memory is too small.
        Raises `ValueError` for another shape or type.
        """
        side = self.info.resolution
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (N, {side}, {side}, 3)"
            )
        if len(pixels) == 0:
            return self._nothing()
        batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        with device_errors(self._place, ON_PICTURES):
            vectors: Float32 = self._encode_pixels(batch).cpu().numpy()
        return vectors

    def begin_images(self, pixels: Tensor) -> PendingVectors:
        """Start encoding (N, R, R, 3) uint8 pixels in main memory, and do not wait for it; for
        streams of batches, of which `at_once` should be begun.

        The pixels must stay as they are until the vectors are there.
        """
        return begin(pixels, self._place, lambda: self._copies, self._encode_pixels)

    @property
    def at_once(self) -> int:
        """How many batches the device has use for at the same time."""
        return count_streams() if self._place.type == "cpu" else 2

    @cached_property
    def _copies(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self._place)  # type: ignore[no-untyped-call]

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        """(N, R, R, 3) uint8, on the device or not yet, to vectors (N, D) float32 on the device."""
        with torch.inference_mode():
            return self._images.run(len(pixels), lambda a, b: unit(self._features(pixels[a:b])))

    def _nothing(self) -> Float32:
        return np.empty((0, self.info.dimension), np.float32)

    @abstractmethod
    def _features(self, pixels: Tensor) -> Tensor:
        """(N, R, R, 3) uint8, on the device or not yet, to features (N, D) of any type on it, not
        normalised."""


class TowersEncoder(PicturesEncoder):
    """A model whose texts are token ids, worked on by length."""

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Texts to vectors (N, D) in the same order; a model reads as much of each as it can."""
        if len(texts) == 0:
            return self._nothing()
        tokens = self._tokens(texts)
        vectors = np.empty((len(texts), self.info.dimension), np.float32)
        batches = list(self._batches(tokens))
        encode = cpu_streams().map if self._place.type == "cpu" and len(batches) > 1 else map
        parts = encode(lambda rows: self._encode_tokens([tokens[row] for row in rows]), batches)
        with device_errors(self._place, ON_TEXTS), torch.inference_mode():
            vectors[[row for rows in batches for row in rows]] = (
                torch.cat(list(parts)).cpu().numpy()
            )
        return vectors

    def _batches(self, tokens: list[list[int]]) -> Iterator[list[int]]:
        """Row numbers by length of text, so many that they are a budget of tokens when padded to
        the longest of the batch."""
        budget = _TOKENS_A_CALL.get(self._place.type, _TOKENS_A_CALL_ELSEWHERE)
        batch: list[int] = []
        for row in sorted(range(len(tokens)), key=lambda row: len(tokens[row])):
            if batch and (len(batch) + 1) * len(tokens[row]) > budget:
                yield batch
                batch = []
            batch.append(row)
        yield batch

    @abstractmethod
    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, cut to what the model reads, not padded."""

    @abstractmethod
    def _encode_tokens(self, tokens: list[list[int]]) -> Tensor:
        """Token ids of texts, in order of length, to vectors (N, D) float32 on the device."""


def count_numbers(tower: nn.Module) -> int:
    """How many numbers a tower holds."""
    tensors = itertools.chain(tower.parameters(), tower.buffers())  # of 8 bits: buffers
    return sum(tensor.numel() for tensor in tensors)


def unit(features: Tensor) -> Tensor:
    """Features (N, D) of any type to float32 vectors of L2 norm 1."""
    return F.normalize(features.float(), dim=-1)

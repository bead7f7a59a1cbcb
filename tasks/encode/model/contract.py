"""What every model can do, whatever its family, and what a family of models must know.

Nothing here needs torch: a model is described and its pictures are prepared without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from PIL import Image

from tasks.encode.model.names import NOTHING_CHOSEN, Choices
from tasks.errors import ModelError
from tasks.records import Float32, ModelInfo, Uint8

if TYPE_CHECKING:
    import torch

    from tasks.encode.model.pending import PendingVectors

Precision = Literal["auto", "fp32", "bf16", "fp16", "fp8"]
"""The number format that is asked for."""
Format = Literal["fp32", "bf16", "fp16", "fp8"]
"""The number format that a model works in."""
Kernels = Literal["eager", "compile", "graphs"]
"""How a model is run: as it is written, compiled, or recorded as CUDA graphs."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of a model, or its file; `name` and `revision` can be given to `locate_model`
    again (`revision` is "" for what is not from a hub), `choices` are part of the name."""

    name: str
    revision: str
    path: Path
    choices: Choices = NOTHING_CHOSEN


class TextEncoder(Protocol):
    """What makes vectors of texts, float32 with L2 norm 1: an `Encoder`, or a part of one."""

    @property
    def info(self) -> ModelInfo:
        """Which model it is: as its family describes its folder."""

    @property
    def format(self) -> Format:
        """The number format it works in."""

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """As `Encoder.encode_texts`."""


class Encoder(Protocol):
    """One loaded model on one device, safe to use from several threads.

    R is `info.resolution`, D is `info.dimension`. All vectors are float32 with L2 norm 1; the dot
    product of two of them, of pictures or texts, is their cosine.
    """

    @property
    def info(self) -> ModelInfo:
        """Which model it is: as its family describes its folder."""

    @property
    def device(self) -> str:
        """The device it is on: cpu, cuda:N or mps."""

    @property
    def format(self) -> Format:
        """The number format it works in; its vectors are float32 all the same."""

    @property
    def way(self) -> str:
        """On what kind of device and how it works: with another one vectors differ in their last
        digits."""

    @property
    def at_once(self) -> int:
        """How many batches of `begin_images` the device has use for at the same time."""

    def parameters(self) -> dict[str, int]:
        """How many numbers each tower holds, by its name."""

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """What the model sees of a decoded picture: as its family's `square`."""

    def batch_images(self, asked: int, budget: int) -> int:
        """How many pictures to encode at once: `asked`, or if that is 0 what a budget of so many
        bytes of a GPU's memory allows (a fixed number elsewhere)."""

    def encode_images(self, pixels: Uint8) -> Float32:
        """(N, R, R, 3) uint8 RGB pixels, as `decode_picture` makes them with `square`, to vectors
        (N, D); N may be 0. Raises `ValueError` for another shape or type, `DeviceError` if memory
        does not hold the work on one picture."""

    def begin_images(self, pixels: torch.Tensor) -> PendingVectors:
        """As `encode_images`, of pixels in main memory that stay as they are until the vectors
        (N, D) are there, and without waiting for them; N is above 0."""

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Texts to vectors (N, D) in the same order; N may be 0. A text may have any length, also
        none: a model reads as much of it as it can."""


class ModelFamily(Protocol):
    """Models that share a layout of files, a way to see pictures and texts, and code.

    Everything but `choose_format` and `load` works from files alone and imports no torch. A family
    that reads texts without torch has `load_texts`, see `load.texts_for`.
    """

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files in a model's folder that are read, in the order people are shown
        them; they are what is downloaded from a hub."""

    @property
    def optional(self) -> frozenset[str]:
        """Those of `files` that may be missing."""

    def recognises(self, folder: Path) -> bool:
        """Whether a folder holds a model of this family, perhaps a broken one; cheap, no error."""

    def describe(self, folder: ModelFolder) -> ModelInfo:
        """What must be equal for two vectors to be comparable. `preprocessing` changes whenever
        equal bytes or texts would reach the model differently, `weights` whenever the weights do.

        Raises `ModelError` naming the file that is wrong.
        """

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """What a model sees of a decoded picture of any size and mode: RGB, `side` x `side`
        pixels. Whoever decodes for an encoder gives this to `decode_picture`."""

    def choose_format(
        self, folder: ModelFolder, device: torch.device, precision: Precision
    ) -> Format:
        """The number format that is meant for this model on a device; raises `DeviceError` if the
        device has it not."""

    def load(
        self,
        folder: ModelFolder,
        info: ModelInfo,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> Encoder:
        """The encoder of a folder that was described by `info`; asked for once a process for each
        model, device and way of working.

        Raises `ModelError` naming the file that is wrong, or `DeviceError`.
        """


def check_directions(vectors: Float32, what: str, model: str) -> None:
    """Raise `ModelError` if vectors (N, D) of texts or pictures are no directions: all zeros, or no
    numbers, as a model makes whose weights are damaged."""
    for length in np.linalg.norm(vectors, axis=1).tolist():
        if not 0.5 < length < 2:
            raise ModelError(
                f"the model {model} makes vectors of length {length:g} of {what}, expected 1: its "
                "weights are zeros or no numbers; get its files anew"
            )


_BYTES: dict[Format, int] = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1}


def bytes_of_weights(encoder: Encoder) -> int:
    """What the weights of an encoder take in memory, bytes."""
    return sum(encoder.parameters().values()) * _BYTES[encoder.format]

"""Toys that are added from outside, each by one line in its table: a reader, a family of models.

READERS["toy"] = ReaderKind("tests.toys:ToyReader", "COUNT?colour=C", ("colour",))
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tasks.dataset.reader import NO_FIELDS, NOTHING_IGNORED, DatasetName
from tasks.encode.model.contract import Format, Kernels, ModelFolder, Precision
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.pending import PendingVectors
from tasks.errors import DatasetError, DeviceError, ModelError
from tasks.records import Float32, ModelInfo, Row, Span, Uint8


def toy_colour(number: int) -> tuple[int, int, int]:
    """A colour that differs from that of every other number up to 256."""
    return number % 256, number * 53 % 256, number * 101 % 256


def toy_picture(number: int, size: tuple[int, int] = (12, 8)) -> bytes:
    """A small PNG of the number's colour."""
    file = io.BytesIO()
    Image.new("RGB", size, toy_colour(number)).save(file, "PNG")
    return file.getvalue()


class ToyReader:
    """`toy:COUNT`: so many pictures with a query each, "<colour> <number>"."""

    links_outside = 0
    fields = NO_FIELDS
    ignored = NOTHING_IGNORED

    def __init__(self, name: DatasetName) -> None:
        if not name.path.isdigit():
            raise DatasetError(f"toy:{name.path} names no number of pictures, expected toy:COUNT")
        self.name = name.slug
        self._count = int(name.path)
        self._colour = name.options.get("colour", "彩色")

    def spans(self) -> Iterator[Span]:
        for start in range(0, self._count, 3):
            yield Span("toy", start, min(start + 3, self._count))

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        for number in range(span.start, span.stop):
            text = f"{self._colour} {number}"
            yield Row(f"toy:{number}", number, toy_picture(number), number, text)

    def read_queries(self, span: Span) -> Iterator[Row]:
        yield from (replace(row, image=None) for row in self.read(span))


def make_toy_model(folder: Path, dimension: int = 32, side: int = 6) -> Path:
    """Write a model of the family."""
    folder.mkdir(parents=True, exist_ok=True)
    said = json.dumps({"dimension": dimension, "side": side})
    (folder / "toy-model.json").write_text(said, encoding="utf-8")
    return folder


class ToyFamily:
    """One file; pictures are cropped to the square in their middle."""

    files = ("toy-model.json", "toy-notes.txt")
    optional = frozenset({"toy-notes.txt"})

    def recognises(self, folder: Path) -> bool:
        return (folder / "toy-model.json").is_file()

    def describe(self, folder: ModelFolder) -> ModelInfo:
        file = folder.path / "toy-model.json"
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            return ModelInfo(
                name=folder.name,
                revision=folder.revision,
                weights=hash_file(file),
                dimension=said["dimension"],
                resolution=said["side"],
                preprocessing="crop-1/last-number-1",
            )
        except (ValueError, KeyError) as error:
            raise ModelError(f"{file} is no toy: {error}") from None

    def square(self, image: Image.Image, side: int) -> Image.Image:
        shorter = min(image.size)
        left, top = (image.width - shorter) // 2, (image.height - shorter) // 2
        middle = image.convert("RGB").crop((left, top, left + shorter, top + shorter))
        return middle.resize((side, side), Image.Resampling.NEAREST)

    def choose_format(
        self, folder: ModelFolder, device: torch.device, precision: Precision
    ) -> Format:
        if precision not in ("auto", "fp32"):
            raise DeviceError(f"precision {precision} was asked for, and toys work in fp32")
        return "fp32"

    def load(
        self,
        folder: ModelFolder,
        info: ModelInfo,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> ToyEncoder:
        return ToyEncoder(info, str(device))


class ToyEncoder:
    """Vectors of colours: those of a picture's middle, and those that texts name by a number."""

    format: Format = "fp32"
    way = "toy"
    at_once = 1

    def __init__(self, info: ModelInfo, device: str) -> None:
        self.info = info
        self.device = device
        self.square = ToyFamily().square
        self._waves = np.random.default_rng(0).normal(0, 8, (3, info.dimension // 2))

    def parameters(self) -> dict[str, int]:
        return {"waves": self._waves.size}

    def batch_images(self, asked: int, budget: int) -> int:
        return asked or 8

    def encode_images(self, pixels: Uint8) -> Float32:
        side = self.info.resolution
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, expected a square")
        return self._vectors(pixels.mean(axis=(1, 2)))

    def begin_images(self, pixels: torch.Tensor) -> PendingVectors:
        pending: Future[tuple[Float32, float]] = Future()
        pending.set_result((self.encode_images(pixels.numpy()), 0.0))
        return pending

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        numbers = [int((re.findall(r"[0-9]+", text) or ["0"])[-1]) for text in texts]
        colours = np.array([toy_colour(number) for number in numbers], np.float64)
        return self._vectors(colours.reshape(-1, 3))

    def _vectors(self, colours: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Float32:
        """Colours (N, 3) of 0 to 255 to (N, D) float32, L2 = 1: equal ones alone are alike."""
        turns = colours / 256 @ self._waves
        waves = np.concatenate([np.cos(turns), np.sin(turns)], axis=1)
        vectors: Float32 = (waves / np.sqrt(self._waves.shape[1])).astype(np.float32)
        return vectors

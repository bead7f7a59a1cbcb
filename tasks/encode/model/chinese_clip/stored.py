"""Tensors of weights files that stay there until their numbers are wanted: read without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from tasks.encode.model.safetensors_file import Place, bytes_of, read_header
from tasks.encode.model.torch_file import find_tensors
from tasks.errors import ModelError
from tasks.opening import open_regular
from tasks.records import Float32

_WRAPPERS = ("module.", "clip_model.")
# In the file, but no part of a vector: BERT's pooler, the training temperature, counters.
UNUSED = re.compile(
    r"bert\.pooler\.dense\.(weight|bias)|bert\.embeddings\.position_ids|logit_scale"
    r"|visual\.(.+\.)?bn\d\.num_batches_tracked|visual\..+\.downsample\.1\.num_batches_tracked"
)
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
"""Floating point numbers that numpy knows."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that lies at a place of a file; with `turned` a matrix counts as its transpose."""

    file: Path
    place: Place
    turned: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is read of it."""
        return self.place.shape[::-1] if self.turned else self.place.shape

    @property
    def can_be_read(self) -> bool:
        """Whether its numbers are of a type that numpy knows."""
        return self.place.kind in _TYPES

    def read(self) -> Float32:
        """All of its numbers, float32; raises `ModelError` if the file is not as it was."""
        numbers = self._read([0], math.prod(self.place.shape))[0].reshape(self.place.shape)
        return numbers.T if self.turned else numbers

    def read_rows(self, rows: Sequence[int]) -> Float32:
        """Some rows of a table, float32; errors as `read`."""
        return np.stack(self._read(rows, math.prod(self.place.shape[1:])))

    def _read(self, rows: Sequence[int], count: int) -> list[Float32]:
        size = bytes_of(self.place.kind) * count
        try:
            with open_regular(self.file) as content:
                return [self._numbers(content, self.place.start + n * size, count) for n in rows]
        except OSError as error:
            raise ModelError(f"{self.file} cannot be read: {error.strerror or error}") from None

    def _numbers(self, content: BinaryIO, start: int, count: int) -> Float32:
        content.seek(start)
        numbers = np.fromfile(content, _TYPES[self.place.kind], count)
        if len(numbers) < count:
            raise ModelError(f"{self.file} was changed while it was read; search again")
        return numbers.astype(np.float32, copy=False)


def stored_tensors(files: Sequence[Path]) -> dict[str, StoredTensor] | None:
    """The tensors of one file or of all its shards by their names without wrappers; None if only
    torch can read them, or nothing can: then it says so."""
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        if file.name.endswith(".safetensors"):
            places: dict[str, Place] | None = read_header(file)
        else:
            places = find_tensors(file)
        part = {} if places is None else unwrap(places)
        if not part or tensors.keys() & part.keys():
            return None
        tensors |= {name: StoredTensor(file, place) for name, place in part.items()}
    return tensors


def unwrap(weights: dict[str, Value]) -> dict[str, Value]:
    """Take off prefixes that training wrappers left before every name."""
    for wrapper in _WRAPPERS * len(_WRAPPERS):  # in any order
        if all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    return weights

"""Weights as safetensors, read and written with nothing but their own layout: numbers, no code.

A file is the length of its header (8 bytes), the header (JSON: type, shape and place of each
tensor) and the numbers. Every number of a header is checked against the file before it is used.
Source: the format's description in huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tasks.errors import ModelError
from tasks.opening import open_regular

if TYPE_CHECKING:
    from torch import Tensor

MOST_HEADER_BYTES = 100 << 20
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}
_BYTES |= {"BOOL": 1}
_TORCH = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in its file: its type, its shape, and its bytes from `start` to `stop`
    of the whole file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


def bytes_of(kind: str) -> int:
    """What a number of a type takes."""
    return _BYTES[kind]


def read_header(file: Path) -> dict[str, Place]:
    """What a file holds, by name; imports no torch.

    Raises `ModelError` if the file is missing, damaged, cut short, or of types that no weights are.
    """
    try:
        with open_regular(file) as content:
            return _places(file, content)
    except FileNotFoundError:
        raise ModelError(f"{file} is missing") from None
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}") from None


def read_tensors(file: Path, mapped: bool = False) -> dict[str, Tensor]:
    """All tensors of a file on the CPU; `mapped` leaves them in the file until they are used, for
    files that nobody writes to. Errors as `read_header`."""
    import torch

    places = read_header(file)
    tensors = {}
    with open_regular(file) as content:
        whole = (
            memoryview(mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_COPY)) if mapped else None
        )
        for name, place in places.items():
            kind = getattr(torch, _TORCH[place.kind])
            if place.start == place.stop:
                tensors[name] = torch.empty(place.shape, dtype=kind)
                continue
            if whole is None:
                held = bytearray(place.stop - place.start)
                content.seek(place.start)
                content.readinto(held)
                part = memoryview(held)
            else:
                part = whole[place.start : place.stop]
            tensors[name] = torch.frombuffer(part, dtype=kind).view(place.shape)
    return tensors


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors one after the other, so that none is in memory twice; `file` appears when all
    of it is on the disk. The tensors are contiguous, on the CPU, and of a type of the format."""
    import torch

    names = {getattr(torch, kind): name for name, kind in _TORCH.items()}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        about = {"dtype": names[tensor.dtype], "shape": list(tensor.shape)}
        header[name] = {**about, "data_offsets": [start, end]}
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % 8)
    partial = file.with_name(f"{file.name}.partial")
    with partial.open("wb") as out:
        out.write(len(said).to_bytes(8, "little") + said)
        for tensor in tensors.values():
            flat = tensor.detach().contiguous().reshape(-1)
            if flat.numel():
                out.write(flat.view(torch.uint8).numpy().data)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def _places(file: Path, content: BinaryIO) -> dict[str, Place]:
    size = os.fstat(content.fileno()).st_size
    length = int.from_bytes(content.read(8), "little")
    if size < 8 or length > min(size - 8, MOST_HEADER_BYTES):
        raise ModelError(
            f"{file} is no safetensors file, or is cut short: its header says {length:,} bytes, "
            f"the file has {size:,}; get it anew"
        )
    try:
        header = json.loads(content.read(length))
        begin, places = 8 + length, {}
        for name, about in header.items():
            if name != "__metadata__":
                places[name] = _place(about, begin, size)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(
            f"{file} has a damaged header, or ends before its last tensor; get it anew"
        ) from None
    return places


def _place(about: Mapping[str, object], begin: int, size: int) -> Place:
    """One entry of a header; raises `ValueError` for what cannot be."""
    kind, shape, offsets = str(about["dtype"]), about["shape"], about["data_offsets"]
    if not (isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        raise ValueError
    numbers = [*shape, *offsets]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError
    start, stop = begin + offsets[0], begin + offsets[1]
    if stop > size or stop - start != math.prod(shape) * _BYTES[kind]:
        raise ValueError
    return Place(kind, tuple(shape), start, stop)

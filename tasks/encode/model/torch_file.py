"""Where the tensors of a file that torch.save wrote lie in it, found without torch.

Such a file is a zip archive: `data.pkl` says what there is, and each tensor's numbers are an entry
of their own, not compressed. Nothing is told of a file that holds anything but tensors and plain
containers, or tensors that do not lie in one piece: torch reads it, or refuses it, as it does.
Source: torch/serialization.py and torch/_utils.py of PyTorch.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from tasks.encode.model.safetensors_file import Place, bytes_of
from tasks.opening import open_regular

_MOST_PICKLE_BYTES = 64 << 20
_KINDS = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


# Tuples: a pickle may set what it likes on other things that it was given.
class _Storage(NamedTuple):
    """Numbers of one type that tensors are parts of, from a byte of the file on."""

    kind: str
    start: int
    bytes: int


class _Tensor(NamedTuple):
    """As `Place`."""

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


def find_tensors(file: Path) -> dict[str, Place] | None:
    """The tensors of a saved state dict, also of one that lies beside other things as `state_dict`,
    by name; None if only torch can tell, or the file cannot be read."""
    if sys.byteorder != "little":
        return None
    try:
        with open_regular(file) as content, zipfile.ZipFile(content) as archive:
            return _state_dict(_unpickle(archive, content))
    except Exception:  # a file that is damaged, or meant to do damage, raises of every kind
        return None


def _state_dict(content: Any) -> dict[str, Place]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    named = list(content.items())
    if not named or not all(isinstance(n, str) and isinstance(t, _Tensor) for n, t in named):
        _refuse("more than named tensors")
    return {name: Place(*tensor) for name, tensor in named}


def _unpickle(archive: zipfile.ZipFile, content: BinaryIO) -> Any:
    entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    said = entries["data.pkl"]
    if said.compress_type != zipfile.ZIP_STORED or said.file_size > _MOST_PICKLE_BYTES:
        _refuse("a compressed pickle")
    if "byteorder" in entries and archive.read(entries["byteorder"])[:8] != b"little":
        _refuse("another order of bytes")
    starts: dict[str, int] = {}
    size = os.fstat(content.fileno()).st_size

    def storage(kind: str, key: str) -> _Storage:
        entry = entries[f"data/{key}"]
        if entry.compress_type != zipfile.ZIP_STORED:
            _refuse("compressed numbers")
        if key not in starts:
            content.seek(entry.header_offset)
            header = content.read(30)  # of the entry itself: its name and padding follow
            lengths = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
            starts[key] = entry.header_offset + 30 + sum(lengths)
        if starts[key] + entry.file_size > size:
            _refuse("numbers beyond the file")
        return _Storage(kind, starts[key], entry.file_size)

    class Unpickler(pickle.Unpickler):
        """Knows two functions and one class by name, all of them made here, for this file alone."""

        def find_class(self, module: str, name: str) -> Any:
            known = {
                "torch._utils._rebuild_tensor_v2": lambda *given: _tensor(*given),
                "torch._utils._rebuild_parameter": lambda data, *_: data,
                "collections.OrderedDict": OrderedDict,
            }
            if module == "torch" and name in _KINDS:
                return _KINDS[name]
            return known.get(f"{module}.{name}") or _refuse(f"{module}.{name}")

        def persistent_load(self, said: Any) -> _Storage:
            _, kind, key, *_ = said
            return storage(kind, key)

    return Unpickler(io.BytesIO(archive.read(said))).load()


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _Tensor:
    """Where a tensor lies that is one piece of a storage."""
    if not isinstance(storage, _Storage):
        _refuse("a tensor of no storage")
    size = bytes_of(storage.kind)
    numbers = (offset, *shape, *stride)
    if not all(type(number) is int and number >= 0 for number in numbers):
        _refuse("a tensor of no shape")
    whole = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if math.prod(shape) and any(
        n > 1 and has != wanted for n, has, wanted in zip(shape, stride, whole, strict=True)
    ):
        _refuse("a tensor in pieces")
    if (offset + math.prod(shape)) * size > storage.bytes:
        _refuse("a tensor beyond its storage")
    start = storage.start + offset * size
    return _Tensor(storage.kind, tuple(shape), start, start + math.prod(shape) * size)


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(what)

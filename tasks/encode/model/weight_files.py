"""Which files of a folder hold its weights: one file, or the shards that an index names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from tasks.encode.model.hashes import hash_file
from tasks.errors import ModelError
from tasks.opening import read_regular

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SHARDS = ("model-*-of-*.safetensors", "pytorch_model-*-of-*.bin")
KINDS = (SAFE, SAFE_INDEX, PICKLED, PICKLED_INDEX)
"""What weights are found by, the best first."""
WEIGHT_FILES = (*KINDS, *SHARDS)
"""Names, or patterns of names, of all files that may hold weights."""
_MOST_INDEX_BYTES = 64 << 20


def weight_files(folder: Path, from_hub: bool = False) -> list[Path]:
    """The files that hold the weights of a folder, in order; imports no torch.

    A hub's revision may hold the same weights twice, as its publisher says: there the first of
    `KINDS` is read. Raises `ModelError` if there are none, more than one kind, or a shard less than
    the index names.
    """
    found = [folder / name for name in KINDS if (folder / name).exists()]
    if not found:
        loose = sorted(path.name for pattern in SHARDS for path in folder.glob(pattern))
        if loose:
            raise ModelError(
                f"{folder} holds {loose[0]} and no {SAFE_INDEX} that says which shards there are; "
                "get the folder anew"
            )
        raise ModelError(
            f"{folder / PICKLED} is missing, and so are {SAFE} and {SAFE_INDEX}: one of them holds "
            "the weights"
        )
    if len(found) > 1 and not from_hub:
        names = " and ".join(file.name for file in found)
        raise ModelError(
            f"{folder} holds two kinds of weights, {names}, and nothing says which of them are "
            "meant; move one of them away"
        )
    if found[0].name.endswith(".json"):
        return _shards(found[0])
    return found[:1]


def are_there(folder: Path) -> bool:
    """Whether the weights of a hub's folder are all there."""
    try:
        return all(file.is_file() for file in weight_files(folder, from_hub=True))
    except ModelError:
        return False


def are_weights(name: str) -> bool:
    """Whether a file of a hub's repository holds weights that some family reads, or a part."""
    patterns = (*WEIGHT_FILES, "*.pt", "*.pth")
    return "/" not in name and any(fnmatch(name, pattern) for pattern in patterns)


def chosen(names: Iterable[str]) -> list[str]:
    """The files of a hub's repository without weights that nobody would read: those of a kind that
    comes after another in `KINDS`, and a checkpoint of cn_clip beside any of them."""
    there = list(names)
    if SAFE in there or SAFE_INDEX in there:
        left_out: tuple[str, ...] = (".bin", ".pt", PICKLED_INDEX)
    elif PICKLED in there or PICKLED_INDEX in there:
        left_out = (".pt",)
    else:
        left_out = ()
    if SAFE in there:
        left_out = (*left_out, SAFE_INDEX)
    return [name for name in there if not name.endswith(left_out)]


def hash_weights(files: list[Path]) -> str:
    """SHA-256 in hex of the one file, or over those of all shards; errors as `hash_file`."""
    if len(files) == 1:
        return hash_file(files[0])
    return hashlib.sha256("".join(map(hash_file, files)).encode()).hexdigest()


def _shards(index: Path) -> list[Path]:
    try:
        said = json.loads(read_regular(index, _MOST_INDEX_BYTES))
        names = sorted(set(said["weight_map"].values()))
    except OSError as error:
        raise ModelError(f"{index} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{index} is no index of weights: expected a weight_map") from None
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ModelError(f"{index} names shards that do not lie beside it")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise ModelError(
            f"{index} names {len(names)} shards, of which {len(missing)} are missing "
            f"({', '.join(missing[:3])}); get them anew"
        )
    return [index.parent / name for name in names]

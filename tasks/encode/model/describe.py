"""Which model this is, told from its files alone: nothing of it is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.encode.model.chinese_clip.layout import (
    TEXT_FILE,
    VISION_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    ModelLayout,
    read_layout,
)
from tasks.encode.model.chinese_clip.tokenizer import TEXT_VERSION
from tasks.encode.model.locate import ModelFolder, locate_model
from tasks.encode.model.pixels import PIXELS_VERSION
from tasks.errors import ModelError
from tasks.records import ModelInfo

PREPROCESSING = f"{PIXELS_VERSION}/{TEXT_VERSION}"
"""Changes whenever equal bytes or texts would reach a model differently."""

_SHAPING = (VISION_FILE, TEXT_FILE, VOCABULARY_FILE)

_hashes: dict[tuple[str, int, int], str] = {}


def describe_model(model: str) -> ModelInfo:
    """What must be equal for two vectors to be comparable, from a model's folder.

    Reads the weights file once a process to hash it (again if its size or time of change differ).
    Raises `ModelError` as `locate_model` and `read_layout` do, or if the weights are missing.
    """
    folder = locate_model(model)
    return model_info(folder, read_layout(folder.path))


def model_info(folder: ModelFolder, layout: ModelLayout) -> ModelInfo:
    """The description of a model whose layout has been read already."""
    return ModelInfo(
        name=folder.name,
        revision=folder.revision,
        weights=hash_file(folder.path / WEIGHTS_FILE),
        dimension=layout.dimension,
        resolution=layout.vision.resolution,
        preprocessing=f"{PREPROCESSING}/{_shape(folder.path)}",
    )


def _shape(folder: Path) -> str:
    """8 hex digits over the configurations and the vocabulary: with others the same weights are
    another model."""
    together = "".join(hash_file(folder / name) for name in _SHAPING)
    return hashlib.sha256(together.encode()).hexdigest()[:8]


def hash_file(file: Path) -> str:
    """SHA-256 of a file in hex, remembered in memory by its path, size and time of change."""
    try:
        state = file.stat()
        key = (str(file), state.st_size, state.st_mtime_ns)
        if key not in _hashes:
            with file.open("rb") as content:
                _hashes[key] = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}") from None
    return _hashes[key]

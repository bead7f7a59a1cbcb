"""Folders in Hugging Face's layout: `config.json` says what kind of model it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.errors import ModelError
from tasks.opening import read_regular

CONFIG_FILE = "config.json"
PICTURE_FILES = ("preprocessor_config.json", "processor_config.json")
"""What may say how pictures are prepared; newer versions of the library write the second one."""
WORDS_FILES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""What the words of a tokenizer may be in: without any the library makes up a tiny one."""
TOKENIZER_FILES = (
    *WORDS_FILES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_MOST_BYTES = 16 << 20


def model_type(folder: Path) -> str | None:
    """What a folder's configuration calls its kind of model; None if it does not say, or there is
    none."""
    try:
        said = json.loads(read_regular(folder / CONFIG_FILE, _MOST_BYTES))
        kind = said.get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def read_values(file: Path) -> Any:
    """What a JSON file holds; raises `ModelError` naming it."""
    try:
        return json.loads(read_regular(file, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        raise ModelError(f"{file} cannot be read as JSON") from None


def picture_settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    """What a folder says of how pictures are prepared, and the file that says it; nothing if no
    file does. Raises `ModelError` naming a file that is no JSON object."""
    for name in PICTURE_FILES:
        file = folder / name
        if not file.exists():
            continue
        said = read_values(file)
        if not isinstance(said, dict):
            raise ModelError(f"{file} holds no JSON object")
        inner = said.get("image_processor", said)
        if isinstance(inner, dict) and (inner is not said or name == PICTURE_FILES[0]):
            return file, inner
    return folder / PICTURE_FILES[0], {}

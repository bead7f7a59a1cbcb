"""Hashes of model files, each made once a process."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.errors import ModelError
from tasks.opening import open_regular

_hashes: dict[tuple[str, int, int], str] = {}


def hash_file(file: Path) -> str:
    """SHA-256 of a file in hex, remembered in memory by its path, size and time of change.

    Raises `ModelError` if it cannot be read.
    """
    try:
        state = file.stat()
        key = (str(file), state.st_size, state.st_mtime_ns)
        if key not in _hashes:
            with open_regular(file) as content:
                _hashes[key] = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}") from None
    return _hashes[key]

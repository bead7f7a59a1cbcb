"""How libraries that read model folders are kept quiet, and their errors made one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils import logging

from tasks.errors import ModelError, reason_of


@contextmanager
def told(folder: Path, library: str) -> Iterator[None]:
    """What a library raises of a folder, as a `ModelError` of one line."""
    try:
        yield
    except Exception as error:  # they raise of every kind
        reason = reason_of(error)
        if "torchvision" in reason.lower():
            reason = f"it needs torchvision: pip install torchvision ({reason})"
        raise ModelError(f"{folder} cannot be read by {library}: {reason}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars and remarks off the screen: what matters is raised."""
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

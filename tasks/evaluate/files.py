"""The files that an evaluation writes for other tools: where, and whether they can be written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tasks.errors import UsageError, WorkFolderError, reason_of
from tasks.settings import EvaluateChoices

MODES = ("dense", "sparse", "hybrid")


def run_file(path: str, mode: str) -> str:
    """Where the run of a mode is written: `run.trec` is `run.dense.trec`, since trec_eval takes all
    lines of a file for one system's."""
    place = Path(path)
    return str(place.parent / f"{place.stem}.{mode}{place.suffix}")


def check_outputs(choices: EvaluateChoices, page: Path | None = None) -> None:
    """Raise `WorkFolderError` for a file that cannot be written, before anything is computed, and
    `UsageError` for one that is to be written twice; nothing is written here."""
    if choices.run is not None and not Path(choices.run).stem.strip("."):
        raise UsageError(f"--run {choices.run!r}: expected a file's name, such as run.trec")
    runs = [] if choices.run is None else [run_file(choices.run, mode) for mode in MODES]
    given = (choices.predictions, choices.qrels_out, choices.per_query, page)
    places = [*runs, *(str(place) for place in given if place is not None)]
    for place in places:
        check_writable(place)
    seen: set[str] = set()
    for place in map(os.path.realpath, places):
        if place in seen:
            raise UsageError(f"{place} would be written twice; name two files")
        seen.add(place)


def check_writable(path: str) -> None:
    """Raise `WorkFolderError` if a file cannot be written there, as far as can be known without
    writing it."""
    try:
        problem = _problem(path)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or reason_of(error)
    if problem:
        raise WorkFolderError(f"cannot write {path}: {problem}", may_pass=False)


@contextmanager
def written(path: str) -> Iterator[BinaryIO]:
    """A file to write; `WorkFolderError` if that cannot be done."""
    try:
        with open(path, "wb") as file:
            yield file
    except OSError as error:
        raise WorkFolderError(f"cannot write {path}: {error.strerror or error}") from None


def _problem(path: str) -> str:
    folder = os.path.dirname(path) or "."
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if not os.path.isdir(folder):
            return f"there is no folder {folder}"
        return "" if os.access(folder, os.W_OK | os.X_OK) else f"nobody may write to {folder}"
    if stat.S_ISDIR(found.st_mode):
        return "it is a folder"
    return "" if os.access(path, os.W_OK) else "it is write-protected"

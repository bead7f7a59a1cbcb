"""Data sets of ModelScope's hub: their Parquet or MUGE files, downloaded once and read as such.

`MsDataset.load` is not used: it refuses data sets with a loading script (its maintainers advise an
old version: github.com/modelscope/modelscope/issues/1769), and what it can read is Parquet, which
is read here without its dependencies.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Container, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from tasks.dataset.muge import PICTURES, MugeReader
from tasks.dataset.reader import NOTHING_IGNORED, DatasetName, Reader, RowFields
from tasks.dataset.table.reader import TableReader
from tasks.download.modelscope import download_snapshot, find_snapshot, list_snapshot
from tasks.errors import DatasetError, HubError
from tasks.opening import read_regular
from tasks.records import Row, Span

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_OPTION = re.compile(r"[\w./-]*", re.ASCII)
_FORMS = ("*{}*.parquet", "*{}_imgs.tsv*", "*{}_queries.jsonl*", "*{}_texts.jsonl*")
MOST_RECEIPT_BYTES = 16 << 20

_lock = threading.Lock()
_opened: dict[tuple[str, ...], Path] = {}


class ModelscopeReader:
    """`modelscope:OWNER/NAME?split=S&revision=R`: the split's files in the client's cache.

    What lies complete in the cache is used without any request; without a revision that is the
    `master` of the day it was downloaded.
    """

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        split, revision = name.options.get("split", ""), name.options.get("revision", "master")
        if not _HUB_NAME.fullmatch(name.path):
            raise DatasetError(f"data set modelscope:{name.path!r}, expected modelscope:OWNER/NAME")
        for option in (split, revision):
            if not _OPTION.fullmatch(option):
                raise DatasetError(f"data set modelscope:{name.path}: {option!r} is not allowed")
        folder = _fetch_once(name.path, revision, split)
        self._files = _open_files(folder, name, split)

    ignored = NOTHING_IGNORED

    @property
    def fields(self) -> RowFields:
        """As those files' reader says."""
        return self._files.fields

    @property
    def links_outside(self) -> int:
        """Of the client's cache, which may be made of links."""
        return self._files.links_outside

    def spans(self) -> Iterator[Span]:
        """The spans of the Parquet or MUGE files."""
        return self._files.spans()

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """The rows of a span; errors as those readers'."""
        return self._files.read(span, only)

    def read_queries(self, span: Span) -> Iterator[Row]:
        """As those readers do."""
        return self._files.read_queries(span)


def _fetch_once(name: str, revision: str, split: str) -> Path:
    """The snapshot's folder, looked for once a process: stages open the data set for each shard."""
    places = (os.environ.get("MODELSCOPE_ENDPOINT", ""), os.environ.get("MODELSCOPE_CACHE", ""))
    key = (name, revision, split, *places)
    with _lock:
        if key not in _opened:
            _opened[key] = _fetch(name, revision, split)
        return _opened[key]


def forget() -> None:
    """Look for every snapshot again when it is next opened."""
    with _lock:
        _opened.clear()


def _fetch(name: str, revision: str, split: str) -> Path:
    receipt = f".muge-{split.replace('/', '--') or 'all'}.json"
    cached = find_snapshot("dataset", name, revision)
    if cached is not None and _is_complete(cached, receipt):
        return cached
    patterns = [form.format(split) for form in _FORMS]
    try:
        folder = download_snapshot("dataset", name, revision, patterns)
        files = _matching(folder, patterns)
        if not files:
            raise DatasetError(_nothing_there(name, revision, split))
    except HubError as error:
        raise DatasetError(
            f"could not download data set {name}@{revision}: {error}; use muge:DIR or parquet:PATH "
            f"with files that you have"
        ) from None
    sizes = {file: (folder / file).stat().st_size for file in files}
    with suppress(OSError):  # a cache that cannot be written is asked about again
        (folder / receipt).write_text(json.dumps(sizes), encoding="utf-8")
    return folder


def _matching(folder: Path, patterns: list[str]) -> list[str]:
    files = [f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()]
    return [file for file in files if any(fnmatch(file, pattern) for pattern in patterns)]


def _is_complete(folder: Path, receipt: str) -> bool:
    """Whether every file of an earlier download is still there, in its size."""
    try:
        sizes = json.loads(read_regular(folder / receipt, MOST_RECEIPT_BYTES))
        return all((folder / file).stat().st_size == size for file, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _nothing_there(name: str, revision: str, split: str) -> str:
    files = list_snapshot("dataset", name, revision)
    shown = ", ".join(files[:8]) + (", ..." if len(files) > 8 else "")
    return (
        f"data set {name}@{revision} has no Parquet and no MUGE file of split {split!r}, but: "
        f"{shown or 'nothing'}; what a loading script fetches must be downloaded by hand and read "
        f"with muge:DIR, parquet:PATH or folder:PATH"
    )


def _open_files(folder: Path, name: DatasetName, split: str) -> Reader:
    """The reader of what was downloaded: Parquet if there is any, else MUGE's files."""
    options = {"split": split} if split else {}
    if _matching(folder, [_FORMS[0].format(split)]):
        return TableReader(DatasetName("parquet", str(folder), options, name.bounds))
    places = sorted({file.parent for file in folder.rglob("*") if PICTURES.fullmatch(file.name)})
    place = str(places[0] if places else folder)
    return MugeReader(DatasetName("muge", place, options, name.bounds))

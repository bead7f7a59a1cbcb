"""The readers there are, and a data set's name to the reader that opens it.

A new reader is one class that does what `Reader` says and one line in `READERS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from urllib.parse import parse_qsl

from tasks.dataset.reader import Bounds, DatasetName, Reader
from tasks.errors import DatasetError
from tasks.settings import Content

Opens = Callable[[DatasetName], Reader]


@dataclass(frozen=True, slots=True)
class ReaderKind:
    """A kind of data set: `form` shows people what follows the colon of its name, `options` are
    those that may follow the "?", and `is_path` says that it is a path, of this machine unless it
    is a URL.

    `reader` is a class that opens a `DatasetName` and raises `DatasetError` if it is not there, or
    where that class is, "module:Class": imported when the first data set of its kind is opened.
    `original` is where a function is that finds the picture of a row again where that has a file
    or an address of its own; "": none has. `asks_hub`: opening it asks a service.
    """

    reader: str | Opens
    form: str
    options: tuple[str, ...] = ()
    needs_path: bool = True
    is_path: bool = False
    original: str = ""
    asks_hub: bool = False

    def open(self, name: DatasetName) -> Reader:
        """The reader of a data set; errors as its class raises them."""
        opens: Opens = resolve_name(self.reader) if isinstance(self.reader, str) else self.reader
        return opens(name)


def _table(*options: str) -> ReaderKind:
    """A kind of table: which column is what can be told."""
    known = ("id", "text", "image", "product", "query", "split", "addresses", *options)
    return ReaderKind(
        "tasks.dataset.table.reader:TableReader",
        "PATH?" + "&".join(f"{option}={option[0].upper()}" for option in known),
        known,
        is_path=True,
        original="tasks.dataset.originals:beside_table",
    )


READERS: dict[str, ReaderKind] = {
    "sample": ReaderKind("tasks.dataset.sample:SampleReader", "", ("split",), needs_path=False),
    "muge": ReaderKind("tasks.dataset.muge:MugeReader", "DIR?split=S", ("split",), is_path=True),
    "modelscope": ReaderKind(
        "tasks.dataset.modelscope:ModelscopeReader",
        "OWNER/NAME?split=S&revision=R",
        ("split", "revision"),
        asks_hub=True,
    ),
    "csv": _table("encoding"),
    "jsonl": _table(),
    "parquet": _table(),
    "webdataset": _table(),
    "datasets": _table(),
    "lmdb": ReaderKind("tasks.dataset.lmdb:LmdbReader", "DIR", is_path=True),
    "folder": ReaderKind(
        "tasks.dataset.folder:FolderReader",
        "PATH",
        is_path=True,
        original="tasks.dataset.originals:in_folder",
    ),
}
"""Every kind of data set, by what stands before the colon of its name."""


def dataset_forms() -> str:
    """How the names of all kinds of data sets look, for people."""
    return " | ".join(f"{scheme}:{kind.form}" for scheme, kind in READERS.items())


def parse_name(name: str) -> DatasetName:
    """Split a data set name; raises `DatasetError` for a form that is not known."""
    scheme, colon, rest = name.partition(":")
    if not colon or scheme not in READERS:
        raise DatasetError(f"data set {name!r} is not one of {dataset_forms()}{_meant(name)}")
    kind = READERS[scheme]
    path, query = _path_and_options(rest) if kind.is_path else rest.partition("?")[::2]
    options = dict(parse_qsl(query))
    if options and not kind.options:
        raise DatasetError(f"data set {name!r} takes no option {set(options)}")
    if unknown := sorted(options.keys() - set(kind.options)):
        raise DatasetError(
            f"data set {name!r}: unknown option {unknown[0]!r}, expected {sorted(kind.options)}"
        )
    if kind.needs_path and not path:
        raise DatasetError(f"data set {name!r} names no path, expected {scheme}:{kind.form}")
    return DatasetName(scheme, path, options)


def _path_and_options(text: str) -> tuple[str, str]:
    """A path and what follows the "?" behind it; what is there under the very name is the path,
    though a "?" is in it."""
    first, *others = [*(mark.start() for mark in re.finditer(r"\?", text)), len(text)]
    for end in reversed(others):
        if _is_there(os.path.expanduser(text[:end])):
            return text[:end], text[end + 1 :]
    return text[:first], text[first + 1 :]


def _is_there(path: str) -> bool:
    folder, last = os.path.split(path)
    return os.path.lexists(path) or ("*" in last and "?" not in last and os.path.isdir(folder))


def _meant(name: str) -> str:
    """What somebody may have meant who gave the name of something that is there."""
    path = Path(name.partition("?")[0]).expanduser()
    if path.is_dir():
        return f"; a folder of pictures is folder:{name}"
    return f"; a Parquet file is parquet:{name}" if path.suffix == ".parquet" else ""


def open_reader(name: str, bounds: Bounds = Bounds()) -> Reader:
    """The reader of a data set; raises `DatasetError` if it is not there."""
    parsed = replace(parse_name(name), bounds=bounds)
    return READERS[parsed.scheme].open(parsed)


def bounds_of(options: Content) -> Bounds:
    """What readers may open, as the options say."""
    return Bounds(
        options.links, options.max_image_bytes, options.fields or "", options.image_root or ""
    )

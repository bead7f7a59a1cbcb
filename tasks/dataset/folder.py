"""A folder of pictures, with their queries in queries.jsonl or queries.csv, or in file names."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from tasks.dataset.kinds import PICTURES, pairing_name, sort_out
from tasks.dataset.listing import list_files
from tasks.dataset.reader import NO_FIELDS, DatasetName, integer_id, stable_id
from tasks.errors import DatasetError, InputFileError
from tasks.opening import leads_beneath, open_stored, read_stored, text_lines
from tasks.records import Row, Span
from tasks.work.filesystems import open_filesystem, storage_errors

QUERY_FILES = ("queries.jsonl", "queries.csv")
FILES_A_SPAN = 256
LONGEST_LINE = 4 << 20  # characters
LONGEST_CELL = 1 << 17  # characters; the csv module's own limit is the whole process's
NumberedLines = Iterator[tuple[int, str | None]]
TOO_LONG = f"the line has more than {LONGEST_LINE:,} characters"


class FolderReader:
    """Pictures come first, one row each, then the lines of the query file.

    Files that are no pictures, by name or first bytes, are counted in `ignored`. A line names its
    picture in any Unicode form, with "/" or "\\"; a picture that no line names is kept without a
    query. Without a query file a picture's name is its text. Ids that are not given are made from
    the file name or the text.
    """

    fields = NO_FIELDS

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        self._url = name.path
        self._bounds = name.bounds
        try:
            self._filesystem, root = open_filesystem(name.path)
            self._root = root.rstrip("/")
            with storage_errors(f"cannot read data set {name.path}"):
                if not self._filesystem.isdir(self._root):
                    raise DatasetError(
                        f"data set folder {name.path!r} is not there, or not a folder"
                    )
                found = list_files(self._filesystem, self._root, name.bounds)
        except (OSError, ImportError, ValueError) as error:
            raise DatasetError(f"data set folder {name.path!r}: {error}") from None
        self._refused = found.refused
        files = sorted({*found.files, *found.refused})
        # a folder that could not be entered is one reject, in the place of its pictures
        folders = [path for path in files if path.endswith("/")]
        self._query_file = _query_file(files)
        others = [p for p in files if not p.endswith("/") and p != self._query_file]
        kinds = sort_out(self._filesystem, self._root, others, found.refused)
        self._pictures = sorted([*kinds.pictures, *folders])
        self.ignored = kinds.ignored
        wanted = {*self._pictures, self._query_file}
        self.links_outside = len(found.outside & wanted)
        if not self._pictures and self._query_file is None:
            seen = ", ".join(f"{count} {cause}" for cause, count in kinds.ignored.items())
            raise DatasetError(
                f"data set folder {name.path!r} holds no picture ({' '.join(PICTURES)}) "
                f"and no {' or '.join(QUERY_FILES)}" + (f"; there are: {seen}" if seen else "")
            )
        self._paired = {pairing_name(path): path for path in reversed(self._pictures)}
        self._paired |= {path: path for path in self._pictures}
        self._ids: dict[str, int] | None = None

    def spans(self) -> Iterator[Span]:
        """`FILES_A_SPAN` pictures each, then the query file as one span that is streamed."""
        for start in range(0, len(self._pictures), FILES_A_SPAN):
            yield Span("", start, min(start + FILES_A_SPAN, len(self._pictures)))
        if self._query_file:
            yield Span(self._query_file, 0, 0)

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """Pictures of a span, or the lines of the query file."""
        if span.source:
            yield from self._read_queries(span.source)
            return
        ids = self._picture_ids()
        for number, path in enumerate(self._pictures[span.start : span.stop]):
            if only is not None and number not in only:
                yield Row(path)
                continue
            image_id = ids.get(path, stable_id(path))
            if path in self._refused:
                yield Row(path, image_id, defect=self._refused[path])
                continue
            try:
                image = self._read_picture(path)
            except InputFileError as error:
                yield Row(path, image_id, defect=(error.code, str(error)))
                continue
            except OSError as error:
                yield Row(path, image_id, defect=("unreadable_file", str(error)))
                continue
            text = None if self._query_file else _text_of(path)
            yield Row(path, image_id, image, query=text)

    def _read_picture(self, path: str) -> bytes:
        with storage_errors(f"cannot read {self._url}/{path}"):
            place = f"{self._root}/{path}"
            return read_stored(self._filesystem, place, self._bounds.picture_bytes)

    def read_queries(self, span: Span) -> Iterator[Row]:
        """The lines of the query file; without one the pictures' names, no file opened."""
        if span.source:
            yield from self._read_queries(span.source)
        elif not self._query_file:
            for path in self._pictures[span.start : span.stop]:
                if path not in self._refused:
                    yield Row(path, stable_id(path), query=_text_of(path))

    def _picture_ids(self) -> dict[str, int]:
        """Ids that the query file gives to pictures; the first line that names a picture wins."""
        if self._ids is None:
            ids: dict[str, int] = {}
            for _, line in self._lines():
                if not isinstance(line, dict) or line.get("image_id") is None:
                    continue
                picture = _picture_of(line, self._paired)
                if picture is None:
                    continue
                try:
                    ids.setdefault(picture, integer_id(line["image_id"]))
                except ValueError:
                    continue  # reported by _read_queries, with its line
            self._ids = ids  # whole at once: shards are read by several threads
        return self._ids

    def _read_queries(self, source: str) -> Iterator[Row]:
        ids = self._picture_ids()
        for number, line in self._lines():
            position = f"{source}:{number}"
            if isinstance(line, dict):
                yield _query_row(position, line, self._paired, ids)
            else:
                yield Row(position, defect=("bad_line", line))

    def _lines(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Numbered lines of the query file as dicts, or as what is wrong with them."""
        if self._query_file is None:
            return
        lines = _csv_lines if self._query_file.lower().endswith(".csv") else _json_lines
        try:
            if self._query_file in self._refused:
                raise InputFileError(*self._refused[self._query_file])
            with (
                storage_errors(f"cannot read {self._url}/{self._query_file}"),
                open_stored(self._filesystem, f"{self._root}/{self._query_file}") as file,
            ):
                # bytes that are no UTF-8 become lone surrogates, which the catalog rejects
                yield from lines(text_lines(file, LONGEST_LINE, "surrogateescape"))
        except OSError as error:
            raise DatasetError(
                f"{self._url}/{self._query_file} cannot be read: {error.strerror or error}"
            ) from None


class _Lines:
    """A file's lines for the csv module, which goes on behind an error; `number` is the last's."""

    def __init__(self, lines: NumberedLines) -> None:
        self._lines = lines
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error(TOO_LONG)
        return line


def _csv_lines(numbered: NumberedLines) -> Iterator[tuple[int, dict[str, Any] | str]]:
    lines = _Lines(numbered)
    reader = csv.DictReader(lines)
    try:
        columns = reader.fieldnames or ["query"]
    except csv.Error as error:
        raise DatasetError(f"queries.csv has no readable header: {error}") from None
    if "query" not in columns:
        raise DatasetError(f"queries.csv has columns {columns}, expected query among them")
    while True:
        try:
            line = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.number, f"not CSV: {error}"
            continue
        if any(isinstance(v, str) and len(v) > LONGEST_CELL for v in line.values()):
            yield lines.number, f"not CSV: a cell has more than {LONGEST_CELL:,} characters"
            continue
        # an empty cell is a value that was not given, but an empty query is a query
        yield lines.number, {k: v for k, v in line.items() if v or k == "query"}


def _json_lines(lines: NumberedLines) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in lines:
        if line is None:
            yield number, TOO_LONG
            continue
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, value if isinstance(value, dict) else f"not a JSON object: {line[:60]!r}"


def _query_file(files: Iterable[str]) -> str | None:
    """The query file: its name may be written in any case, the usual one comes first."""
    there = [path for path in files if path.lower() in QUERY_FILES]
    ranked = sorted(
        there, key=lambda path: (QUERY_FILES.index(path.lower()), path != path.lower(), path)
    )
    return ranked[0] if ranked else None


def _picture_of(line: dict[str, Any], paired: Mapping[str, str]) -> str | None:
    """The file that a line names: that very name, or else the same one written in another way."""
    name = line.get("image")
    if not isinstance(name, str):
        return None
    return paired.get(name) or paired.get(pairing_name(name))


def _query_row(
    position: str, line: dict[str, Any], paired: Mapping[str, str], ids: dict[str, int]
) -> Row:
    query, named = line.get("query"), line.get("image")
    if not isinstance(query, str):
        return Row(position, defect=("bad_query", f"query is {str(query)[:80]!r}, expected text"))
    picture = _picture_of(line, paired)
    if named is not None and picture is None:
        said = f"image {str(named)[:80]!r} is not a picture of this folder"
        if isinstance(named, str) and not leads_beneath(named.replace("\\", "/")):
            said = (
                f"image {named[:80]!r} is not allowed: only files of the folder may be named, by "
                f"their path in it (not absolute, without ..)"
            )
        return Row(position, defect=("missing_image", said))
    try:
        image_id = _image_id(line, picture, ids)
        query_id = line.get("query_id")
        query_id = None if query_id is None else integer_id(query_id)
    except ValueError as error:
        return Row(position, defect=("bad_id", str(error)))
    return Row(position, image_id=image_id, query_id=query_id, query=query)


def _image_id(line: dict[str, Any], picture: str | None, ids: dict[str, int]) -> int:
    given = line.get("image_id")
    if picture is None:
        if given is None:
            raise ValueError("neither image nor image_id is given")
        return integer_id(given)
    known = ids.get(picture, stable_id(picture))
    if given is not None and integer_id(given) != known:
        raise ValueError(f"image {picture!r} has id {given} here and {known} before")
    return known


def _text_of(path: str) -> str:
    """A file name as text: its stem with separators as spaces and a trailing number dropped."""
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return re.sub(r"[\s_\-]+", " ", re.sub(r"[\s_\-(（]*\d+[)）]?$", "", stem)).strip() or stem

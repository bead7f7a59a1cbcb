"""WebDataset: tar shards in which the files of one name are one sample, as img2dataset writes."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tasks.dataset.lines import open_lines
from tasks.dataset.table.columns import Columns
from tasks.dataset.table.fields import LOOKED_AT
from tasks.dataset.table.format import TableFile, TableLine, is_companion
from tasks.errors import DatasetError
from tasks.records import FieldType

SAMPLES_A_SPAN = 256
MOST_TEXT_BYTES = 4 << 20
MOST_PICTURE_BYTES = 64 << 20
PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jfif", "img")
TEXTS = ("txt", "caption", "text")
OURS = ("key", "caption", "image", "text")
BLOCK = 512
DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(slots=True)
class _Sample:
    """The files of one name: `start` is where the first begins in the tar."""

    key: str
    start: int
    parts: dict[str, tuple[bytes, str]] = field(default_factory=dict)


class WebDatasetFormat:
    """Shards, plain or as gzip. Columns are `key`, `image`, `text` (of a .txt, else the caption of
    a .json), and the other keys of the .json files."""

    endings: tuple[str, ...] = (".tar", ".tar.gz")
    others: tuple[str, ...] = ()
    typed = True
    headed = False

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, FieldType | None]] = {}
        self._firsts: dict[str, list[int]] = {}

    def columns(self, file: TableFile) -> Mapping[str, FieldType | None]:
        """Keys of the first `LOOKED_AT` samples' .json files, behind our own."""
        if file.path not in self._columns:
            seen: dict[str, FieldType | None] = dict.fromkeys(("key", "image", "text"))
            count = 0
            for line in itertools.islice(self.lines(file, 0, 0, ("text",)), LOOKED_AT):
                count += 1
                seen |= dict.fromkeys(line.values)
            if not count:
                raise DatasetError("it holds no sample, expected files such as 000000000.jpg")
            self._columns[file.path] = seen
        return self._columns[file.path]

    def check(self, file: TableFile, columns: Columns, fields: Sequence[str] = ()) -> None:
        """Any key can have any value: samples are judged one by one."""

    def said(self, file: TableFile) -> str:
        """Nothing is recognised."""
        return ""

    def spans(self, file: TableFile) -> Iterator[tuple[int, int]]:
        """`SAMPLES_A_SPAN` samples each, by their places in the tar; a gzip file is one."""
        if file.path.endswith(".gz"):
            yield 0, 0
            return
        if file.path not in self._firsts:
            with _opened(file, 0) as tar:
                starts = (sample.start for sample in _samples(tar, 0, frozenset(), []))
                firsts = [start for n, start in enumerate(starts) if n % SAMPLES_A_SPAN == 0]
            self._firsts[file.path] = firsts
        firsts = self._firsts[file.path]
        # the last part has no end: what is behind the last sample is looked at too
        yield from itertools.zip_longest(firsts, firsts[1:], fillvalue=0)

    def lines(
        self, file: TableFile, start: int, stop: int, wanted: Sequence[str]
    ) -> Iterator[TableLine]:
        """The samples that begin in a range of bytes (to 0: to the end); a picture is read if it is
        wanted. Places are their keys."""
        kinds = frozenset((*(PICTURES if "image" in wanted else ()), *TEXTS, "json"))
        damage: list[str] = []
        with _opened(file, start) as tar:
            for sample in _samples(tar, stop, kinds, damage):
                yield _line(sample)
        for said in damage:
            yield TableLine("end", defect=("damaged_tar", said))


@contextmanager
def _opened(file: TableFile, start: int) -> Iterator[tarfile.TarFile]:
    """The tar from a place on. Raises `DatasetError` if it is none."""
    with open_lines(file.filesystem, file.path) as handle:
        try:
            if start:
                handle.seek(start)
            tar = tarfile.TarFile(fileobj=handle)
        except DAMAGE as error:
            raise DatasetError(f"it is not a readable tar file: {error}") from None
        with tar:
            yield tar


def _samples(
    tar: tarfile.TarFile, stop: int, kinds: frozenset[str], damage: list[str]
) -> Iterator[_Sample]:
    """Consecutive files of one name, with the content of those of these kinds; `damage` gets what
    is wrong where no more can be read."""
    sample: _Sample | None = None
    for member in _members(tar, damage):
        if not member.isreg() or is_companion(member.name):
            continue
        folder, _, name = member.name.rpartition("/")
        stem, _, kind = name.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            if stop and member.offset >= stop:
                return
            sample = _Sample(key, member.offset)
        kind = kind.lower()
        if kind in kinds:
            sample.parts[kind] = _content(tar, member, kind)
    if sample is not None:
        yield sample


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> tuple[bytes, str]:
    """The bytes of a file, or b"" and what is wrong with it."""
    most = MOST_PICTURE_BYTES if kind in PICTURES else MOST_TEXT_BYTES
    if member.size > most:
        return b"", f"{member.name} has {member.size} bytes, the limit is {most}"
    handle = tar.extractfile(member)
    try:
        content = b"" if handle is None else handle.read()
    except DAMAGE:
        content = b""
    if len(content) < member.size:
        return b"", f"{member.name} is cut short: {len(content)} of {member.size} bytes are there"
    return content, ""


def _line(sample: _Sample) -> TableLine:
    problem = next((said for _, said in sample.parts.values() if said), None)
    if problem is not None:
        return TableLine(sample.key, defect=("bad_sample", problem))
    values: dict[str, Any] = {}
    try:
        if "json" in sample.parts:
            values = json.loads(sample.parts["json"][0])
            if not isinstance(values, dict):
                raise ValueError("no object")
        text = next((sample.parts[kind][0] for kind in TEXTS if kind in sample.parts), None)
        caption = values.get("caption") if text is None else text.decode("utf-8-sig").strip()
    except (ValueError, RecursionError) as error:
        return TableLine(sample.key, defect=("bad_sample", f"{sample.key}: {error}"))
    pictures = [kind for kind in PICTURES if kind in sample.parts]
    if len(pictures) > 1:
        said = f"{sample.key} has {len(pictures)} pictures ({', '.join(pictures)}), expected one"
        return TableLine(sample.key, defect=("bad_sample", said))
    image = sample.parts[pictures[0]][0] if pictures else None
    rest = {name: value for name, value in values.items() if name not in OURS}
    return TableLine(sample.key, {"key": sample.key, "image": image, "text": caption, **rest})


def _members(tar: tarfile.TarFile, damage: list[str]) -> Iterator[tarfile.TarInfo]:
    """All files. Python's tarfile takes a damaged header for the end, so that is looked at."""
    try:
        for member in tar:
            yield member
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        handle: io.BufferedIOBase = tar.fileobj  # type: ignore[assignment]
        handle.seek(tar.offset)
        rest = handle.read(BLOCK)
        if rest.strip(b"\0"):
            damage.append(f"the tar file is damaged at byte {tar.offset}: the rest is not read")
        elif len(rest) < BLOCK:
            damage.append(
                f"the tar file ends at byte {tar.offset} without its end: it is cut short"
            )
    except DAMAGE as error:
        damage.append(f"the tar file is damaged or cut short near byte {tar.offset}: {error}")

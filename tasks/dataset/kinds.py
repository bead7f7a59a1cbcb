"""What the files of a folder are: pictures by their ending or first bytes, and others by cause."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from tasks.errors import InputFileError
from tasks.opening import is_local, open_regular
from tasks.signatures import HEIC_EXTRA, PEEKED_BYTES, signature

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".ppm", ".pgm", ".pbm", ".pnm"),
)
HEIC = (".heic", ".heif", ".hif")
COMPANIONS = "macOS and Windows companion files"
HIDDEN = "hidden files"
NO_ENDING = "files without an ending"
OTHER_ENDINGS = "files with other endings"
MOST_CAUSES = 20
_PEEKED_AT_ONCE = 16  # on object storage each is a wait
_LONGEST_ENDING = 12

_COMPANIONS = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_WORDS = (
    "csv tsv txt text md rst log json jsonl ndjson xml yaml yml toml ini cfg conf html htm css "
    "parquet arrow feather db sqlite lmdb mdb xls xlsx ods doc docx odt ppt pptx odp pdf rtf "
    "zip gz tgz bz2 xz zst 7z rar tar iso dmg exe dll so py pyc ipynb sh bat ps1 js ts java c h "
    "cpp go rs rb php sql mp3 wav flac m4a ogg mp4 m4v mov avi mkv webm mpg mpeg wmv srt "
    "npy npz pt pth pkl safetensors onnx bin index svg psd ai eps raw cr2 cr3 nef arw dng orf raf "
    "xmp aae url lnk webloc torrent part crdownload"
)
_OTHERS = frozenset(_WORDS.split())
"""Endings that are known not to be pictures that can be read: such files are not opened."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """Paths of pictures in order, and how many other files there are by cause."""

    pictures: list[str]
    ignored: Mapping[str, int]


def sort_out(filesystem: Any, root: str, files: Iterable[str], closed: Iterable[str]) -> Sorted:
    """Which of some files below a folder are pictures. Only the first bytes are read, and only of
    files whose ending says nothing and that are not among the `closed`."""
    pictures: list[str] = []
    ignored: Counter[str] = Counter()
    unknown: list[str] = []
    refused = set(closed)
    for path in files:
        cause = _by_name(path)
        if cause is None:
            pictures.append(path)
        elif cause or path in refused:
            ignored[cause or _ending_of(path)] += 1
        else:
            unknown.append(path)
    for path, kind in zip(unknown, _kinds(filesystem, root, unknown), strict=True):
        if kind is None:
            ignored[_ending_of(path)] += 1
        elif kind == "HEIC" and not reads_heic():
            ignored[_heic(path)] += 1
        else:
            pictures.append(path)
    return Sorted(sorted(pictures), _few(ignored))


def pairing_name(name: str) -> str:
    """A picture's name as it is compared where no file has that very name: in the same Unicode
    form, with "/" between folders, and without "./" before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def _by_name(path: str) -> str | None:
    """Why a file is no picture, "" if its name does not tell, None if it is one."""
    *folders, name = path.split("/")
    lower = name.lower()
    if lower in _COMPANIONS or name.startswith("._") or "__MACOSX" in folders:
        return COMPANIONS
    if lower.endswith(PICTURES):
        return None
    if lower.endswith(HEIC):
        return None if reads_heic() else _heic(path)
    if any(part.startswith(".") for part in (*folders, name)):
        return HIDDEN
    return _ending_of(path) if _ending(name) in _OTHERS else ""


def _ending(name: str) -> str:
    """The ending in lower case without its dot; "" if there is none, or it is no word."""
    stem, _, ending = name.lower().rpartition(".")
    is_word = ending.isalnum() and not ending.isdigit() and len(ending) <= _LONGEST_ENDING
    return ending if stem and is_word else ""


def _ending_of(path: str) -> str:
    ending = _ending(path.rsplit("/", 1)[-1])
    return f".{ending}" if ending else NO_ENDING


def _heic(path: str) -> str:
    return f"{_ending_of(path)} ({HEIC_EXTRA})"


@cache
def reads_heic() -> bool:
    """Whether the extra that reads HEIC is installed."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return False
    return True


def _kinds(filesystem: Any, root: str, paths: list[str]) -> Iterator[str | None]:
    """The format that the first bytes of each file promise; None also if it cannot be read."""

    def kind(path: str) -> str | None:
        place = f"{root}/{path}"
        try:
            if is_local(filesystem):
                with open_regular(place) as file:
                    return signature(file.read(PEEKED_BYTES))
            return signature(filesystem.cat_file(place, start=0, end=PEEKED_BYTES))
        except (OSError, ValueError, InputFileError):
            return None

    if is_local(filesystem):
        yield from map(kind, paths)
        return
    with ThreadPoolExecutor(_PEEKED_AT_ONCE) as threads:
        yield from threads.map(kind, paths)


def _few(causes: Counter[str]) -> dict[str, int]:
    """The most frequent causes, and the others together."""
    shown = dict(causes.most_common(MOST_CAUSES))
    if others := causes.total() - sum(shown.values()):
        shown[OTHER_ENDINGS] = others
    return shown

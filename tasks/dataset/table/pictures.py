"""The picture that a cell of a table means: its bytes, base64, a file, or an address."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pybase64

from tasks.dataset.listing import check_link
from tasks.dataset.reader import Bounds
from tasks.errors import InputFileError, PictureError, StorageError, UsageError
from tasks.opening import leads_beneath, read_stored
from tasks.work.filesystems import open_filesystem, storage_errors

DOWNLOADED = ("http://", "https://")
STORED = ("s3://", "s3a://", "oss://", "gs://")
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
_MAGIC = ("/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD", "Qk", "SUkq", "TU0AK", "AAAA", "_9j_")
"""How base64 begins of JPEG, PNG, WebP, GIF, BMP, TIFF (both) and AVIF or HEIC."""
_NO_PLACE = "ParamValidationError"
"""What the libraries raise for an address that cannot be one."""
_LEAST_BASE64 = 64  # characters; shorter ones are names
_URL_SAFE = str.maketrans("-_", "+/")


def is_address(cell: Any) -> bool:
    """Whether a cell says where a picture must be downloaded from."""
    return isinstance(cell, str) and cell.strip()[:8].lower().startswith(DOWNLOADED)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes, or the address that they must be downloaded from; `source` is the file
    or address that it lies at ("" if in the cell itself)."""

    content: bytes | None = None
    source: str = ""
    address: str = ""


@dataclass(slots=True)
class Pictures:
    """What the cells of the tables in a folder mean: paths lead from `root`, or else from the
    table's own folder, and `outside` counts files that links lead to elsewhere."""

    filesystem: Any
    bounds: Bounds
    outside: set[str]

    def of(self, cell: Any, table: str, read: bool = True) -> Picture | None:
        """The picture of a cell, None if the cell is empty; without `read` no file is opened.

        Raises `PictureError`, and `StorageError` if object storage is away: that is no row's fault.
        """
        if cell is None or cell == "":
            return None
        if isinstance(cell, bytes | bytearray | memoryview):
            return Picture(bytes(cell))
        if isinstance(cell, dict):
            return self._of_parts(cell, table, read)
        if isinstance(cell, list | tuple):
            raise PictureError(
                "many_pictures",
                f"the cell has {len(cell)} pictures; write one row a picture, and name the column "
                f"that says what belongs together: ?product=COLUMN",
            )
        if not isinstance(cell, str):
            raise PictureError("no_image_bytes", f"the image is {str(cell)[:60]!r}")
        return self._of_text(cell.strip(), table, read)

    def _of_parts(self, cell: dict[str, Any], table: str, read: bool) -> Picture:
        content, path = cell.get("bytes"), cell.get("path")
        if isinstance(content, bytes):
            return Picture(content)
        if isinstance(content, str) and content:
            return Picture(_base64(content))
        if not isinstance(path, str):
            raise PictureError("no_image_bytes", "the image has neither bytes nor a path")
        return self._of_text(path, table, read)

    def _of_text(self, text: str, table: str, read: bool) -> Picture:
        lower = text[:8].lower()
        if is_address(text):
            return Picture(source=text, address=text)
        if lower.startswith("data:"):
            return Picture(_data_uri(text))
        if lower.startswith(STORED):
            return Picture(self._stored(text) if read else None, text)
        if _OTHER_SCHEME.match(text):
            said = ", ".join((*DOWNLOADED, *STORED))
            raise PictureError(
                "no_image_bytes", f"the image is the address {text[:80]!r}: fetched are {said}"
            )
        if len(text) >= _LEAST_BASE64 and (text.startswith(_MAGIC) or len(text) > 1024):
            return Picture(_base64(text))
        path = text.replace("\\", "/").removeprefix("./")
        return Picture(self._file(path, text, table) if read else None, path)

    def _file(self, path: str, said: str, table: str) -> bytes:
        """A file below the pictures' folder: data must not name any other."""
        if not leads_beneath(path):
            raise _no_file(said, "only files beside the table or under --image-root are read")
        folder = self.bounds.image_root or table.rpartition("/")[0]
        try:
            filesystem, folder = self._place(folder)
            place = f"{folder.rstrip('/')}/{path}"
            with storage_errors(f"cannot read {place}"):
                leaves = check_link(filesystem, place, folder, self.bounds)
                content = read_stored(filesystem, place, self.bounds.picture_bytes)
        except FileNotFoundError:
            raise _no_file(said, "it is not there, and its bytes are not in the row") from None
        except StorageError as error:
            raise _no_place(said, error) from error.__cause__
        except (OSError, ValueError) as error:
            raise _no_file(said, str(error)) from None
        if leaves:
            self.outside.add(place)
        return content

    def _place(self, folder: str) -> tuple[Any, str]:
        return open_filesystem(folder) if self.bounds.image_root else (self.filesystem, folder)

    def _stored(self, url: str) -> bytes:
        scheme, colon, place = url.partition("://")
        url = f"{scheme.lower()}{colon}{place}"
        try:
            filesystem, path = open_filesystem(url)
            with storage_errors(f"cannot read {url}"):
                size = filesystem.info(path).get("size") or 0
                if size > self.bounds.picture_bytes:
                    said = f"it has {size} bytes, the limit is {self.bounds.picture_bytes}"
                    raise InputFileError("too_many_bytes", said)
                return read_stored(filesystem, path, self.bounds.picture_bytes)
        except FileNotFoundError:
            raise _no_file(url, "it is not there") from None
        except StorageError as error:
            raise _no_place(url, error) from error.__cause__
        except (OSError, ValueError, ImportError, UsageError) as error:
            raise _no_file(url, str(error)) from None


def _no_file(name: str, why: str) -> PictureError:
    return PictureError("no_image_bytes", f"the image is the file {name[:80]!r}: {why}")


def _no_place(name: str, error: StorageError) -> PictureError | StorageError:
    """What to raise where storage gives nothing: it is the row's fault only if no storage could."""
    named = type(error.__cause__).__name__ == _NO_PLACE
    return _no_file(name, str(error)) if named else error


def _data_uri(text: str) -> bytes:
    head, comma, body = text.partition(",")
    if not comma:
        raise PictureError("bad_data_uri", f"{text[:40]!r} is no data: address, it has no comma")
    if head.lower().endswith(";base64"):
        return _base64(unquote_to_bytes(body).decode("latin-1") if "%" in body else body)
    return unquote_to_bytes(body)


def _base64(text: str) -> bytes:
    if not _BASE64.fullmatch(text):
        raise PictureError("bad_base64", f"{text[:40]!r}... is neither base64 nor a file's name")
    plain = "".join(text.split()).rstrip("=").translate(_URL_SAFE)
    try:
        return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise PictureError("bad_base64", f"{text[:40]!r}... is not base64: {error}") from None

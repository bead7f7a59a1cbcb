"""The folder of an export: files written with their SHA-256, and read as somebody else's."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, BinaryIO

from tasks.errors import ExportError, InputFileError, MugeError, WorkFolderError, reason_of
from tasks.opening import open_stored, size_of
from tasks.work.filesystems import open_filesystem, storage_errors
from tasks.work.folder import ELSEWHERE, Folder

MANIFEST = "manifest.json"
NOTES = ".export"
"""The folder, in an export that is not complete, with a note beside each file that is."""
PIECE_BYTES = 1 << 20


class Hashed(io.RawIOBase):
    """A file open for writing that knows the number and the SHA-256 of its bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of what was written until now, in hex."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte goes."""
        return self.bytes

    def write(self, content: Any) -> int:
        """Append."""
        view = memoryview(content).cast("B")
        self._file.write(view)
        self._digest.update(view)
        self.bytes += len(view)
        return len(view)


@dataclass(frozen=True)
class ExportFolder:
    """The folder of an export, a path or fsspec URL.

    Writing raises `WorkFolderError`; reading raises `ExportError` naming the file, and opens
    regular files only.
    """

    url: str

    @cached_property
    def folder(self) -> Folder:
        """The folder as any other, to write to."""
        return Folder(self.url.rstrip("/"))

    def names(self) -> list[str]:
        """Names of all files in it, sorted; [] if it is not there."""
        return self.folder.find("")

    @contextmanager
    def writing(self, name: str) -> Iterator[Hashed]:
        """A file open for writing that replaces `name` when the block ends without an error."""
        with written_here(self.url), self.folder.writing(name) as handle:
            yield Hashed(handle)

    @contextmanager
    def reading(self, name: str, most: int | None = None) -> Iterator[BinaryIO]:
        """A regular file, open for reading bytes, of at most `most` bytes."""
        filesystem, root = self._place
        with self.explained(name), open_stored(filesystem, f"{root}/{name}", most) as handle:
            yield handle

    def read(self, name: str, most: int) -> bytes:
        """The content of a small file."""
        with self.reading(name, most) as handle:
            return handle.read(most)

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where the storage does not tell."""
        filesystem, root = self._place
        with self.explained(name):
            return size_of(filesystem, f"{root}/{name}")

    def measure(self, name: str) -> tuple[int, str]:
        """Bytes and SHA-256 of a file as it is now."""
        digest, size = hashlib.sha256(), 0
        with self.reading(name) as handle:
            while piece := handle.read(PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
        return size, digest.hexdigest()

    @contextmanager
    def explained(self, name: str) -> Iterator[None]:
        """Raise `ExportError` naming a file for whatever reading or understanding it meets."""
        try:
            with storage_errors(f"cannot read {self.url}/{name}"):
                yield
        except FileNotFoundError:
            raise ExportError(
                f"{self.url}/{name} is not there: the export is not whole; copy it again, or "
                f"export the collection again"
            ) from None
        except (InputFileError, PermissionError, IsADirectoryError) as error:
            raise ExportError(f"{self.url}/{name} cannot be read: {error}") from None
        except WorkFolderError as error:  # of those who read it as they read a run's folder
            raise damaged(self, name, reason_of(error.__cause__ or error)) from error
        except MugeError:
            raise
        # pyarrow raises children of nearly all of these for what it cannot make sense of
        except (
            *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError),
            *(NotImplementedError, OverflowError, RecursionError, MemoryError),
        ) as error:
            raise damaged(self, name, reason_of(error)) from error

    @cached_property
    def _place(self) -> tuple[Any, str]:
        with self.explained(""):
            filesystem, root = open_filesystem(self.url)
        return filesystem, root.rstrip("/")


def damaged(export: ExportFolder, name: str, what: str) -> ExportError:
    """The error that says so of a file of an export."""
    return ExportError(
        f"{export.url}/{name} is damaged, or is no part of an export: {what}; nothing was written: "
        f"copy it again, or export the collection again"
    )


@contextmanager
def written_here(url: str) -> Iterator[None]:
    """Let errors of writing to an export's folder say what can be done about them."""
    try:
        yield
    except WorkFolderError as error:
        if f" {url.rstrip('/')}" not in str(error):
            raise
        said = str(error).replace(
            ELSEWHERE, "choose another folder, or make room and run the same command again"
        )
        raise WorkFolderError(said, error.may_pass) from error

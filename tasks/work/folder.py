"""One folder on any fsspec file system: files appear whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import IO, Any, Protocol

from tasks.errors import FileMissingError, WorkFolderError, reason_of
from tasks.work.filesystems import open_filesystem, storage_errors

ELSEWHERE = "choose another place with --work-dir, or make room and run again"
TAKEN_AT_ONCE = 16
_MEMORY = threading.Lock()
UPLOAD = "muge-upload-"
"""How temporary files begin that are sent to object storage when they are whole."""


class Fence(Protocol):
    """What stands between a run and every change that it makes."""

    def check(self) -> None:
        """Raise `LockLostError` if another run may have taken this one's place."""

    def release(self) -> None:
        """Let another run take this one's place now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a folder: its name there, its bytes, and when it was written last, in seconds since
    1970 (infinite if the file system does not say)."""

    name: str
    bytes: int
    changed: float


@dataclass(frozen=True)
class Folder:
    """A folder named by a path or fsspec URL; every failure is a `WorkFolderError`.

    A `fence` is asked right before each change; folders inside this one have the same.
    """

    url: str
    fence: Fence | None = field(default=None, compare=False, repr=False)

    @cached_property
    def _resolved(self) -> tuple[Any, str]:
        with explained(self.url, "open"):
            filesystem, root = open_filesystem(self.url)
        return filesystem, root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the folder lies on this machine's own file system."""
        return "file" in self._protocols

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol = self._resolved[0].protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def _turn(self) -> AbstractContextManager[object]:
        """One at a time in memory, whose file system looks first and writes then."""
        return _MEMORY if "memory" in self._protocols else nullcontext()

    def path(self, name: str) -> str:
        """The file system's own path of a file of this folder."""
        return f"{self._resolved[1]}/{name}" if name else self._resolved[1]

    def sub(self, name: str) -> Folder:
        """A folder inside this one."""
        return Folder(f"{self.url.rstrip('/')}/{name}", self.fence)

    def check_held(self) -> None:
        """Raise `LockLostError` if whoever has this folder may change nothing any more."""
        if self.fence is not None:
            self.fence.check()

    def check_writable(self) -> None:
        """Raise `WorkFolderError` now rather than after an hour of work."""
        probe = f".writable-{uuid.uuid4().hex[:8]}"
        with self.writing(probe) as handle:
            handle.write(b"1")
        self.remove(probe)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        with explained(self.url, "read"):
            return bool(self._resolved[0].exists(self.path(name)))

    def names(self, under: str = "") -> list[str]:
        """Names of the files directly under a folder, sorted; [] if there is no such folder."""
        filesystem = self._resolved[0]
        with explained(self.url, "list"):
            if not filesystem.isdir(self.path(under)):
                return []
            with self._turn():
                entries = filesystem.ls(self.path(under), detail=True)
        return sorted(e["name"].rsplit("/", 1)[-1] for e in entries if e["type"] == "file")

    def find(self, under: str) -> list[str]:
        """Names of the files under a folder at any depth, sorted; [] if there is no such folder."""
        filesystem, begin = self._resolved[0], len(self.path("")) + 1
        with explained(self.url, "list"):
            return sorted(str(path)[begin:] for path in filesystem.find(self.path(under)))

    def stored(self, under: str = "") -> list[Stored]:
        """As `find`, with what is known of each file."""
        filesystem, begin = self._resolved[0], len(self.path("")) + 1
        with explained(self.url, "list"):
            found = filesystem.find(self.path(under), detail=True)
        return [
            Stored(str(path)[begin:], int(info.get("size") or 0), _changed(info))
            for path, info in sorted(found.items())
        ]

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        self.check_held()
        with explained(self.url, "delete from"), self._turn():
            if self._resolved[0].exists(self.path(name)):
                self._resolved[0].rm_file(self.path(name))

    def remove_folder(self, name: str) -> None:
        """Delete a folder with all that is in it; nothing happens if it is not there."""
        self.check_held()
        with explained(self.url, "delete from"):
            if name and self._resolved[0].isdir(self.path(name)):
                self._resolved[0].rm(self.path(name), recursive=True)

    def remove_empty(self, name: str) -> None:
        """Delete a folder and those in it as far as no file is in them; object storage has none."""
        self.check_held()
        if name and self.is_local:
            for folder, _, _ in os.walk(self.path(name), topdown=False):
                with suppress(OSError):  # something is in it
                    os.rmdir(folder)

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """A file open for reading bytes."""
        with (
            explained(f"{self.url}/{name}", "read"),
            self._resolved[0].open(self.path(name), "rb") as handle,
        ):
            yield handle

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file open for writing that replaces `name` when the block ends without an error.

        Locally by fsync and rename; elsewhere by one upload of a temporary file, which object
        storage takes whole or not at all. Only an `OSError` of the block is explained.
        """
        target = self.path(name)
        with explained(f"{self.url}/{name}", "write", (OSError,)):
            if not self.is_local:
                with tempfile.NamedTemporaryFile(prefix=UPLOAD) as handle:
                    yield handle
                    handle.flush()
                    self.check_held()
                    self._resolved[0].put_file(handle.name, target)
                return
            os.makedirs(os.path.dirname(target), exist_ok=True)
            partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
            try:
                with open(partial, "wb") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                self.check_held()
                os.replace(partial, target)
                _sync_folder(os.path.dirname(target))
            finally:
                if os.path.exists(partial):
                    os.unlink(partial)

    def take_over(self, files: Mapping[str, str]) -> None:
        """Give files of this folder a second name (new name: old name), which replaces what has it.

        On a local disk both are the same bytes, which nobody writes again: what is written here
        always replaces a file. Elsewhere the storage makes a copy.
        """
        at_once = min(TAKEN_AT_ONCE, len(files) // 2)
        if at_once < 2:
            for name, old in files.items():
                self._take_over(name, old)
        else:  # each is a wait on object storage
            with ThreadPoolExecutor(at_once) as threads:
                for _ in threads.map(self._take_over, files, files.values()):
                    pass
        if self.is_local:
            for place in {os.path.dirname(self.path(name)) for name in files}:
                _sync_folder(place)

    def _take_over(self, name: str, old: str) -> None:
        self.check_held()
        target, source = self.path(name), self.path(old)
        with explained(f"{self.url}/{name}", "write"):
            if not self.is_local:
                self._resolved[0].cp_file(source, target)
                return
            os.makedirs(os.path.dirname(target), exist_ok=True)
            partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
            try:
                try:
                    os.link(source, partial)
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    shutil.copy2(source, partial)
                os.replace(partial, target)
            finally:
                if os.path.exists(partial):  # it stays where both names had the file before
                    os.unlink(partial)

    def create_exclusive(self, name: str, content: bytes) -> bool:
        """Write a small file unless it exists; whether it was written.

        Of several callers on any machines one gets True: locally by O_EXCL, on object storage by a
        conditional upload that the storage itself decides. A reader can meet a local file empty.
        """
        self.check_held()
        try:
            with explained(f"{self.url}/{name}", "write"):
                self._create(self.path(name), content)
        except WorkFolderError as error:
            if _exists_already(error.__cause__):
                return False
            raise
        return True

    def _create(self, target: str, content: bytes) -> None:
        if "oss" in self._protocols:
            no_overwrite = {"x-oss-forbid-overwrite": "true"}
            self._resolved[0].pipe_file(target, content, headers=no_overwrite)
        elif not self.is_local:
            with self._turn():
                self._resolved[0].pipe_file(target, content, mode="create")
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "xb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            _sync_folder(os.path.dirname(target))

    def version(self, name: str) -> tuple[int, str]:
        """Size in bytes, and a text that is another one when the content is: the entity tag of
        object storage; "" where there is none. `FileMissingError` if there is no such file."""
        with explained(f"{self.url}/{name}", "read"):
            info = self._resolved[0].info(self.path(name))
        return int(info["size"]), str(info.get("ETag", "")).strip('"')

    def read_bytes(self, name: str) -> bytes:
        """The content of a small file; `FileMissingError` if it is not there."""
        with explained(f"{self.url}/{name}", "read"):
            content: bytes = self._resolved[0].cat_file(self.path(name))
        return content

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file, fewer where it ends before; `FileMissingError` if it
        is not there."""
        with explained(f"{self.url}/{name}", "read"):
            content: bytes = self._resolved[0].cat_file(self.path(name), start=start, end=stop)
        return content

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; `WorkFolderError` if it is not JSON."""
        content = self.read_bytes(name)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise WorkFolderError(
                f"{self.url}/{name} is not JSON ({len(content)} bytes); delete it and run again"
            ) from None

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file whole, keys sorted."""
        text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
        with self.writing(name) as handle:
            handle.write(text.encode() + b"\n")


@contextmanager
def explained(
    place: str,
    doing: str,
    errors: tuple[type[Exception], ...] = (OSError, ImportError, ValueError),
) -> Iterator[None]:
    """Turn an operating system's or storage library's error into one line to act on."""
    try:
        with storage_errors(f"cannot {doing} {place}"):
            yield
    except errors as error:
        missing = isinstance(error, FileNotFoundError)
        lasting = missing or isinstance(error, PermissionError)
        said = f"not there: {reason_of(error)}" if missing else reason_of(error)
        reason = getattr(error, "strerror", None) or said
        kind = FileMissingError if missing else WorkFolderError
        raise kind(
            f"cannot {doing} {place}: {reason}; {ELSEWHERE}",
            may_pass=not lasting and getattr(error, "errno", None) not in _LASTING,
        ) from error


def _changed(info: Mapping[str, Any]) -> float:
    """When a file was written last, as its file system says it."""
    for name in ("mtime", "LastModified", "created"):
        said = info.get(name)
        if isinstance(said, datetime):
            return said.timestamp()
        if isinstance(said, int | float):
            return float(said)
    return math.inf


def _exists_already(error: BaseException | None) -> bool:
    # Alibaba's client has no FileExistsError: its own error, with HTTP status 409, is the cause
    answer = getattr(error, "__cause__", None)
    return isinstance(error, FileExistsError) or getattr(answer, "status", None) == 409


_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Of file systems that give no file a second name, or none more."""

_LASTING = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What a retry a moment later will meet again."""


def _sync_folder(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""One folder on any fsspec file system: files appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import fsspec

from tasks.errors import WorkFolderError


@dataclass(frozen=True)
class Folder:
    """A folder named by a path or fsspec URL; every failure is a `WorkFolderError`."""

    url: str

    @cached_property
    def _resolved(self) -> tuple[Any, str]:
        with explained(self.url, "open"):
            filesystem, root = fsspec.core.url_to_fs(self.url)
        return filesystem, str(root).rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the folder lies on this machine's own file system."""
        protocol = self._resolved[0].protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def path(self, name: str) -> str:
        """The file system's own path of a file of this folder."""
        return f"{self._resolved[1]}/{name}" if name else self._resolved[1]

    def sub(self, name: str) -> Folder:
        """A folder inside this one."""
        return Folder(f"{self.url.rstrip('/')}/{name}")

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
            filesystem.invalidate_cache()
            if not filesystem.isdir(self.path(under)):
                return []
            entries = filesystem.ls(self.path(under), detail=True)
        return sorted(e["name"].rsplit("/", 1)[-1] for e in entries if e["type"] == "file")

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        with explained(self.url, "delete from"):
            if self._resolved[0].exists(self.path(name)):
                self._resolved[0].rm(self.path(name), recursive=True)

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
                with tempfile.NamedTemporaryFile(prefix="muge-upload-") as handle:
                    yield handle
                    handle.flush()
                    self._resolved[0].put_file(handle.name, target)
                return
            os.makedirs(os.path.dirname(target), exist_ok=True)
            partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
            try:
                with open(partial, "wb") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                os.replace(partial, target)
                _sync_folder(os.path.dirname(target))
            finally:
                if os.path.exists(partial):
                    os.unlink(partial)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; `WorkFolderError` if it is not JSON."""
        with self.reading(name) as handle:
            content = handle.read()
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
        yield
    except errors as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise WorkFolderError(
            f"cannot {doing} {place}: {reason}; choose another place with --work-dir, "
            "or make room and run again",
            may_pass=getattr(error, "errno", None) not in _LASTING,
        ) from error


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

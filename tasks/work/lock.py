"""The run lock: one run at a time writes to a work folder, and a dead run's lock holds nobody up.

On this machine's disk it is the kernel's own lock on a file, which ends with the process that
holds it, however that ends. Elsewhere it is an object that only one run can create; its holder
renews it, and one that was not renewed for `DEAD_SECONDS` is taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.errors import WorkFolderError
from tasks.work.folder import Folder, explained

NAME = ".run-lock"
RENEW_SECONDS = 15.0
DEAD_SECONDS = 120.0
POLL_SECONDS = 0.5
SETTLE_SECONDS = 1.0
"""After taking over an object: time for another that did the same to be seen."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a work folder: `since` in seconds since 1970, `token` names this one run."""

    what: str
    host: str
    process: int
    since: float
    token: str

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.what} (process {self.process} on {self.host}, since {since})"


@contextlib.contextmanager
def run_lock(work: Folder, what: str, wait: float = 0.0) -> Iterator[None]:
    """Hold a work folder alone while the block runs; `what` tells others who it is.

    Waits up to `wait` seconds for another run to end; raises `WorkFolderError` naming it.
    """
    holder = Holder(what, platform.node(), os.getpid(), time.time(), uuid.uuid4().hex)
    holding = _holding_file if work.is_local else _holding_object
    with holding(work, holder, wait):
        yield


@contextlib.contextmanager
def _holding_file(work: Folder, holder: Holder, wait: float) -> Iterator[None]:
    path = Path(work.path(NAME))
    with explained(work.url, "lock", (OSError,)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        end = time.monotonic() + wait
        while not _locked(handle):
            if time.monotonic() >= end:
                raise _held(work, _read(os.pread(handle, 4096, 0)), wait)
            time.sleep(min(POLL_SECONDS, max(0.0, end - time.monotonic()) + 0.01))
        with explained(work.url, "lock", (OSError,)):
            os.ftruncate(handle, 0)
            os.pwrite(handle, _written(holder), 0)
        _remove_partial_files(path.parent)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_partial_files(place: Path) -> None:
    """Half-written files of runs that were killed: nobody else writes here now."""
    for path in place.rglob("*.partial"):
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _holding_object(work: Folder, holder: Holder, wait: float) -> Iterator[None]:
    end = time.monotonic() + wait
    while not _created(work, holder):
        if time.monotonic() >= end:
            raise _held(work, _found(work), wait)
        time.sleep(POLL_SECONDS)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(work, holder, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        if _is_own(work, holder):
            work.remove(NAME)


def _created(work: Folder, holder: Holder) -> bool:
    """Whether the lock is this holder's now; a dead one's is taken over."""
    # an answer may be lost and the request sent again, which then meets its own object
    if work.create_exclusive(NAME, _written(holder)) or _is_own(work, holder):
        return True
    if not _is_dead(work):
        return False
    work.remove(NAME)
    if not work.create_exclusive(NAME, _written(holder)):
        return _is_own(work, holder)
    # whoever saw the same dead lock may have removed this one instead, and made its own
    time.sleep(SETTLE_SECONDS)
    return _is_own(work, holder)


def _is_own(work: Folder, holder: Holder) -> bool:
    found = _found(work)
    return found is not None and found.token == holder.token


def _is_dead(work: Folder) -> bool:
    """Whether the lock was not renewed for too long, by the clock of whoever wrote it."""
    content = _content(work)
    try:
        renewed = float(json.loads(content or b"")["renewed"])
    except (ValueError, KeyError, TypeError):
        return content is not None
    return time.time() - renewed > DEAD_SECONDS


def _renew(work: Folder, holder: Holder, done: threading.Event) -> None:
    while not done.wait(RENEW_SECONDS):
        # a storage that fails for a moment must not end the run: there are more tries
        with contextlib.suppress(WorkFolderError):
            found = _found(work)
            if found is not None and found.token != holder.token:
                return  # taken for dead and taken over: it is another's now
            with work.writing(NAME) as handle:
                handle.write(_written(holder))


def _written(holder: Holder) -> bytes:
    return json.dumps({**asdict(holder), "renewed": time.time()}).encode()


def _read(content: bytes | None) -> Holder | None:
    try:
        said = json.loads(content or b"")
        return Holder(**{name: said[name] for name in Holder.__slots__})
    except (ValueError, KeyError, TypeError):
        return None


def _found(work: Folder) -> Holder | None:
    return _read(_content(work))


def _content(work: Folder) -> bytes | None:
    try:
        with work.reading(NAME) as handle:
            return handle.read()
    except WorkFolderError:
        return None  # removed just now


def _held(work: Folder, holder: Holder | None, waited: float) -> WorkFolderError:
    after = f" after {waited:g} seconds" if waited else ""
    return WorkFolderError(
        f"the work folder {work.url} is held by {holder or 'another run'}{after}; wait until it "
        f"ends, or give --wait SECONDS, or use another --work-dir",
        may_pass=False,
    )

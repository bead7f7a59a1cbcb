"""The run lock: one run at a time writes to a work folder, and a dead run's lock holds nobody up.

On this machine's disk it is the kernel's own lock on a file, which ends with the process that
holds it, however that ends. Elsewhere it is the object with the highest number: only one run can
create it, since the storage decides; its holder renews it, and where it was not renewed for
`DEAD_SECONDS` another run takes the next number. That number is the fence: whoever has a lower one
may change nothing more, and looks before each change, so that a run which was stopped for minutes
and goes on ends there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.errors import FileMissingError, LockLostError, WorkFolderError
from tasks.work.folder import Fence, Folder, explained

NAME = ".run-lock"
"""The file on this machine's disk; elsewhere, the object of versions without numbers."""

NUMBERED = ".run-locks"
RENEW_SECONDS = 15.0
DEAD_SECONDS = 120.0
POLL_SECONDS = 0.5

FRESH_SECONDS = 1.0
"""So long a run believes what it saw: that nobody has a higher number."""

SETTLE_SECONDS = 2.0
"""After taking over: by then whoever had the lock looks again before it changes anything."""
WITHOUT_LOCK = (".writable-", "judgements")
"""How names begin in a work folder that are written while another run holds it."""
MOMENT_SECONDS = 60.0


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
def run_lock(
    work: Folder, what: str, wait: float = 0.0, alone: bool = False
) -> Iterator[Fence | None]:
    """Hold a work folder alone while the block runs; `what` tells others who it is.

    Gives the fence to ask before each change; None where a lock cannot be lost. Waits up to `wait`
    seconds for another run to end; raises `WorkFolderError` naming it, or if the storage lets two
    runs create the same object and nobody said that this one is `alone`.
    """
    holder = Holder(what, platform.node(), os.getpid(), time.time(), uuid.uuid4().hex)
    if work.is_local:
        with _holding_file(work, holder, wait):
            yield None
    else:
        with _holding_object(work, holder, wait, alone) as held:
            yield held


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
                raise _held_by(work, _read(os.pread(handle, 4096, 0)), wait)
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
    """Half-written files of runs that were killed: no other run writes here now. What is written
    without the lock may be under way, for a moment."""
    for path in place.rglob("*.partial"):
        with contextlib.suppress(OSError):
            first = path.relative_to(place).parts[0]
            moment = time.time() - path.stat().st_mtime
            if not (first.startswith(WITHOUT_LOCK) and moment < MOMENT_SECONDS):
                path.unlink()


class Held:
    """A `Fence`: the number that one run holds a work folder by."""

    def __init__(self, work: Folder, number: int) -> None:
        self._work = work
        self.number = number
        self._lost = False
        self._seen = (-math.inf, -math.inf)

    def __reduce__(self) -> tuple[type[Held], tuple[Folder, int]]:
        """Another process sees for itself."""
        return Held, (self._work, self.number)

    def check(self) -> None:
        """Raise `LockLostError` if another run has a higher number."""
        now = _clocks()
        if not self._lost and _age(now, self._seen) < FRESH_SECONDS:
            return
        if self._lost or not self.is_newest():
            self._lost = True
            raise LockLostError(
                f"another run has taken over the work folder {self._work.url}, because this one "
                f"was not heard of for {DEAD_SECONDS:.0f} seconds (stopped, or cut off from the "
                f"storage); it ends here and changed nothing since: when the other has ended, run "
                f"the same command again"
            )
        self._seen = now

    def is_newest(self) -> bool:
        """Whether no number is higher."""
        return _newest(self._work) == self.number

    def release(self) -> None:
        """Let another run have the lock now; nothing more may be changed by it."""
        self._lost = True
        if self.is_newest():
            with self._work.reading(_name(self.number)) as handle:
                said = json.loads(handle.read())
            self._work.write_json(_name(self.number), {**said, "released": True})

    def renew(self, holder: Holder, done: threading.Event) -> None:
        """Say again and again that the holder is alive, until it is done or has lost the lock."""
        while not done.wait(RENEW_SECONDS):
            # a storage that fails for a moment must not end the run: there are more tries
            with contextlib.suppress(WorkFolderError):
                if self._lost or not self.is_newest():
                    return
                _write(self._work, self.number, holder)


def _clocks() -> tuple[float, float]:
    """Two clocks in seconds: neither a machine that slept nor one set back deceives both."""
    running = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(running), time.time()


def _age(now: tuple[float, float], then: tuple[float, float]) -> float:
    """Seconds between two readings, by the clock that says more."""
    return max(a - b for a, b in zip(now, then, strict=True))


@contextlib.contextmanager
def _holding_object(work: Folder, holder: Holder, wait: float, alone: bool) -> Iterator[Held]:
    end = time.monotonic() + wait
    while (held := _created(work, holder, alone)) is None:
        if time.monotonic() >= end:
            content = _content(work, _newest(work) or 0)
            raise _held_by(work, _read(content), wait, content)
        time.sleep(POLL_SECONDS)
    done = threading.Event()
    renewing = threading.Thread(target=held.renew, args=(holder, done), daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        done.set()
        renewing.join()
        held.release()


def _created(work: Folder, holder: Holder, alone: bool) -> Held | None:
    """The lock, if it is this holder's now: it was free, or a dead one's is taken over."""
    before = _newest(work)
    free = before is None or _is_released(work, before)
    if before is not None and not free and not _is_dead(work, before):
        return None
    number = (before or 0) + 1
    content = _written(holder)
    # an answer may be lost and the request sent again, which then meets its own object
    if not work.create_exclusive(_name(number), content) and not _is_own(work, number, holder):
        return None
    if work.create_exclusive(_name(number), content) and not alone:
        work.remove(_name(number))
        raise WorkFolderError(
            f"the storage of the work folder {work.url} lets two runs create the same object (it "
            f"ignores If-None-Match), so it cannot hold a lock; use another storage, or set "
            f"MUGE_ONLY_WRITER=1 if no other run ever writes there",
            may_pass=False,
        )
    held = Held(work, number)
    if not held.is_newest():  # made again after it had been removed as an old one
        work.remove(_name(number))
        return None
    if not free:
        time.sleep(SETTLE_SECONDS)
    _remove_older(work, number)
    return held


def _newest(work: Folder) -> int | None:
    """The highest number; 0 is the object of versions without numbers, None: nobody was here."""
    numbers = [int(name) for name in work.names(NUMBERED) if name.isdigit()]
    if numbers:
        return max(numbers)
    return 0 if work.exists(NAME) else None


def _name(number: int) -> str:
    return f"{NUMBERED}/{number:09d}" if number else NAME


def _remove_older(work: Folder, number: int) -> None:
    names = [int(name) for name in work.names(NUMBERED) if name.isdigit()]
    for older in names:
        if older < number:
            work.remove(_name(older))
    if number == 1:
        work.remove(NAME)


def _is_own(work: Folder, number: int, holder: Holder) -> bool:
    found = _read(_content(work, number))
    return found is not None and found.token == holder.token


def _is_released(work: Folder, number: int) -> bool:
    try:
        return json.loads(_content(work, number) or b"").get("released") is True
    except (ValueError, AttributeError):
        return False


def _is_dead(work: Folder, number: int) -> bool:
    """Whether the lock was not renewed for too long, by the clock of whoever wrote it; one that
    says nothing of it is dead."""
    content = _content(work, number)
    return content is not None and _left(content) < 0


def _left(content: bytes) -> float:
    """Seconds until a lock with this content is dead, if it is not renewed."""
    try:
        return float(json.loads(content)["renewed"]) + DEAD_SECONDS - time.time()
    except (ValueError, KeyError, TypeError):
        return -1.0


def _write(work: Folder, number: int, holder: Holder) -> None:
    with work.writing(_name(number)) as handle:
        handle.write(_written(holder))


def _written(holder: Holder) -> bytes:
    return json.dumps({**asdict(holder), "renewed": time.time()}).encode()


def _read(content: bytes | None) -> Holder | None:
    try:
        said = json.loads(content or b"")
        return Holder(**{name: said[name] for name in Holder.__slots__})
    except (ValueError, KeyError, TypeError):
        return None


def _content(work: Folder, number: int) -> bytes | None:
    try:
        with work.reading(_name(number)) as handle:
            return handle.read()
    except FileMissingError:
        return None  # removed just now


def _held_by(
    work: Folder, holder: Holder | None, waited: float, renewed: bytes | None = None
) -> WorkFolderError:
    after = f" after {waited:g} seconds" if waited else ""
    dead = ""
    if renewed is not None:
        left = max(0.0, _left(renewed))
        dead = (
            f"; if that run is dead, its lock can be taken over in {left:.0f} seconds (--wait "
            f"{left + 10:.0f})"
        )
    return WorkFolderError(
        f"the work folder {work.url} is held by {holder or 'another run'}{after}; wait until it "
        f"ends, or give --wait SECONDS, or use another --work-dir{dead}",
        may_pass=False,
    )

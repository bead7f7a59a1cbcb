"""What a command finds when it starts, made fit to work in: its streams, its folder, a home."""

from __future__ import annotations

import codecs
import errno
import getpass
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from tasks.download.loopback import keep_loopback_direct, spell_proxies
from tasks.errors import UsageError

_PLACES = "allow that, or name another place (--work-dir, --store, MUGE_HOME, TMPDIR)"
_REMEDIES = {
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room and run the same command again",
    errno.EMFILE: "allow more open files (ulimit -n) and run the same command again",
    errno.ENFILE: "close other programs and run the same command again",
    errno.EACCES: _PLACES,
    errno.EPERM: _PLACES,
    errno.EROFS: _PLACES,
}


def settle_in() -> None:
    """Once a process, before anything else; raises `UsageError` if the current folder is gone."""
    _open_streams()
    keep_loopback_direct()
    spell_proxies()
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the current folder cannot be used ({error.strerror}); change to one that is there"
        ) from None
    _name_home()


def refused_by_system(error: OSError) -> str:
    """What to say of what the system would not do."""
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    remedy = _REMEDIES.get(error.errno or 0, "mend that and run the same command again")
    return f"{place}{error.strerror or error}; {remedy}"


def leave(quietly: bool = False) -> bool:
    """Write out what was printed; whether that went well, which is said unless `quietly`. Nothing
    is tried again at the very end, where Python could only complain."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, OSError) and not (quietly or isinstance(error, BrokenPipeError)):
            from flows.command.output import tell

            tell(f"standard output: {refused_by_system(error)}")
        return False
    return True


def speaks_unicode(stream: TextIO) -> bool:
    """Whether a stream takes every character as it is."""
    with suppress(LookupError):
        return codecs.lookup(stream.encoding or "ascii").name.startswith("utf-")
    return False


def _open_streams() -> None:
    """No file of ours is to get the number of a stream that was closed; and what a stream's
    encoding lacks is written as its escape."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        lacking = stream.errors == "strict" or not speaks_unicode(stream)
        if lacking and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _name_home() -> None:
    """A user that the system does not know gets a home beside what runs keep; it is made when
    something is written to it."""
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)
    try:
        Path.home()
    except RuntimeError:
        kept = Path(os.environ.get("MUGE_HOME") or ".muge").absolute()
        os.environ["HOME"] = str(kept / "home")
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid-{os.getuid()}"

"""Every error this project raises on purpose, in one tree.

A message says what was found, what was expected and what to do next, in one line.
"""

from __future__ import annotations

BUILD_ANEW = (
    "build the collection anew (muge reindex --strategy blue-green, or muge index --replace)"
)
"""What to do about one that cannot be mended; both commands may meet it."""

LONGEST_REASON = 300

TRACEBACK = "muge-error-"
"""How files begin that hold the traceback of a bug."""


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of at most 300 characters; its kind if it says nothing."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


class MugeError(Exception):
    """The root: the command prints its message alone and ends with `exit_code`.

    `may_pass` says whether the same call can work a moment later, so that a retry makes sense.
    """

    exit_code = 1
    may_pass = True


class UsageError(MugeError):
    """What was asked cannot be done as asked: a missing file, an option out of range."""

    exit_code = 2
    may_pass = False


class DatasetError(UsageError):
    """A data set is missing, empty or not in the form its name promises."""


class InputFileError(UsageError, OSError):
    """A file that was given is no regular file, is too large, or is a link where links are refused;
    `code` is a short machine-readable reason. An `OSError` as well: it cannot be read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.strerror = message


class ModelError(UsageError):
    """A model is missing, incomplete, damaged, or of no family that is known."""


class HubError(MugeError):
    """A snapshot of a model hub could not be had; the message names its first bad file."""


class FetchError(UsageError):
    """An address may not be fetched, or gave nothing that can be used; `code` is a short
    machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DeviceError(UsageError):
    """The device that was asked for is not there."""


class QueryError(UsageError):
    """A query is empty, or its picture, filter or number of results cannot be used."""


class QueryTextError(UsageError):
    """A query's text cannot be kept; `code` is a short machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PictureError(UsageError):
    """A cell of a table gives no picture; `code` is a short machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ImageError(MugeError):
    """One picture cannot be decoded; `code` is a short machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WorkFolderError(MugeError):
    """The work folder cannot be read or written, or another run holds it."""

    def __init__(self, message: str, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class LockLostError(MugeError):
    """Another run has taken over the work folder, so that this one may change nothing more."""

    may_pass = False


class FileMissingError(WorkFolderError):
    """A file that should be in the work folder is not there."""


class ServerAwayError(MugeError):
    """The Prefect server that is configured does not answer."""


class StorageError(MugeError):
    """Object storage cannot be reached, or does not know who asks."""

    def __init__(self, message: str, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class CollectionRecordError(UsageError):
    """A collection's record is missing, unfinished, or contradicts what was asked."""


class ExportError(MugeError):
    """What is to be imported is no export, is damaged, or is of another version."""

    may_pass = False


class AliasDoubtError(CollectionRecordError):
    """Nobody can say for sure which collection a name means, so nothing is changed or dropped."""


class CollectionInUseError(UsageError):
    """A collection that is to be dropped is searched, kept for rollback, or may be."""


class StoreError(MugeError):
    """The vector database refused or failed."""


class RefusedError(StoreError):
    """The service answered with a code that asking again does not change; `reason` says it."""

    def __init__(self, what: str, reason: str, code: int, may_pass: bool) -> None:
        super().__init__(f"{what}: {reason}")
        self.reason = reason
        self.code = code
        self.may_pass = may_pass


class BadNameError(StoreError, UsageError):
    """A collection, partition or alias cannot be called so."""

    exit_code = 2
    may_pass = False


class StoreBusyError(StoreError):
    """Another process holds the store for writing."""

    may_pass = False


class StoreDamagedError(StoreError):
    """What the store has on disk is not what was written there."""

    may_pass = False


class NotThereError(StoreError):
    """The store has no such collection or partition."""

    may_pass = False


class StoreFullError(StoreError):
    """There is no room on the store's disk."""

    may_pass = False


class NoRoomError(MugeError):
    """What a run would write does not fit on the disk; nothing was changed."""

    may_pass = False


class StoreSetBackError(StoreError):
    """After a failure the store was set back to what it was, and lost what a run had sent."""

    may_pass = False


class SchemaMismatchError(StoreError, UsageError):
    """A collection exists with another dimension, metric or set of fields."""

    exit_code = 2
    may_pass = False


class VerificationError(MugeError):
    """After a run, the store does not hold what it should."""

    may_pass = False


class RemovalRefusedError(MugeError):
    """A reindex would remove more of the live documents than it may."""

    may_pass = False


class SwitchRefusedError(MugeError):
    """A new collection did not pass its checks; the live one stays."""

    may_pass = False


class LimitReachedError(MugeError):
    """A run was stopped by its limit: nothing is wrong, and the next one goes on."""

    exit_code = 4
    may_pass = False

    def __init__(self, message: str, stopped: object = None) -> None:
        super().__init__(message)
        self.stopped = stopped


class NothingInCommonError(MugeError):
    """An evaluation's queries and the collection have no picture in common."""

    may_pass = False


class QualityDropError(MugeError):
    """Search is worse than the baseline allows."""

    may_pass = False


class PackageError(MugeError):
    """A package of the sample's recipe could not be fetched, or is not the one it was made with."""

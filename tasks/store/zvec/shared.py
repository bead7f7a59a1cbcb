"""The partitions that this process has open, each once for all its threads and stores."""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path
from threading import RLock

from tasks.errors import StoreError
from tasks.store.zvec.partition import Partition

_open_partitions: dict[Path, Partition] = {}
_open_lock = RLock()


def shared_partition(path: Path, user: int) -> Partition:
    """The process's one `Partition` for a path: zvec's lock would refuse a second one even here."""
    with _open_lock:
        partition = _open_partitions.setdefault(path, Partition(path))
        partition.users.add(user)
        return partition


def release_partitions(user: int) -> None:
    """Close every partition that only this user had."""
    with _open_lock:
        for path in list(_open_partitions):
            release_partition(path, user)


def release_partition(path: Path, user: int) -> None:
    """Close a partition if only this user had it."""
    with _open_lock:
        partition = _open_partitions[path]
        partition.users.discard(user)
        if not partition.users:
            partition.close()
            del _open_partitions[path]


@atexit.register
def _close_all() -> None:
    for partition in list(_open_partitions.values()):
        with contextlib.suppress(StoreError):
            partition.close()

"""A quota of write requests that several runs share; none unless somebody sets one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Slot = Callable[[], AbstractContextManager[object]]

_slot: Slot = nullcontext


def share_quota(slot: Slot | None) -> None:
    """Enter `slot` around every write request from now on; None ends it."""
    global _slot
    _slot = slot or nullcontext


def write_slot() -> AbstractContextManager[object]:
    """What a write request must be inside."""
    return _slot()

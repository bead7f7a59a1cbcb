"""How the DashVector store behaves: each number once, with its unit and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

MAX_REQUEST_BYTES = 2 * 1024 * 1024
MAX_BATCH_DOCUMENTS = 1024
MAX_IDS = 1024
MAX_FILTER_CHARACTERS = 40_960
MIN_DIMENSION = 2
MAX_DIMENSION = 20_000


@dataclass(frozen=True, slots=True)
class DashVectorOptions:
    """Limits of one store object; the defaults suit the service's free cluster.

    `requests_per_second` counts every request, retries too (the service allows 100 a second for
    each write operation). `slot` is entered around each write request: a place for a limit that
    several runs share. `retried` is called before each further attempt, `waited` with the seconds
    that a request waited for its turn. Delays between attempts are drawn from 0 to
    `first_delay_seconds * 2**n`, at most `longest_delay_seconds` (exponential backoff with full
    jitter), until `deadline_seconds` after the first attempt, `write_deadline_seconds` for upsert
    and delete. A client that has not reached the
    service for `rebuild_after_seconds` is replaced.
    """

    timeout_seconds: float = 10.0
    requests_per_second: float = 100.0
    requests_in_flight: int = 4
    batch_bytes: int = MAX_REQUEST_BYTES
    batch_documents: int = MAX_BATCH_DOCUMENTS
    fetch_ids: int = 256
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 10.0
    deadline_seconds: float = 30.0
    write_deadline_seconds: float = 180.0
    rebuild_after_seconds: float = 5.0
    ready_seconds: float = 300.0
    poll_seconds: float = 0.5
    fast_building: bool = True
    roots: str | None = None
    slot: Callable[[], AbstractContextManager[object]] = nullcontext
    retried: Callable[[], None] = lambda: None
    waited: Callable[[float], None] = lambda _: None

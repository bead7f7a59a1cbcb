"""What another process does: `python -m tests.store.zvec.process ACTION ROOT [COUNT]`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

from tasks.records import Document
from tasks.store.zvec import partition as zvec_partition
from tasks.store.zvec.store import ZvecStore
from tests.store.conftest import SPEC
from tests.store.samples import random_documents, random_query


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_stream(count: int) -> Iterator[Document]:
    yield from random_documents(count)
    die()


def act(action: str, store: ZvecStore, count: int) -> None:
    store.create(SPEC)
    if action == "write-and-die":
        store.upsert(SPEC.name, random_documents(count))
        die()
    elif action == "die-writing":
        store.upsert(SPEC.name, dying_stream(count))
    elif action == "die-writing-in-turns":
        zvec_partition.WRITTEN_AT_ONCE = 500
        store.upsert(SPEC.name, dying_stream(count))
    elif action == "finish-and-die":
        store.upsert(SPEC.name, random_documents(count))
        store.finish(SPEC.name)
        store.upsert(SPEC.name, random_documents(count + 5)[count:])
        die()
    elif action == "write-and-wait":
        store.upsert(SPEC.name, random_documents(count))
        wait()
    elif action == "read-and-wait":
        store.query(SPEC.name, random_query(1))
        wait()
    elif action == "read":
        store.query(SPEC.name, random_query(1))
    else:
        raise SystemExit(f"unknown action {action}")
    store.close()


def wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    act(sys.argv[1], ZvecStore(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)

"""What another process does: `python -m tests.store.zvec.process ACTION ROOT [COUNT]`."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace

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
    elif action == "update":
        for version in itertools.count(last_finished(store) + 1):
            store.upsert(SPEC.name, versioned(count, version))
            store.finish(SPEC.name)
    elif action == "search":
        while True:
            search(ZvecStore(store.root, finished=True))
    elif action == "read":
        store.query(SPEC.name, random_query(1))
    else:
        raise SystemExit(f"unknown action {action}")
    store.close()


def versioned(count: int, version: int) -> list[Document]:
    """Documents that all say which version they are of."""
    return [
        replace(document, fields={"image_id": version})
        for document in random_documents(count, seed=version % 3)
    ]


def last_finished(store: ZvecStore) -> int:
    found = store.fetch(SPEC.name, ["0"])
    return int(found["0"].fields["image_id"]) if found else 0


def search(store: ZvecStore) -> None:
    """Search until something else is published; say which version answers, or what is wrong."""
    said = ""
    for seed in range(5):
        try:
            hits = store.query(SPEC.name, random_query(seed, topk=1000))
            versions = {hit.fields["image_id"] for hit in hits}
            said = f"{len(hits)} {versions.pop()}" if len(versions) == 1 else f"mixed {versions}"
        except Exception as error:
            said = f"failed {error!r}"
        print(said, flush=True)
    store.close()


def wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    act(sys.argv[1], ZvecStore(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)

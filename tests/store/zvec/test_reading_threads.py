"""Searches end whatever the machine says of threads: zvec waits for ever in one that is alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASKING = """
import os, sys
from contextlib import closing
import numpy as np
from tasks.records import CollectionSpec, Document, Query
from tasks.store.stores import open_store

def documents(first, count):
    rng = np.random.default_rng(first)
    for number in range(first, first + count):
        vector = rng.standard_normal(64).astype(np.float32)
        yield Document(str(number), vector / np.linalg.norm(vector), {}, {"image_id": number})

with closing(open_store(sys.argv[1])) as store:
    store.create(CollectionSpec("made", 64, {"image_id": "int"}))
    store.upsert("made", documents(0, 3000))
    store.finish("made")
with closing(open_store(sys.argv[1])) as store:
    store.upsert("made", documents(3000, 10))
    store.finish("made")
with closing(open_store(sys.argv[1])) as store:
    for document in documents(5000, 200):
        store.query("made", Query(document.vector, None, topk=3))
print(os.environ["OMP_NUM_THREADS"])
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_searches_of_several_blocks_end(threads: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ASKING, f"zvec:{tmp_path / 'store'}"],
        env={**os.environ, "OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [threads]  # torch's are as they were said

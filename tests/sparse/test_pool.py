"""Several processes count and encode exactly as one does."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.context import Context
from tasks.dataset.shards import plan_shards
from tasks.errors import MugeError
from tasks.sparse import pool
from tasks.sparse.bm25 import Bm25, train_bm25
from tasks.sparse.columns import encode_columns
from tasks.sparse.lexicon import Lexicon
from tasks.sparse.pool import HERE, SparsePool
from tasks.sparse.stages import encode_sparse_shard, read_sparse, train_statistics
from tasks.work.folder import Folder
from tests.dataset.rows import LIMIT, RowsReader, row

PLAIN = ["红色", "蓝色", "连衣裙", "帽子", "手机壳", "iPhone15", "5G", "65W", "USB-C", "运动鞋"]
WORDS = [*PLAIN, "的", "，", "\ud83d", "\x00"]


def corpus(size: int) -> list[str]:
    chosen = random.Random(4)
    return ["".join(chosen.choices(WORDS, k=chosen.randrange(6))) for _ in range(size)]


@pytest.fixture(scope="module")
def workers() -> Iterator[SparsePool]:
    with SparsePool(2) as started:
        yield started


@pytest.mark.thorough
def test_counting_is_the_same(workers: SparsePool) -> None:
    texts = corpus(9000)
    lexicon = Lexicon(frozenset({"红色连衣裙"}), frozenset({"手机"}))
    assert workers.train(iter(texts)).content() == train_bm25(texts).content()
    found = workers.train(texts, lexicon).content()
    assert found == train_bm25(texts, lexicon).content()
    assert found["words"] == ["红色连衣裙"]


def test_encoding_is_the_same_and_in_order(workers: SparsePool) -> None:
    texts = corpus(9000)
    for bm25 in (train_bm25(texts), train_bm25(texts[:100])):  # workers load the second anew
        parts = list(workers.encode(bm25, texts))
        assert len(parts) == 3
        wanted = encode_columns(bm25, texts)
        for column in ("indices", "values"):
            together = np.concatenate([getattr(part, column) for part in parts])
            assert np.array_equal(together, getattr(wanted, column))
        assert sum(len(part.offsets) - 1 for part in parts) == len(texts)


def test_texts_are_read_only_as_far_as_needed(workers: SparsePool) -> None:
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for text in corpus(60_000):
            read += 1
            yield text

    parts = workers.encode(train_bm25(corpus(50)), texts())
    next(parts)
    assert read <= 6 * pool.TEXTS_AT_ONCE


def test_an_error_there_is_an_error_here(workers: SparsePool) -> None:
    with pytest.raises(MugeError, match=r"BM25 process failed: .*int"):
        workers.train([5])  # type: ignore[list-item]
    assert workers.train(["红色"]).documents == 1


def test_a_process_that_dies_is_an_error_to_act_on() -> None:
    with SparsePool(1) as alone:
        alone.train(["红色"])
        os.kill(alone._processes[0].pid, signal.SIGKILL)
        with pytest.raises(MugeError, match="MUGE_SPARSE_WORKERS=1"):
            alone.train(["红色"])


@pytest.mark.thorough
def test_stages_use_processes_for_large_data_only(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(n, n, b"%d" % n, n, text) for n, text in enumerate(PLAIN[:9])]
    found = []
    for name, apart, many in (("none", 100, 100), ("one", 1, 100), ("many", 1, 1)):
        monkeypatch.setattr(pool, "APART_FROM", apart)
        monkeypatch.setattr(pool, "PARALLEL_FROM", many)
        work = Folder(str(tmp_path / name))
        plan = plan_shards("rows", RowsReader(rows), work, 4, LIMIT)
        folder = work.sub(plan.folder)
        with context.text_processes(len(rows), 2) as processes:
            assert processes == {"none": 1, "one": 1, "many": 2}[name]
            assert (context.texts is HERE) == (name == "none")
            bm25 = train_statistics(folder, plan, "image", "bm25.json", workers=context.texts)
            for shard in plan.shards:
                encode_sparse_shard(folder, shard, "image", bm25, "sparse", context.texts)
        names = [f"sparse/{shard.part}.parquet" for shard in plan.shards]
        found.append([bm25.hash, *(list(read_sparse(folder, each)) for each in names)])
    assert found[0] == found[1] == found[2]
    assert context.texts is HERE


def test_without_work_no_process_is_started() -> None:
    with SparsePool(2) as idle:
        pass
    assert not idle._processes


def test_a_worker_that_is_begun_ahead_is_the_one_that_works(context: Context) -> None:
    """Also where the statistics could not be read then; and an outer block's is the inner one's."""
    bm25 = HERE.train(PLAIN)
    right = HERE.encode_piece(bm25, PLAIN[:5])

    def unreadable() -> Bm25:
        raise OSError("not there yet")

    def in_this_process() -> bool:
        return context.texts is HERE

    for warm in (lambda: bm25, unreadable):
        with context.text_processes(pool.APART_FROM, 2, warm):
            outer = context.texts
            assert isinstance(outer, SparsePool)
            with context.text_processes(pool.APART_FROM, 2) as at_once:
                assert (context.texts, at_once) == (outer, 1)
                found = outer.encode_piece(bm25, PLAIN[:5])
            assert context.texts is outer
            assert len(outer._processes) == 1
        assert found.table(PLAIN[:5]).equals(right.table(PLAIN[:5]))
        assert in_this_process()
        assert outer._processes[0].poll() is not None


def test_a_block_that_fails_does_not_wait_for_its_workers() -> None:
    bm25 = HERE.train(PLAIN)
    begun = SparsePool(2)

    def fail() -> None:
        with begun:
            begun.warm(lambda: bm25)
            while not begun._processes:
                time.sleep(0.01)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert begun._processes[0].poll() == -signal.SIGKILL

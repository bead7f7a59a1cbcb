"""Index runs into DashVector through random faults: nothing lost, nothing doubled, no storm.

The plain functions of the index stages, retried as the flow's tasks are; what stays unfinished is
run again, as a person would.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tasks.encode.model.describe import describe_model
from tasks.errors import MugeError
from tasks.index import stages as index_stages
from tasks.index.documents import read_documents
from tasks.index.done import Upserted
from tasks.index.run import Filling, IndexRun
from tasks.index.verification import verify_filled
from tasks.records import Document, Shard
from tasks.settings import load_settings
from tasks.store import open as opening
from tests.encode.model.models import make_model
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_schedules import draw_faults
from tests.servers.fixtures import store_on
from tests.shop import make_pictures

PICTURES, SHARD, BATCH = 240, 40, 8
FAULT_FREE = PICTURES // BATCH
TRIES, RUNS, MENDED = 4, 20, 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> IndexRun:
    """A run with everything encoded, so that only the upserts are left."""
    place = tmp_path_factory.mktemp("schedules")
    settings = load_settings(
        store="dashvector:",
        work_dir=str(place / "work"),
        model=str(make_model(place / "model", "resnet-50").folder),
        shard_images=SHARD,
        document="pair",
    )
    pictures = make_pictures(place / "pictures", PICTURES // 2)
    plan = index_stages.plan(f"folder:{pictures}", settings)
    prepared = IndexRun(settings, plan, describe_model(settings.model))
    index_stages.train_sparse(prepared)
    for shard in plan.shards:
        index_stages.encode_images(prepared, shard)
        index_stages.encode_sparse(prepared, shard)
    return prepared


@pytest.fixture(scope="module")
def expected(run: IndexRun) -> dict[str, Document]:
    documents = (d for s in run.plan.shards for d in read_documents(run.folder, s, run.parts))
    return {document.id: document for document in documents}


@pytest.fixture
def server(dashvector_server: DashVectorServer) -> Iterator[DashVectorServer]:
    """The server, and this process's shared store `dashvector:` on it with quick waits."""
    opening.close_shared_stores()
    store = store_on(dashvector_server, batch_documents=BATCH)
    opening._shared["dashvector:"] = store
    yield dashvector_server
    opening.close_shared_stores()


QUICK, ALL = 6, 200
SEEDS = [
    seed if seed < QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(ALL)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_collection_ends_as_without_faults(
    seed: int, run: IndexRun, expected: dict[str, Document], server: DashVectorServer
) -> None:
    gentle = draw_faults(random.Random(seed), seed, server)
    runs = 1
    while not index(run):
        runs += 1
        assert runs < RUNS
        if runs == MENDED and not gentle:
            # a document refused for good stays a reject until its cause is gone; then it is taken
            server.faults.draw(0, {})
    requests = server.faults.requests["upsert_doc"]
    server.faults.draw(0, {})

    store = opening.shared_store("dashvector:")
    assert store.count("muge") == len(expected) == 2 * (PICTURES // 2)
    found = store.fetch("muge", list(expected))
    assert found.keys() == expected.keys()
    for key, document in expected.items():
        assert dict(found[key].fields) == dict(document.fields)
        assert found[key].vector == pytest.approx(document.vector, abs=1e-6)
        assert dict(found[key].sparse) == pytest.approx(dict(document.sparse), abs=1e-6)
    if gentle:
        assert requests <= 3 * FAULT_FREE


def index(run: IndexRun) -> bool:
    """One run of the upsert and verify stages; whether it ended well and without rejects."""
    try:
        filling = Filling(run, index_stages.open_collection(run, anew=False))
        done = [_upserted(filling, shard) for shard in run.plan.shards]
    except MugeError:
        return False
    if any(shard.rejects for shard in done):
        return False
    verify_filled(filling, sum(shard.documents for shard in done))
    return True


def _upserted(filling: Filling, shard: Shard) -> Upserted:
    """One task with the retries that Prefect makes."""
    for left in reversed(range(TRIES)):
        try:
            return index_stages.upsert(filling, shard)
        except MugeError as error:
            if not (error.may_pass and left):
                raise
    raise AssertionError("the last try returns or raises")

"""Index runs into DashVector through random faults: nothing lost, nothing doubled, no storm.

The pieces of the plain operation, with its retries; what stays unfinished is run again, as a person
would.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tasks.context import Context
from tasks.encode.model.describe import describe_model
from tasks.errors import MugeError
from tasks.index.documents import read_documents
from tasks.index.operation import make, plan, upsert, verify
from tasks.index.run import Filling, IndexRun
from tasks.index.runner import Threads
from tasks.index.stages import OPEN_COLLECTION
from tasks.index.times import StageTimes
from tasks.records import Document
from tasks.settings import load_settings
from tasks.store.contract import VectorStore
from tasks.store.stores import STORES, StoreAccess
from tests.encode.model.models import make_model
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_schedules import draw_faults
from tests.servers.fixtures import store_on
from tests.shop import make_pictures

PICTURES, SHARD, BATCH = 240, 40, 8
FAULT_FREE = PICTURES // BATCH
RETRIES, RUNS, MENDED = (0, 0, 0), 20, 10


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
        workers=1,  # requests come in the order that the faults were drawn for
    )
    pictures = make_pictures(place / "pictures", PICTURES // 2)
    model = describe_model(settings.model)
    with Context() as context:
        runner, times = Threads(context), StageTimes(context.progress)
        return make(plan(f"folder:{pictures}", settings, model, runner, times), runner, times).run


@pytest.fixture(scope="module")
def expected(run: IndexRun) -> dict[str, Document]:
    documents = (d for s in run.plan.shards for d in read_documents(run.folder, s, run.parts))
    return {document.id: document for document in documents}


@pytest.fixture
def server(
    dashvector_server: DashVectorServer, monkeypatch: pytest.MonkeyPatch
) -> DashVectorServer:
    """The server, and the store `dashvector:` on it with quick waits."""

    class Quick:
        @classmethod
        def open(cls, place: str, access: StoreAccess) -> VectorStore:
            return store_on(dashvector_server, batch_documents=BATCH)

    monkeypatch.setitem(STORES, "dashvector", replace(STORES["dashvector"], opens=Quick))
    return dashvector_server


QUICK, ALL = 6, 200
SEEDS = [
    seed if seed < QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(ALL)
]


@pytest.mark.gate("0", "3", "5")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_collection_ends_as_without_faults(
    seed: int,
    run: IndexRun,
    expected: dict[str, Document],
    server: DashVectorServer,
    context: Context,
) -> None:
    gentle = draw_faults(random.Random(seed), seed, server)
    runs = 1
    while not index(context, run):
        runs += 1
        assert runs < RUNS
        if runs == MENDED and not gentle:
            # a document refused for good stays a reject until its cause is gone; then it is taken
            server.faults.draw(0, {})
    requests = server.faults.requests["upsert_doc"]
    server.faults.draw(0, {})

    store = context.store("dashvector:")
    assert store.count("muge") == len(expected) == 2 * (PICTURES // 2)
    found = store.fetch("muge", list(expected))
    assert found.keys() == expected.keys()
    for key, document in expected.items():
        assert dict(found[key].fields) == dict(document.fields)
        assert found[key].vector == pytest.approx(document.vector, abs=1e-6)
        assert dict(found[key].sparse) == pytest.approx(dict(document.sparse), abs=1e-6)
    if gentle:
        assert requests <= 3 * FAULT_FREE


def index(context: Context, run: IndexRun) -> bool:
    """One run of the upsert and verify stages; whether it ended well and without rejects."""
    runner, times = Threads(context, RETRIES), StageTimes(context.progress)
    try:
        filling = Filling(run, runner.once(OPEN_COLLECTION, run, False))
        done = upsert(filling, runner, times)
    except MugeError:
        return False
    if any(shard.rejects for shard in done):
        return False
    verify(filling, done, runner, times)
    return True

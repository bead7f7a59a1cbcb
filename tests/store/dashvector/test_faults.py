"""Index runs through seeded random faults end with the collection of a run without faults."""

from __future__ import annotations

import pytest

from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_schedules import (
    BATCH_DOCUMENTS,
    SPEC,
    Figures,
    differences,
    make_documents,
    run_schedule,
)
from tests.servers.fixtures import StoreFactory

SCHEDULES = 200


def check_schedules(
    seeds: range, count: int, server: DashVectorServer, make: StoreFactory
) -> list[Figures]:
    documents = make_documents(count)
    store = make(batch_documents=BATCH_DOCUMENTS, timeout_seconds=0.25, write_deadline_seconds=5.0)
    fault_free = count / BATCH_DOCUMENTS
    all_figures = []
    for seed in seeds:
        figures = run_schedule(seed, server, store, documents)
        all_figures.append(figures)
        assert differences(server, documents) == [], f"seed {seed}: {figures}"
        assert store.count(SPEC.name) == count
        if figures.gentle:
            assert figures.requests <= 3 * fault_free, f"seed {seed}: {figures}"
    return all_figures


def test_twenty_schedules(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    found = check_schedules(range(20), 1000, dashvector_server, dashvector_store)
    assert sum(figures.injected.total() for figures in found) > 20


@pytest.mark.slow
def test_two_hundred_schedules(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    found = check_schedules(range(SCHEDULES), 3000, dashvector_server, dashvector_store)
    injected = {kind for figures in found for kind in figures.injected}
    assert injected == {"refuse", "trailer", "status", "drop", "delay", "partial"}

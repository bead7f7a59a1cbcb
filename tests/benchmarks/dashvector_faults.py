"""What seeded fault schedules cost in requests: `python -m tests.benchmarks.dashvector_faults`."""

from __future__ import annotations

from collections import Counter

from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_schedules import BATCH_DOCUMENTS, make_documents, run_schedule
from tests.servers.fixtures import store_on
from tests.servers.loopback import loopback_allowed


def schedule_lines(schedules: int, count: int) -> list[str]:
    """Requests and retries of seeded fault schedules."""
    documents = make_documents(count)
    total, injected, worst, runs = 0, Counter[str](), 0.0, 0
    fault_free = count // BATCH_DOCUMENTS
    with loopback_allowed(), DashVectorServer() as server:
        store = store_on(
            server,
            batch_documents=BATCH_DOCUMENTS,
            timeout_seconds=0.25,
            write_deadline_seconds=5.0,
        )
        for seed in range(schedules):
            figures = run_schedule(seed, server, store, documents)
            total, runs = total + figures.requests, runs + figures.runs
            injected += figures.injected
            if figures.gentle:
                worst = max(worst, figures.requests / fault_free)
        store.close()
    return [
        f"{schedules} schedules of {count} documents: {total} upsert requests in {runs} runs, "
        f"{schedules * fault_free} without faults ({total / schedules / fault_free:.2f} times)",
        f"faults injected: {injected.total()} {dict(injected)}",
        f"worst gentle schedule: {worst:.2f} times the fault-free requests",
    ]


if __name__ == "__main__":
    print("\n".join(schedule_lines(200, 3000)))

"""Index runs through random faults: one schedule a seed, from first attempt to a whole collection.

What a run does when it is cut short or leaves rejects is what the product's flows do: run again.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.errors import StoreError
from tasks.records import CollectionSpec, Document
from tasks.store.dashvector.store import DashVectorStore
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault

SPEC = CollectionSpec("faults", 8, {"image_id": "int", "query": "str", "query_id": "int"})
BATCH_DOCUMENTS = 100
MAX_RUNS = 20
GENTLE = 0.25
TRANSIENT = (408, -2034, -2029, -2030)
GRPC = (14, 4, 8, 1, 2, 13)


@dataclass
class Figures:
    """What one schedule took; `gentle` are those whose requests fail with at most 25 %."""

    gentle: bool
    runs: int = 0
    requests: int = 0
    documents: int = 0
    injected: Counter[str] = field(default_factory=Counter)


class CutShortError(Exception):
    """Stands for a process that ends in the middle of a stream."""


def make_documents(count: int) -> list[Document]:
    """Unit vectors (8,) float32, up to five terms and three fields each."""
    rng = np.random.default_rng(count)
    documents = []
    for number in range(count):
        vector = rng.standard_normal(SPEC.dimension).astype(np.float32)
        terms = rng.choice(1000, size=int(rng.integers(0, 6)), replace=False)
        sparse = {int(term): float(np.float32(rng.random() + 0.1)) for term in terms}
        fields = {"image_id": number, "query": f"红色连衣裙 {number}", "query_id": number * 2}
        vector /= np.linalg.norm(vector)
        documents.append(Document(f"{number}-{number * 2}", vector, sparse, fields))  # type: ignore[arg-type]
    return documents


def run_schedule(
    seed: int, server: DashVectorServer, store: DashVectorStore, documents: Sequence[Document]
) -> Figures:
    """Upsert all documents through the faults of `seed`, running again until a run ends well."""
    chance = random.Random(seed)
    server.faults.clear()
    store.drop(SPEC.name)
    store.create(SPEC)
    gentle = draw_faults(chance, seed, server)
    figures = Figures(gentle)
    outage = None if gentle else _outage(chance, server)
    left: Sequence[Document] = documents
    while left and figures.runs < MAX_RUNS:
        figures.runs += 1
        left = _run(chance, store, left)
    if outage is not None:
        outage.join()
    figures.requests = server.faults.requests["upsert_doc"]
    figures.documents = server.faults.documents["upsert_doc"]
    figures.injected = Counter(server.faults.injected)
    server.faults.draw(0, {})
    return figures


def draw_faults(chance: random.Random, seed: int, server: DashVectorServer) -> bool:
    """Arm the faults of a seed; whether they are gentle (at most 25 % of the requests fail)."""
    gentle = seed % 2 == 0
    server.faults.draw(seed, {"upsert_doc": _faults(chance, gentle)})
    return gentle


def _run(
    chance: random.Random, store: DashVectorStore, documents: Sequence[Document]
) -> Sequence[Document]:
    """One attempt; what is left to do after it: nothing, the rejects, or everything."""
    cut = chance.randrange(len(documents)) if chance.random() < 0.2 else None
    try:
        rejects = store.upsert(SPEC.name, _stream(documents, cut)).rejects
    except (CutShortError, StoreError):
        return documents
    refused = {reject.id for reject in rejects}
    return [document for document in documents if document.id in refused]


def _stream(documents: Sequence[Document], cut: int | None) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number == cut:
            raise CutShortError
        yield document


def _faults(chance: random.Random, gentle: bool) -> list[tuple[float, Fault]]:
    total = chance.uniform(0.02, GENTLE) if gentle else chance.uniform(GENTLE, 0.6)
    kinds = [
        Fault("refuse", chance.choice(TRANSIENT)),
        Fault("trailer", chance.choice(TRANSIENT)),
        Fault("status", chance.choice(GRPC)),
        Fault("drop", chance.choice(GRPC)),
        Fault("delay", seconds=chance.uniform(0.0, 0.02)),
        Fault("partial", chance.choice(TRANSIENT), every=chance.randrange(2, 8)),
    ]
    if not gentle:
        kinds += [Fault("refuse", -2970), Fault("partial", -2017, every=50), Fault("refuse", -999)]
        kinds += [Fault("partial", -2017, every=60, outer=-2017), Fault("delay", seconds=0.3)]
    weights = [chance.random() ** 3 for _ in kinds]
    return [
        (total * weight / sum(weights), fault) for weight, fault in zip(weights, kinds, strict=True)
    ]


def _outage(chance: random.Random, server: DashVectorServer) -> threading.Thread | None:
    """Sometimes the server goes away for a moment in the middle of the run."""
    if chance.random() < 0.7:
        return None
    ended = threading.Event()
    before, during = chance.uniform(0.0, 0.1), chance.uniform(0.01, 0.2)

    def go() -> None:
        ended.wait(before)
        server.go_away()
        ended.wait(during)
        server.come_back()

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def differences(server: DashVectorServer, documents: Sequence[Document]) -> list[str]:
    """Ids that the server lacks, has too many, or holds with another content."""
    held = server.service.collections[SPEC.name].partitions["default"].committed
    wanted = {document.id: document for document in documents}
    wrong = [key for key in held if key not in wanted]
    for key, document in wanted.items():
        entry = held.get(key)
        same = (
            entry is not None
            and entry.vector is not None
            and np.array_equal(entry.vector, document.vector)
            and entry.sparse == document.sparse
            and entry.fields == document.fields
        )
        if not same:
            wrong.append(key)
    return wrong

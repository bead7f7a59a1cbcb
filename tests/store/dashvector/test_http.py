"""Why the SDK's HTTP mode is not offered. When one of these fails, it may have become usable."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import dashvector
import pytest
from dashvector.core.doc import DocBuilder
from dashvector.core.proto import dashvector_pb2 as pb


def test_it_cannot_be_used_from_another_thread() -> None:
    def connect() -> dashvector.Client:
        return dashvector.Client(
            api_key="key",
            endpoint="nowhere.test",
            protocol=dashvector.DashVectorProtocol.HTTP,
        )

    with ThreadPoolExecutor(1) as threads, pytest.raises(RuntimeError, match="no current event"):
        threads.submit(connect).result()


def test_sparse_vectors_come_back_with_text_as_keys() -> None:
    info = pb.CollectionInfo(name="muge", dimension=2, metric=1, status=1)
    info.vectors_schema["proxima_vector"].dimension = 2
    answer = '{"id": "a", "vector": [1.0, 2.0], "sparse_vector": {"10": 1.0}, "score": 1}'
    doc = DocBuilder.from_dict(json.loads(answer), dashvector.CollectionMeta(info))
    assert doc.sparse_vector == {"10": 1.0}

"""All eighteen calls of DashVector's gRPC service, answered from memory: those on documents."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from dashvector.core.proto import dashvector_pb2 as pb

from tests.servers import dashvector_limits as limits
from tests.servers.dashvector_cluster import ClusterService
from tests.servers.dashvector_faults import Fault
from tests.servers.dashvector_limits import Refusal
from tests.servers.dashvector_memory import Collection, Partition
from tests.servers.dashvector_search import search, search_groups, write_document

_OPERATIONS = {"insert_doc": 0, "update_doc": 1, "upsert_doc": 2, "delete_doc": 3}


class DashVectorService(ClusterService):
    """One cluster: collections, partitions and documents."""

    def insert_doc(self, request: Any, context: Any) -> Any:
        return self._write("insert_doc", request, context, pb.InsertDocResponse())

    def update_doc(self, request: Any, context: Any) -> Any:
        return self._write("update_doc", request, context, pb.UpdateDocResponse())

    def upsert_doc(self, request: Any, context: Any) -> Any:
        return self._write("upsert_doc", request, context, pb.UpsertDocResponse())

    def _write(self, method: str, request: Any, context: Any, response: Any) -> Any:
        self.faults.receive(method, len(request.docs), context.request_bytes)

        def work(fault: Fault | None) -> None:
            collection = self.serving(context)
            partition = self.partition(collection, request.partition)
            limits.check_size(context.request_bytes)
            if not 1 <= len(request.docs) <= limits.MAX_DOCUMENTS:
                raise Refusal(-2036, f"docs length({len(request.docs)}) must be in [1, 1024]")
            refused = fault is not None and fault.refuses([doc.id for doc in request.docs])
            for place, document in enumerate(request.docs):
                # trap 1: a document without an id gets one, so sending it again doubles it
                document.id = document.id or str(uuid.uuid4().int >> 65)
                result = response.output.add(doc_op=_OPERATIONS[method], id=document.id)
                try:
                    _fail(fault, place, document.id)
                    if not refused:
                        self._take(method, collection, partition, document)
                except Refusal as refusal:
                    result.code, result.message = refusal.code, refusal.message
            response.usage.write_units = len(request.docs)
            if fault is not None and refused:
                response.code, response.message = fault.outer, "injected"

        return self.serve(method, context, response, work)

    def _take(self, method: str, collection: Collection, partition: Partition, doc: Any) -> None:
        entry = limits.read_document(doc, collection, needs_vector=method != "update_doc")
        old = partition.committed.get(doc.id)
        if method == "insert_doc" and old is not None:
            raise Refusal(-2027, f"id({doc.id}) already exists")
        if method == "update_doc":
            if old is None:
                raise Refusal(-2024, f"id({doc.id}) does not exist")
            entry.vector = old.vector if entry.vector is None else entry.vector
            entry.sparse = entry.sparse or old.sparse
        partition.write(doc.id, entry, self.faults.lag)

    def delete_doc(self, request: Any, context: Any) -> Any:
        response = pb.DeleteDocResponse()
        self.faults.receive("delete_doc", len(request.ids), context.request_bytes)

        def work(fault: Fault | None) -> None:
            partition = self.partition(self.serving(context), request.partition)
            if request.delete_all:
                partition.clear(self.faults.lag)
                return
            limits.check_ids(request.ids)
            for place, document_id in enumerate(request.ids):
                result = response.output.add(doc_op=_OPERATIONS["delete_doc"], id=document_id)
                try:
                    _fail(fault, place, document_id)
                    partition.write(document_id, None, self.faults.lag)
                except Refusal as refusal:
                    result.code, result.message = refusal.code, refusal.message

        return self.serve("delete_doc", context, response, work)

    def fetch_doc(self, request: Any, context: Any) -> Any:
        response = pb.FetchDocResponse()

        def work(_: Fault | None) -> None:
            collection = self.serving(context)
            limits.check_ids(request.ids)
            seen = self.partition(collection, request.partition).seen()
            for entry in _present(seen.get(document_id) for document_id in request.ids):
                write_document(response.output[entry.id], entry, collection)

        return self.serve("fetch_doc", context, response, work)

    def query_doc(self, request: Any, context: Any) -> Any:
        response = pb.QueryDocResponse()

        def work(_: Fault | None) -> None:
            collection = self.serving(context)
            partition = self.partition(collection, request.partition)
            search(request, collection, partition, response, self.sparse_in_answers)

        return self.serve("query_doc", context, response, work)

    def query_doc_group_by(self, request: Any, context: Any) -> Any:
        response = pb.QueryDocGroupByResponse()

        def work(_: Fault | None) -> None:
            collection = self.serving(context)
            partition = self.partition(collection, request.partition)
            search_groups(request, collection, partition, response, self.sparse_in_answers)

        return self.serve("query_doc_group_by", context, response, work)


def _fail(fault: Fault | None, place: int, document_id: str) -> None:
    if fault is not None and fault.fails(place, document_id):
        raise Refusal(fault.code, "injected")


def _present(entries: Iterable[Any]) -> Iterable[Any]:
    return (entry for entry in entries if entry is not None)

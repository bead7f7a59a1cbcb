"""Collections and partitions of the test server, and what every call has in common.

Built on the SDK's own generated classes. The code and request id travel in the body of the
answer; the collection of document, partition and stats calls is named only in the metadata.
"""

from __future__ import annotations

import hmac
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
from dashvector.core.proto import dashvector_pb2 as pb
from dashvector.core.proto.dashvector_pb2_grpc import DashVectorServiceServicer

from tests.servers import dashvector_limits as limits
from tests.servers.dashvector_faults import Fault, Faults
from tests.servers.dashvector_limits import Refusal
from tests.servers.dashvector_memory import Collection, Partition

DEFAULT = "default"
SERVING, INITIALIZED = 1, 0
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class ClusterService(DashVectorServiceServicer):  # type: ignore[misc]
    """State of one cluster. `serving_delay` is how many seconds a new collection or partition
    takes until it serves; `sparse_in_answers` off leaves sparse vectors out of query answers;
    `keys` are those that are accepted now."""

    def __init__(self, api_key: str, faults: Faults, serving_delay: float = 0.0) -> None:
        self.faults = faults
        self.serving_delay = serving_delay
        self.sparse_in_answers = True
        self.collections: dict[str, Collection] = {}
        self.keys = {api_key}
        self._lock = threading.RLock()

    def serve(
        self, method: str, context: Any, response: Any, work: Callable[[Fault | None], None]
    ) -> Any:
        """Check the key, meet the fault, do the work; refusals become the code of the answer."""
        given = dict(context.invocation_metadata()).get("dashvector-auth-token", "")
        if not any(hmac.compare_digest(str(given), key) for key in self.keys):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is not valid")
        response.request_id = str(uuid.uuid4())
        fault = self.faults.next(method)
        if fault is not None and self._stops(fault, context, response):
            return response
        try:
            with self._lock:
                work(fault)
        except Refusal as refusal:
            response.code, response.message = refusal.code, refusal.message
        if fault is not None and fault.kind == "drop":
            context.abort(_STATUS[fault.code], "injected: the answer is lost after the commit")
        return response

    def _stops(self, fault: Fault, context: Any, response: Any) -> bool:
        if fault.kind == "delay":
            time.sleep(fault.seconds)
        elif fault.kind == "status":
            context.abort(_STATUS[fault.code], "injected")
        elif fault.kind == "trailer":
            context.set_trailing_metadata((("extra-code", str(fault.code)), ("request-id", "x")))
            context.abort(grpc.StatusCode.INTERNAL, "injected")
        elif fault.kind == "refuse":
            response.code, response.message = fault.code, "injected"
            return True
        return False

    def _collection(self, name: str) -> Collection:
        if name not in self.collections:
            raise Refusal(-2021, f"collection({name}) does not exist")
        return self.collections[name]

    def serving(self, context: Any) -> Collection:
        """The collection that the metadata names, if it serves."""
        name = dict(context.invocation_metadata()).get("collection-name", "")
        collection = self._collection(str(name))
        if not collection.ready:
            raise Refusal(-2030, f"collection({name}) is not ready")
        return collection

    def partition(self, collection: Collection, name: str) -> Partition:
        """The partition of that name ("" is the default one), if it serves."""
        partition = collection.partitions.get(name or DEFAULT)
        if partition is None:
            raise Refusal(-2022, f"partition({name}) does not exist")
        if not partition.ready:
            raise Refusal(-2029, f"partition({name}) is not ready")
        return partition

    def get_version(self, request: Any, context: Any) -> Any:
        response = pb.GetVersionResponse()

        def work(_: Fault | None) -> None:
            response.version = "test-server"

        return self.serve("get_version", context, response, work)

    def create_collection(self, request: Any, context: Any) -> Any:
        response = pb.CreateCollectionResponse()

        def work(_: Fault | None) -> None:
            limits.check_name(request.name, -2042)
            if request.name in self.collections:
                raise Refusal(-2025, f"collection({request.name}) already exists")
            if set(request.vectors_schema) != {""} or request.sparse_vectors_schema:
                raise Refusal(-2031, "the test server has single-vector collections only")
            vector = request.vectors_schema[""]
            limits.check_schema(vector.dimension, request.fields_schema)
            ready_at = time.monotonic() + self.serving_delay
            self.collections[request.name] = Collection(
                request.name,
                vector.dimension,
                vector.dtype,
                vector.metric,
                dict(request.fields_schema),
                ready_at,
                vector.quantize_type,
                {DEFAULT: Partition(ready_at)},
            )

        return self.serve("create_collection", context, response, work)

    def delete_collection(self, request: Any, context: Any) -> Any:
        response = pb.DeleteCollectionResponse()

        def work(_: Fault | None) -> None:
            self._collection(request.name)
            del self.collections[request.name]

        return self.serve("delete_collection", context, response, work)

    def describe_collection(self, request: Any, context: Any) -> Any:
        response = pb.DescribeCollectionResponse()

        def work(_: Fault | None) -> None:
            collection = self._collection(request.name)
            output = response.output
            vector = output.vectors_schema["proxima_vector"]
            vector.quantize_type = collection.quantize
            output.name = collection.name
            for part in (output, vector):
                part.dimension = collection.dimension
                part.dtype = collection.dtype
                part.metric = collection.metric
            output.status = SERVING if collection.ready else INITIALIZED
            for name, number in collection.fields.items():
                output.fields_schema[name] = number
            for name, partition in collection.partitions.items():
                output.partitions[name] = SERVING if partition.ready else INITIALIZED

        return self.serve("describe_collection", context, response, work)

    def list_collections(self, request: Any, context: Any) -> Any:
        response = pb.ListCollectionsResponse()
        return self.serve(
            "list_collections",
            context,
            response,
            lambda _: response.output.extend(self.collections),
        )

    def stats_collection(self, request: Any, context: Any) -> Any:
        response = pb.StatsCollectionResponse()

        def work(_: Fault | None) -> None:
            output = response.output
            output.index_completeness = 1.0
            for name, partition in self.serving(context).partitions.items():
                output.partitions[name].total_doc_count = len(partition.seen())
                output.total_doc_count += len(partition.seen())

        return self.serve("stats_collection", context, response, work)

    def create_partition(self, request: Any, context: Any) -> Any:
        response = pb.CreatePartitionResponse()

        def work(_: Fault | None) -> None:
            limits.check_name(request.name, -2043)
            partitions = self.serving(context).partitions
            if request.name in partitions:
                raise Refusal(-2026, f"partition({request.name}) already exists")
            partitions[request.name] = Partition(time.monotonic() + self.serving_delay)

        return self.serve("create_partition", context, response, work)

    def delete_partition(self, request: Any, context: Any) -> Any:
        response = pb.DeletePartitionResponse()

        def work(_: Fault | None) -> None:
            collection = self.serving(context)
            if request.name not in collection.partitions:
                raise Refusal(-2022, f"partition({request.name}) does not exist")
            del collection.partitions[request.name]

        return self.serve("delete_partition", context, response, work)

    def describe_partition(self, request: Any, context: Any) -> Any:
        response = pb.DescribePartitionResponse()

        def work(_: Fault | None) -> None:
            partition = self.serving(context).partitions.get(request.name)
            if partition is None:
                raise Refusal(-2022, f"partition({request.name}) does not exist")
            response.output = SERVING if partition.ready else INITIALIZED

        return self.serve("describe_partition", context, response, work)

    def stats_partition(self, request: Any, context: Any) -> Any:
        response = pb.StatsPartitionResponse()

        def work(_: Fault | None) -> None:
            partition = self.partition(self.serving(context), request.name)
            response.output.total_doc_count = len(partition.seen())

        return self.serve("stats_partition", context, response, work)

    def list_partitions(self, request: Any, context: Any) -> Any:
        response = pb.ListPartitionsResponse()
        return self.serve(
            "list_partitions",
            context,
            response,
            lambda _: response.output.extend(self.serving(context).partitions),
        )

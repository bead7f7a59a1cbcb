"""The border to the untyped DashVector SDK: what of it is used, with types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, cast

import dashvector
import grpc  # type: ignore[import-untyped]
from dashvector.common.constants import GRPC_MAX_MSG_SIZE
from dashvector.core.handler.grpc_handler import GRPCHandler
from dashvector.core.proto import dashvector_pb2

from tasks.download.loopback import keep_loopback_direct

Error: type[Exception] = dashvector.DashVectorException
VERSION_METHOD = "/proxima.dashvector.proto.DashVectorService/get_version"
UPSERT_METHOD = "/proxima.dashvector.proto.DashVectorService/upsert_doc"


class Meta(Protocol):
    """Schema of a collection; `dimension` and `metric` raise if it has several vectors."""

    name: str
    status: str
    dimension: int
    metric: str
    dtype: str
    fields_schema: Mapping[str, str]
    vectors_schema: Mapping[str, Any]
    sparse_vectors_schema: Mapping[str, Any]
    partitions: Mapping[str, Any]


class Doc(Protocol):
    """A document as it comes back; the score is rounded to 4 decimals."""

    id: str
    vector: list[float] | None
    sparse_vector: Mapping[int, float] | None
    fields: Mapping[str, Any] | None
    score: float


class Response(Protocol):
    """An answer; `code` may be a string when it came in a gRPC trailer."""

    code: object
    message: str | None
    output: Any


class Collection(Response, Protocol):
    """Operations on documents and partitions of one collection."""

    def upsert(self, docs: list[Any], *, partition: str) -> Response:
        """Output: a result with id, code and message for each document."""

    def fetch(self, ids: list[str], *, partition: str) -> Response:
        """Output: documents by id."""

    def delete(self, ids: list[str], *, partition: str) -> Response:
        """Output: a result with id, code and message for each document."""

    def query(self, **arguments: Any) -> Response:
        """Output: documents, best first."""

    def query_group_by(self, **arguments: Any) -> Response:
        """Output: groups with `group_id` and `docs`."""

    def stats(self) -> Response:
        """Output: `total_doc_count` and partitions."""

    def stats_partition(self, name: str) -> Response:
        """Output: `total_doc_count`."""

    def create_partition(self, name: str, *, timeout: int) -> Response:
        """A timeout of -1 does not wait."""

    def describe_partition(self, name: str) -> Response:
        """Output: the status as text."""


class Client(Response, Protocol):
    """A connection; `code` is not 0 if it could not be made, and never recovers."""

    def create(
        self,
        name: str,
        dimension: int,
        *,
        metric: str,
        dtype: type,
        fields_schema: Mapping[str, type | str],
        timeout: int,
    ) -> Response:
        """A timeout of -1 does not wait until the collection serves."""

    def delete(self, name: str) -> Response:
        """Drop a collection."""

    def describe(self, name: str) -> Response:
        """Output: the schema, a `Meta`."""

    def get(self, name: str) -> Collection:
        """A collection with its schema, remembered until `forget`."""

    def list(self) -> Response:
        """Output: names."""

    def close(self) -> None:
        """Close the channel of a client whose code is 0."""


_trusted: ContextVar[bytes | None] = ContextVar("trusted", default=None)


def _open_channel(handler: Any) -> Any:
    """A handler's channel as the SDK opens it, but for the roots, which it has of one list only."""
    roots = _trusted.get()
    if handler._insecure_mode or roots is None:
        return _BUILD(handler)
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.secure_channel(handler._endpoint, credentials, options=_CHANNEL)


_CHANNEL = (
    ("grpc.max_send_message_length", GRPC_MAX_MSG_SIZE),
    ("grpc.max_receive_message_length", GRPC_MAX_MSG_SIZE),
    ("grpc.keepalive_time_ms", 60_000),
)
_BUILD = GRPCHandler._build_channel
GRPCHandler._build_channel = _open_channel


def connect(api_key: str, endpoint: str, timeout: float, roots: bytes | None = None) -> Client:
    """A new gRPC client that trusts the `roots` (PEM); its code says whether the service answered.

    The SDK's HTTP mode is not offered: it cannot be used from a thread other than the first,
    raises network failures instead of returning them, and returns sparse vectors with text as
    keys (`tests/store/dashvector/test_http.py`).
    """
    keep_loopback_direct()
    before = _trusted.set(roots)
    try:
        client = dashvector.Client(api_key=api_key, endpoint=endpoint, timeout=timeout)
    finally:
        _trusted.reset(before)
    return cast(Client, client)


def transport_details(client: Client) -> str:
    """What the transport says of a service that it cannot reach, which the SDK leaves out; "" if it
    can be reached now."""
    handler = cast(Any, client)._handler
    if handler is None:
        return ""
    try:
        handler._channel.unary_unary(VERSION_METHOD)(b"", timeout=handler._timeout)
    except grpc.RpcError as error:
        return str(error.details() or "")
    return ""


def forget(client: Client, name: str) -> None:
    """Drop the schema that the SDK caches for ever, so that the next use asks the service."""
    cast(Any, client)._cache.pop(name, None)


def document(
    id: str, vector: list[float], sparse: dict[int, float], fields: dict[str, Any]
) -> object:
    """The SDK's own document; a tuple instead would lose its id."""
    return dashvector.Doc(id=id, vector=vector, sparse_vector=sparse, fields=fields)


def raw_upsert(client: Client) -> Callable[..., Any]:
    """The upsert call of the client's channel, for requests that are serialized already.

    Call it with bytes, a collection's name and get an `UpsertDocResponse`; raises `grpc.RpcError`.
    """
    handler = cast(Any, client)._handler
    call = handler._channel.unary_unary(
        UPSERT_METHOD, response_deserializer=dashvector_pb2.UpsertDocResponse.FromString
    )

    def send(request: bytes, collection: str) -> Any:
        metadata = (*handler._metadata, ("collection-name", collection))
        return call(request, metadata=metadata, timeout=handler._timeout)

    return send


def sdk_request(name: str, dimension: int, fields: Mapping[str, int], docs: Sequence[Any]) -> bytes:
    """What the SDK itself would send for an upsert of `docs` to the default partition."""
    from dashvector.core.models.collection_meta_status import CollectionMeta
    from dashvector.core.models.upsert_doc_request import UpsertDocRequest

    info = dashvector_pb2.CollectionInfo(name=name, dimension=dimension, metric=1, status=1)
    info.vectors_schema["proxima_vector"].dimension = dimension
    for field, number in fields.items():
        info.fields_schema[field] = number
    request = UpsertDocRequest(
        collection_meta=CollectionMeta(info), docs=list(docs), partition="default"
    )
    return cast(bytes, request.to_string())

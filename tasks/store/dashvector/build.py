"""Two ways to send documents: packed here (fast), or by the SDK itself (the reference)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.records import CollectionSpec, Document
from tasks.store.dashvector import sdk, wire


@dataclass(frozen=True, slots=True)
class Item:
    """A checked document on its way: `size` is the bytes it adds to a request, `body` what the
    fast way sends (empty otherwise)."""

    id: str
    size: int
    body: bytes = b""
    document: Document | None = None


class Builder(Protocol):
    """Turns documents into items, and items into one upsert request."""

    def item(self, document: Document) -> Item:
        """Prepare a document of plain types."""

    def send(self, client: sdk.Client, items: Sequence[Item]) -> sdk.Response:
        """Send some to the service in one request."""


class FastBuilder:
    """Packs vectors as bytes and sends the message on the SDK's own channel."""

    def __init__(self, spec: CollectionSpec, partition: str) -> None:
        self._spec = spec
        self._partition = partition

    def item(self, document: Document) -> Item:
        """Serialize now; the document itself is not kept."""
        packed = wire.pack(document, self._spec)
        return Item(packed.id, packed.size, packed.body)

    def send(self, client: sdk.Client, items: Sequence[Item]) -> sdk.Response:
        """One request; raises `grpc.RpcError`, or `ValueError` if the channel is closed."""
        packed = [wire.Packed(item.id, item.body) for item in items]
        request = wire.request(packed, self._partition)
        response: sdk.Response = sdk.raw_upsert(client)(request, self._spec.name)
        return response


class SdkBuilder:
    """Leaves building to the SDK, when its message type is not the one known here."""

    def __init__(self, spec: CollectionSpec, partition: str) -> None:
        self._spec = spec
        self._partition = partition

    def item(self, document: Document) -> Item:
        """Keep the document; the size is estimated from above."""
        text = sum(
            len(value.encode()) if isinstance(value, str) else 8
            for value in document.fields.values()
        )
        names = sum(len(name) + 16 for name in document.fields)
        size = 4 * self._spec.dimension + 13 * len(document.sparse) + text + names + 128
        return Item(document.id, size, document=document)

    def send(self, client: sdk.Client, items: Sequence[Item]) -> sdk.Response:
        """One request."""
        collection = client.get(self._spec.name)
        docs = [wire.sdk_document(item.document) for item in items if item.document is not None]
        return collection.upsert(docs, partition=self._partition)


def choose_builder(spec: CollectionSpec, partition: str, fast: bool) -> Builder:
    """The fast way, if it is wanted and proven equal for the installed SDK."""
    if fast and wire.builds_the_same():
        return FastBuilder(spec, partition)
    return SdkBuilder(spec, partition)

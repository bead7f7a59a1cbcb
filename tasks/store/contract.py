"""What every vector database must do here, in the same words and with the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.records import (
    DEFAULT_PARTITION,
    CollectionInfo,
    CollectionSpec,
    Document,
    Hit,
    HitGroup,
    Query,
    UpsertResult,
)


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Something that a process which is gone left on this machine, and why nobody needs it;
    `remove` deletes it, and raises `OSError` if somebody has it again."""

    path: Path
    why: str
    remove: Callable[[], object]


class VectorStore(Protocol):
    """One vector database. All methods raise `StoreError` (or a child) and nothing else of the
    database's own; a collection that is not there is a `StoreError` that names it."""

    uri: str
    reads_may_lag: bool
    """Whether what was just written may be missing from reads for a while."""

    def create(self, spec: CollectionSpec) -> None:
        """Make the collection, or do nothing if it exists with the same schema.

        Raises `SchemaMismatchError` naming each difference otherwise.
        """

    def describe(self, name: str) -> CollectionInfo | None:
        """Schema and size, or None if there is no such collection."""

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""

    def drop(self, name: str) -> None:
        """Delete the collection with all its documents; nothing happens if it is not there."""

    def upsert(
        self,
        name: str,
        documents: Iterable[Document],
        partition: str = DEFAULT_PARTITION,
    ) -> UpsertResult:
        """Insert or replace documents by id; the stream is read once, in bounded batches.

        When it returns, what it counts as upserted survives a SIGKILL. Documents that can never be
        taken come back as rejects; a failure that may pass is raised.
        """

    def fetch(
        self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION
    ) -> dict[str, Document]:
        """Documents by id; ids that are not there are missing from the answer."""

    def delete(self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION) -> None:
        """Remove documents by id; ids that are not there are no error."""

    def count(self, name: str, partition: str | None = None) -> int:
        """Number of documents, in one partition or in all."""

    def query(self, name: str, query: Query) -> list[Hit]:
        """The `topk` best documents by exact hybrid score, best first, ties by id.

        Raises `QueryError` for a filter, topk or vector that cannot be used.
        """

    def query_batch(self, name: str, queries: Sequence[Query]) -> list[list[Hit]]:
        """What `query` answers to each, in order, faster than one after another.

        Raises `QueryError` if one of them cannot be used.
        """

    def query_groups(
        self, name: str, query: Query, group_by: str, groups: int, per_group: int
    ) -> list[HitGroup]:
        """The best `per_group` hits of the `groups` best values of a field."""

    def losses(self, name: str) -> str:
        """A text that is another one each time that documents, which were counted as upserted, were
        lost since; "" if none ever were."""

    def check(self, name: str) -> int:
        """Read every file of the collection and compare it with its checksum; how many bytes.

        0 where there are no checksums to compare with. Raises `StoreDamagedError` naming a file.
        """

    def finish(self, name: str) -> None:
        """Make the collection ready for reading after many upserts (build or merge an index)."""

    def close(self) -> None:
        """Release files and connections."""

"""A vector database from outside: kept in memory, every answer by brute force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tasks.errors import QueryError, StoreError
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
from tasks.store.stores import StoreAccess
from tests.store.reference import Answer, exact_groups, exact_hits

Partitions = dict[str, dict[str, Document]]


@dataclass
class Kept:
    """One collection: its schema, and its documents by partition and id."""

    spec: CollectionSpec
    partitions: Partitions = field(default_factory=lambda: {DEFAULT_PARTITION: {}})


@dataclass
class ToyStore:
    """A `VectorStore` of this process; stores of the same place hold the same collections."""

    uri: str
    kept: dict[str, Kept]
    reads_may_lag: bool = False

    @classmethod
    def open(cls, place: str, access: StoreAccess) -> ToyStore:
        return cls(f"toy:{place}", PLACES.setdefault(place, {}))

    def create(self, spec: CollectionSpec) -> None:
        self.kept.setdefault(spec.name, Kept(spec))

    def describe(self, name: str) -> CollectionInfo | None:
        if name not in self.kept:
            return None
        kept = self.kept[name]
        return CollectionInfo(kept.spec, self.count(name), tuple(sorted(kept.partitions)))

    def collections(self) -> list[str]:
        return sorted(self.kept)

    def drop(self, name: str) -> None:
        self.kept.pop(name, None)

    def upsert(
        self, name: str, documents: Iterable[Document], partition: str = DEFAULT_PARTITION
    ) -> UpsertResult:
        sent = {document.id: document for document in documents}
        self._of(name).partitions.setdefault(partition, {}).update(sent)
        return UpsertResult(len(sent))

    def fetch(
        self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION
    ) -> dict[str, Document]:
        there = self._of(name).partitions.get(partition, {})
        return {id: there[id] for id in ids if id in there}

    def delete(self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION) -> None:
        there = self._of(name).partitions.get(partition, {})
        for id in ids:
            there.pop(id, None)

    def count(self, name: str, partition: str | None = None) -> int:
        partitions = self._of(name).partitions
        if partition is not None:
            return len(partitions.get(partition, {}))
        return sum(len(documents) for documents in partitions.values())

    def query(self, name: str, query: Query) -> list[Hit]:
        there = self._asked(name, query)
        return [_hit(answer, there, query) for answer in exact_hits(there.values(), query)]

    def query_batch(self, name: str, queries: Sequence[Query]) -> list[list[Hit]]:
        return [self.query(name, query) for query in queries]

    def query_groups(
        self, name: str, query: Query, group_by: str, groups: int, per_group: int
    ) -> list[HitGroup]:
        there = self._asked(name, query)
        found = exact_groups(list(there.values()), query, group_by, groups, per_group)
        return [
            HitGroup(str(value), tuple(_hit(answer, there, query) for answer in answers))
            for value, answers in found
        ]

    def losses(self, name: str) -> str:
        return ""

    def check(self, name: str) -> int:
        self._of(name)
        return 0

    def finish(self, name: str) -> None:
        self._of(name)

    def close(self) -> None:
        pass

    def _of(self, name: str) -> Kept:
        if name not in self.kept:
            raise StoreError(f"{self.uri} has no collection {name!r}")
        return self.kept[name]

    def _asked(self, name: str, query: Query) -> dict[str, Document]:
        if query.filter is not None:
            raise QueryError(f"{self.uri} knows no filters, got {query.filter!r}")
        return self._of(name).partitions.get(query.partition, {})


PLACES: dict[str, dict[str, Kept]] = {}


def _hit(answer: Answer, there: dict[str, Document], query: Query) -> Hit:
    id, dense, sparse = answer
    fields = there[id].fields
    if query.output_fields is not None:
        fields = {name: fields[name] for name in query.output_fields if name in fields}
    return Hit(id, dense + sparse, dense, sparse, fields)

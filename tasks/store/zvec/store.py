"""The embedded vector database: zvec collections in folders of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import RLock

from tasks.errors import NotThereError, SchemaMismatchError, StoreDamagedError, StoreError
from tasks.names import check_name
from tasks.ranges import check_groups
from tasks.records import (
    DEFAULT_PARTITION,
    CollectionInfo,
    CollectionSpec,
    Document,
    FieldValue,
    Hit,
    HitGroup,
    Query,
    UpsertResult,
)
from tasks.store.checks import check_field_name, check_query
from tasks.store.stores import StoreAccess
from tasks.store.zvec.checksums import remedy
from tasks.store.zvec.folders import (
    delete_collection,
    disk_errors,
    make_collection,
    make_partition,
)
from tasks.store.zvec.groups import best_groups
from tasks.store.zvec.hits import alike, filter_of, hits_of, hits_of_each
from tasks.store.zvec.partition import Partition
from tasks.store.zvec.published import place_to_read
from tasks.store.zvec.query import best_documents
from tasks.store.zvec.recovery import losses
from tasks.store.zvec.schema import (
    DENSE,
    SPARSE,
    collections_in,
    is_sealed,
    read_schema,
    schema_differences,
    write_schema,
)
from tasks.store.zvec.scores import Scored
from tasks.store.zvec.shared import release_partition, release_partitions, shared_partition
from tasks.store.zvec.write import write_stream

# Flat takes 34 to 67 ms at 100,000 x 1024 on two busy cores. A graph took 2.6 minutes to build at
# 30,000 and saved 5 ms of 15. Up to here, which is every split of MUGE, answers stay exact.
GRAPH_FROM = 200_000
# Reading all documents into memory takes as long as 20 to 50 queries, whatever their number.
TOGETHER_FROM = 64
READERS = min(os.cpu_count() or 1, 8)


class ZvecStore:
    """A `VectorStore` in a folder of this machine; threads may share it.

    One process writes a collection alone, or many read it: while one writes, readers in other
    processes get `StoreBusyError`, and the other way round. `finish` and `close` let go. With
    `finished` reads are of what `finish` left last, as first met and until `close`, and keep no
    writer out nor are kept out.
    From `graph_from` documents a partition on, `finish` builds an HNSW graph for the dense side;
    below, every answer is exact.
    """

    reads_may_lag = False

    def __init__(
        self, root: str | Path, graph_from: int = GRAPH_FROM, finished: bool = False
    ) -> None:
        self.root = Path(root).expanduser().resolve()
        self.uri = f"zvec:{root}"
        self._graph_from = graph_from
        self._finished = finished
        self._met: dict[Path, Partition] = {}
        self._meeting = RLock()

    @classmethod
    def open(cls, place: str, access: StoreAccess) -> ZvecStore:
        """The store at `zvec:PLACE`, a folder; nothing is read yet."""
        return cls(place, finished=access.finished)

    def create(self, spec: CollectionSpec) -> None:
        """Make the collection, or do nothing if it exists with the same schema.

        Raises `SchemaMismatchError` naming each difference otherwise.
        """
        check_name(spec.name)
        for name in {DENSE, SPARSE} & set(spec.fields):
            raise StoreError(f"field {name!r} of {spec.name!r} is reserved: give it another name")
        if read_schema(self.root / spec.name) is None:
            make_collection(self.root, spec)
        differences = schema_differences(self._spec(spec.name), spec)
        if differences:
            raise SchemaMismatchError(
                f"collection {spec.name!r} exists in {self.uri} with another schema: "
                f"{'; '.join(differences)}; drop it or choose another name"
            )

    def describe(self, name: str) -> CollectionInfo | None:
        """Schema and size, or None if there is no such collection."""
        check_name(name)
        spec = read_schema(self.root / name)
        if spec is None:
            return None
        try:
            return CollectionInfo(spec, self.count(name), tuple(self._partition_names(name)))
        except NotThereError:  # dropped just now
            return None

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""
        with disk_errors(f"list {self.root}"):
            return sorted(collections_in(self.root))

    def drop(self, name: str) -> None:
        """Delete the collection with all its documents; nothing happens if it is not there."""
        check_name(name)
        if not collections_in(self.root, name):
            return
        partitions = [self._shared(name, each) for each in self._partition_names(name)]
        delete_collection(self.root / name, partitions)

    def upsert(
        self, name: str, documents: Iterable[Document], partition: str = DEFAULT_PARTITION
    ) -> UpsertResult:
        """Insert or replace documents by id; the stream is read once, in batches of up to 500.

        When it returns, what it counts as upserted survives a SIGKILL.
        """
        spec = self._spec(name)
        check_name(partition, "partition")
        if partition != DEFAULT_PARTITION and not self._path(name, partition).is_dir():
            make_partition(self.root, spec, partition)
        return write_stream(self._partition(name, partition), spec, documents)

    def fetch(
        self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION
    ) -> dict[str, Document]:
        """Documents by id; ids that are not there are missing from the answer."""
        source = self._source(name, partition)
        stored = source.fetch(ids, None, vectors=True) if ids else {}
        return {each: stored[each].document() for each in ids if each in stored}

    def delete(self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION) -> None:
        """Remove documents by id; ids that are not there are no error."""
        self._partition(name, partition).delete(ids)

    def count(self, name: str, partition: str | None = None) -> int:
        """Number of documents, in one partition or in all."""
        if partition is not None:
            return self._source(name, partition).count()
        self._source(name, DEFAULT_PARTITION)
        return sum(self._source(name, each).count() for each in self._partition_names(name))

    def query(self, name: str, query: Query) -> list[Hit]:
        """The `topk` best documents by exact hybrid score, best first, ties by id.

        Fewer only if fewer match the filter; those with nothing in common with the query score 0.
        Raises `QueryError` for a filter, topk or vector that cannot be used.
        """
        spec = self._spec(name)
        sides = check_query(query, spec)
        source = self._source(name, query.partition)
        with source.lock.reading():
            best = best_documents(source, sides, query.topk, filter_of(query))
            return hits_of(source, best, query.output_fields)

    def query_batch(self, name: str, queries: Sequence[Query]) -> list[list[Hit]]:
        """What `query` answers to each, in order.

        `TOGETHER_FROM` queries and more are answered together if vectors and alpha are all that
        they differ in.
        """
        answers: list[list[Hit]] = [[] for _ in queries]
        for numbers in alike(queries):
            hits_of_each_query = self._batch_alike(name, [queries[number] for number in numbers])
            for number, hits in zip(numbers, hits_of_each_query, strict=True):
                answers[number] = hits
        return answers

    def _batch_alike(self, name: str, queries: Sequence[Query]) -> Iterable[list[Hit]]:
        if len(queries) >= TOGETHER_FROM:
            spec, first = self._spec(name), queries[0]
            sides = [check_query(query, spec) for query in queries]
            source = self._source(name, first.partition)
            with source.lock.reading():
                if (matrix := source.matrix(spec.dimension)) is not None:
                    where = filter_of(first)
                    allowed = None if where is None else source.ids(where)
                    best = matrix.best(sides, first.topk, allowed)
                    names = first.output_fields
                    known = {} if names is None else source.remembered(names)
                    return hits_of_each(source, best, names, known)
        if len(queries) == 1:
            return [self.query(name, queries[0])]
        with ThreadPoolExecutor(READERS) as threads:
            return list(threads.map(lambda query: self.query(name, query), queries))

    def query_groups(
        self, name: str, query: Query, group_by: str, groups: int, per_group: int
    ) -> list[HitGroup]:
        """The best `per_group` hits of the `groups` best values of a field.

        Documents without the field are in no group. Raises `QueryError` as `query` does, and for
        groups * per_group above 1024.
        """
        spec = self._spec(name)
        check_field_name(group_by, spec)
        check_groups(groups, per_group)
        sides = check_query(replace(query, topk=1), spec)
        source = self._source(name, query.partition)

        def rank(topk: int, where: str | None) -> list[tuple[Scored, FieldValue | None]]:
            best = best_documents(source, sides, topk, where)
            hits = hits_of(source, best, (group_by,))
            return [(s, hit.fields.get(group_by)) for s, hit in zip(best, hits, strict=True)]

        with source.lock.reading():
            chosen = best_groups(
                rank, source.count(), filter_of(query), group_by, groups, per_group
            )
            return [
                HitGroup(
                    str(group.value), tuple(hits_of(source, group.documents, query.output_fields))
                )
                for group in chosen
            ]

    def losses(self, name: str) -> str:
        """A text that is another one each time that a failed writer's documents were lost."""
        self._spec(name)
        names = self._partition_names(name)
        return " ".join(note for each in names for note in losses(self._path(name, each)))

    def check(self, name: str) -> int:
        """Read every file of the collection and compare it with its checksum; how many bytes.

        0 if it was made by a version without checksums. Raises `StoreDamagedError` naming a file.
        """
        return sum(each.check() for each in self._partitions(name))

    def finish(self, name: str) -> None:
        """Merge what was written, build an HNSW graph where it pays, and let other processes in."""
        for partition in self._partitions(name):
            partition.finish(self._graph_from)
        if not is_sealed(self.root / name):  # made by a version without checksums; all have some
            with disk_errors(f"write the schema of {name!r}"):
                write_schema(self.root / name, self._spec(name))

    def close(self) -> None:
        """Release all files; the store may be used again."""
        with self._meeting:
            self._met.clear()
            release_partitions(id(self))

    def _path(self, name: str, partition: str) -> Path:
        return self.root / name / partition

    def _spec(self, name: str) -> CollectionSpec:
        check_name(name)
        spec = read_schema(self.root / name)
        if spec is None:
            there = ", ".join(self.collections()) or "none"
            raise NotThereError(f"no collection {name!r} in {self.uri}; there: {there}")
        return spec

    def _partition_names(self, name: str) -> list[str]:
        with disk_errors(f"list {self.root / name}"):
            return sorted(path.name for path in (self.root / name).glob("[!.]*") if path.is_dir())

    def _partitions(self, name: str) -> list[Partition]:
        self._partition(name, DEFAULT_PARTITION)
        return [self._shared(name, each) for each in self._partition_names(name)]

    def _partition(self, name: str, partition: str) -> Partition:
        """Raises `NotThereError`, or `StoreDamagedError` for the one that every collection has."""
        self._spec(name)
        check_name(partition, "partition")
        path = self._path(name, partition)
        if path.is_dir():
            return self._shared(name, partition)
        if partition == DEFAULT_PARTITION and path.parent.is_dir():
            raise StoreDamagedError(f"{path} is missing; {remedy(path.parent)}")
        there = ", ".join(self._partition_names(name))
        raise NotThereError(
            f"collection {name!r} has no partition {partition!r}; it has {there}; if its folder "
            f"was lost, {remedy(path.parent)}"
        )

    def _source(self, name: str, partition: str) -> Partition:
        """Where a partition is read; errors as `_partition`."""
        mine = self._partition(name, partition)
        if not self._finished:
            return mine
        with self._meeting:
            if mine.path not in self._met:
                self._met[mine.path] = self._meet(mine.path)
            return self._met[mine.path]

    def _meet(self, path: Path) -> Partition:
        """What was finished last of the partition at `path`, opened: it stays while it is read."""
        while True:
            place = place_to_read(path)
            found = shared_partition(place, id(self))
            try:
                found.open()
            except StoreError:
                if place.is_dir():
                    raise
                release_partition(place, id(self))  # another one was published just now
            else:
                return found

    def _shared(self, name: str, partition: str) -> Partition:
        return shared_partition(self._path(name, partition), id(self))

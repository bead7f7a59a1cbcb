"""DashVector, Alibaba Cloud's vector database, as one of this project's stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from pydantic import SecretStr

from tasks.errors import QueryError, RefusedError, UsageError
from tasks.names import check_name
from tasks.ranges import check_groups
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
from tasks.settings import DashVectorSettings
from tasks.store.checks import QuerySides, check_field_name
from tasks.store.dashvector import query as queries
from tasks.store.dashvector import sdk
from tasks.store.dashvector.check import DOCUMENT_ID, sides_of
from tasks.store.dashvector.collections import Collections
from tasks.store.dashvector.connection import Answer, Connection
from tasks.store.dashvector.credentials import credentials_of
from tasks.store.dashvector.delete import delete
from tasks.store.dashvector.errors import Remedy, remedy
from tasks.store.dashvector.options import MAX_IDS, DashVectorOptions
from tasks.store.dashvector.schema import info_of
from tasks.store.dashvector.upsert import Upsert
from tasks.store.stores import StoreAccess


class DashVectorStore:
    """A `VectorStore` on a DashVector cluster; it may be used from several threads.

    The service is eventually consistent: who counts right after an upsert must be ready to count
    again.
    """

    uri = "dashvector:"
    reads_may_lag = True

    def __init__(
        self, api_key: SecretStr, endpoint: SecretStr, options: DashVectorOptions | None = None
    ) -> None:
        self._options = options or DashVectorOptions()
        self._connection = Connection(api_key, endpoint, self._options)
        self._collections = Collections(self._connection)

    @classmethod
    def open(cls, place: str, access: StoreAccess) -> DashVectorStore:
        """The store at `dashvector:PLACE`, with the credentials of that name ("": those of the
        environment); raises `UsageError` if there are none."""
        settings = credentials_of(place, access.credentials)
        options = DashVectorOptions(
            requests_per_second=settings.requests_per_second,
            roots=settings.roots,
            slot=access.write_slot,
            retried=access.retried,
            waited=access.waited,
        )
        return cls.from_settings(settings, options)

    @classmethod
    def from_settings(
        cls, settings: DashVectorSettings, options: DashVectorOptions | None = None
    ) -> DashVectorStore:
        """A store for credentials that were read elsewhere, such as a Prefect block.

        Raises `UsageError` naming the variables that are missing or cannot be sent.
        """
        key, endpoint = settings.api_key or SecretStr(""), settings.endpoint or SecretStr("")
        given = {"DASHVECTOR_API_KEY": key, "DASHVECTOR_ENDPOINT": endpoint}
        missing = [name for name, value in given.items() if not value.get_secret_value().strip()]
        if missing:
            raise UsageError(
                f"the store dashvector: needs {' and '.join(missing)} in the environment (or "
                "..._FILE or ..._COMMAND that gives it); the DashVector console shows both"
            )
        odd = [name for name, value in given.items() if not _sendable(value)]
        if odd:
            raise UsageError(
                f"the store dashvector: cannot use {' and '.join(odd)}: a blank, a line break or a "
                "letter that is not ASCII is in it; copy it again from the DashVector console"
            )
        return cls(key, endpoint, options)

    def __repr__(self) -> str:
        """Neither key nor endpoint."""
        return "DashVectorStore()"

    def create(self, spec: CollectionSpec) -> None:
        """Make the collection and wait until it serves."""
        self._collections.create(spec)

    def describe(self, name: str) -> CollectionInfo | None:
        """Schema and size, or None if there is no such collection."""
        meta = self._collections.meta(name)
        return None if meta is None else info_of(meta, self.count(name))

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""
        answer = self._connection.ask("list collections", lambda client: client.list())
        return sorted(answer.output)

    def drop(self, name: str) -> None:
        """Delete the collection and wait until it is gone."""
        self._collections.drop(name)

    def upsert(
        self, name: str, documents: Iterable[Document], partition: str = DEFAULT_PARTITION
    ) -> UpsertResult:
        """Insert or replace by id, several requests in flight; a partition is made if missing."""
        spec = self._collections.spec(name, fresh=True)
        self._collections.need_partition(name, partition)
        return Upsert(self._connection, spec, partition).run(documents)

    def fetch(
        self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION
    ) -> dict[str, Document]:
        """Documents by id; ids that are not there are missing from the answer."""
        documents = {}
        for some in _chunks(ids, self._options.fetch_ids):
            output = self._fetch(name, some, partition).output
            documents.update({doc.id: _document(doc) for doc in output.values() if doc.id})
        return documents

    def _fetch(self, name: str, ids: list[str], partition: str) -> Answer:
        return self._collections.ask(
            f"fetch from partition {partition} of",
            name,
            lambda target: target.fetch(ids, partition=partition),
        )

    def delete(self, name: str, ids: Sequence[str], partition: str = DEFAULT_PARTITION) -> None:
        """Remove documents by id; ids that are not there are no error."""
        for some in _chunks(ids, MAX_IDS):
            delete(self._connection, name, some, partition)

    def count(self, name: str, partition: str | None = None) -> int:
        """Number of documents that reads see now, in one partition or in all."""

        def stats(target: sdk.Collection) -> sdk.Response:
            return target.stats() if partition is None else target.stats_partition(partition)

        what = "count" if partition is None else f"count partition {partition} of"
        return int(self._collections.ask(what, name, stats).output.total_doc_count)

    def query(self, name: str, query: Query) -> list[Hit]:
        """The best documents; one request."""
        spec, sides = self._checked(name, query)
        weighted = queries.weigh(sides, spec.dimension)
        arguments = queries.query_arguments(query, weighted, spec.fields)
        answer = self._search(
            name,
            query,
            lambda target: target.query(topk=query.topk, include_vector=True, **arguments),
        )
        return queries.hits(answer.output, query, weighted, self._fetcher(name, query))

    def query_batch(self, name: str, queries: Sequence[Query]) -> list[list[Hit]]:
        """What `query` answers to each, in order; `requests_in_flight` requests at a time."""
        with ThreadPoolExecutor(self._options.requests_in_flight) as threads:
            return list(threads.map(lambda query: self.query(name, query), queries))

    def query_groups(
        self, name: str, query: Query, group_by: str, groups: int, per_group: int
    ) -> list[HitGroup]:
        """The best hits of the best groups; vectors are fetched if the service would not send them
        with so many."""
        spec, sides = self._checked(name, replace(query, topk=1))
        check_field_name(group_by, spec)
        check_groups(groups, per_group)
        weighted = queries.weigh(sides, spec.dimension)
        arguments = queries.query_arguments(query, weighted, spec.fields, group_by) | {
            "group_by_field": group_by,
            "group_count": groups,
            "group_topk": per_group,
            "include_vector": queries.vectors_come_with(groups, per_group),
        }
        answer = self._search(name, query, lambda target: target.query_group_by(**arguments))
        return queries.groups(answer.output, query, weighted, self._fetcher(name, query), group_by)

    def losses(self, name: str) -> str:
        """Always the same: what the service acknowledged it keeps."""
        return ""

    def check(self, name: str) -> int:
        """0: files and checksums are the service's affair."""
        self._collections.spec(name, fresh=True)
        return 0

    def finish(self, name: str) -> None:
        """Nothing to do but to see that it is there: the service builds its index by itself."""
        self._collections.spec(name, fresh=True)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        self._connection.close()

    def _checked(self, name: str, query: Query) -> tuple[CollectionSpec, QuerySides]:
        check_name(query.partition, "partition")
        spec = self._collections.spec(name)
        try:
            return spec, sides_of(query, spec)
        except QueryError:
            # the collection may have been made again with another dimension or field
            spec = self._collections.spec(name, fresh=True)
            return spec, sides_of(query, spec)

    def _search(
        self, name: str, query: Query, question: Callable[[sdk.Collection], sdk.Response]
    ) -> Answer:
        try:
            return self._collections.ask(f"query partition {query.partition} of", name, question)
        except RefusedError as error:
            if remedy(error.code) is not Remedy.QUERY:
                raise
            what = f"filter {query.filter!r}" if query.filter else "the query"
            raise QueryError(f"{what} cannot be used: {error.reason}") from None

    def _fetcher(self, name: str, query: Query) -> queries.Fetch:
        return lambda ids: self.fetch(name, ids, query.partition)


def _sendable(value: SecretStr) -> bool:
    """Whether a header can carry it: gRPC would take any other for a fault of the service."""
    text = value.get_secret_value()
    return text.isascii() and text.isprintable() and " " not in text


def _chunks(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    """Distinct ids in pieces; ids that no document can have are left out."""
    possible = list(dict.fromkeys(one for one in ids if DOCUMENT_ID.fullmatch(one)))
    for start in range(0, len(possible), size):
        yield possible[start : start + size]


def _document(doc: sdk.Doc) -> Document:
    vector = np.asarray(doc.vector or (), dtype=np.float32)
    sparse = dict(sorted((doc.sparse_vector or {}).items()))
    return Document(doc.id, vector, sparse, queries.plain_fields(doc.fields))

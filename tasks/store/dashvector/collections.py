"""Collections and partitions of a cluster: looked up, waited for, and remembered with care."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import TypeVar

from tasks.errors import RefusedError, StoreError
from tasks.names import check_name
from tasks.records import DEFAULT_PARTITION, CollectionSpec
from tasks.store.dashvector import errors as codes
from tasks.store.dashvector import sdk
from tasks.store.dashvector.connection import Answer, Connection, Question
from tasks.store.dashvector.schema import check_spec, compare, sdk_types, spec_of

T = TypeVar("T")


class Collections:
    """What is known of a cluster's collections; schemas are remembered until `forget`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._options = connection.options
        self._specs: dict[str, CollectionSpec] = {}

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection and wait until it serves; raises `SchemaMismatchError`."""
        check_spec(spec)
        if self.meta(spec.name) is None:
            # -2025: an earlier attempt whose answer was lost, or another run; its schema decides
            self._connection.ask(
                f"create collection {spec.name}",
                lambda client: client.create(
                    spec.name,
                    spec.dimension,
                    metric="dotproduct",
                    dtype=float,
                    fields_schema=sdk_types(spec.fields),
                    timeout=-1,
                ),
                accept=(codes.COLLECTION_EXISTS,),
            )
        compare(
            spec, self._wait(f"collection {spec.name} to serve", lambda: self._ready(spec.name))
        )
        self.forget(spec.name)

    def drop(self, name: str) -> None:
        """Delete a collection and wait until it is gone; nothing happens if it is not there."""
        self._connection.ask(
            f"drop collection {name}", lambda client: client.delete(name), (codes.NO_COLLECTION,)
        )
        self.forget(name)
        self._wait(f"collection {name} to go", lambda: self.meta(name) is None or None)

    def meta(self, name: str) -> sdk.Meta | None:
        """The service's own description of a collection, or None if there is none."""
        check_name(name)
        answer = self._connection.ask(
            f"describe collection {name}",
            lambda client: client.describe(name),
            accept=(codes.NO_COLLECTION,),
        )
        meta: sdk.Meta | None = answer.output
        return meta

    def spec(self, name: str, fresh: bool = False) -> CollectionSpec:
        """Schema of a collection; raises `StoreError` if there is none."""
        if fresh:
            self.forget(name)
        known = self._specs.get(name)
        if known is None:
            meta = self.meta(name)
            if meta is None:
                raise StoreError(
                    f"there is no collection {name} in DashVector: index into it first"
                )
            known = self._specs[name] = spec_of(meta)
        return known

    def forget(self, name: str) -> None:
        """Read the schema anew on the next use: the collection may have been made again."""
        self._specs.pop(name, None)
        self._connection.forget(name)

    def ask(
        self,
        verb: str,
        name: str,
        question: Callable[[sdk.Collection], sdk.Response],
        accept: Container[int] = (),
    ) -> Answer:
        """Ask something of a collection, with retries; see `Connection.ask`."""
        check_name(name)
        try:
            return self._connection.ask(
                f"{verb} collection {name}", on_collection(name, question), accept
            )
        except RefusedError:
            self.forget(name)
            raise

    def need_partition(self, name: str, partition: str) -> None:
        """Make a partition if it is missing, and wait until it serves."""
        check_name(partition, "partition")
        if partition == DEFAULT_PARTITION:
            return
        meta = self.meta(name)
        if meta is None or partition not in meta.partitions:
            self.ask(
                f"create partition {partition} in",
                name,
                lambda target: target.create_partition(partition, timeout=-1),
                accept=(codes.PARTITION_EXISTS,),
            )
        self._wait(f"partition {partition} to serve", lambda: self._has(name, partition))

    def _has(self, name: str, partition: str) -> bool | None:
        answer = self.ask(
            f"describe partition {partition} of",
            name,
            lambda target: target.describe_partition(partition),
        )
        return True if answer.output == "SERVING" else None

    def _ready(self, name: str) -> sdk.Meta | None:
        meta = self.meta(name)
        if meta is not None and meta.status in ("ERROR", "DROPPING"):
            raise StoreError(f"collection {name} is {meta.status}: drop it and make it again")
        return meta if meta is not None and meta.status == "SERVING" else None

    def _wait(self, what: str, look: Callable[[], T | None]) -> T:
        end = time.monotonic() + self._options.ready_seconds
        while (served := look()) is None:
            if time.monotonic() > end:
                raise StoreError(f"waited {self._options.ready_seconds:.0f} s for {what}")
            time.sleep(self._options.poll_seconds)
        return served


def on_collection(name: str, question: Callable[[sdk.Collection], sdk.Response]) -> Question:
    """The same question, asked of a client: it looks the collection up first."""

    def ask(client: sdk.Client) -> sdk.Response:
        collection = client.get(name)
        return question(collection) if codes.normalise(collection.code) == 0 else collection

    return ask

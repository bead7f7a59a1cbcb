"""What requests to the service cost is seen: what was sent again, and what waited for its turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from tasks.context import Context
from tasks.settings import DashVectorSettings
from tasks.store.stores import StoreAccess
from tasks.telemetry.metrics import QUOTA_SECONDS, RETRIES
from tasks.telemetry.watch import Watch
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.loopback import loopback_allowed
from tests.store.conftest import SPEC
from tests.store.samples import random_documents


@contextmanager
def shared_slot() -> Iterator[None]:
    time.sleep(0.02)
    yield


def test_retries_and_waits_for_quota_are_counted() -> None:
    with loopback_allowed(), DashVectorServer() as server:
        key, endpoint = SecretStr(server.api_key), SecretStr(server.endpoint)
        settings = DashVectorSettings(api_key=key, endpoint=endpoint, requests_per_second=20)
        access = StoreAccess({"main": settings}, shared_slot)
        with Context(access=access, watch=Watch(lambda _: ())) as context:
            store = context.store("dashvector:main")
            store.create(SPEC)  # no run is under way: nobody counts
            with context.watch.run("index", "shop") as run:
                server.faults.script("upsert_doc", Fault("refuse", -2034), Fault("status", 14))
                assert store.upsert(SPEC.name, random_documents(3)).upserted == 3
                assert run.value(RETRIES, "request") == 2
                assert run.value(QUOTA_SECONDS, "shared") >= 0.02
                for _ in range(4):
                    store.count(SPEC.name)
            assert 0.01 < run.value(QUOTA_SECONDS, "process") < 10
            store.drop(SPEC.name)

"""The Prefect server that deployments are for: the configured one, or one started here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.environment import prepare
from flows.orchestration.origin import server_origin
from flows.orchestration.server_database import lay_out
from tasks.errors import UsageError, WorkFolderError

LEASES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"
VACUUM = "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"
VACUUM_RUNS = "events,flow_runs"
VACUUM_AFTER = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"
VACUUM_SECONDS = str(30 * 86_400)
"""Runs that ended longer ago are forgotten, with their logs and artifacts."""

ANSWER_SECONDS = 5.0
STARTING_SECONDS = 120.0
STOPPING_SECONDS = 20.0


def configured_server(home: str) -> str | None:
    """The API's address from the environment or Prefect's profile; None if there is none."""
    prepare(home, verbose=False)
    from prefect.settings import get_current_settings

    return get_current_settings().api.url or None


def require_server(home: str) -> str:
    """As `configured_server`; raises `UsageError` if there is none, or it does not answer."""
    address = configured_server(home)
    if address is None:
        raise UsageError(
            "no Prefect server is configured; start one with `prefect server start` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or use `muge serve` on one machine"
        )
    if not _answers(address):
        raise UsageError(
            f"no Prefect server answers at {address} ({server_origin()}); start it, or set "
            f"PREFECT_API_URL (and "
            f"PREFECT_API_AUTH_STRING or PREFECT_API_KEY if it asks for one)"
        )
    return address


@contextmanager
def server_on(home: str, port: int) -> Iterator[str]:
    """The configured server; without one, that on `port` of this machine, started if need be.

    What was started here is stopped at the end. Its data base and log are in `<home>/prefect`.
    Raises `UsageError` if something else holds the port, `WorkFolderError` if it does not start.
    """
    if configured_server(home) is not None:
        yield require_server(home)
        return
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    address = f"http://127.0.0.1:{port}/api"
    if _answers(address):
        with temporary_settings({PREFECT_API_URL: address}):
            yield address
        return
    if _taken(port):
        raise UsageError(f"port {port} is in use, and not by a Prefect server; choose a --port")
    log = get_current_settings().home / "server.log"
    lay_out(log.parent)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # an interrupt is for this process, which stops the server when it is done with it
            start_new_session=True,
            # places of runs outlive a restart, and the data base does not grow for ever
            env={
                LEASES: LEASES_ON_DISK,
                VACUUM: VACUUM_RUNS,
                VACUUM_AFTER: VACUUM_SECONDS,
                **os.environ,
            },
        )
    try:
        _wait(process, address, log)
        with temporary_settings({PREFECT_API_URL: address}):
            yield address
    finally:
        process.terminate()
        try:
            process.wait(STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + STARTING_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > end:
            raise WorkFolderError(f"the Prefect server did not start; its log is {log}")
        time.sleep(0.5)


def _answers(address: str) -> bool:
    """Whether a Prefect server is there, by its own client: it knows proxies and credentials."""
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    patience = {PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS, PREFECT_CLIENT_MAX_RETRIES: 0}
    with (
        temporary_settings({PREFECT_API_URL: address, **patience}),
        get_client(sync_client=True) as client,
    ):
        return client.api_healthcheck() is None


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""What `muge deploy` says of a server that loses places of runs, or shows its secrets to anyone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.settings.models.server.events import ServerEventsSettings
from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

from deployments.production.definitions import ROOT
from deployments.production.doubts import server_doubts
from deployments.production.server import (
    LEASES,
    LEASES_ON_DISK,
    VACUUM,
    VACUUM_AFTER,
    VACUUM_RUNS,
    VACUUM_SECONDS,
)
from tests.deployments.machines import Machine
from tests.deployments.test_deploy_images import compose


@pytest.mark.thorough
def test_a_server_as_prefect_starts_it_is_warned_of(deployed: Machine) -> None:
    done = deployed.muge("deploy", "--json")
    open_to_all, forgetful, hoarding = json.loads(done.stdout)["warnings"]
    assert open_to_all.startswith(f"anyone who reaches {deployed.api} can start runs and read")
    assert "PREFECT_SERVER_API_AUTH_STRING=" in open_to_all
    assert f"start it with {LEASES}={LEASES_ON_DISK}" in forgetful
    assert f"for ever: start it with {VACUUM}={VACUUM_RUNS}" in hoarding
    said = [line for line in done.stderr.splitlines() if line.startswith("muge: warning: ")]
    assert len(said) == 3


@contextmanager
def answering(status: int, storage: str, asks: bool, vacuum: Any = True) -> Iterator[str]:
    """A server that says its settings to whoever has credentials, or to all."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = not asks or self.headers.get("Authorization", "").startswith("Basic")
            services = {"db_vacuum": {"enabled": vacuum}}
            said = {"server": {"concurrency": {"lease_storage": storage}, "services": services}}
            content = json.dumps(said if known else {}).encode()
            self.send_response(status if known else 401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/api"
    with temporary_settings({PREFECT_API_URL: address, PREFECT_API_AUTH_STRING: "me:secret"}):
        yield address
    server.shutdown()
    thread.join()
    server.server_close()


MEMORY = "prefect.server.concurrency.lease_storage.memory"
SERVERS: dict[str, tuple[tuple[Any, ...], list[str]]] = {
    "all is well": ((200, LEASES_ON_DISK, True), []),
    "leases elsewhere": ((200, "prefect_redis.lease_storage", True), []),
    "leases in memory": ((200, MEMORY, True), ["keeps the places"]),
    "open": ((200, LEASES_ON_DISK, False), ["anyone who reaches"]),
    "runs are kept": ((200, LEASES_ON_DISK, True, ["events"]), ["keeps every run"]),
    "runs are forgotten": ((200, LEASES_ON_DISK, True, ["orphans", "flow_runs"]), []),
    "all is forgotten": ((200, LEASES_ON_DISK, True, True), []),
    "it does not say": ((404, MEMORY, False), []),
}


@pytest.mark.parametrize("case", SERVERS)
def test_servers(case: str) -> None:
    answers, expected = SERVERS[case]
    with answering(*answers) as address:
        doubts = server_doubts(address)
    assert [said in doubt for said, doubt in zip(expected, doubts, strict=True)] == [True] * len(
        expected
    )
    assert "secret" not in "".join(doubts).replace("secrets", "")


def test_the_compose_file_s_server_is_closed_and_forgets_nothing() -> None:
    services = compose()["services"]
    server = services["server"]["environment"]
    assert server[LEASES] == LEASES_ON_DISK
    assert (server[VACUUM], server[VACUUM_AFTER]) == (VACUUM_RUNS, VACUUM_SECONDS)
    kept = [volume.partition(":")[2] for volume in services["server"]["volumes"]]
    assert any(Path(server["PREFECT_HOME"]).is_relative_to(place) for place in kept)
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_ENCRYPTION_KEY"):
        assert ":?" in server[name], f"{name} must be given"
    for name, service in services.items():
        environment = service.get("environment", {})
        assert ("PREFECT_API_URL" in environment) == ("PREFECT_API_AUTH_STRING" in environment), (
            name
        )


def test_the_compose_file_s_server_forgets_what_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in compose()["services"]["server"]["environment"].items():
        if "RETENTION" in name or "VACUUM" in name:
            monkeypatch.setenv(name, value)
    vacuum, events = ServerServicesDBVacuumSettings(), ServerEventsSettings()
    assert vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert (vacuum.retention_period, events.retention_period) == (
        timedelta(days=30),
        timedelta(days=7),
    )


def test_no_page_opens_a_server_to_a_network_without_a_password() -> None:
    pages = [ROOT / "README.md", *(ROOT / "deployments" / "docs").rglob("*.md")]
    for page in pages:
        for line in page.read_text("utf-8").splitlines():
            if re.search(r"prefect server start.*--host", line):
                assert "PREFECT_SERVER_API_AUTH_STRING" in line, page


@pytest.mark.slow
def test_places_of_runs_outlive_a_restart(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "here")
    machine.environment[LEASES] = LEASES_ON_DISK
    with machine:
        machine.ask("v2/concurrency_limits/", name="one", limit=1)
        body = {"names": ["one"], "slots": 1, "mode": "concurrency", "lease_duration": 300}
        lease = machine.ask("v2/concurrency_limits/increment-with-lease", **body)["lease_id"]
        machine.restart_server()
        again = machine.post(f"v2/concurrency_limits/leases/{lease}/renew", lease_duration=300)
        assert again.is_success, again.text

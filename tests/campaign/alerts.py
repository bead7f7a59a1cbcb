"""Who is told when something needs an operator, and what they were told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.deployments.machines import ROOT, Machine

SAVE_BLOCK = """
from prefect.blocks.notifications import CustomWebhookNotificationBlock
told = {{"subject": "{{{{subject}}}}", "body": "{{{{body}}}}"}}
block = CustomWebhookNotificationBlock(name="people", url={url!r}, json_data=told)
print(block.save("people", overwrite=True))
"""

NO_BLOCK = "00000000-0000-0000-0000-000000000000"
"""Where the example's reader puts the id of a block."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody gets."""

    subject: str
    body: str

    @property
    def line(self) -> str:
        """Its first line; the rest is where to look."""
        return self.body.splitlines()[0]


@dataclass
class People:
    """Those who are told at an address, and what they were told, in order."""

    url: str
    told: list[Alert] = field(default_factory=list)

    def told_of(self, run: str) -> list[Alert]:
        """What they were told of a run, each once."""
        return list(dict.fromkeys(alert for alert in self.told if run in alert.body))

    @property
    def repeated(self) -> int:
        """How often they were told the same again, word for word: a Prefect server whose data base
        is busy right after it sent an alert sends it again, up to three times."""
        return len(self.told) - len(set(self.told))


@contextmanager
def people() -> Iterator[People]:
    """Somebody who listens on loopback."""

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            listening.told.append(Alert(str(said["subject"]), str(said["body"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    listening = People(f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield listening
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tell(machine: Machine, people: People) -> None:
    """Set up the alerts that ship with the deployments, to these people."""
    block = machine.python(SAVE_BLOCK.format(url=people.url)).strip()
    alerts = (ROOT / "deployments" / "notification.yaml").read_text("utf-8")
    file = machine.folder / "notification.yaml"
    file.write_text(alerts.replace(NO_BLOCK, block), "utf-8")
    machine.prefect("automation", "create", "--from-file", str(file))

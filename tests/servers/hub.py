"""A model hub on the loopback device: models and data sets for the real modelscope client.

It answers what the client asks when it lists and downloads a snapshot, resumes broken files, and
can misbehave: wrong contents, bodies cut short, files that are missing, answers that are slow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.servers.serving import Serving

_ROUTE = re.compile(r"/api/v1/(models|datasets)/([^/]+/[^/]+)/repo(/files|/tree)?")
_PIECE = 1 << 16
QUIET = {
    "MODELSCOPE_DOWNLOAD_INTRA_CLOUD": "false",  # else it asks its cloud where this machine is
    "MODELSCOPE_DOWNLOAD_MAX_RETRIES": "2",
    "MODELSCOPE_API_MAX_RETRIES": "1",
}
"""Environment for the client beside address and cache: it talks to nobody else and fails soon."""


@dataclass(frozen=True)
class Fault:
    """How a file is served wrongly, `times` times.

    `wrong` changes its bytes, `cut` closes the connection after half of them, `missing` answers
    404, `broken` 500, `slow` waits `seconds` before the answer.
    """

    kind: str
    times: int = 1_000_000
    seconds: float = 0.0


@dataclass
class _Repo:
    folder: Path
    revisions: tuple[str, ...]

    def files(self) -> list[Path]:
        return sorted(file for file in self.folder.rglob("*") if file.is_file())

    def listing(self) -> list[dict[str, object]]:
        return [
            {
                "Name": file.name,
                "Path": file.relative_to(self.folder).as_posix(),
                "Type": "blob",
                "Size": file.stat().st_size,
                "Sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in self.files()
        ]


@dataclass
class Answer:
    """Status, body, headers, and how many bytes of the body are sent before the line goes dead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None


NOT_FOUND = Answer(404, b'{"Code": 404, "Success": false, "Message": "not found"}')


class Hub(Serving):
    """Serves folders as repositories; `requests` are the paths that were asked for."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.faults: dict[str, Fault] = {}
        self._repos: dict[tuple[str, str], _Repo] = {}
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def add_model(self, name: str, folder: Path, *revisions: str) -> None:
        """Serve a folder as a model, at `master` unless revisions are named."""
        self._repos["models", name] = _Repo(folder, revisions or ("master",))

    def add_dataset(self, name: str, folder: Path, *revisions: str) -> None:
        """Serve a folder as a data set, at `master` unless revisions are named."""
        self._repos["datasets", name] = _Repo(folder, revisions or ("master",))

    def environment(self, cache: Path) -> dict[str, str]:
        """What a process needs to know this hub and no other."""
        return {**QUIET, "MODELSCOPE_ENDPOINT": self.url, "MODELSCOPE_CACHE": str(cache)}

    def downloads(self, file: str) -> int:
        """How often a file was asked for."""
        return sum(f"FilePath={file}" in request for request in self.requests)

    def answer(self, path: str, wanted: str | None) -> Answer:
        """What to say to a request; `wanted` is its Range header."""
        self.requests.append(path)
        parts = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        route = _ROUTE.fullmatch(parts.path)
        repo = self._repos.get((route[1], route[2])) if route else None
        if route is None or repo is None or asked.get("Revision", "master") not in repo.revisions:
            return NOT_FOUND
        if route[3]:
            return Answer(200, json.dumps(_page(repo, asked)).encode())
        files = {file.relative_to(repo.folder).as_posix(): file for file in repo.files()}
        name = asked.get("FilePath", "")
        if name not in files:
            return NOT_FOUND
        return self._spoilt(name, _ranged(files[name].read_bytes(), wanted))

    def _spoilt(self, name: str, answer: Answer) -> Answer:
        with self._lock:
            fault = self.faults.get(name)
            if fault is None or fault.times < 1:
                return answer
            self.faults[name] = Fault(fault.kind, fault.times - 1, fault.seconds)
        if fault.kind == "missing":
            return NOT_FOUND
        if fault.kind == "broken":
            return Answer(500, b"{}")
        if fault.kind == "wrong":
            answer.body = bytes(byte ^ 1 for byte in answer.body)
        if fault.kind == "cut":
            answer.sent = len(answer.body) // 2
        time.sleep(fault.seconds)
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = hub.answer(self.path, self.headers.get("Range"))
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                body = answer.body[: answer.sent]
                for start in range(0, len(body), _PIECE):
                    self.wfile.write(body[start : start + _PIECE])
                if answer.sent is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def _page(repo: _Repo, asked: dict[str, str]) -> dict[str, object]:
    """The listing; data sets are asked for by page."""
    files, size = repo.listing(), int(asked.get("PageSize", "1000000"))
    start = size * (int(asked.get("PageNumber", "1")) - 1)
    return {
        "Code": 200,
        "Success": True,
        "TotalCount": len(files),
        "Data": {"Files": files[start : start + size], "TotalCount": len(files)},
    }


def _ranged(body: bytes, wanted: str | None) -> Answer:
    """The whole file, or what `bytes=START-[END]` asks of it."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
    if match is None:
        return Answer(200, body, {"Accept-Ranges": "bytes"})
    start, stop = int(match[1]), min(int(match[2] or len(body)) + 1, len(body))
    if start >= len(body):
        return Answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
    said = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
    return Answer(206, body[start:stop], said)


@contextmanager
def using(hub: Hub, cache: Path) -> Iterator[None]:
    """While it lasts, modelscope clients that this process makes talk to the hub."""
    from modelscope_hub import set_default_config

    new = hub.environment(cache)
    before = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    set_default_config(None)  # read the environment again
    try:
        yield
    finally:
        set_default_config(None)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""A model hub on the loopback device that speaks as much of ModelScope's protocol as a download
of a model asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit


class ModelHub:
    """Serves one folder as one model; `requests` are the paths that were asked for."""

    def __init__(self, folder: Path, model: str, revisions: tuple[str, ...]) -> None:
        self.folder = folder
        self.model = model
        self.revisions = revisions
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ModelHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def downloads(self, file: str) -> int:
        """How often a file was asked for."""
        return sum(f"FilePath={file}" in request for request in self.requests)

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body for a request."""
        self.requests.append(path)
        parts = urlsplit(path)
        asked = parse_qs(parts.query)
        known = asked.get("Revision", ["master"])[0] in self.revisions
        root = f"/api/v1/models/{self.model}/repo"
        if known and parts.path == f"{root}/files":
            return 200, json.dumps(self._listing()).encode()
        if known and parts.path == root:
            return 200, (self.folder / asked["FilePath"][0]).read_bytes()
        return 404, json.dumps({"Code": 404, "Success": False, "Message": "not found"}).encode()

    def _listing(self) -> dict[str, object]:
        files: list[dict[str, object]] = [
            {
                "Name": file.name,
                "Path": file.name,
                "Type": "blob",
                "Size": file.stat().st_size,
                "Sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in sorted(self.folder.iterdir())
        ]
        files.append({"Name": "README.md", "Path": "README.md", "Type": "blob", "Size": 3})
        return {"Code": 200, "Success": True, "Data": {"Files": files}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = hub.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

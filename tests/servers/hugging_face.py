"""Hugging Face's hub on the loopback device: models for the real client of huggingface_hub.

It answers what the client asks when it lists and downloads a snapshot; files that are large are
named by their SHA-256, as there, which the client does not check.
"""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.servers.serving import Serving

_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(?:revision|tree)/([^/]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HuggingFaceHub(Serving):
    """Serves folders as models at `main`; `requests` are the paths that were asked for.

    It can misbehave: `refusing` is a status for every request, `page` a body for every one, files
    in `wrong` have other bytes than they are named by, and `listed` names files beside those that
    there are.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.refusing = 0
        self.page = b""
        self.wrong: set[str] = set()
        self.listed: list[str] = []
        self._models: dict[str, dict[str, Path]] = {}
        super().__init__(self._handler())

    def add_model(self, name: str, folder: Path, commit: str = COMMIT) -> None:
        """Serve a folder as a model: its branch moves to a commit, and those before stay."""
        self._models.setdefault(name, {}).pop(commit, None)
        self._models[name][commit] = folder

    def environment(self, cache: Path) -> dict[str, str]:
        """What a process needs to know this hub and no other."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def downloads(self, file: str) -> int:
        """How often the contents of a file were asked for."""
        return sum(
            request.startswith("GET ") and request.endswith(f"/{file}") for request in self.requests
        )

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        place = unquote(urlsplit(path).path)
        info, file = _INFO.fullmatch(place), _FILE.fullmatch(place)
        found = info or file
        if self.refusing or self.page:
            return self.refusing or 200, self.page, {}
        commits = self._models.get(found[1], {}) if found else {}
        last = next(reversed(commits), "")
        commit = last if found and found[2] in (None, "main") else found[2] if found else ""
        if found is None or commit not in commits:
            missing = "RevisionNotFound" if commits else "RepoNotFound"
            return 404, b'{"error": "not found"}', {"X-Error-Code": missing}
        folder = commits[commit]
        if info:
            tree = [*_tree(folder), *({**_NOTHING, "path": path} for path in self.listed)]
            listed = tree if "/tree/" in place else _model(info[1], commit, tree)
            return 200, json.dumps(listed).encode(), {}
        there = folder / found[3]
        if not there.is_file():
            return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
        body = there.read_bytes()
        etag = hashlib.sha256(body).hexdigest()
        sent = bytes(byte ^ 1 for byte in body) if found[3] in self.wrong else body
        return 200, sent, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(True)

            def do_HEAD(self) -> None:
                self._answer(False)

            def _answer(self, whole: bool) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                status, body, headers = hub.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if whole:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


_NOTHING: dict[str, object] = {"type": "file", "size": 0, "oid": "0" * 40}


def _model(name: str, commit: str, tree: list[dict[str, object]]) -> dict[str, object]:
    siblings = [{"rfilename": file["path"]} for file in tree]
    return {"id": name, "modelId": name, "sha": commit, "siblings": siblings}


def _tree(folder: Path) -> list[dict[str, object]]:
    return [
        {
            "type": "file",
            "path": file.relative_to(folder).as_posix(),
            "size": file.stat().st_size,
            "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]

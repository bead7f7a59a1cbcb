"""An object storage on loopback that speaks as much of Alibaba Cloud OSS as ossfs asks for.

It is made from OSS's public API reference, not from the service, which no test can reach: buckets
and objects in memory, listings, byte ranges, copies, and uploads that must not overwrite.
Signatures are not checked.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

_INFO = (
    "<BucketInfo><Bucket><Name>{0}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate>"
    "<ExtranetEndpoint>e</ExtranetEndpoint><IntranetEndpoint>i</IntranetEndpoint>"
    "<Location>l</Location><StorageClass>Standard</StorageClass><Owner><DisplayName>o</DisplayName>"
    "<ID>1</ID></Owner><AccessControlList><Grant>private</Grant></AccessControlList></Bucket>"
    "</BucketInfo>"
)


@dataclass
class OssServer:
    """Objects by `bucket/key`; `requests` are the methods and paths that were asked for."""

    buckets: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    endpoint: str = ""

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of a request."""
        parts = urlsplit(target)
        asked = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        with self.lock:
            self.requests.append((method, f"{bucket}/{key}"))
            if bucket not in self.buckets:
                return _error(404, "NoSuchBucket")
            if not key:
                return self._of_bucket(bucket, asked)
            return self._of_object(method, f"{bucket}/{key}", headers, body)

    def _of_bucket(self, bucket: str, asked: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if "bucketInfo" in asked:
            return 200, _INFO.format(bucket).encode(), {}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        files, folders = [], set()
        for name in sorted(self.objects):
            if not name.startswith(f"{bucket}/{prefix}"):
                continue
            key = name[len(bucket) + 1 :]
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                files.append((key, self.objects[name]))
        said = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z"
            f'</LastModified><ETag>"{_tag(content)}"</ETag><Type>Normal</Type>'
            f"<Size>{len(content)}</Size><StorageClass>Standard</StorageClass></Contents>"
            for key, content in files
        )
        said += "".join(
            f"<CommonPrefixes><Prefix>{quote(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        )
        head = f"<Name>{bucket}</Name><EncodingType>url</EncodingType>"
        more = "<IsTruncated>false</IsTruncated>"
        return 200, f"<ListBucketResult>{head}{more}{said}</ListBucketResult>".encode(), {}

    def _of_object(
        self, method: str, name: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if method == "PUT":
            if headers.get("x-oss-forbid-overwrite") == "true" and name in self.objects:
                return _error(409, "FileAlreadyExists")
            if source := headers.get("x-oss-copy-source"):
                body = self.objects[unquote(source).lstrip("/")]
            self.objects[name] = body
            return 200, b"", {"ETag": f'"{_tag(body)}"'}
        if method == "DELETE":
            self.objects.pop(name, None)
            return 204, b"", {}
        if name not in self.objects:
            return _error(404, "NoSuchKey")
        content = self.objects[name]
        said = {"ETag": f'"{_tag(content)}"', "Last-Modified": formatdate(usegmt=True)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if wanted and content:
            start, stop = int(wanted[1]), min(int(wanted[2] or len(content)) + 1, len(content))
            said["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            return 206, content[start:stop], said
        return 200, content, said


def _tag(content: bytes) -> str:
    return md5(content).hexdigest().upper()


def _error(status: int, code: str) -> tuple[int, bytes, dict[str, str]]:
    said = f"<Error><Code>{code}</Code><Message>{escape(code)}</Message></Error>".encode()
    return status, said, {"x-oss-err": base64.b64encode(said).decode()}


@contextmanager
def oss_server() -> Iterator[OssServer]:
    """A server on a free port of loopback, while the block runs."""
    state = OssServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content, said = state.answer(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in {"x-oss-request-id": "1", **said}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()

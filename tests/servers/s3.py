"""An S3 server on loopback: moto's, in a process of its own, for the real s3fs.

It decides conditional uploads as the service does (one of many wins): one at a time, since moto
looks and writes in two steps. It is slow, and its network has no latency: nothing here says how
fast S3 is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import fsspec
from s3fs import S3FileSystem

_SERVER = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from tests.servers.s3 import Log
app = Log(DomainDispatcherApplication(create_backend_app), sys.argv[1])
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Log:
    """Notes each request's method and path in a file, a line each; conditional ones take turns."""

    def __init__(self, app: object, path: str) -> None:
        self._app = app
        self._file = open(path, "a", buffering=1)  # noqa: SIM115
        self._turn = threading.Lock()

    def __call__(self, environ: Mapping[str, str], start_response: object) -> object:
        print(environ["REQUEST_METHOD"], environ["PATH_INFO"], file=self._file)
        conditional = "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MATCH" in environ
        with self._turn if conditional else nullcontext():
            return self._app(environ, start_response)  # type: ignore[operator]


@dataclass(frozen=True)
class S3Server:
    """Where the server is, and what clients need in their environment."""

    endpoint: str
    log: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes every S3 client of a process talk to this server and no other."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def requests(self) -> list[tuple[str, str]]:
        """(method, path) of all requests so far."""
        with open(self.log, encoding="utf-8") as file:
            return [(line.split()[0], line.split()[1]) for line in file]

    def bucket(self) -> str:
        """The URL of a new bucket."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
        return f"s3://{name}"


@contextmanager
def s3_server(log: str) -> Iterator[S3Server]:
    """A server that runs while the block does; this process's S3 clients talk to it."""
    open(log, "w").close()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, log],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    before = dict(os.environ)
    S3FileSystem.clear_instance_cache()  # an instance keeps the endpoint it was made with
    try:
        assert process.stdout is not None
        port = re.match(r"\d+", process.stdout.readline())
        assert port, "moto's server did not start"
        server = S3Server(f"http://127.0.0.1:{port[0]}", log)
        os.environ.update(server.environment)
        yield server
    finally:
        S3FileSystem.clear_instance_cache()
        os.environ.clear()
        os.environ.update(before)
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()

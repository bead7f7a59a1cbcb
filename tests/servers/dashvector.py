"""A DashVector to develop and test against: in memory, on loopback, spoken to by the real SDK.

    python -m tests.servers.dashvector --port 18600

It is not DashVector: searches are exact instead of approximate, nothing is kept when it ends,
there is one vector a document, no quantization, no HTTP and no quotas but the documented limits of
a request. It shows that a client is right; it says nothing about the service's speed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from dashvector.core.proto.dashvector_pb2_grpc import add_DashVectorServiceServicer_to_server

from tests.servers.dashvector_faults import Fault, Faults, parse_fault
from tests.servers.dashvector_service import DashVectorService

MAX_MESSAGE_BYTES = 128 * 1024 * 1024


class _Measure(grpc.ServerInterceptor):  # type: ignore[misc]
    """Notes each request's length as `context.request_bytes`: to ask a message for its length
    costs more than everything else that this server does with it."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None

        def read(raw: bytes) -> tuple[Any, int]:
            return handler.request_deserializer(raw), len(raw)

        def answer(sized: tuple[Any, int], context: Any) -> Any:
            request, context.request_bytes = sized
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, read, handler.response_serializer)


class DashVectorServer:
    """A server on 127.0.0.1 whose documents outlive `go_away`, so that it can come back.

    `tls` are the files of its certificate and key; None: it speaks without.
    """

    def __init__(
        self,
        api_key: str = "test-key",
        port: int = 0,
        serving_delay: float = 0.0,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.api_key = api_key
        self.faults = Faults()
        self.service = DashVectorService(api_key, self.faults, serving_delay)
        self.port = port
        self._tls = tls
        self._server: Any = None

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> DashVectorServer:
        """Listen; the port is chosen on the first start and kept."""
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=16),
            interceptors=(_Measure(),),
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ),
        )
        add_DashVectorServiceServicer_to_server(self.service, self._server)
        address = f"127.0.0.1:{self.port}"
        if self._tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            certificate, key = (path.read_bytes() for path in self._tls)
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()
        return self

    def go_away(self) -> None:
        """Stop listening and cut every call; documents stay."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def come_back(self) -> None:
        """Listen again on the same port."""
        self.start()

    def __enter__(self) -> DashVectorServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.go_away()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    options = _parser().parse_args(arguments)
    server = DashVectorServer(options.api_key, options.port, options.serving_delay)
    server.faults.requests_per_second = options.requests_per_second
    server.faults.lag = options.lag
    chances: dict[str, list[tuple[float, Fault]]] = {}
    for method, probability, fault in options.fault:
        chances.setdefault(method, []).append((probability, fault))
    server.faults.draw(options.seed, chances)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with server:
        print(f"export DASHVECTOR_ENDPOINT={server.endpoint} DASHVECTOR_API_KEY={server.api_key}")
        print("# then: python -m tests.servers.loopback muge ...", flush=True)
        ended.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers.dashvector",
        description="A DashVector for development: in memory, on 127.0.0.1 only.",
        epilog="The real SDK refuses an endpoint with a port; "
        "`python -m tests.servers.loopback muge ...` runs a command that may use it.",
    )
    parser.add_argument("--port", type=int, default=0, help="port, 0 for any free one (default)")
    parser.add_argument("--api-key", default="test-key", help="the only key that is accepted")
    parser.add_argument(
        "--serving-delay", type=float, default=0.0, help="seconds until a new collection serves"
    )
    parser.add_argument("--lag", type=float, default=0.0, help="seconds that reads lag writes")
    parser.add_argument(
        "--requests-per-second", type=float, default=0.0, help="more are refused with -2034"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument(
        "--fault",
        type=parse_fault,
        action="append",
        default=[],
        metavar="METHOD=KIND[:NUMBER]@PROBABILITY",
        help="e.g. upsert_doc=drop:14@0.05, query_doc=delay:2@0.1, upsert_doc=refuse:-2034@0.2; "
        "kinds: refuse, trailer, status, drop, delay, partial; may be given several times",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Listening: one process, one event loop, as the settings say."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from functools import partial

import uvicorn
from fastapi import FastAPI

from deployments.studio.app import make_app, tended
from deployments.studio.assistant import serve_assistant
from deployments.studio.connections import BoundedProtocol, ConnectionLimits, Crowd
from deployments.studio.guard import LOOPBACK
from deployments.studio.service import is_loading
from flows.command.output import explained, told
from flows.command.surroundings import leave
from flows.orchestration.context import caller_context
from tasks.errors import UsageError
from tasks.settings import Settings, WebSettings, load_settings, load_web_settings


def serve(settings: Settings, web: WebSettings) -> None:
    """Listen until interrupted or terminated, which is how a page ends well.

    Raises `UsageError` if it cannot listen there.
    """
    _check_free(web.host, web.port)
    _limit_threads(web)
    logging.basicConfig(level=logging.WARNING, format="muge web: %(message)s", stream=sys.stderr)
    if web.host not in LOOPBACK and web.token is None:
        open_to_all = told(
            f"anybody who reaches {web.host}:{web.port} may search: set MUGE_WEB_TOKEN unless that "
            f"is meant"
        )
        print(f"muge web: {open_to_all}", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), caller_context(settings) as context:
        _Server(server_config(make_app(context, settings, web), web)).run()
    _leave_what_loads()


def serve_tools(settings: Settings, web: WebSettings) -> None:
    """Answer one assistant on standard input and output until it goes, or this is ended."""
    _limit_threads(web)
    logging.basicConfig(level=logging.WARNING, format="muge mcp: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), caller_context(settings) as context:
        serve_assistant(context, settings, web, tended)
    _leave_what_loads()


def _leave_what_loads() -> None:
    """End here if a model is being loaded: that may take longer than who ended this waits, and
    Python cannot end well beside native code that goes on."""
    if is_loading():
        leave()
        sys.stderr.flush()
        os._exit(0)


def _limit_threads(web: WebSettings) -> None:
    """How many CPU threads one model call uses, said before torch is loaded.

    All cores would be slower: a call waits for its slowest thread, and the others spin meanwhile.
    On two busy cores a text took 16 ms (p50) with one thread and 84 ms with two.
    """
    if web.threads or "OMP_NUM_THREADS" not in os.environ:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        os.environ["OMP_NUM_THREADS"] = str(web.threads or max(1, cores // 2 // web.workers))


def _check_free(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"the page cannot listen on {host}:{port}: {error.strerror}; give another --port (0: "
            f"any free one) or --host"
        ) from None


def server_config(app: FastAPI, web: WebSettings) -> uvicorn.Config:
    """How the application is served; for one server."""
    proxies = frozenset(name.strip() for name in web.proxies.split(",") if name.strip())
    limits = ConnectionLimits(
        web.connections, web.client_connections, web.head_seconds, web.body_seconds, proxies
    )
    return uvicorn.Config(
        app,
        host=web.host,
        port=web.port,
        http=partial(BoundedProtocol, Crowd(limits)),  # type: ignore[arg-type]
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(web.proxies),
        forwarded_allow_ips=web.proxies or None,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup()
        for server in self.servers if self.started else ():
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                print(f"Search page: http://{shown}:{port}/", flush=True)


def main() -> None:
    """Serve what the environment says."""
    with explained():
        serve(load_settings(), load_web_settings())

"""Connections of the server: how long they may take, and how many a client and all may hold.

uvicorn waits for ever for a request that does not come, and answers everybody with 503, health too,
when one client holds all connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from deployments.studio import problems
from deployments.studio.limits import client_key

PEER = "muge.peer"
"""Where a request's scope has the address that really sent it."""

HEALTH = ("/api/health", "/api/ready")
LINGER_SECONDS = 1.0
"""For a client to read the answer to what it did not send to the end."""
WRITE_SECONDS = 30.0
"""For a client to take some of what it asked for."""

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`most` connections in all and `a_client` of one client (addresses in `proxies` are none);
    seconds for a request's head, counted from the connection or its first byte, and its body."""

    most: int
    a_client: int
    head_seconds: float
    body_seconds: float
    proxies: frozenset[str] = frozenset()


class Crowd:
    """The connections of one server. For one too many an idle one of the same client, or of the
    client that has most, is closed; if none is idle the new one is told of health and nothing
    else."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._clients: dict[str, dict[BoundedProtocol, None]] = {}
        self._count = 0

    def enter(self, one: BoundedProtocol, address: str) -> bool:
        """Take a connection in; whether there is room to serve it."""
        key = client_key(address)
        own = self._clients.setdefault(key, {})
        own[one] = None
        self._count += 1
        if len(own) > self.limits.a_client and address not in self.limits.proxies:
            return self._close_idle(own, one)
        if self._count > self.limits.most:
            return self._close_idle(max(self._clients.values(), key=len), one)
        return True

    def used(self, one: BoundedProtocol, address: str) -> None:
        """Of a client's idle connections the one that was used longest ago goes first."""
        own = self._clients.get(client_key(address), {})
        if one in own:
            own[one] = own.pop(one)

    def leave(self, one: BoundedProtocol, address: str) -> None:
        """Let a connection go; nothing happens if it went before."""
        key = client_key(address)
        own = self._clients.get(key, {})
        if one in own:
            del own[one]
            self._count -= 1
        if not own:
            self._clients.pop(key, None)

    def is_bursting(self) -> bool:
        """Whether not even health can be answered any more."""
        return self._count > 2 * self.limits.most

    @staticmethod
    def _close_idle(own: dict[BoundedProtocol, None], besides: BoundedProtocol) -> bool:
        for one in own:
            if one is not besides and one.is_idle:
                one.end()
                return True
        return False


class BoundedProtocol(H11Protocol):
    """uvicorn's own, with timers and a place in the crowd."""

    def __init__(self, crowd: Crowd, **given: Any) -> None:
        super().__init__(**given)
        self._crowd = crowd
        self._limits = crowd.limits
        self._timer: asyncio.TimerHandle | None = None
        self._timed: object = None
        self._writing: asyncio.TimerHandle | None = None
        self._address = "unknown"

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin: the first request has to come."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else "unknown"
        if not self._crowd.enter(self, self._address):
            self.app = only_health(self.app)
        self.app = naming_peer(self.app, self._address)
        if self._crowd.is_bursting():
            transport.abort()
        self._time(h11.IDLE, self._limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        """Take bytes: of a head, a body, or of what nobody asked for any more."""
        super().data_received(data)
        self._crowd.used(self, self._address)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer is out; what is left of its request is not waited for."""
        self._time(None)
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._time(h11.SEND_BODY, LINGER_SECONDS)
        elif not self.is_idle:  # the next one was there already
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._time(None)
        self.resume_writing()
        self._crowd.leave(self, self._address)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes nothing."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client takes something."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    def end(self) -> None:
        """Close an idle connection."""
        self._crowd.leave(self, self._address)
        self.transport.close()

    def _watch(self) -> None:
        """Set the timer of what has to come next, unless it is set already."""
        state = self.conn.their_state
        if state is self._timed:
            return
        limits = self._limits
        seconds = {  # the application itself gives up a body first, and says so
            h11.IDLE: limits.head_seconds,
            h11.SEND_BODY: limits.body_seconds + LINGER_SECONDS,
        }
        self._time(state, seconds.get(state))

    def _time(self, state: object, seconds: float | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timed = state
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._end_slow)

    def _end_slow(self) -> None:
        answered = self.cycle is not None and self.cycle.response_started
        has_begun = self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        if has_begun and not answered and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
        self.transport.close()


def naming_peer(application: Any, address: str) -> Application:
    """The application, told who really sent a request, whatever a proxy's header says later."""

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        await application({**scope, PEER: address}, receive, send)

    return answer


def only_health(application: Any) -> Application:
    """The application to somebody for whom there is no room."""

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await application(scope, receive, send)
            return
        problem = problems.CROWDED
        headers = {"Retry-After": str(problem.retry_after), "Connection": "close"}
        await JSONResponse(problem.as_json(), problem.status, headers)(scope, receive, send)

    return answer

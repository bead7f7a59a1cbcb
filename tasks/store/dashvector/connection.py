"""One cluster of DashVector: its client, made again when it is dead, and questions with retries."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from pydantic import SecretStr

from tasks.download.trust import trusted_roots
from tasks.store.dashvector import sdk
from tasks.store.dashvector.errors import (
    CLOSED,
    UNAVAILABLE,
    UNTRUSTED,
    Failure,
    normalise,
    untrusted,
)
from tasks.store.dashvector.options import DashVectorOptions
from tasks.store.dashvector.retry import Attempts, Pace

GRPC_ROOTS = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"

Question = Callable[[sdk.Client], sdk.Response]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: the SDK's answer if there was one, and the failure if it was."""

    response: sdk.Response | None
    failure: Failure | None

    @property
    def output(self) -> Any:
        """Output of the SDK's answer."""
        return None if self.response is None else self.response.output


class Connection:
    """Safe to use from several threads; connects on the first question."""

    def __init__(self, api_key: SecretStr, endpoint: SecretStr, options: DashVectorOptions) -> None:
        self.options = options
        self._api_key = api_key
        self._endpoint = endpoint
        self._pace = Pace(options.requests_per_second)
        self._lock = threading.Lock()
        self._client: sdk.Client | None = None
        self._roots: bytes | None = None
        self._unreachable_since: float | None = None

    def ask(self, what: str, question: Question, accept: Container[int] = ()) -> Answer:
        """Ask until there is an answer with code 0 or one in `accept`.

        Raises `RefusedError` or, when time is up, `StoreError`; `what` opens the message.
        """
        attempts = Attempts(what, self.options, self.options.deadline_seconds)
        while True:
            answer = self.ask_once(question)
            if answer.failure is None or answer.failure.code in accept:
                return answer
            attempts.again(answer.failure)

    def ask_once(self, question: Question) -> Answer:
        """Ask once; whatever goes wrong on the way is a `Failure` with its code."""
        self.options.waited(self._pace.wait())
        client = self._connected()
        if isinstance(client, Failure):
            return Answer(None, client)
        response: sdk.Response | None = None
        try:
            response = question(client)
            failure = self._failure(response.code, response.message)
        except grpc.RpcError as error:
            failure = self._failure(*_read_rpc_error(error))
        except ValueError as error:
            # gRPC's only way to say that another thread has closed the channel
            if "closed" not in str(error):
                raise
            failure = Failure(CLOSED, "")
        self._learn(client, failure)
        return Answer(response, failure)

    def forget(self, name: str) -> None:
        """Let the next use of a collection read its schema anew."""
        with self._lock:
            if self._client is not None:
                sdk.forget(self._client, name)

    def close(self) -> None:
        """Close the client, if there is one."""
        with self._lock:
            self._drop()

    def _connected(self) -> sdk.Client | Failure:
        with self._lock:
            if self._client is None:
                key, endpoint = self._api_key.get_secret_value(), self._endpoint.get_secret_value()
                if self._roots is None:
                    self._roots = _roots(self.options)
                client = sdk.connect(key, endpoint, self.options.timeout_seconds, self._roots)
                failure = self._failure(client.code, client.message)
                if failure is not None and failure.code == UNAVAILABLE:
                    reason = untrusted(sdk.transport_details(client))
                    failure = Failure(UNTRUSTED, reason) if reason else failure
                if failure is not None:
                    # a client made while the service is down stays dead for ever: never keep it
                    _close(client)
                    return failure
                self._client = client
            return self._client

    def _learn(self, client: sdk.Client, failure: Failure | None) -> None:
        with self._lock:
            if self._client is not client:
                return
            if failure is not None and failure.code == CLOSED:
                self._drop()
            elif failure is None or failure.code != UNAVAILABLE:
                self._unreachable_since = None
            else:
                now = time.monotonic()
                self._unreachable_since = self._unreachable_since or now
                # gRPC itself waits up to 28 s after a long outage; a new client does not
                if now - self._unreachable_since >= self.options.rebuild_after_seconds:
                    self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            _close(self._client)
        self._client = None
        self._unreachable_since = None

    def _failure(self, code: object, message: str | None) -> Failure | None:
        number = normalise(code)
        return None if number == 0 else Failure(number, self._redact(message or ""))

    def _redact(self, message: str) -> str:
        for secret in (self._api_key, self._endpoint):
            message = message.replace(secret.get_secret_value(), "***")
        return message


def _roots(options: DashVectorOptions) -> bytes:
    """What to trust: the option's file, or that of gRPC's own variable, or as everywhere."""
    of_grpc = os.environ.get(GRPC_ROOTS)
    if options.roots:
        return trusted_roots(("DASHVECTOR_ROOTS", options.roots))
    return trusted_roots((GRPC_ROOTS, of_grpc) if of_grpc else None)


def _close(client: sdk.Client) -> None:
    # Client.close() does nothing for a client whose code is not 0 and leaks its channel
    handler = getattr(client, "_handler", None)
    client.close()
    if handler is not None:
        handler.close()


def _read_rpc_error(error: Any) -> tuple[object, str]:
    """Code and message of an aborted call; details of the transport name the endpoint: left out."""
    for key, value in error.trailing_metadata() or ():
        if key == "extra-code":
            return value, error.details() or ""
    return error.code().value[0], ""

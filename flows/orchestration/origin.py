"""Which Prefect server is configured, and where: what to say when it does not answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.profile import named_server
from flows.orchestration.temporary_server import TEMPORARY
from tasks.download.loopback import unusable_proxy
from tasks.errors import MugeError, ServerAwayError, UsageError, reason_of

ANSWER_SECONDS = 3.0

_UNREACHED = "Failed to reach API at "
"""How Prefect's engine begins to say that the server did not answer before a run."""


def server_origin() -> str:
    """Where the server's address is set, for people."""
    if "PREFECT_API_URL" in os.environ:
        return "set by the variable PREFECT_API_URL"
    from prefect.context import get_settings_context

    profile = get_settings_context().profile
    if profile.settings and profile.source is not None:
        return f"set in the profile {profile.name!r} of {profile.source}"
    return f"set in {Path.cwd()} (prefect.toml, pyproject.toml or .env)"


def check_server() -> None:
    """Raise `ServerAwayError` if a server is named and does not answer within seconds: Prefect
    would be imported first, and wait a minute for one that is silent. Inside a run its server was
    there, and is waited for."""
    if "PREFECT__FLOW_RUN_ID" in os.environ or _inside_run():
        return
    named = named_server()
    if named is None or named.address == os.environ.get(TEMPORARY):
        return
    import httpx

    try:
        # nothing is sent that is secret, and whose certificate it is will be Prefect's question
        url = f"{named.address.rstrip('/')}/health"
        httpx.get(url, timeout=ANSWER_SECONDS, verify=False)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise server_away(named.address, error, named.origin) from None


def _inside_run() -> bool:
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def server_away(address: str, error: BaseException, origin: str = "") -> ServerAwayError:
    """What to say of a server that did not answer."""
    return ServerAwayError(
        f"the Prefect server at {address} ({origin or server_origin()}) does not answer "
        f"({type(error).__name__}: {reason_of(error)}); start it, or set another address, or none "
        f"for a temporary server"
    )


@contextmanager
def server_named() -> Iterator[None]:
    """Raise `ServerAwayError` for what the block raises because the server does not answer, and
    `UsageError` where no client can be made of the environment's proxies."""
    try:
        yield
    except MugeError:
        raise
    except Exception as error:
        if (name := unusable_proxy()) is not None:
            raise UsageError(
                f"the variable {name} names no proxy that can be used ({reason_of(error)}); write "
                f"http://HOST:PORT or socks5://HOST:PORT, or unset it"
            ) from error
        if not _is_away(error):
            raise
        from prefect.settings import get_current_settings

        address = get_current_settings().api.url
        if address is None or address == os.environ.get(TEMPORARY):
            raise
        raise server_away(address, error) from error


def _is_away(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return str(error).startswith(_UNREACHED)
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    return ("httpx", "TransportError") in kinds

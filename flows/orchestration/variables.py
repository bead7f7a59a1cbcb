"""Aliases of the service as Prefect Variables, so that every machine of a team follows the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.orchestration.origin import server_origin
from flows.orchestration.profile import named_server
from flows.orchestration.temporary_server import TEMPORARY
from tasks.errors import StoreError, reason_of
from tasks.store.stores import StoreAddress
from tasks.work.alias_book import AliasBook


def server_aliases(address: StoreAddress) -> Callable[[], AliasBook] | None:
    """Where aliases of a store are kept: in Variables if it is not of this machine and a Prefect
    server is configured (Prefect is imported only then), else None."""
    return None if address.kind.local or not server_is_configured() else VariableBook


def server_is_configured() -> bool:
    """Whether the environment or a Prefect profile names a server that outlives the command."""
    named = named_server()
    return named is not None and named.address != os.environ.get(TEMPORARY)


@dataclass(frozen=True)
class VariableBook:
    """Aliases as Variables of the configured server, named muge_alias_<key>."""

    kind: str = "Prefect Variable"

    def read(self, key: str) -> Any | None:
        """What was written under a key, or None; raises `StoreError` if the server is away."""
        from prefect.variables import Variable

        try:
            return Variable.get(_name(key), default=None)
        except Exception as error:
            raise _away(error) from None

    def write(self, key: str, said: dict[str, Any]) -> None:
        """Replace the Variable's value in one request; raises `StoreError`."""
        from prefect.variables import Variable

        try:
            Variable.set(_name(key), said, overwrite=True)
        except Exception as error:
            raise _away(error) from None

    def place(self, key: str) -> str:
        """Where that is, for people."""
        return f"Prefect Variable {_name(key)}"


def _name(key: str) -> str:
    """Variables are named in lower case, so that capitals of a collection's name are marked."""
    lowered = "".join(f"_{c.lower()}_" if c.isupper() else c for c in key)
    return f"muge_alias_{lowered}".replace("-", "_")


def _away(error: Exception) -> StoreError:
    from prefect.settings import get_current_settings

    return StoreError(
        f"the Prefect server that keeps the aliases does not answer at "
        f"{get_current_settings().api.url}, {server_origin()} ({type(error).__name__}: "
        f"{reason_of(error)}); start it, or unset its address"
    )

"""What a store needs before it is opened: credentials, and where its aliases are kept."""

from __future__ import annotations

from flows.orchestration.variables import follow_server_aliases


def prepare_store(store: str) -> None:
    """Load the credentials block that the address names, and follow the server's aliases.

    Stores of this machine need neither, and Prefect is not imported for them.
    """
    if store.startswith("dashvector:") and store != "dashvector:":
        from flows.orchestration.blocks import load_credentials

        load_credentials(store)
    follow_server_aliases(store)

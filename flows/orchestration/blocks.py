"""Credentials of a DashVector cluster as a Prefect block, so that no deployment holds a key."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from flows.orchestration.origin import server_named
from tasks.errors import UsageError
from tasks.settings import DashVectorSettings


class DashVectorCredentials(Block):
    """API key and endpoint of one DashVector cluster; used as store `dashvector:BLOCK_NAME`."""

    _block_type_name = "DashVector Credentials"
    _block_type_slug = "dashvector-credentials"

    api_key: SecretStr = Field(description="API key of the cluster.")
    endpoint: SecretStr = Field(description="Endpoint of the cluster, without a scheme.")


def load_credentials(store: str, name: str) -> DashVectorSettings:
    """The credentials that a store `dashvector:NAME` names; raises `UsageError` if there is no
    block of that name."""
    try:
        with server_named():
            block = DashVectorCredentials.load(name)
    except ValueError:
        raise UsageError(
            f"store {store}: Prefect has no block dashvector-credentials/{name}; register the type "
            f"with `prefect block register -m flows.orchestration.blocks` and save one"
        ) from None
    assert isinstance(block, DashVectorCredentials)
    return DashVectorSettings(api_key=block.api_key, endpoint=block.endpoint)

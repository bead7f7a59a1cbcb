"""Credentials of DashVector clusters by name: the environment's, or those that a caller brought."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.errors import UsageError
from tasks.options import read_options
from tasks.settings import DashVectorSettings


def credentials_of(name: str, brought: Mapping[str, DashVectorSettings]) -> DashVectorSettings:
    """Credentials of `dashvector:NAME`; without a name those of the environment.

    Raises `UsageError` if nobody brought that name.
    """
    if not name:
        return read_options(DashVectorSettings, {})
    if name not in brought:
        raise UsageError(
            f"store dashvector:{name}: no credentials block of that name was loaded; save one in "
            f"Prefect (block type dashvector-credentials), or use dashvector: with "
            f"DASHVECTOR_API_KEY and DASHVECTOR_ENDPOINT"
        )
    return brought[name]

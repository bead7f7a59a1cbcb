"""Credentials of DashVector clusters by name: the environment's, or those a flow has loaded."""

from __future__ import annotations

from tasks.errors import UsageError
from tasks.settings import DashVectorSettings

_loaded: dict[str, DashVectorSettings] = {}


def remember_credentials(name: str, settings: DashVectorSettings) -> None:
    """Keep credentials in this process's memory for `dashvector:NAME`."""
    _loaded[name] = settings


def credentials(name: str) -> DashVectorSettings:
    """Credentials of `dashvector:NAME`; without a name those of the environment.

    Raises `UsageError` if no flow has loaded that name.
    """
    if not name:
        return DashVectorSettings()
    if name not in _loaded:
        raise UsageError(
            f"store dashvector:{name}: no credentials block of that name was loaded; save one in "
            f"Prefect (block type dashvector-credentials), or use dashvector: with "
            f"DASHVECTOR_API_KEY and DASHVECTOR_ENDPOINT"
        )
    return _loaded[name]

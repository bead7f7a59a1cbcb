"""Hugging Face's hub through its own client: snapshots of models in its own cache.

The client comes with the extra [transformers]. HF_ENDPOINT (a mirror), HF_HOME and HF_TOKEN are its
own; HF_ENDPOINT is read again at each call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tasks.download.modelscope import Kind, check_reached, first_reason
from tasks.errors import HubError


def find_snapshot(kind: Kind, name: str, revision: str) -> Path | None:
    """The folder of a snapshot in the cache, though perhaps not complete; asks nobody."""
    try:
        found = _client().snapshot_download(
            name,
            repo_type=kind,
            revision=revision,
            allow_patterns=[],  # the client would miss files that nobody reads
            local_files_only=True,
        )
    except Exception:  # whatever it is, a download settles it
        return None
    return Path(found)


def download_snapshot(kind: Kind, name: str, revision: str, patterns: Sequence[str]) -> Path:
    """Download the files that match a pattern; those that lie in the cache are not sent again.

    Raises `HubError`.
    """
    client = _client()
    try:
        made = client.snapshot_download(
            name,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(patterns),
            endpoint=_endpoint(),
        )
    except Exception as error:  # the client raises its own, its transport's and the system's
        raise HubError(_reason(error)) from None
    return Path(made)


def check_hub() -> None:
    """Raise `HubError` in seconds if the hub cannot be reached, or has no client here."""
    _client()
    check_reached(_endpoint())


def list_snapshot(kind: Kind, name: str, revision: str) -> list[str]:
    """The paths of a repository's files; raises `HubError`."""
    hub = _client().HfApi(endpoint=_endpoint())
    try:
        return sorted(hub.list_repo_files(name, repo_type=kind, revision=revision))
    except Exception as error:
        raise HubError(_reason(error)) from None


def _reason(error: Exception) -> str:
    """Why it failed, without the client's advice on repositories and tokens."""
    return first_reason(error).partition(" for url: ")[0]


def _client() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise HubError(
            "models of Hugging Face (hf:) need the extra [transformers]: "
            "pip install 'muge-search[transformers]'"
        ) from None
    return huggingface_hub


def _endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")

"""Hugging Face's hub through its own client: snapshots of models in its own cache.

The client comes with the extra [transformers]. HF_ENDPOINT (a mirror), HF_HOME and HF_TOKEN are its
own; HF_ENDPOINT is read again at each call.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tasks.download.hubs import Kind
from tasks.download.refusals import Variables, check_reached, refusal
from tasks.errors import HubError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    _check_contents(Path(made))
    return Path(made)


def exact_revision(folder: Path, revision: str) -> str:
    """The commit of a snapshot: a branch moves, and a commit's files stay."""
    return folder.name if _COMMIT.fullmatch(folder.name) else revision


def check_hub() -> None:
    """Raise `HubError` in seconds if the hub cannot be reached, or has no client here."""
    if _client().constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set, and it is not whole in the cache; unset it once")
    check_reached(_endpoint())


def list_snapshot(kind: Kind, name: str, revision: str) -> list[str]:
    """The paths of a repository's files; raises `HubError`."""
    hub = _client().HfApi(endpoint=_endpoint())
    try:
        return sorted(hub.list_repo_files(name, repo_type=kind, revision=revision))
    except Exception as error:
        raise HubError(_reason(error)) from None


def _reason(error: Exception) -> str:
    return refusal(error, Variables("HF_TOKEN", "HF_ENDPOINT", "HF_HOME"))


def _check_contents(folder: Path) -> None:
    """Raise `HubError` for a large file that is not what the hub calls it, and forget it: the
    client names it in its cache by the SHA-256 that the hub says, and does not compute it."""
    for file in sorted(folder.rglob("*")):
        blob = file.resolve()
        if not file.is_symlink() or not _SHA256.fullmatch(blob.name):
            continue
        with blob.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != blob.name:
            file.unlink()
            blob.unlink()
            raise HubError(
                f"{file.name}: what came has SHA-256 {found[:12]}, the hub says {blob.name[:12]}; "
                f"run the same command again"
            )


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

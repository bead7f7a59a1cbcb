"""ModelScope's hub through its own client: snapshots of models and data sets in its own cache.

The client checks every file's SHA-256, resumes what broke off, locks its cache against other
processes and shows bars on standard error. MODELSCOPE_ENDPOINT and MODELSCOPE_CACHE are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.download.hubs import Kind
from tasks.download.refusals import Variables, check_reached, refusal
from tasks.download.trust import trust_in_requests
from tasks.errors import HubError

_NAMES = Variables("MODELSCOPE_API_TOKEN", "MODELSCOPE_ENDPOINT", "MODELSCOPE_CACHE")


def find_snapshot(kind: Kind, name: str, revision: str) -> Path | None:
    """The folder of a snapshot in the cache, though perhaps not complete; asks nobody."""
    from modelscope.hub.snapshot_download import snapshot_download  # 1.5 s: only if it is needed

    try:
        return Path(
            snapshot_download(
                repo_id=name, repo_type=kind, revision=revision, local_files_only=True
            )
        )
    except Exception:  # whatever it is, a download settles it
        return None


def download_snapshot(kind: Kind, name: str, revision: str, patterns: Sequence[str]) -> Path:
    """Download the files that match a pattern; those that lie in the cache are not sent again.

    Raises `HubError`.
    """
    from modelscope.hub.snapshot_download import snapshot_download

    trust_in_requests()
    try:
        return Path(
            snapshot_download(
                repo_id=name, repo_type=kind, revision=revision, allow_patterns=list(patterns)
            )
        )
    except Exception as error:  # the client raises its own, requests' and the system's
        raise HubError(refusal(error, _NAMES)) from None


def check_hub() -> None:
    """Raise `HubError` in seconds if the hub is away: its client tries for half a minute."""
    from modelscope_hub.config import HubConfig

    check_reached(str(HubConfig().endpoint))


def exact_revision(folder: Path, revision: str) -> str:
    """The revision as it was asked for: the client keeps no other name of what it brought."""
    return revision


def list_snapshot(kind: Kind, name: str, revision: str) -> list[str]:
    """The paths of a repository's files; raises `HubError`."""
    from modelscope_hub import HubApi

    trust_in_requests()
    try:
        files = HubApi().list_repo_files(name, kind, revision=revision)
    except Exception as error:
        raise HubError(refusal(error, _NAMES)) from None
    return sorted(file.path for file in files)

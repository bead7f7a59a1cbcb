"""A whole repository of a hub, since its modules say themselves which of its files they read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tasks.download.hubs import Hub
from tasks.encode.model.weight_files import chosen

MARK = ".muge-complete"
"""Names all files that a download brought, a line each; written when it was done."""
_OTHER_RUNTIMES = ("onnx/", "openvino/")
_READ = (".json", ".txt", ".model", ".jinja", ".safetensors", ".bin")


def download_all(hub: Hub, name: str, revision: str, listed: Iterable[str], trusted: bool) -> Path:
    """Download all that the library may read; code comes with a model that is trusted only. Raises
    `HubError`."""
    endings = (*_READ, ".py") if trusted else _READ
    wanted = [
        file
        for file in chosen(listed)
        if file.endswith(endings) and not file.startswith(_OTHER_RUNTIMES)
    ]
    folder = hub.client.download_snapshot("model", name, revision, wanted)
    (folder / MARK).write_text("".join(f"{file}\n" for file in wanted), encoding="utf-8")
    return folder


def was_downloaded(folder: Path) -> bool:
    """Whether all files that a download brought are there."""
    try:
        names = (folder / MARK).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(names) and all((folder / name).is_file() for name in names)

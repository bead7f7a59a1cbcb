"""A whole repository of a hub, since its modules say themselves which of its files they read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tasks.download.hubs import Hub
from tasks.encode.model.sentence_transformers.family import WEIGHTS, check_own_code
from tasks.encode.model.weight_files import chosen

MARK = ".muge-complete"
"""Names all files that a download brought, a line each; written when it was done."""
_OTHER_RUNTIMES = ("onnx/", "openvino/")
_READ = (".json", ".txt", ".model", ".jinja", ".safetensors", ".bin")


def download_all(hub: Hub, name: str, revision: str, listed: Iterable[str], trusted: bool) -> Path:
    """Download all that the library may read; code comes with a model that is trusted only, and
    weights, which may be large, after it was seen that none is wanted. Raises `HubError`, and
    `ModelError` for code that is not trusted."""
    endings = (*_READ, ".py") if trusted else _READ
    wanted = [
        file
        for file in chosen(listed)
        if file.endswith(endings) and not file.startswith(_OTHER_RUNTIMES)
    ]
    download = hub.client.download_snapshot
    if not trusted:
        beside = [file for file in wanted if not file.endswith(WEIGHTS)]
        check_own_code(download("model", name, revision, beside))
    folder = download("model", name, revision, wanted)
    (folder / _mark(trusted)).write_text("".join(f"{file}\n" for file in wanted), encoding="utf-8")
    return folder


def was_downloaded(folder: Path, trusted: bool) -> bool:
    """Whether all files that a download brought are there, with the code of a trusted model."""
    try:
        names = (folder / _mark(trusted)).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(names) and all((folder / name).is_file() for name in names)


def _mark(trusted: bool) -> str:
    return f"{MARK}-with-code" if trusted else MARK

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tasks.work.folder import Folder


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """A work folder on this machine's disk, and one that is no local file system."""
    if request.param == "local":
        yield Folder(str(tmp_path / "work"))
        return
    url = f"memory://{uuid.uuid4().hex}"
    yield Folder(url)
    filesystem, root = fsspec.core.url_to_fs(url)
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tasks.work.folder import Folder
from tests.servers.fixtures import s3  # noqa: F401  (a fixture)


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """A work folder on this machine's disk, one that is no local file system, and one on S3."""
    if request.param == "local":
        yield Folder(str(tmp_path / "work"))
        return
    if request.param == "s3":
        yield Folder(f"{request.getfixturevalue('s3').bucket()}/work")
        return
    url = f"memory://{uuid.uuid4().hex}"
    yield Folder(url)
    filesystem, root = fsspec.core.url_to_fs(url)
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)

"""Addresses of stores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tasks.store.open import open_store

from tasks.errors import UsageError
from tasks.store.zvec.store import ZvecStore


def test_zvec_takes_a_folder(tmp_path: Path) -> None:
    store = open_store(f"zvec:{tmp_path}")
    assert isinstance(store, ZvecStore)
    assert store.uri == f"zvec:{tmp_path}"


@pytest.mark.parametrize("uri", ["", "zvec", "zvec:", "dashvector", "milvus:x", ":"])
def test_anything_else_lists_the_forms(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(uri)
    assert repr(uri) in str(caught.value)
    assert "zvec:DIR" in str(caught.value)
    assert "dashvector:" in str(caught.value)


def test_credentials_that_no_flow_has_loaded() -> None:
    with pytest.raises(UsageError, match=r"dashvector:x: no credentials block") as caught:
        open_store("dashvector:x")
    assert "DASHVECTOR_API_KEY" in str(caught.value)


def test_importing_the_opener_imports_no_client() -> None:
    code = "import sys, tasks.store.open; print({'zvec', 'dashvector'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

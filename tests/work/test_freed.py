"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from tasks.work.freed import give_back


def private_mib() -> int:
    found = re.search(r"^RssAnon:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep little")
def test_pages_below_memory_in_use_are_returned() -> None:
    pieces = [b"x" * 100_000 for _ in range(3000)]
    last = pieces[-1]
    del pieces
    before = private_mib()
    give_back()
    assert private_mib() < before - 200
    assert len(last) == 100_000


def test_it_may_be_called_at_any_time() -> None:
    give_back()
    give_back()
